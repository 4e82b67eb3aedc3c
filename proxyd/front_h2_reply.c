/* What the exchange tells, and responses as frames: pulled out of the exchange as the client's windows take them. */
#include "front_h2_internal.h"

#define QUEUE_MOST 2000 /* frames that wait; more than libnghttp2 lets a client make it acknowledge */

static nghttp2_nv pair(struct span name, struct span value)
{
	return (nghttp2_nv){(uint8_t *)(uintptr_t)name.data, (uint8_t *)(uintptr_t)value.data, name.length, value.length,
	                    NGHTTP2_NV_FLAG_NONE};
}

static struct span lower(struct span name, struct arena *arena)
{
	char *copy = arena_copy(arena, name.data, name.length);
	for (size_t i = 0; i < name.length; i++)
		copy[i] = span_lower(copy[i]);
	return (struct span){copy, name.length};
}

/* Names in small letters (RFC 9113 §8.2). libnghttp2 copies what it is given. */
static size_t write_fields(const struct fields *fields, nghttp2_nv *pairs, struct arena *arena)
{
	for (size_t i = 0; i < fields->count; i++) {
		pairs[i] = pair(lower(fields->list[i].name, arena), fields->list[i].value);
		pairs[i].flags = fields->list[i].sensitive ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
	}
	return fields->count;
}

/* The status, the fields, and the length of the body where it is known. */
static size_t write_head(const struct response *response, nghttp2_nv **pairs, struct arena *arena)
{
	size_t count = 0;
	*pairs = arena_alloc(arena, (response->fields.count + 2) * sizeof **pairs);
	(*pairs)[count++] = pair(SPAN(":status"), span_of(arena_format(arena, "%u", response->status)));
	if (response->body.kind == BODY_LENGTH)
		(*pairs)[count++] =
			pair(SPAN("content-length"),
		             span_of(arena_format(arena, "%llu", (unsigned long long)response->body.length)));
	return count + write_fields(&response->fields, *pairs + count, arena);
}

/* --- the body --- */

/* The end of the stream: with the last piece, or with trailers behind it. */
static void end_of_body(struct h2_stream *stream, uint32_t *flags)
{
	const struct fields *trailers = exchange_trailers(stream->exchange);
	struct arena *arena = exchange_arena(stream->exchange);
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (!trailers || trailers->count == 0)
		return;
	nghttp2_nv *pairs = arena_alloc(arena, trailers->count * sizeof *pairs);
	size_t count = write_fields(trailers, pairs, arena);
	if (nghttp2_submit_trailer(stream->client->session, stream->id, pairs, count) == 0)
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *bytes, size_t size, uint32_t *flags,
                         nghttp2_data_source *source, void *context)
{
	struct h2_stream *stream = source->ptr;
	size_t filled = 0;
	ssize_t count = 0;
	(void)session;
	(void)id;
	(void)context;
	if (!stream->exchange)
		return NGHTTP2_ERR_DEFERRED;
	while (filled < size && (count = exchange_read(stream->exchange, bytes + filled, size - filled)) > 0)
		filled += (size_t)count;
	if (filled < size && count == 0)
		end_of_body(stream, flags);
	else if (filled == 0 && count == UPSTREAM_READ_AGAIN)
		stream->deferred = true;
	else if (filled == 0)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	return stream->deferred ? NGHTTP2_ERR_DEFERRED : (ssize_t)filled;
}

/* Behind a length of 0 there may be trailers. */
static bool has_body(struct exchange *exchange)
{
	const struct body_framing *body = &exchange_response(exchange)->body;
	bool whole;
	if (body->kind != BODY_LENGTH || body->length > 0)
		return body->kind != BODY_NONE;
	exchange_ready(exchange, &whole);
	return !whole || exchange_trailers(exchange);
}

/* --- what the exchange tells --- */

static void front_abort(void *front)
{
	struct h2_stream *stream = front;
	stream->aborted = true;
	stream->client->aborts = true;
	front_h2_soon(stream->client);
}

static void interim(struct h2_stream *stream, const struct response *response)
{
	nghttp2_nv *pairs;
	nghttp2_session *session = stream->client->session;
	size_t count = write_head(response, &pairs, exchange_arena(stream->exchange));
	if (stream->responded)
		return;
	if (nghttp2_session_get_outbound_queue_size(session) > QUEUE_MOST ||
	    nghttp2_submit_headers(session, NGHTTP2_FLAG_NONE, stream->id, NULL, pairs, count, NULL) != 0)
		front_abort(stream);
	front_h2_soon(stream->client);
}

void front_h2_proceed(struct h2_stream *stream)
{
	const struct response proceed = {.status = 100};
	loop_timer_stop(stream->client->front->worker->loop, &stream->timer);
	interim(stream, &proceed);
}

static void front_proceed(void *front)
{
	front_h2_proceed(front);
}

static void front_interim(void *front, const struct response *response)
{
	interim(front, response);
}

static void front_respond(void *front)
{
	struct h2_stream *stream = front;
	struct h2_client *client = stream->client;
	const struct response *response = exchange_response(stream->exchange);
	const nghttp2_data_provider body = {.source = {.ptr = stream}, .read_callback = read_body};
	nghttp2_nv *pairs;
	size_t count = write_head(response, &pairs, exchange_arena(stream->exchange));
	loop_timer_stop(client->front->worker->loop, &stream->timer);
	stream->responded = true;
	if (nghttp2_submit_response(client->session, stream->id, pairs, count, has_body(stream->exchange) ? &body : NULL) != 0)
		front_abort(stream);
	if (exchange_closes(stream->exchange))
		front_h2_drain_client(client);
	front_h2_soon(client);
}

static void front_readable(void *front)
{
	struct h2_stream *stream = front;
	if (!stream->deferred)
		return;
	stream->deferred = false;
	nghttp2_session_resume_data(stream->client->session, stream->id);
	front_h2_soon(stream->client);
}

static void front_writable(void *front)
{
	front_h2_body_go_on(front);
}

const struct front_table front_h2_table = {
	.proceed = front_proceed,
	.interim = front_interim,
	.respond = front_respond,
	.readable = front_readable,
	.writable = front_writable,
	.abort = front_abort,
};
