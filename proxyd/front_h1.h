/* HTTP/1.x clients, served by libmicrohttpd on plain sockets (DESIGN: front_h1; the only room but admin that knows it). */
#ifndef KEYSTILE_FRONT_H1_H
#define KEYSTILE_FRONT_H1_H

#include "worker.h"

struct front_h1;

struct front_h1 *front_h1_new(struct worker *worker, struct fault *fault);
/* How much of libmicrohttpd's memory this head of `size` bytes takes: it keeps each field and each cookie apart, and
 * refuses what does not fit in words of its own. */
size_t front_h1_needs(const struct request *request, size_t size);
/* What it can have at most. */
size_t front_h1_most_memory(const struct front_h1 *front);
/* Serves a connection whose next head was found well-formed, needs `memory`, and still stands unread on `fd` (taken
 * over), with `more` behind it. When it rests after a response it goes back to the sniffer. */
void front_h1_add(struct front_h1 *front, int fd, const struct way *way, size_t memory, bool more);
/* Closes connections that are between requests; every other one after its response. */
void front_h1_drain(struct front_h1 *front);
/* The worker's limits are others. */
void front_h1_take_limits(struct front_h1 *front);
void front_h1_free(struct front_h1 *front); /* closes everything */

#endif
