/* What the files of upstream_h2 share: upstream_h2.c (one request, as its exchange knows it), upstream_h2_origin.c (who gets
 * which connection, and who waits), upstream_h2_connection.c (making and ending connections), upstream_h2_wire.c (bytes
 * between libnghttp2 and the socket), upstream_h2_session.c (what libnghttp2 tells of frames and streams),
 * upstream_h2_head.c (heads), upstream_h2_fail.c (what went wrong, in words). For no other room.
 *
 * Nothing here calls an exchange from within a call of libnghttp2 or of the exchange, but for interim answers: what is to be
 * told is noted, and told by the request's task, one thing at a time, since the exchange may release the request within. */
#ifndef KEYSTILE_UPSTREAM_H2_INTERNAL_H
#define KEYSTILE_UPSTREAM_H2_INTERNAL_H

#include <nghttp2/nghttp2.h>
#include <sys/queue.h>

#include "backlog.h"
#include "budget.h"
#include "outbox.h"
#include "upstream_h2.h"

#define H2_STREAMS_MOST 100       /* at once on one connection, however many the origin lets be opened */
#define H2_WINDOW (128 * 1024 - 1) /* of a stream: what an exchange may have waiting; a backlog of it takes 128 KiB */

enum h2_connection_state {
	H2_DIALLING,
	H2_HANDSHAKE,
	H2_OPEN,
	H2_LEAVING, /* GOAWAY, theirs or ours: streams under way go on, none is opened */
};

/* Forwards only, but that the first three may fail. */
enum h2_request_state {
	H2_WAITING, /* for a connection */
	H2_HEAD,    /* it has a stream; no final head has come */
	H2_BODY,    /* a final head has come */
	H2_FAILED,
};

/* What is to be told to the exchange, in this order. */
enum h2_news {
	H2_NEWS_CONNECTED = 1,
	H2_NEWS_HEAD = 2,
	H2_NEWS_WRITABLE = 4,
	H2_NEWS_READABLE = 8,
	H2_NEWS_FAILED = 16,
};

struct upstream_h2 {
	struct loop *loop;
	struct dialer *dialer;
	struct upstream_pool *pool;
	struct upstream_limits limits;
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option;
	struct h2_origin *buckets[DESTINATION_BUCKETS];
	TAILQ_HEAD(, h2_origin) plain; /* remembered as HTTP/1.1, the oldest first */
	size_t plain_count;
	struct loop_timer forget;      /* the first of them */
	TAILQ_HEAD(, h2_connection) resting; /* without requests, the oldest first */
	size_t resting_count;
	struct h2_request *telling;    /* an interim answer is being told; NULL once it was released within */
	struct buffer out;             /* frames on their way to a socket; empty between two calls */
};

struct h2_origin {
	struct destination destination; /* holds a reference to the trust */
	struct upstream_h2 *room;
	struct h2_origin *next;         /* in its bucket */
	TAILQ_ENTRY(h2_origin) others;  /* in room->plain, while plain_until is not 0 */
	uint64_t plain_until;           /* loop_now() */
	LIST_HEAD(, h2_connection) connections;
	size_t connection_count;
	TAILQ_HEAD(, h2_request) waiting;
};

struct h2_connection {
	struct loop_watch watch;
	struct loop_timer timer; /* the handshake and their SETTINGS; then, without requests: the idle limit; leaving: the end */
	struct loop_task task;   /* reads on, writes */
	LIST_ENTRY(h2_connection) others;   /* of its origin */
	TAILQ_ENTRY(h2_connection) around;  /* in room->resting, while `resting` */
	LIST_HEAD(, h2_request) requests; /* whose streams are open, and who are not released */
	struct upstream_h2 *room;
	struct h2_origin *origin;
	enum h2_connection_state state;
	struct dial *dial;
	struct endpoint end;
	nghttp2_session *session; /* from H2_OPEN on */
	struct outbox outbox;
	uint32_t streams;         /* open, those whose request was released included */
	uint64_t opened;          /* since it was made */
	uint64_t silent_since;    /* loop_now(): of the last bytes that came, or of the first request since it had none */
	size_t block;             /* bytes of the header block that is being read */
	struct budget frames;
	const char *wrong;        /* what the upstream did that ends the connection; static */
	uint32_t wrong_code;
	bool greeted;             /* their SETTINGS came */
	bool resting;             /* no requests: the timer runs to the idle limit, whether the upstream takes their resets or not */
	bool unread;              /* there may be bytes on the socket */
	bool mute;                /* nothing more can be written; there may be something to be read */
	bool gone, reset;         /* it closed, or broke */
};

struct h2_request {
	struct upstream upstream; /* first: what the exchange holds */
	struct loop_task task;    /* tells what is due */
	LIST_ENTRY(h2_request) others;       /* of its connection */
	TAILQ_ENTRY(h2_request) in_line;     /* H2_WAITING: of its origin */
	struct upstream_h2 *room;
	struct h2_origin *origin;            /* while it waits, or has a connection */
	struct h2_connection *connection;    /* NULL: it waits, or its stream is over */
	enum h2_request_state state;
	unsigned news; /* of enum h2_news */
	int32_t id;
	const char *profile;

