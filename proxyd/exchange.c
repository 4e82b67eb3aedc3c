#include "exchange.h"

#include <stdlib.h>

#include "exchange_internal.h"
#include "inject.h"
#include "memory.h"
#include "monotonic.h"
#include "rates.h"

#define SPARES_KEPT 256

struct exchange *exchange_new(struct worker *worker)
{
	struct exchange *exchange = worker->spare;
	if (exchange) {
		worker->spare = exchange->next_spare;
		worker->spare_count--;
	} else {
		exchange = memory_alloc(sizeof *exchange);
		exchange->task.run = exchange_run_task;
		exchange->timer.fire = exchange_on_stall;
	}
	exchange->worker = worker;
	TAILQ_INSERT_TAIL(&worker->exchanges, exchange, others);
	return exchange;
}

struct arena *exchange_arena(struct exchange *exchange)
{
	return &exchange->arena;
}

struct request *exchange_request(struct exchange *exchange)
{
	return &exchange->request;
}

const struct response *exchange_response(const struct exchange *exchange)
{
	return &exchange->response;
}

bool exchange_closes(const struct exchange *exchange)
{
	return exchange->problem.close;
}

/* The one place where the state changes. */
void exchange_become(struct exchange *exchange, enum exchange_state state)
{
	static const unsigned char permitted[] = {
		[EXCHANGE_NEW] = 1u << EXCHANGE_AWAITING | 1u << EXCHANGE_HOLDING | 1u << EXCHANGE_WAITING | 1u << EXCHANGE_ANSWERED |
		                 1u << EXCHANGE_OVER,
		[EXCHANGE_AWAITING] = 1u << EXCHANGE_HOLDING | 1u << EXCHANGE_WAITING | 1u << EXCHANGE_ANSWERED |
		                      1u << EXCHANGE_OVER,
		[EXCHANGE_HOLDING] = 1u << EXCHANGE_WAITING | 1u << EXCHANGE_ANSWERED | 1u << EXCHANGE_OVER,
		[EXCHANGE_WAITING] = 1u << EXCHANGE_AWAITING | 1u << EXCHANGE_HOLDING | 1u << EXCHANGE_WAITING | 1u << EXCHANGE_RELAYING |
		                     1u << EXCHANGE_ANSWERED | 1u << EXCHANGE_OVER,
		[EXCHANGE_RELAYING] = 1u << EXCHANGE_BROKEN | 1u << EXCHANGE_OVER,
		[EXCHANGE_ANSWERED] = 1u << EXCHANGE_OVER,
		[EXCHANGE_BROKEN] = 1u << EXCHANGE_OVER,
		[EXCHANGE_OVER] = 1u << EXCHANGE_NEW,
	};
	if (!(permitted[exchange->state] & 1u << state))
		abort();
	exchange->state = state;
}

/* What could not be told to the front from within one of its own calls. */
void exchange_run_task(struct loop_task *task)
{
	struct exchange *exchange = (struct exchange *)((char *)task - offsetof(struct exchange, task));
	if (exchange->state == EXCHANGE_HOLDING)
		exchange->table->proceed(exchange->front);
	else
		exchange->table->respond(exchange->front);
}

/* What answers HEAD tells of a body, and has none: the client would take it for the next answer (RFC 9110 §9.3.2). */
static void leave_body_out(struct exchange *exchange)
{
	struct response *response = &exchange->response;
	const char *length = arena_format(&exchange->arena, "%zu", exchange->own_body.length);
	fields_add(&response->fields, &exchange->arena, SPAN("Content-Length"), span_of(length));
	response->body = (struct body_framing){.kind = BODY_NONE};
	exchange->own_body = span_head(exchange->own_body, 0);
}

void exchange_answer(struct exchange *exchange)
{
	struct response *response = &exchange->response;
	*response = (struct response){0};
	exchange_become(exchange, EXCHANGE_ANSWERED);
	problem_response(&exchange->problem, &exchange->arena, response, &exchange->own_body);
	response->body = (struct body_framing){BODY_LENGTH, exchange->own_body.length};
	if (span_equal(exchange->request.method, SPAN("HEAD")))
		leave_body_out(exchange);
	/* A client that asks and asks and reads nothing must not hold its connection for ever. */
	loop_timer_set(exchange->worker->loop, &exchange->timer, exchange->worker->limits.idle);
	loop_later(exchange->worker->loop, &exchange->task);
}

static void begin(struct exchange *exchange, struct way *way, const struct front_table *table, void *front)
{
	exchange->way = way;
	exchange->table = table;
	exchange->front = front;
	exchange->snapshot = snapshot_ref(exchange->worker->snapshot);
	exchange->started = monotonic_us();
	exchange->judgement.way = way->kind;
	audit_id(exchange->worker->audit, exchange->id);
}

void exchange_refuse(struct exchange *exchange, struct way *way, const struct problem *problem,
                     const struct front_table *table, void *front)
{
	begin(exchange, way, table, front);
	exchange->problem = *problem;
	exchange_answer(exchange);
}

