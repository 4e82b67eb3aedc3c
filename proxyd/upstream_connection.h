/* One connection to an upstream and the request that it carries; shared by upstream_pool.c, which makes, keeps and ends
 * connections, and upstream_h1.c, upstream_h1_read.c and upstream_h1_fail.c, which speak HTTP/1.1 on them. For no other
 * room. */
#ifndef KEYSTILE_UPSTREAM_CONNECTION_H
#define KEYSTILE_UPSTREAM_CONNECTION_H

#include <sys/queue.h>

#include "buffer.h"
#include "endpoint.h"
#include "upstream_h1.h"

enum connection_state {
	CONNECTION_SPARE,     /* no socket; in pool->spare */
	CONNECTION_DIALLING,
	CONNECTION_HANDSHAKE,
	CONNECTION_HEAD,      /* the request goes out, no final head has come */
	CONNECTION_BODY,      /* a final head has come */
	CONNECTION_FAILED,    /* the socket is closed, or given away; the exchange has not released yet */
	CONNECTION_IDLE,      /* kept for the next request */
};

/* The connections to one destination. */
struct origin_pool {
	struct destination destination;
	struct origin_pool *next; /* in its bucket */
	size_t members, idle_count;
	LIST_HEAD(, connection) idle; /* the last one used first */
};

struct connection {
	struct upstream upstream; /* first: what the exchange holds */
	struct upstream_pool *pool;
	struct origin_pool *origin;
	enum connection_state state;
	uint64_t uses; /* requests begun and ended: tells whether a callback has released this one */
	LIST_ENTRY(connection) beside;  /* idle, same origin */
	TAILQ_ENTRY(connection) around; /* idle, whole pool, the oldest first */
	LIST_ENTRY(connection) spare;

	struct endpoint end;
	struct dial *dial;
	struct loop_watch watch;
	struct loop_timer timer; /* handshake, then idle */
	struct loop_task task;
	uint64_t idle_since;
	bool can_read, can_write; /* as far as the last edge and call told */
	bool peer_closed;         /* FIN or reset seen */
	bool write_broken;        /* nothing more can be sent; an answer may still be there to be read */

	/* The request. */
	struct buffer out; /* not sent yet from `out_sent` on */
	size_t out_sent, out_head; /* the head's bytes hold the secret */
	struct body_framing sends;
	uint64_t send_left; /* of BODY_LENGTH */
	bool request_done, wants_write, is_head, upgrades, announce, sent_any, reused;
	bool last; /* no request follows this one */

	/* The response. */
	struct codec_limits head_limits;
	char *in;
	size_t in_base, in_start, in_end, in_size; /* what stands before in_base is the head */
	struct span run; /* content that is taken out of `in` but not read yet */
	struct arena arena;
	struct response response;
	struct codec_body body;
	struct fields trailers;
	struct upstream_interims interims;
	bool answered, body_done, keep_alive, wants_read;
	struct upstream_error error;
};

struct upstream_pool {
	struct loop *loop;
	struct tally *tally; /* NULL: nobody counts */
	struct dialer *dialer;
	struct upstream_limits limits;
	struct origin_pool *buckets[DESTINATION_BUCKETS];
	TAILQ_HEAD(, connection) idle;
	size_t idle_count;
	struct loop_task trim;
	size_t spare_count;
	LIST_HEAD(, connection) spare;
};

/* ---- upstream_pool.c ---- */

/* An idle connection, or NULL. It is then in CONNECTION_HEAD. `look`: what goes out may not be repeated, so it is looked at
 * even if it was idle for a moment only. */
struct connection *pool_take_idle(struct upstream_pool *pool, const struct destination *destination, bool look);
/* A new one, which dials. */
struct connection *pool_connect(struct upstream_pool *pool, const struct destination *destination);
void pool_keep(struct connection *connection);    /* makes it idle */
void pool_discard(struct connection *connection); /* closes what is open; its memory goes to the spare ones */

/* As endpoint_read() and endpoint_write(); keep note of what they tell. */
ssize_t connection_read(struct connection *connection, void *bytes, size_t size);
ssize_t connection_write(struct connection *connection, const void *bytes, size_t size);
/* Is there nothing to be read, not even an end? */
bool connection_is_quiet(struct connection *connection);
void connection_close(struct connection *connection); /* socket, TLS and dial; the state stays */

/* ---- upstream_h1.c, called by the pool ---- */

void h1_established(struct connection *connection);
void h1_advance(struct connection *connection); /* an edge, in CONNECTION_HEAD or CONNECTION_BODY */
void h1_run_task(struct loop_task *task);

/* ---- upstream_h1_read.c ---- */

void h1_read_head(struct connection *connection); /* in CONNECTION_HEAD; may call back, and end this use */
ssize_t h1_read(struct upstream *upstream, void *bytes, size_t size);
size_t h1_ready(struct upstream *upstream, bool *whole);
/* Reads over what is left in the buffer: often the end of the body is there, and nobody asked for it. */
void h1_drain_buffer(struct connection *connection);

/* ---- upstream_h1_fail.c: the socket is closed, the state CONNECTION_FAILED ---- */

/* Tells the exchange, which may release within. */
void h1_failed(struct connection *connection, enum upstream_failure failure, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void h1_fail_closed(struct connection *connection, bool reset);
void h1_fail_head(struct connection *connection, enum codec_result result, const char *why);
/* Tells nobody: whoever reads finds out. */
void h1_fail_quietly(struct connection *connection, enum upstream_failure failure, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static inline struct connection *connection_of(struct upstream *upstream)
{
	return (struct connection *)upstream;
}

static inline const char *connection_host(const struct connection *connection)
{
	return connection->origin->destination.host.name;
}

#define CONNECTION_OF(pointer, member) \
	((struct connection *)(void *)((char *)(pointer)-offsetof(struct connection, member)))

#endif