	/* The request. */
	nghttp2_nv *pairs; /* its head in `arena`, until it has a stream: holds the secret */
	size_t pair_count;
	struct body_framing sends;
	uint64_t send_left;   /* of BODY_LENGTH */
	struct backlog out;   /* of the body */
	const struct fields *trailers_up;
	bool done;            /* all of the body was given */
	bool deferred;        /* libnghttp2 waits for more of it */
	bool wants_write, is_head, fresh;
	bool sent;            /* its head is on the way */

	/* The response. */
	struct arena arena;
	struct response response;
	struct fields trailers;
	size_t head_size;     /* of the head, or the trailers, that are being read; as HTTP/1.1 would have them */
	struct upstream_interims interims;
	struct backlog in;    /* of the body: no more than the stream's window */
	bool answered, ended; /* `ended`: END_STREAM came, the response is whole */
	bool wants_read;
	bool ours;            /* libnghttp2 resets the stream for what came */
	struct upstream_error error;
};

static inline struct h2_request *h2_request_of(struct upstream *upstream)
{
	return (struct h2_request *)upstream;
}

static inline const char *h2_host(const struct h2_origin *origin)
{
	return origin->destination.host.name;
}

/* ---- upstream_h2.c ---- */

/* Opens a stream for a request that waits, or has just come. */
void h2_request_open(struct h2_request *request, struct h2_connection *connection);
/* Its connection is done with it; what it has not read stays. */
void h2_request_leave(struct h2_request *request);
void h2_tell(struct h2_request *request, enum h2_news news);
/* How many bytes of the body would be taken: what the windows have room for (RFC 9113 §5.2). */
size_t h2_request_room(const struct h2_request *request);

/* ---- upstream_h2_origin.c ---- */

struct h2_origin *h2_origin_get(struct upstream_h2 *room, const struct destination *destination); /* found, or made */
/* Gives streams to those who wait, makes a connection where they need one, and frees an origin of which nothing is left. */
void h2_origin_serve(struct h2_origin *origin);
/* All who wait fail like that. */
void h2_origin_fail(struct h2_origin *origin, enum upstream_failure failure, enum dial_failure dial, const char *text);
/* Requests go there by HTTP/1.1 for some minutes. */
void h2_origin_remember(struct h2_origin *origin);
void h2_origin_forget_first(struct loop_timer *timer); /* of room->forget */
void h2_origin_forget_all(struct upstream_h2 *room);

/* ---- upstream_h2_connection.c ---- */

void h2_connect(struct h2_origin *origin, const char *profile);
bool h2_connection_is_open(const struct h2_connection *connection); /* does it give streams at all? */
/* Has it a stream to give? One without streams is looked at: it may be dead. */
bool h2_connection_takes_one(struct h2_connection *connection);
void h2_connection_retire(struct h2_connection *connection); /* ends behind the last stream, and opens none */
void h2_connection_leave(struct h2_connection *connection);  /* the same, and says GOAWAY */
/* Closes, frees. Requests that are on it fail for what is noted in it. */
void h2_connection_end(struct h2_connection *connection);
/* What its timer is to tell now. */
void h2_connection_set_time(struct h2_connection *connection);

/* ---- upstream_h2_wire.c ---- */

/* Reads and writes what can be; the connection may be freed behind it. */
void h2_connection_serve(struct h2_connection *connection);
void h2_connection_run(struct loop_task *task);
/* The same, at the end of the round. */
void h2_connection_soon(struct h2_connection *connection);
/* Is there nothing to be read, not even an end? What there is is read at the end of the round. */
bool h2_connection_is_quiet(struct h2_connection *connection);
/* Frames go to the socket, as far as that goes without waiting. False where there is nothing to write. */
bool h2_connection_write(struct h2_connection *connection);

/* ---- upstream_h2_session.c ---- */

bool h2_make_callbacks(nghttp2_session_callbacks **callbacks);
/* Makes the session and what it says first. */
bool h2_session_start(struct h2_connection *connection);

/* ---- upstream_h2_head.c ---- */

/* Keeps the head that goes up in request->arena. */
void h2_head_write(struct h2_request *request, const struct request *head);
/* The trailers, for libnghttp2, in request->arena. */
size_t h2_trailers_write(struct h2_request *request, nghttp2_nv **pairs);
/* Adds a field of a head, or of trailers, copied. */
void h2_head_add(struct h2_request *request, const struct field *field);
/* A head, or trailers, are complete; `last`: END_STREAM. What is wrong with them fails the request. */
void h2_head_read(struct h2_request *request, bool last);

/* ---- upstream_h2_fail.c ---- */

/* The end of its use; the exchange is told. Its stream is reset, if it has one. */
void h2_request_fail(struct h2_request *request, enum upstream_failure failure, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Its stream was closed with this code before the response was whole. */
void h2_request_closed(struct h2_request *request, uint32_t code);
/* Its connection ends. */
void h2_request_lost(struct h2_request *request, const struct h2_connection *connection);

/* Notes what ends the connection as soon as libnghttp2 is not at work. */
static inline void h2_accuse(struct h2_connection *connection, uint32_t code, const char *text)
{
	if (connection->wrong)
		return;
	connection->wrong = text;
	connection->wrong_code = code;
}

#endif