void exchange_spoilt(struct exchange *exchange)
{
	if (exchange->state == EXCHANGE_AWAITING)
		exchange_await_over(exchange);
	else if (exchange->state != EXCHANGE_WAITING && exchange->state != EXCHANGE_HOLDING)
		return;
	problem_set(&exchange->problem, 400, "malformed_body", NULL, NULL);
	exchange->response.status = 400;
	loop_later_cancel(exchange->worker->loop, &exchange->task);
	exchange_release_upstream(exchange); /* what it says before exchange_end() is for nobody */
	exchange_become(exchange, EXCHANGE_ANSWERED);
}

/* The body's limit, where one is said: 413 before the first byte is taken. */
static bool body_fits(struct exchange *exchange)
{
	const struct config_credential *credential = exchange->judgement.credential;
	uint64_t limit = credential && credential->body ? credential->body : exchange->worker->limits.body;
	exchange->body_limit = limit ? limit : UINT64_MAX;
	if (exchange->request.body.kind != BODY_LENGTH || exchange->request.body.length <= exchange->body_limit)
		return true;
	return exchange_too_large(exchange);
}

bool exchange_too_large(struct exchange *exchange)
{
	return problem_set(&exchange->problem, 413, "body_too_large",
	                   arena_format(&exchange->arena, "the request body is longer than %llu bytes",
	                                (unsigned long long)exchange->body_limit),
	                   "send less, or raise limits.body or the credential's body");
}

static bool start_is_noted(struct exchange *exchange)
{
	if (!audit_required(exchange->worker->server->audit))
		return true;
	struct audit_record record;
	exchange_fill_record(exchange, &record, "start");
	return audit_start(exchange->worker->audit, &record, &exchange->problem);
}

/* Of an exchange, so that what is repeated counts once; behind all that judges, so that what is denied counts nothing. By the
 * budget as it is now: it may have waited for a token. */
static bool is_within_rates(struct exchange *exchange)
{
	const struct judgement *judgement = &exchange->judgement;
	return exchange->counted ||
	       rates_take(exchange->snapshot->shared->rates, judgement->profile, judgement->credential, monotonic_us(),
	                  &exchange->arena, &exchange->problem);
}

static bool judge(struct exchange *exchange)
{
	struct worker *worker = exchange->worker;
	exchange->judgement = (struct judgement){.way = exchange->way->kind};
	return judge_request(exchange->snapshot, &worker->server->own, exchange->way, &exchange->request, &exchange->arena,
	                     &exchange->judgement, &exchange->problem) &&
	       worker_admit(worker, exchange->way, exchange->snapshot, exchange->judgement.profile, &exchange->arena, &exchange->problem) &&
	       body_fits(exchange);
}

/* What was injected once stays so, for the audit, and for the arena, which is wiped. */
static bool inject(struct exchange *exchange)
{
	const struct snapshot *snapshot = exchange->snapshot;
	bool injected;
	if (!inject_request(snapshot, &exchange->judgement, &exchange->request, &exchange->arena, &exchange->outgoing, &injected,
	                    &exchange->problem))
		return false;
	exchange->injected |= injected;
	exchange->scrub.needles =
		injected ? inject_needles(inject_table_for(snapshot, &exchange->judgement), exchange->judgement.credential) : NULL;
	return true;
}

bool exchange_prepare(struct exchange *exchange)
{
	exchange->problem = (struct problem){0};
	if (!judge(exchange) || !is_within_rates(exchange))
		return false;
	exchange_choose_value(exchange);
	if (!inject(exchange) || !exchange_sign(exchange))
		return false;
	if (!exchange_find_destination(exchange) || (!exchange->counted && !start_is_noted(exchange)))
		return false;
	exchange->counted = true;
	return true;
}

void exchange_go(struct exchange *exchange)
{
	if (exchange->plan.body == SIGN_HELD)
		exchange_hold(exchange);
	else
		exchange_send_replay(exchange, false);
}

void exchange_set_out(struct exchange *exchange)
{
	if (exchange_prepare(exchange))
		exchange_go(exchange);
	else if (exchange->judgement.awaits)
		exchange_await(exchange);
	else
		exchange_answer(exchange);
}

void exchange_start(struct exchange *exchange, struct way *way, const struct front_table *table, void *front)
{
	begin(exchange, way, table, front);
	exchange->body_complete = exchange->request.body.kind == BODY_NONE ||
	                          (exchange->request.body.kind == BODY_LENGTH && exchange->request.body.length == 0);
	exchange->held_back = !exchange->body_complete && exchange->request.minor > 0 &&
	                      fields_list_has(&exchange->request.fields, SPAN("expect"), SPAN("100-continue"));
	exchange_set_out(exchange);
}

bool exchange_owes_body(const struct exchange *exchange)
{
	bool waits = exchange->chunks && sigv4_chunks_ready(exchange->chunks).length > 0;
	return !exchange->body_complete && !exchange->upload_blocked && !exchange->held_back && !waits;
}

