/* Runs a command without a shell and keeps what it writes (SPEC §2 exec:). */
#ifndef KEYSTILE_EXEC_H
#define KEYSTILE_EXEC_H

#include <stdint.h>

#include "buffer.h"
#include "fault.h"

struct exec_terms {
	uint64_t limit_ms;        /* for how long it may run */
	size_t limit;             /* bytes that it may write */
	int stop;                 /* readable: nobody wants it any more; -1: that never is */
	char *const *environment; /* NULL: ours */
	uint64_t files;           /* its soft limit on open files, which it has a moment after its start; 0: ours */
};

/* Runs `command`, split by source_words(), found in PATH, in a session of its own: no terminal, no standard input, default
 * signals, no file descriptor of ours. Appends what it writes on standard output to `out`, which the caller wipes. At the
 * end, whatever that is, its process group is killed.
 *
 * FAULT_USAGE: no words. FAULT_MISSING, FAULT_DENIED: it cannot be started. FAULT_TIMEOUT: not done after `limit_ms`.
 * FAULT_BROKEN: more than `limit` bytes, or it ended with a status that is not 0. FAULT_BUSY: `stop` became readable.
 * Another one: how it ended cannot be told (children must not be ignored: SIGCHLD). What it wrote on standard error may
 * hold a secret: it is counted, never repeated. Blocks. */
bool exec_run(const char *command, const struct exec_terms *terms, struct buffer *out, struct fault *fault);

#endif
