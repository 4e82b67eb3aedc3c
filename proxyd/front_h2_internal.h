/* What the files of the HTTP/2 front share: front_h2.c (connections: reading, writing, time), front_h2_session.c (what
 * libnghttp2 tells of frames and streams), front_h2_head.c (from fields to a request), front_h2_body.c (request bodies),
 * front_h2_reply.c (what the exchange tells, and responses), front_h2_calm.c (clients that flood). */
#ifndef KEYSTILE_FRONT_H2_INTERNAL_H
#define KEYSTILE_FRONT_H2_INTERNAL_H

#include <nghttp2/nghttp2.h>

#include "backlog.h"
#include "budget.h"
#include "codec_h1.h"
#include "exchange.h"
#include "front_h2.h"
#include "outbox.h"

#define GIVEN_UP 128
#define H2_WINDOW 65535 /* of a stream; the default, which counts before the client has our SETTINGS */

struct front_h2 {
	struct worker *worker;
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option;
	LIST_HEAD(, h2_client) clients;
	TAILQ_HEAD(h2_turns, h2_client) turns; /* those with more to do than their share of a round: one of them has it in each */
	struct loop_task turn;
	struct buffer out; /* frames on their way to a socket; empty between two calls */
};

struct h2_client {
	struct loop_watch watch;
	struct loop_timer timer; /* a head that began: limits.head_time; no exchange: limits.idle; leaving: the last bytes */
	struct loop_task task;   /* writes what the exchanges gave, reads on */
	struct loop_timer farewell; /* the worker drains: the next step of leaving */
	LIST_ENTRY(h2_client) others;
	TAILQ_ENTRY(h2_client) turns;
	LIST_HEAD(, h2_stream) streams;
	TAILQ_HEAD(, h2_stream) asked; /* with a whole head, and not yet begun; nothing is read meanwhile */
	struct front_h2 *front;
	nghttp2_session *session;
	struct endpoint end;
	struct way way;
	struct outbox outbox;
	unsigned live;      /* streams with an exchange */
	uint64_t since;     /* when the last of them ended, or the connection began: loop_now() */
	int32_t head_of;    /* the stream whose header block began and is not complete; 0: none */
	struct budget frames, resets;
	size_t late;        /* bytes that may still come of streams that were given up; libnghttp2 does not tell of them */
	const char *wrong;  /* what it did that ends the connection; static */
	uint32_t wrong_code;
	int32_t newest;     /* the last stream that it opened */
	int32_t last;       /* draining: the last stream that is served, as the GOAWAY says, which may be written much later */
	int32_t given_up[GIVEN_UP]; /* of the last streams that were reset before their requests ended */
	unsigned given_up_count;
	size_t appetite;    /* bytes to be read at once */
	size_t carried;     /* of those that were read last, what was of a body */
	size_t block;       /* bytes of the header block that is read, as it came: compressed */
	bool waits;         /* in front->turns */
	bool unread;        /* there may be bytes on the socket */
	bool gone;          /* it closed, or broke */
	bool ended;         /* its end was told: no edge tells of what is unread */
	bool aborts;        /* a stream is to be aborted */
	bool farewell_due;  /* its timer fired */
	bool told;          /* GOAWAY that names no stream: the client is to ask elsewhere, and is still answered */
	bool draining;      /* GOAWAY: streams under way end */
	bool refused;       /* GOAWAY: nothing more is read */
	bool leaving;       /* it closes as soon as the last bytes are written, or time is up */
	bool parted;        /* `refused`: the GOAWAY is written */
};

/* Notes what ends the connection as soon as libnghttp2 is not at work: the code and text of a GOAWAY. */
static inline void front_h2_accuse(struct h2_client *client, uint32_t code, const char *text)
{
	if (client->wrong)
		return;
	client->wrong = text;
	client->wrong_code = code;
}

/* How the audit calls what a GOAWAY with this code ends. libnghttp2 says INTERNAL_ERROR to who resets too many streams. */
static inline const char *front_h2_reason(uint32_t code)
{
	return code == NGHTTP2_ENHANCE_YOUR_CALM || code == NGHTTP2_INTERNAL_ERROR ? "flood" : "malformed";
}

