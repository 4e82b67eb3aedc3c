/* HTTP/2 clients (RFC 9113), served by libnghttp2 on an endpoint (DESIGN: front_h2). Each stream is an exchange. */
#ifndef KEYSTILE_FRONT_H2_H
#define KEYSTILE_FRONT_H2_H

#include "endpoint.h"
#include "worker.h"

/* What a connection in HTTP/2 begins with (RFC 9113 §3.4). */
#define FRONT_H2_PREFACE SPAN("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

struct front_h2;

struct front_h2 *front_h2_new(struct worker *worker, struct fault *fault); /* NULL with a fault */
/* Serves a connection whose first bytes, still unread, are the preface. Takes over what `end` holds; it and `*way` are
 * copied. The connection counts until it has closed; it is worker_connection_closed() that ends it. */
void front_h2_start(struct worker *worker, struct endpoint *end, const struct way *way);
/* Tells every client that no further stream is taken (GOAWAY, RFC 9113 §6.8); those under way go on to their end, and
 * with the last one the connection closes. */
void front_h2_drain(struct front_h2 *front);
/* The worker's limits are others: of connections that come from here on. */
void front_h2_take_limits(struct front_h2 *front);
void front_h2_free(struct front_h2 *front); /* closes everything */

#endif
