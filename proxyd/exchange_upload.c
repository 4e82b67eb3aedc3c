/* The request's body on its way: taken from the front, given to the upstream, and kept for a while to be sent once more. */
#include "exchange_internal.h"
#include "inject.h"

#define REPLAY_LIMIT (64 * 1024 - 1) /* the buffer takes 64 KiB */

/* Keeps a copy of the body as long as the request might have to be repeated with it. */
static void keep_replay(struct exchange *exchange, const void *bytes, size_t size)
{
	if (!exchange->replay_whole)
		return;
	bool repeatable = exchange->by_h2 || method_is_idempotent(exchange->request.method);
	if (repeatable && exchange->replay.length + size <= REPLAY_LIMIT) {
		buffer_append(&exchange->replay, bytes, size);
		exchange->replay_written = exchange->replay.length;
		return;
	}
	exchange->replay_whole = false;
	buffer_wipe(&exchange->replay);
	exchange->replay_written = 0;
}

void exchange_forget_replay(struct exchange *exchange)
{
	if (exchange->state != EXCHANGE_RELAYING || exchange->replay_written < exchange->replay.length)
		return;
	buffer_wipe(&exchange->replay);
	exchange->replay_written = 0;
	exchange->replay_whole = false;
}

/* Does something wait here that stands in front of what the client sends now? */
static bool waits(const struct exchange *exchange)
{
	return exchange->replay_written < exchange->replay.length;
}

static void push_replay(struct exchange *exchange)
{
	struct upstream *upstream = exchange->upstream;
	struct span rest = span_from(buffer_view(&exchange->replay), exchange->replay_written);
	if (rest.length > 0)
		exchange->replay_written += upstream->table->write(upstream, rest.data, rest.length);
}

bool exchange_push(struct exchange *exchange)
{
	struct upstream *upstream = exchange->upstream;
	push_replay(exchange);
	if (waits(exchange))
		return false;
	exchange_forget_replay(exchange);
	if (exchange->finish_pending) {
		exchange->finish_pending = false;
		upstream->table->finish(upstream, &exchange->trailers);
	}
	return true;
}

/* No byte over the limit goes up. Where the response has begun, a 413 would come too late: it is cut, by the timer, since
 * the front may not be told within its own call. */
static void refuse_rest(struct exchange *exchange)
{
	if (exchange->over_limit)
		return;
	exchange_too_large(exchange);
	if (exchange->state == EXCHANGE_RELAYING) {
		exchange->over_limit = true;
		loop_timer_set(exchange->worker->loop, &exchange->timer, 0);
		return;
	}
	exchange_release_upstream(exchange);
	exchange_answer(exchange);
}

size_t exchange_write(struct exchange *exchange, const void *bytes, size_t size)
{
	if (exchange->state != EXCHANGE_WAITING && exchange->state != EXCHANGE_RELAYING)
		return size;
	if (waits(exchange)) {
		exchange->upload_blocked = true;
		return 0;
	}
	if (exchange->over_limit || size > exchange->body_limit - exchange->bytes_up) {
		refuse_rest(exchange);
		return size;
	}
	size_t taken = exchange->upstream->table->write(exchange->upstream, bytes, size);
	exchange->held_back = false;
	exchange->bytes_up += taken;
	exchange->upload_blocked = taken < size;
	if (taken > 0)
		keep_replay(exchange, bytes, taken);
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
	if ((exchange->state != EXCHANGE_WAITING && exchange->state != EXCHANGE_RELAYING) || exchange->over_limit)
		return;
	if (trailers)
		keep_trailers(exchange, trailers);
	exchange->finish_pending = true;
	if (!waits(exchange))
		exchange_push(exchange);
	exchange_progress(exchange);
}
