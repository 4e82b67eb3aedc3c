/* What the files of the exchange share: exchange.c (life, judging), exchange_upstream.c (sending, repeating, failures,
 * responses), exchange_upload.c (request bodies), exchange_await.c (tokens that are being made, or were not taken),
 * exchange_rotate.c (values that were replaced), exchange_sign.c (signed ones), exchange_answer.c (response heads, audit
 * records). */
#ifndef KEYSTILE_EXCHANGE_INTERNAL_H
#define KEYSTILE_EXCHANGE_INTERNAL_H

#include "exchange.h"
#include "scrub.h"
#include "sigv4_chunks.h"
#include "sign.h"

enum exchange_state {
	EXCHANGE_NEW,      /* the front fills in the request */
	EXCHANGE_AWAITING, /* a token is being made, and nothing goes up without it */
	EXCHANGE_HOLDING,  /* the body is held until it is whole: it is to be signed */
	EXCHANGE_WAITING,  /* on its way: no final response head yet */
	EXCHANGE_RELAYING, /* the upstream's response is being passed on */
	EXCHANGE_ANSWERED, /* a problem of ours is the response */
	EXCHANGE_BROKEN,   /* the response broke behind its head */
	EXCHANGE_OVER,
};

struct exchange {
	enum exchange_state state;
	struct worker *worker;
	struct exchange *next_spare;
	TAILQ_ENTRY(exchange) others; /* in worker->exchanges */
	LIST_ENTRY(exchange) awaiting; /* EXCHANGE_AWAITING: in worker->awaiting */
	struct arena arena;
	struct loop_task task; /* tells the front of an answer that was decided within its own call */
	struct loop_timer timer;
	struct way *way;
	const struct front_table *table;
	void *front;
	struct snapshot *snapshot;
	struct request request;   /* as the client sent it */
	struct request outgoing;  /* as it goes up: holds secrets */
	struct judgement judgement;
	struct destination destination;
	struct problem problem;
	struct upstream *upstream;
	struct response response;
	struct scrub scrub;
	const struct signer *signer; /* NULL: nothing is signed */
	struct sign_plan plan;    /* with a signer: how the body takes part; else zero */
	struct sha256 hash;       /* SIGN_CHECKED: of what went up */
	struct sigv4_chunks *chunks; /* SIGN_CHUNKS, in the arena; else NULL */
	struct span own_body;     /* EXCHANGE_ANSWERED */
	size_t own_body_read;
	struct buffer replay;     /* the body so far, while the request might have to be repeated, or is held to be signed */
	bool replay_whole;        /* `replay` has all of what was taken */
	bool injected;
	bool body_complete;       /* the client's body has ended */
	bool held_back;           /* the client waits for a 100 (Continue) before it sends its body */
	bool upload_blocked;      /* the upstream took less than it was given */
	bool finish_pending;      /* finish() waits until a repeat has written the replay */
	bool by_h2;               /* its upstream is spoken to in HTTP/2 */
	bool only_h1;             /* the upstream said that it takes this one by HTTP/1.1 */
	bool repeated;
	bool counted;             /* towards the rates, and noted as begun: both once, however often it is prepared */
	bool by_former;           /* it goes with the credential's former value */
	bool rotated;             /* it was sent with both */
	uint64_t spent;           /* the number of the token that the upstream answered with 401; 0: none */
	bool tried;               /* an upstream had it before */
	bool gone;                /* the client went away */
	bool body_refused;        /* the request body turned out wrong when the response had begun */
	bool unsent;              /* it ended before a byte of the request was sent */
	bool stalled;             /* the response stopped coming, or the client stopped taking it */
	struct fields trailers;   /* of the request */
	size_t replay_written;
	size_t held;              /* bytes of `replay` that count as held to be signed */
	uint64_t body_limit, bytes_up, bytes_down;
	uint64_t started, first;  /* monotonic_us() */
	char id[20];
};

