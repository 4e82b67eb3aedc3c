/* HTTP/1.x clients within TLS that we end (RFC 9112), served on an endpoint. They are judged, injected and answered as those of
 * front_h1 are, by the same rooms; only reading and writing are its own. libmicrohttpd reads from sockets alone: a relay and
 * a pair of sockets between it and TLS took a sixth of the CPU time of a request, and a second connection for each client. */
#ifndef KEYSTILE_FRONT_HTTPS_H
#define KEYSTILE_FRONT_HTTPS_H

#include "endpoint.h"
#include "worker.h"

struct front_https;

struct front_https *front_https_new(struct worker *worker);
/* Serves a connection from its first byte on. Takes over what `end` holds; it and `*way` are copied. The connection counts
 * until it has closed; it is worker_connection_closed() that ends it. */
void front_https_start(struct worker *worker, struct endpoint *end, const struct way *way);
/* Who has asked is answered, and the connection closes behind that; who has not is closed. */
void front_https_drain(struct front_https *front);
void front_https_free(struct front_https *front); /* closes everything */

#endif
