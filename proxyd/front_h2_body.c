/* Request bodies. The client may send as much as its window lets it (RFC 9113 §5.2), and that opens again only by what the
 * exchange took: so what waits here is never more than one window. */
#include "front_h2_internal.h"

static void consume(struct h2_stream *stream, size_t size)
{
	nghttp2_session_consume(stream->client->session, stream->id, size);
}

/* The end of the body goes on once all in front of it has. */
static void finish(struct h2_stream *stream)
{
	if (!stream->ended || !stream->has_body || stream->finished || backlog_size(&stream->pending) > 0)
		return;
	stream->finished = true;
	exchange_finish(stream->exchange, stream->trailers.count ? &stream->trailers : NULL);
}

void front_h2_body_take(struct h2_stream *stream, const void *bytes, size_t size)
{
	size_t taken = 0;
	if (!stream->exchange)
		taken = size;
	else if (stream->started && backlog_size(&stream->pending) == 0)
		taken = exchange_write(stream->exchange, bytes, size);
	if (!stream->whole)
		loop_timer_stop(stream->client->front->worker->loop, &stream->timer);
	if (taken < size)
		backlog_add(&stream->pending, (const char *)bytes + taken, size - taken);
	consume(stream, taken);
}

void front_h2_body_go_on(struct h2_stream *stream)
{
	if (!stream->exchange)
		return;
	struct span left = backlog_view(&stream->pending);
	if (left.length > 0) {
		size_t taken = exchange_write(stream->exchange, left.data, left.length);
		backlog_drop(&stream->pending, taken);
		consume(stream, taken);
	}
	if (backlog_size(&stream->pending) == 0) {
		backlog_free(&stream->pending);
		finish(stream);
	}
	front_h2_soon(stream->client);
}

void front_h2_body_drop(struct h2_stream *stream)
{
	consume(stream, backlog_size(&stream->pending));
	backlog_free(&stream->pending);
}

void front_h2_body_end(struct h2_stream *stream)
{
	stream->ended = true;
	if (stream->exchange)
		finish(stream);
}

void front_h2_trailer_add(struct h2_stream *stream, const struct field *field)
{
	struct arena *arena = exchange_arena(stream->exchange);
	stream->trailers_size += field->name.length + field->value.length + strlen(": \r\n");
	if (stream->trailers_size <= front_h2_limits(stream->client)->head)
		fields_add_copy(&stream->trailers, arena, field);
}

bool front_h2_trailers_check(struct h2_stream *stream)
{
	const struct config_limits *limits = front_h2_limits(stream->client);
	const struct codec_limits most = {(size_t)limits->head, (size_t)limits->fields};
	const char *why;
	if (stream->trailers_size <= limits->head &&
	    codec_trailers_check(&stream->trailers, most, &why) == CODEC_DONE)
		return true;
	front_h2_reset(stream, NGHTTP2_PROTOCOL_ERROR);
	return false;
}