void exchange_become(struct exchange *exchange, enum exchange_state state);
void exchange_run_task(struct loop_task *task);
void exchange_on_stall(struct loop_timer *timer);

bool exchange_owes_body(const struct exchange *exchange); /* is it the client's turn? */

/* Makes exchange->problem the response and tells the front at the end of the round. */
void exchange_answer(struct exchange *exchange);
bool exchange_too_large(struct exchange *exchange); /* sets the problem; returns false */

/* exchange.c: from a judged request to one that is on its way up. False with a problem; with judgement.awaits it is worth
 * waiting for a token. */
bool exchange_prepare(struct exchange *exchange);
void exchange_go(struct exchange *exchange); /* what was prepared */
void exchange_set_out(struct exchange *exchange); /* prepares it; then it goes, waits, or is answered */

void exchange_take_snapshot(struct exchange *exchange); /* the worker's, to be judged anew by it */
/* exchange_await.c. Waits until there is another token, and then prepares and goes. */
void exchange_await(struct exchange *exchange);
void exchange_await_over(struct exchange *exchange); /* it waits no more */
void exchange_await_late(struct exchange *exchange); /* nothing came: it is answered */
/* After a 401: has its token made anew where it can be, and, where the request can be repeated, waits for that. False: the
 * response goes on. */
bool exchange_is_renewed(struct exchange *exchange, const struct response *response);
/* Could it be sent once more with another token, or another value? */
bool exchange_perishes(const struct exchange *exchange);

/* exchange_rotate.c. After a 401: sends it once more with the other of two values, where one was replaced a short while
 * ago. False: the response goes on. */
bool exchange_is_rotated(struct exchange *exchange, const struct response *response);
/* Which of the two it is sent with first; after judging. */
void exchange_choose_value(struct exchange *exchange);
/* Is there another value than the one that it was sent with? */
bool exchange_has_other(const struct exchange *exchange);

/* exchange_sign.c. Makes the plan, and signs what can be signed without the body; false with a problem. */
bool exchange_sign(struct exchange *exchange);
/* Begins to hold the body; some more of it; it is whole, and the request goes up. */
void exchange_hold(struct exchange *exchange);
void exchange_hold_more(struct exchange *exchange, const void *bytes, size_t size);
void exchange_hold_whole(struct exchange *exchange);
void exchange_wipe_replay(struct exchange *exchange); /* held or not */
/* May these bytes go up, if they are the last, and, after them, the end? False with a problem. What went up is added. */
bool exchange_check_last(struct exchange *exchange, struct span bytes);
void exchange_check_add(struct exchange *exchange, struct span bytes);
bool exchange_check_end(struct exchange *exchange);
bool exchange_chunks_fit(struct exchange *exchange); /* false with a problem where chunks->wrong */

/* Fills exchange->destination from the judgement; false with a problem where a `ca:` did not load. */
bool exchange_find_destination(struct exchange *exchange);
void exchange_send_upstream(struct exchange *exchange, bool fresh);
/* Sends what `replay` has of the body, and then the rest of it. `fresh`: on a new connection. */
void exchange_send_replay(struct exchange *exchange, bool fresh);
/* Gives the upstream what waits here of the body, and then the body's end. False where it takes no more now. */
bool exchange_push(struct exchange *exchange);
/* Nothing is sent again once the response has begun; what is still to be written stays. */
void exchange_forget_replay(struct exchange *exchange);
void exchange_release_upstream(struct exchange *exchange); /* if there is one */

/* The upstream's response with the fields that stay, Location rewritten; in the arena. */
const struct response *exchange_filter(struct exchange *exchange, const struct response *response);
/* The trailers that stay: what would not pass as a field of the head does not pass behind the body either. */
const struct fields *exchange_filter_trailers(struct exchange *exchange, const struct fields *trailers);
/* With -v: one line for each exchange, with nothing in it that could hold a secret. */
void exchange_log(const struct exchange *exchange, const struct audit_record *record);
void exchange_fill_record(const struct exchange *exchange, struct audit_record *record, const char *event);

#endif
