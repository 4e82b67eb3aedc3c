/* Runs the clients: a few at a time, each in a network namespace of its own, in a bounded time. */
#ifndef KEYSTILE_VERIFY_RUN_H
#define KEYSTILE_VERIFY_RUN_H

#include "fault.h"
#include "verify.h"

/* Fills `outcomes` (verify_client_count of them, in memory that child processes share). `folder` holds nothing of worth. The
 * clients' environment is `variables` ("NAME=value", NULL at the end), with TMPDIR and XDG_CACHE_HOME in the folder. */
bool verify_run(char *const *variables, const struct targets *targets, const char *folder,
                 struct outcome *outcomes, struct fault *fault);

#endif
