/* What a program needs on the disk, so that nothing may hide it: where it works, its home, itself, the proxy's sockets,
 * and the folders that every system has. */
#ifndef KEYSTILE_NEEDED_H
#define KEYSTILE_NEEDED_H

#include "config.h"

/* Absolute and resolved paths; `needed` starts as zeros. `program` is looked for as execvp(3) does; `bundles` are files. */
void needed_find(const struct config *config, const char *program, const char *const *bundles, size_t bundle_count,
                 struct string_list *needed);
void needed_free(struct string_list *needed);

#endif
