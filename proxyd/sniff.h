/* The first bytes of a connection decide what it is, without being consumed (SPEC §3). */
#ifndef KEYSTILE_SNIFF_H
#define KEYSTILE_SNIFF_H

#include "worker.h"

/* Looks at the first bytes of `fd` (taken over) and hands the connection to the room that serves it. What is no HTTP is
 * closed with an audit line that names the byte; a malformed, slow or over-long head gets its 400, 408 or 431 here. */
void sniff_start(struct worker *worker, int fd, const struct way *way);

/* The same for a connection that has had a response: it may be silent for `idle` milliseconds. Its count for a profile
 * goes on. */
void sniff_kept(struct worker *worker, int fd, const struct way *way, uint64_t idle);

/* Closes every connection that has said nothing, and looks at what the others have said: a head that is complete is served,
 * one that is not has its limits.head_time still. */
void sniff_drain(struct worker *worker);
/* Closes all of them. */
void sniff_end_all(struct worker *worker);

#endif