/* The head as it comes: spans into the exchange's arena. */
struct h2_head {
	struct span method, scheme, authority, path;
	size_t size; /* as RFC 9113 §6.5.2 counts it */
};

struct h2_stream {
	LIST_ENTRY(h2_stream) others;
	TAILQ_ENTRY(h2_stream) asked;
	struct loop_timer timer; /* the client waits for a 100 (Continue); `whole`: it still sends its request */
	struct h2_client *client;
	struct exchange *exchange; /* NULL: it is over, and the stream not yet */
	int32_t id;
	struct h2_head head;
	struct fields trailers;  /* of the request */
	size_t trailers_size;
	struct backlog pending;  /* of the body: what the exchange did not take */
	bool alone;     /* END_STREAM came with the head */
	bool asks;      /* in client->asked */
	bool started;   /* the exchange has its request */
	bool has_body;
	bool ended;     /* the request is complete: END_STREAM came */
	bool finished;  /* exchange_finish() knows */
	bool responded; /* the response's head was submitted */
	bool deferred;  /* libnghttp2 waits for more of the response's body */
	bool whole;     /* the response is written to its end */
	bool aborted;   /* to be reset, from the client's task */
	bool spoilt;    /* we reset it for what the client sent */
};

extern const struct front_table front_h2_table;

/* ---- front_h2.c ---- */

static inline const struct config_limits *front_h2_limits(const struct h2_client *client)
{
	return &client->front->worker->limits;
}

/* Writes, and reads on, at the end of the round. */
void front_h2_soon(struct h2_client *client);
/* What the client's timer is to tell now. */
void front_h2_set_time(struct h2_client *client);
void front_h2_drain_client(struct h2_client *client);

/* ---- front_h2_session.c ---- */

bool front_h2_make_callbacks(nghttp2_session_callbacks **callbacks);
/* The exchange is over; `delivered` as in exchange_end(). */
void front_h2_end_exchange(struct h2_stream *stream, bool delivered);
void front_h2_free_stream(struct h2_stream *stream);
/* Begins what was asked first. */
void front_h2_begin(struct h2_client *client);
void front_h2_reset(struct h2_stream *stream, uint32_t code);

/* ---- front_h2_head.c ---- */

/* Adds a field of the head, copied. False where the head is over its limit, by so much that nobody errs like that. */
bool front_h2_head_add(struct h2_stream *stream, const struct field *field);
/* The request that the complete head is, checked; `alone`: no body follows. `*why` as codec_request_head() has it. */
enum codec_result front_h2_head_read(struct h2_stream *stream, bool alone, const char **why);

/* ---- front_h2_body.c ---- */

void front_h2_body_take(struct h2_stream *stream, const void *bytes, size_t size);
/* The exchange takes bytes again. */
void front_h2_body_go_on(struct h2_stream *stream);
/* What waits goes nowhere. */
void front_h2_body_drop(struct h2_stream *stream);
/* END_STREAM came. */
void front_h2_body_end(struct h2_stream *stream);
void front_h2_trailer_add(struct h2_stream *stream, const struct field *field);
/* Are the trailers that came fit to go on? If not the stream is reset. */
bool front_h2_trailers_check(struct h2_stream *stream);

/* ---- front_h2_reply.c ---- */

/* 100 (Continue), unless it is too late for one. */
void front_h2_proceed(struct h2_stream *stream);

/* ---- front_h2_calm.c ---- */

/* What was read: all bytes, those too of which libnghttp2 tells nothing; and each frame of a known type. */
void front_h2_count_bytes(struct h2_client *client, size_t size);
void front_h2_count_frame(struct h2_client *client);
/* A stream was given up: what the client had sent of its body by then may still come, a window of it. */
void front_h2_count_late(struct h2_client *client);
/* The client sent a reset, or made us send one (rapid reset, MadeYouReset). */
void front_h2_count_reset(struct h2_client *client);
/* A frame that carries something, either way; `size` bytes of it came from the client. */
void front_h2_count_use(struct h2_client *client, size_t size);
void front_h2_count_delivery(struct h2_client *client); /* a response that was delivered */

#endif
