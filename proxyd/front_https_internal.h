/* What the files of the HTTPS front share: front_https.c (connections: rounds, time, the end), front_https_request.c (heads and
 * bodies as they come), front_https_reply.c (what the exchange tells, and responses). */
#ifndef KEYSTILE_FRONT_HTTPS_INTERNAL_H
#define KEYSTILE_FRONT_HTTPS_INTERNAL_H

#include "backlog.h"
#include "codec_h1.h"
#include "exchange.h"
#include "front_https.h"
#include "outbox.h"

struct front_https {
	struct worker *worker;
	LIST_HEAD(, https_client) clients;
	struct buffer out; /* what is written at once */
};

enum https_state {
	HTTPS_HEAD,    /* no request: none of its head is here, or some, or it waits for its turn */
	HTTPS_BODY,    /* a request, whose body is coming */
	HTTPS_ASKED,   /* a whole request: nothing more is read before its response is out */
	HTTPS_PARTING, /* no exchange; the last word is said, or waits for the socket; what still comes is dropped */
};

struct https_client {
	struct loop_watch watch;
	struct loop_timer timer; /* HEAD: the next request, or the rest of its head; BODY: a 100 that is waited for; PARTING: the end */
	struct loop_task task;
	LIST_ENTRY(https_client) others;
	struct front_https *front;
	struct endpoint end;
	struct way way;
	enum https_state state;
	uint64_t since;            /* when it began to wait for a request, loop_now() */
	struct exchange *exchange; /* BODY and ASKED */
	struct backlog in;         /* read, and not taken: a part of a head, what follows a request, a line of a chunked body */
	size_t looked;             /* HEAD: of `in`, what was judged, and is not enough */
	struct codec_body body;
	struct backlog pending;    /* of the body: what the exchange did not take */
	struct fields trailers;
	struct outbox outbox;
	bool unread;     /* there may be bytes on the socket */
	bool ended;      /* its end was told */
	bool gone;       /* it broke, or what it gets cannot be completed */
	bool kept;       /* a request was served */
	bool finished;   /* exchange_finish() knows that the body is complete */
	bool expects;    /* it waits for a 100 (Continue) */
	bool closes;     /* the connection ends behind this response */
	bool responds;   /* exchange_response() is there */
	bool headed;     /* and its head is written */
	bool said;       /* and its body */
	bool switches;   /* its 101 is written */
	bool shut;       /* PARTING: nothing waits, and the client knows that nothing will come */
};

extern const struct front_table front_https_table;

static inline const struct config_limits *front_https_limits(const struct https_client *client)
{
	return &client->front->worker->limits;
}

/* ---- front_https.c ---- */

/* A round of this client, at the end of the loop's. */
void front_https_soon(struct https_client *client);
void front_https_set_timer(struct https_client *client, uint64_t milliseconds);
/* Behind what is written, or waits to be, nothing follows. */
void front_https_part(struct https_client *client);
/* Answers what is no request, with an audit line, and parts. */
void front_https_refuse(struct https_client *client, const struct problem *problem);
void front_https_write(struct https_client *client, struct span bytes);
/* `delivered` as in exchange_end(); fine where there is none. */
void front_https_end_exchange(struct https_client *client, bool delivered);

/* ---- front_https_request.c ---- */

/* Reads, and takes what came; true where there may be more to read, and others have their turn first. */
bool front_https_read(struct https_client *client);
/* What of a body waits goes on, and then its end. */
void front_https_push(struct https_client *client);
/* Waits for the next request. */
void front_https_rest(struct https_client *client);

/* ---- front_https_reply.c ---- */

/* 100 (Continue), where it is still waited for. */
void front_https_proceed(struct https_client *client);
/* Writes what there is of the response, as far as the socket takes it; true where there may be more, and others have their
 * turn first. */
bool front_https_reply(struct https_client *client);

#endif
