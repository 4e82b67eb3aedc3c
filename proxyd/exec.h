/* Runs a command without a shell and keeps what it writes (SPEC §2 exec:). */
#ifndef KEYSTILE_EXEC_H
#define KEYSTILE_EXEC_H

#include <stdint.h>

#include "buffer.h"
#include "fault.h"

/* Runs `command`, split by source_words(), found in PATH, in a process group of its own: no standard input, default
 * signals, no file descriptor of ours. Appends what it writes on standard output to `out`, which the caller wipes.
 *
 * FAULT_USAGE: no words. FAULT_MISSING, FAULT_DENIED: it cannot be started. FAULT_TIMEOUT: not done after `limit_ms`;
 * its process group was killed. FAULT_BROKEN: more than `limit` bytes (killed too), or it ended with a status that is not
 * 0. FAULT_BUSY: SIGTERM or SIGINT, blocked, came for this process and was left for whoever takes it; killed too. What
 * it wrote on standard error may hold a secret: it is counted, never repeated. Blocks. */
bool exec_run(const char *command, uint64_t limit_ms, size_t limit, struct buffer *out, struct fault *fault);

#endif
