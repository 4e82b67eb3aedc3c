/* One request and its response, whatever the way in and the way out (DESIGN: exchange).
 *
 * A front starts it, pushes the request body into it, is told when a response is there, and pulls the response body out
 * of it. The exchange judges, injects, finds an upstream, repeats where that is allowed, answers problems itself and
 * writes the audit line. One worker's thread; no call blocks; the front's functions are never called from within the
 * front's own calls, except that exchange_start() may call none and leaves the first event to the end of the round. */
#ifndef KEYSTILE_EXCHANGE_H
#define KEYSTILE_EXCHANGE_H

#include "worker.h"

struct front_table {
	/* The upstream asks for the body: its 100 (Continue). */
	void (*proceed)(void *front);
	/* Another 1xx. Spans valid during the call. */
	void (*interim)(void *front, const struct response *interim);
	/* The response head is there, exchange_response(): of the upstream, or a problem of ours. */
	void (*respond)(void *front);
	/* The upstream switched protocols: exchange_response() is its 101, with Upgrade. The front writes it, with `Connection:
	 * Upgrade`, and then calls exchange_switch(). False where it cannot: the exchange answers that. */
	bool (*upgrade)(void *front);
	/* exchange_read() has something to say again. */
	void (*readable)(void *front);
	/* exchange_write() takes bytes again. */
	void (*writable)(void *front);
	/* The response cannot be completed, or the client does not take it: end the connection, not cleanly. */
	void (*abort)(void *front);
};

/* A fresh exchange with an empty arena, in which the front builds the request. */
struct exchange *exchange_new(struct worker *worker);
struct arena *exchange_arena(struct exchange *exchange);
/* The request to fill in; spans into the arena or into memory that lives as long as the exchange. */
struct request *exchange_request(struct exchange *exchange);

/* Judges the request and sends it on its way. `way` must outlive the exchange. The request was checked by
 * codec_request_check(); if that failed, exchange_refuse() instead. */
void exchange_start(struct exchange *exchange, struct way *way, const struct front_table *table, void *front);
/* Answers with a problem and nothing else: for what the front found wrong. Its texts are static or in the arena. */
void exchange_refuse(struct exchange *exchange, struct way *way, const struct problem *problem,
                     const struct front_table *table, void *front);

/* Request body. Returns how many bytes were taken; fewer than `size`: wait for `writable`. Once the response is decided
 * (a problem, or an upstream that answered early) everything is taken and dropped. */
size_t exchange_write(struct exchange *exchange, const void *bytes, size_t size);
/* The body is complete. `trailers` may be NULL; copied. */
void exchange_finish(struct exchange *exchange, const struct fields *trailers);

/* The body is malformed, and the front has said so to the client (400); exchange_end() follows. */
void exchange_spoilt(struct exchange *exchange);

/* Valid from `respond` until exchange_end(). Hop-by-hop fields, framing fields and Alt-Svc are out, Location rewritten. */
const struct response *exchange_response(const struct exchange *exchange);
/* Does the client's connection end behind this response? */
bool exchange_closes(const struct exchange *exchange);
/* Response body: the count, 0 at the end, UPSTREAM_READ_AGAIN or UPSTREAM_READ_ERROR (upstream.h). */
ssize_t exchange_read(struct exchange *exchange, void *bytes, size_t size);
/* How much exchange_read() would give at once; `*whole` where that is all there is. */
size_t exchange_ready(struct exchange *exchange, bool *whole);
const struct fields *exchange_trailers(struct exchange *exchange); /* after exchange_read() said 0; may be NULL */

/* Some progress towards the client was made: the stall timer starts again. */
void exchange_progress(struct exchange *exchange);

/* The end, of every exchange, once: with `delivered` the client got all of the response; without, it went away, which
 * ends the upstream's request too. Writes the audit line and frees. */
void exchange_end(struct exchange *exchange, bool delivered);

/* What is left of an exchange that ended in another protocol. All of it is the taker's. */
struct switched {
	struct endpoint upstream;   /* not watched */
	struct buffer behind;       /* what came of the new protocol with the 101 */
	struct snapshot *snapshot;  /* a reference */
	struct judgement judgement; /* by that; its host, port, profile and credential alone are good */
	struct arena arena;         /* what `record` points to, but for `client`, is here or the snapshot's */
	struct audit_record record; /* of its start */
	uint64_t started;           /* monotonic_us() */
};

/* Instead of exchange_end(), once the client has the 101. Writes no audit line. */
void exchange_switch(struct exchange *exchange, struct switched *out);

/* The worker has another snapshot: those that wait for a token look whether it is in there. */
void exchange_resume_all(struct worker *worker);

/* Tells of all that are under way; the record is valid during the call, `state` is static. */
typedef void exchange_teller(void *context, const struct audit_record *record, const char *state);
void exchange_list(struct worker *worker, exchange_teller *tell, void *context);

/* Frees the worker's spare exchanges. */
void exchange_free_spares(struct worker *worker);

#endif
