/* HTTP/1.1 upstreams: a pool of connections per destination and worker, LIFO, and the exchange of one request on one. */
#ifndef KEYSTILE_UPSTREAM_H1_H
#define KEYSTILE_UPSTREAM_H1_H

#include "codec_h1.h"
#include "config.h"
#include "tally.h"
#include "upstream.h"

struct upstream_pool;

struct upstream_limits {
	struct codec_limits head; /* of a response head, and of trailers */
	uint64_t handshake;       /* ms */
	uint64_t idle;            /* ms that an unused connection is kept; an idle one with EOF or data on it is closed */
	size_t idle_connections;  /* kept per destination */
};

/* What `limits:` says of them. */
struct upstream_limits upstream_limits_of(const struct config_limits *limits);

struct upstream_pool *upstream_pool_new(struct loop *loop, struct dialer *dialer, struct upstream_limits limits);
/* Takes over a connection that was made elsewhere and has not been used; it is idle, and not watched. */
void upstream_pool_adopt(struct upstream_pool *pool, const struct destination *destination, struct endpoint *end);
/* Of connections that are made from here on. */
void upstream_pool_set_limits(struct upstream_pool *pool, struct upstream_limits limits);
/* Where its connections are counted from here on. */
void upstream_pool_count(struct upstream_pool *pool, struct tally *tally);
struct tally *upstream_pool_tally(const struct upstream_pool *pool); /* NULL: nobody counts */
void upstream_pool_close_idle(struct upstream_pool *pool);
void upstream_pool_free(struct upstream_pool *pool); /* every upstream was released before */

/* Starts one request. `head` is complete but for framing (codec_write_request); it is serialised within this call and
 * kept, wiped after use, so its spans need not outlive it. `fresh` forbids a pooled connection (a repeat).
 * Never calls back from within. A response may come before the request body is complete: the exchange decides.
 * A body of a request that is BODY_NONE or of length 0 needs no finish(). */
struct upstream *upstream_h1_start(struct upstream_pool *pool, const struct destination *destination,
                                   const struct request *head, bool fresh, const struct upstream_events *events,
                                   void *context);

#endif
