/* HTTP/2 upstreams (RFC 9113), by libnghttp2: connections per origin and worker, each shared by many requests.
 *
 * To an origin one connection is made, and who asks meanwhile waits for it; another one follows once all streams that the
 * origin lets be opened are in use. Where the origin chooses HTTP/1.1 (ALPN), or says that a request needs it
 * (HTTP_1_1_REQUIRED), requests fail with UPSTREAM_ONLY_H1, no byte of their body taken or all of it still in the exchange's
 * replay: the exchange sends them by upstream_h1, and that is remembered for some minutes. */
#ifndef KEYSTILE_UPSTREAM_H2_H
#define KEYSTILE_UPSTREAM_H2_H

#include "upstream_h1.h"

struct upstream_h2;

/* `pool` gets the connections on which HTTP/1.1 is chosen. All of them must outlive it. */
struct upstream_h2 *upstream_h2_new(struct loop *loop, struct dialer *dialer, struct upstream_pool *pool,
                                    struct upstream_limits limits, struct fault *fault);
void upstream_h2_close_idle(struct upstream_h2 *room);
/* Of connections that are made from here on. */
void upstream_h2_set_limits(struct upstream_h2 *room, struct upstream_limits limits);
void upstream_h2_free(struct upstream_h2 *room); /* every upstream was released before; NULL is fine */

/* May requests to this destination be sent by HTTP/2? With TLS, unless it is remembered as one for HTTP/1.1. */
bool upstream_h2_offers(struct upstream_h2 *room, const struct destination *destination);

/* As upstream_h1_start(): `fresh` asks for a connection that has served nobody. There is no give(). */
struct upstream *upstream_h2_start(struct upstream_h2 *room, const struct destination *destination,
                                   const struct request *head, bool fresh, const struct upstream_events *events,
                                   void *context);

#endif
