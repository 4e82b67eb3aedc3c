/* The request's body on its way: taken from the front, given to the upstream, and kept for a while to be sent once more. */
#include "exchange_internal.h"
#include "inject.h"

#define REPLAY_LIMIT (64 * 1024 - 1) /* the buffer takes 64 KiB */

/* Keeps a copy of the body as long as the request might have to be repeated with it. */
static void keep_replay(struct exchange *exchange, const void *bytes, size_t size)
{
	if (!exchange->replay_whole)
		return;
	bool repeatable = exchange->by_h2 || exchange_perishes(exchange) || exchange_has_other(exchange) ||
	                  method_is_idempotent(exchange->request.method);
	if (repeatable && exchange->replay.length + size <= REPLAY_LIMIT) {
		buffer_append(&exchange->replay, bytes, size);
		exchange->replay_written = exchange->replay.length;
		return;
	}
	exchange->replay_whole = false;
	exchange_wipe_replay(exchange);
	exchange->replay_written = 0;
}

void exchange_forget_replay(struct exchange *exchange)
{
	if (exchange->state != EXCHANGE_RELAYING || exchange->replay_written < exchange->replay.length)
		return;
	exchange_wipe_replay(exchange);
	exchange->replay_written = 0;
	exchange->replay_whole = false;
}

/* Does something wait here that stands in front of what the client sends now? */
static bool waits(const struct exchange *exchange)
{
	return exchange->replay_written < exchange->replay.length ||
	       (exchange->chunks && sigv4_chunks_ready(exchange->chunks).length > 0);
}

static void push_replay(struct exchange *exchange)
{
	struct upstream *upstream = exchange->upstream;
	struct span rest = span_from(buffer_view(&exchange->replay), exchange->replay_written);
	if (rest.length > 0)
		exchange->replay_written += upstream->table->write(upstream, rest.data, rest.length);
}

/* A chunk with its signature. */
static void push_chunk(struct exchange *exchange)
{
	struct upstream *upstream = exchange->upstream;
	struct span ready = exchange->chunks ? sigv4_chunks_ready(exchange->chunks) : (struct span){"", 0};
	size_t taken = ready.length ? upstream->table->write(upstream, ready.data, ready.length) : 0;
	if (taken == 0)
		return;
	keep_replay(exchange, ready.data, taken);
	sigv4_chunks_handed(exchange->chunks, taken);
}

bool exchange_push(struct exchange *exchange)
{
	struct upstream *upstream = exchange->upstream;
	push_replay(exchange);
	if (exchange->replay_written == exchange->replay.length)
		push_chunk(exchange);
	if (waits(exchange))
		return false;
	exchange_forget_replay(exchange);
	if (exchange->finish_pending) {
		exchange->finish_pending = false;
		upstream->table->finish(upstream, &exchange->trailers);
	}
	return true;
}

/* Nothing more of the body goes up, by exchange->problem. Where the response has begun, that would come too late: it is cut,
 * by the timer, since the front may not be told within its own call. */
static void refuse_rest(struct exchange *exchange)
{
	if (exchange->state == EXCHANGE_RELAYING) {
		exchange->body_refused = true;
		loop_timer_set(exchange->worker->loop, &exchange->timer, 0);
		return;
	}
	exchange_release_upstream(exchange);
	exchange_answer(exchange);
}

/* How much was taken; what is taken of chunks is signed before it goes on. */
static size_t write_up(struct exchange *exchange, struct span bytes)
{
	size_t taken = 0;
	if (!exchange->chunks) {
		taken = exchange->upstream->table->write(exchange->upstream, bytes.data, bytes.length);
		exchange_check_add(exchange, span_head(bytes, taken));
		if (taken > 0)
			keep_replay(exchange, bytes.data, taken);
		return taken;
	}
	while (taken < bytes.length && !exchange->chunks->wrong && !waits(exchange)) {
		taken += sigv4_chunks_take(exchange->chunks, span_from(bytes, taken));
		push_chunk(exchange);
	}
	return taken;
}

/* May these bytes of the body go up? False with a problem. */
static bool may_go_up(struct exchange *exchange, struct span bytes)
{
	if (bytes.length > exchange->body_limit - exchange->bytes_up)
		return exchange_too_large(exchange);
	return exchange_check_last(exchange, bytes);
}

size_t exchange_write(struct exchange *exchange, const void *bytes, size_t size)
{
	struct span span = {bytes, size};
	bool holds = exchange->state == EXCHANGE_HOLDING;
	if (exchange->state == EXCHANGE_AWAITING) {
		exchange->upload_blocked = true;
		return 0;
	}
	if ((!holds && exchange->state != EXCHANGE_WAITING && exchange->state != EXCHANGE_RELAYING) || exchange->body_refused)
		return size;
	if (!holds && waits(exchange)) {
		exchange->upload_blocked = true;
		return 0;
	}
	if (!may_go_up(exchange, span)) {
		refuse_rest(exchange);
		return size;
	}
	if (holds) {
		exchange_hold_more(exchange, bytes, size);
		return size;
	}
	size_t taken = write_up(exchange, span);
	if (exchange->chunks && !exchange_chunks_fit(exchange)) {
		refuse_rest(exchange);
		return size;
	}
	exchange->held_back = false;
	exchange->bytes_up += taken;
	exchange->upload_blocked = taken < size;
	exchange_progress(exchange);
	return taken;
}

/* The agent's trailers go by the same rules as its fields: a server may take the two together. */
static void keep_trailers(struct exchange *exchange, const struct fields *trailers)
{
	struct fields kept = {0};
	inject_trailers(exchange->snapshot, &exchange->judgement, &exchange->request, trailers, &exchange->arena, &kept);
	for (size_t i = 0; i < kept.count; i++)
		fields_add_copy(&exchange->trailers, &exchange->arena, &kept.list[i]);
}

void exchange_finish(struct exchange *exchange, const struct fields *trailers)
{
	exchange->body_complete = true;
	bool holds = exchange->state == EXCHANGE_HOLDING;
	bool awaits = exchange->state == EXCHANGE_AWAITING;
	bool goes_on = holds || awaits || exchange->state == EXCHANGE_WAITING || exchange->state == EXCHANGE_RELAYING;
	if (!goes_on || exchange->body_refused)
		return;
	if (trailers)
		keep_trailers(exchange, trailers);
	if (awaits)
		return;
	if (holds) {
		exchange_hold_whole(exchange);
		return;
	}
	if (!exchange_check_end(exchange)) {
		refuse_rest(exchange);
		return;
	}
	exchange->finish_pending = true;
	exchange_push(exchange);
	exchange_progress(exchange);
}