void exchange_progress(struct exchange *exchange)
{
	const struct config_credential *credential = exchange->judgement.credential;
	const struct config_limits *limits = &exchange->worker->limits;
	uint64_t idle = credential && credential->response_idle ? credential->response_idle : limits->response_idle;
	if (exchange_owes_body(exchange))
		idle = limits->body_idle;
	bool goes_on = exchange->state == EXCHANGE_HOLDING || exchange->state == EXCHANGE_WAITING ||
	               exchange->state == EXCHANGE_RELAYING;
	if (goes_on && !exchange->body_refused)
		loop_timer_set(exchange->worker->loop, &exchange->timer, idle);
}

/* Back to the first state, the arena's memory kept. What may have held a secret is wiped. */
static void recycle(struct exchange *exchange)
{
	struct worker *worker = exchange->worker;
	struct arena arena = exchange->arena;
	struct loop_task task = {.run = exchange_run_task};
	struct loop_timer timer = {.fire = exchange_on_stall};
	if (exchange->chunks)
		sigv4_chunks_end(exchange->chunks);
	if (exchange->injected)
		arena_wipe(&arena);
	else
		arena_reset(&arena);
	exchange_wipe_replay(exchange);
	scrub_end(&exchange->scrub);
	TAILQ_REMOVE(&worker->exchanges, exchange, others);
	if (worker->spare_count >= SPARES_KEPT) {
		arena_free(&arena);
		free(exchange);
		return;
	}
	*exchange = (struct exchange){.arena = arena, .task = task, .timer = timer, .next_spare = worker->spare};
	worker->spare = exchange;
	worker->spare_count++;
}

static void count_scrubbed(const struct exchange *exchange)
{
	struct tally *tally = exchange->worker->account.tally;
	if (tally && exchange->scrub.finds)
		tally_add(&tally->counts[TALLY_SCRUB_FINDS], exchange->scrub.finds);
	if (exchange->scrub.mode == SCRUB_UNREAD)
		tally_count(tally, TALLY_SCRUB_UNREAD);
}

static void stop(struct exchange *exchange)
{
	loop_timer_stop(exchange->worker->loop, &exchange->timer);
	loop_later_cancel(exchange->worker->loop, &exchange->task);
	if (exchange->state == EXCHANGE_AWAITING)
		exchange_await_over(exchange);
	exchange_release_upstream(exchange);
}

static void finish(struct exchange *exchange, const struct audit_record *record)
{
	exchange_log(exchange, record);
	count_scrubbed(exchange);
	exchange->way->served |= exchange->problem.status != 407;
	snapshot_unref(exchange->snapshot);
}

void exchange_end(struct exchange *exchange, bool delivered)
{
	struct audit_record record;
	exchange->gone = !delivered && exchange->state != EXCHANGE_BROKEN && exchange->state != EXCHANGE_ANSWERED;
	stop(exchange);
	if (exchange->snapshot) {
		exchange_fill_record(exchange, &record, "end");
		audit_write(exchange->worker->audit, &record);
		finish(exchange, &record);
	}
	exchange_become(exchange, EXCHANGE_OVER);
	recycle(exchange);
}

/* The record's texts that are the exchange's. */
static void keep_texts(struct audit_record *record, struct arena *arena)
{
	record->client = NULL;
	record->method = arena_span(arena, record->method);
	record->host = arena_span(arena, record->host);
	record->path = arena_span(arena, record->path);
}

void exchange_switch(struct exchange *exchange, struct switched *out)
{
	struct upstream *upstream = exchange->upstream;
	*out = (struct switched){.snapshot = snapshot_ref(exchange->snapshot),
	                         .judgement = exchange->judgement,
	                         .started = exchange->started};
	upstream->table->give(upstream, &out->upstream, &out->behind);
	stop(exchange);
	exchange_fill_record(exchange, &out->record, "start");
	finish(exchange, &out->record);
	keep_texts(&out->record, &out->arena);
	exchange_become(exchange, EXCHANGE_OVER);
	recycle(exchange);
}

/* What it does now, for a person. */
static const char *state_text(const struct exchange *exchange)
{
	static const char *const texts[] = {
		[EXCHANGE_NEW] = "beginning",       [EXCHANGE_AWAITING] = "waiting for a token", [EXCHANGE_HOLDING] = "holding the body",
		[EXCHANGE_WAITING] = "waiting for the upstream", [EXCHANGE_RELAYING] = "answering", [EXCHANGE_ANSWERED] = "answering",
		[EXCHANGE_BROKEN] = "ending",       [EXCHANGE_OVER] = "ending",
	};
	return texts[exchange->state];
}

void exchange_list(struct worker *worker, exchange_teller *tell, void *context)
{
	struct exchange *exchange;
	struct audit_record record;
	TAILQ_FOREACH(exchange, &worker->exchanges, others) {
		if (!exchange->snapshot)
			continue; /* its head is still coming */
		exchange_fill_record(exchange, &record, "start");
		tell(context, &record, state_text(exchange));
	}
}

void exchange_free_spares(struct worker *worker)
{
	while (worker->spare) {
		struct exchange *exchange = worker->spare;
		worker->spare = exchange->next_spare;
		arena_free(&exchange->arena);
		free(exchange);
	}
}
