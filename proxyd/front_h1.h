/* HTTP/1.x clients, served by libmicrohttpd on plain sockets (DESIGN: front_h1; the only room but admin that knows it). */
#ifndef KEYSTILE_FRONT_H1_H
#define KEYSTILE_FRONT_H1_H

#include "worker.h"

struct front_h1;

struct front_h1 *front_h1_new(struct worker *worker, struct fault *fault);
/* Does libmicrohttpd's memory for a connection hold this head of `size` bytes? It keeps each field and each cookie apart,
 * and refuses what does not fit in words of its own. */
bool front_h1_fits(const struct request *request, size_t size, const struct config_limits *limits);
/* Serves a connection whose first head was found well-formed and still stands unread on `fd` (taken over). */
void front_h1_add(struct front_h1 *front, int fd, const struct way *way);
/* Closes connections that are between requests; every other one after its response. */
void front_h1_drain(struct front_h1 *front);
void front_h1_free(struct front_h1 *front); /* closes everything */

#endif
