/* What libnghttp2 tells of frames and streams. None of it frees the client: that is done behind the call. */
#include "front_h2_internal.h"

#include <stdlib.h>

#include "memory.h"
#include "refusal.h"

#define EXPECT_TIME 3000 /* ms that a body waits for the upstream's 100, as long as in HTTP/1.1 */
#define REST_TIME 2000   /* ms that the rest of a body may take behind the response */

/* --- streams --- */

static struct h2_stream *stream_of(struct h2_client *client, int32_t id)
{
	return nghttp2_session_get_stream_user_data(client->session, id);
}

/* Whoever waits for the upstream's 100 gets one: an upstream that knows no Expect waits for the body. Whoever has all of the
 * response is to send no more (RFC 9113 §8.1). */
static void on_stream_time(struct loop_timer *timer)
{
	struct h2_stream *stream = (struct h2_stream *)((char *)timer - offsetof(struct h2_stream, timer));
	if (!stream->whole) {
		front_h2_proceed(stream);
		return;
	}
	front_h2_reset(stream, NGHTTP2_NO_ERROR);
	front_h2_soon(stream->client);
}

static int open_stream(struct h2_client *client, int32_t id)
{
	struct h2_stream *stream = memory_alloc(sizeof *stream);
	*stream = (struct h2_stream){.timer = {.fire = on_stream_time},
	                             .client = client,
	                             .exchange = exchange_new(client->front->worker),
	                             .id = id};
	LIST_INSERT_HEAD(&client->streams, stream, others);
	client->live++;
	client->newest = id;
	return nghttp2_session_set_stream_user_data(client->session, id, stream);
}

void front_h2_reset(struct h2_stream *stream, uint32_t code)
{
	nghttp2_submit_rst_stream(stream->client->session, NGHTTP2_FLAG_NONE, stream->id, code);
}

static void withdraw(struct h2_stream *stream)
{
	if (stream->asks)
		TAILQ_REMOVE(&stream->client->asked, stream, asked);
	stream->asks = false;
}

void front_h2_end_exchange(struct h2_stream *stream, bool delivered)
{
	struct h2_client *client = stream->client;
	if (!stream->exchange)
		return;
	loop_timer_stop(client->front->worker->loop, &stream->timer);
	/* The exchange knows nothing of it, and writes no line. */
	if (stream->spoilt && !stream->started)
		worker_note_refusal(client->front->worker, &client->way, "malformed", 0);
	else if (stream->asks)
		worker_note_failure(client->front->worker, &client->way, "client_gone");
	withdraw(stream);
	if (stream->started && stream->spoilt && !stream->ended)
		exchange_spoilt(stream->exchange);
	exchange_end(stream->exchange, delivered);
	stream->exchange = NULL;
	client->live--;
	front_h2_body_drop(stream);
}

void front_h2_free_stream(struct h2_stream *stream)
{
	loop_timer_stop(stream->client->front->worker->loop, &stream->timer);
	LIST_REMOVE(stream, others);
	free(stream);
}

static void head_ends(struct h2_client *client, int32_t id)
{
	if (client->head_of != id)
		return;
	client->head_of = 0;
	front_h2_set_time(client);
}

/* What the client had sent by then may still come. */
static void give_up(struct h2_client *client, int32_t id)
{
	client->given_up[client->given_up_count++ % GIVEN_UP] = id;
	front_h2_count_late(client);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *context)
{
	(void)session;
	struct h2_client *client = context;
	struct h2_stream *stream = stream_of(client, id);
	(void)code;
	if (!stream)
		return 0;
	if (stream->whole)
		front_h2_count_delivery(client);
	if (!stream->ended)
		give_up(client, id);
	front_h2_end_exchange(stream, stream->whole);
	front_h2_free_stream(stream);
	head_ends(client, id);
	front_h2_set_time(client);
	return 0;
}

/* --- heads --- */

/* Streams are opened in order (RFC 9113 §5.1.1). libnghttp2 takes such a head for trailers that crossed a reset. */
static bool is_out_of_order(struct h2_client *client, int32_t id)
{
	if (id >= client->newest || stream_of(client, id))
		return false;
	for (unsigned i = 0; i < GIVEN_UP; i++)
		if (client->given_up[i] == id)
			return false;
	return true;
}

/* What follows is not even looked at. */
static int stop_if_wrong(const struct h2_client *client)
{
	return client->wrong ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static void measure_block(struct h2_client *client, const nghttp2_frame_hd *frame)
{
	if (frame->type == NGHTTP2_HEADERS)
		client->block = frame->length;
	else if (frame->type == NGHTTP2_CONTINUATION)
		client->block += frame->length;
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *frame, void *context)
{
	struct h2_client *client = context;
	(void)session;
	front_h2_count_frame(client);
	measure_block(client, frame);
	if (frame->type == NGHTTP2_HEADERS && is_out_of_order(client, frame->stream_id))
		front_h2_accuse(client, NGHTTP2_PROTOCOL_ERROR, "a stream was opened out of order");
	return stop_if_wrong(client);
}

/* Trailers, too, are to come without a pause. */
static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
	struct h2_client *client = context;
	(void)session;
	client->head_of = frame->hd.stream_id;
	loop_timer_set(client->front->worker->loop, &client->timer, front_h2_limits(client)->head_time);
	return frame->headers.cat == NGHTTP2_HCAT_REQUEST ? open_stream(client, frame->hd.stream_id) : 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_length,
                     const uint8_t *value, size_t value_length, uint8_t flags, void *context)
{
	struct h2_client *client = context;
	struct h2_stream *stream = stream_of(client, frame->hd.stream_id);
	const struct field field = {{(const char *)name, name_length}, {(const char *)value, value_length},
	                            flags & NGHTTP2_NV_FLAG_NO_INDEX};
	(void)session;
	if (!stream || !stream->exchange)
		return 0;
	if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		front_h2_trailer_add(stream, &field);
	else if (!front_h2_head_add(stream, &field))
		front_h2_accuse(client, NGHTTP2_ENHANCE_YOUR_CALM, "a header block that is many times longer than the limit");
	return stop_if_wrong(client);
}

/* libnghttp2 would leave such a field out, and go on with the others. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                             size_t name_length, const uint8_t *value, size_t value_length, uint8_t flags, void *context)
{
	(void)session;
	(void)frame;
	(void)name;
	(void)name_length;
	(void)value;
	(void)value_length;
	(void)flags;
	(void)context;
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* More streams at once than we said: libnghttp2 refuses them, the first ones alone, and then the whole connection. */
static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error, void *context)
{
	struct h2_client *client = context;
	(void)session;
	bool opens = frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
	if (opens && (error == NGHTTP2_ERR_REFUSED_STREAM || client->live >= front_h2_limits(client)->streams))
		tally_limit_hit(client->front->worker->account.tally, TALLY_STREAMS);
	return 0;
}

static bool awaits_continue(const struct h2_stream *stream)
{
	const struct fields *fields = &exchange_request(stream->exchange)->fields;
	return stream->has_body && fields_list_has(fields, SPAN("expect"), SPAN("100-continue"));
}

static void start(struct h2_stream *stream)
{
	struct h2_client *client = stream->client;
	const struct body_framing *body = &exchange_request(stream->exchange)->body;
	const char *why;
	enum codec_result result = front_h2_head_read(stream, stream->alone, &why);
	stream->started = true;
	stream->has_body = body->kind == BODY_CHUNKED || body->length > 0;
	if (result != CODEC_DONE) {
		struct problem problem = {0};
		refusal_of_head(result, why, front_h2_limits(client), exchange_arena(stream->exchange), &problem);
		exchange_refuse(stream->exchange, &client->way, &problem, &front_h2_table, stream);
		return;
	}
	exchange_start(stream->exchange, &client->way, &front_h2_table, stream);
	if (awaits_continue(stream))
		loop_timer_set(client->front->worker->loop, &stream->timer, EXPECT_TIME);
}

void front_h2_begin(struct h2_client *client)
{
	struct h2_stream *stream = TAILQ_FIRST(&client->asked);
	withdraw(stream);
	start(stream);
	front_h2_body_go_on(stream);
}

/* Whoever reads the GOAWAY may ask elsewhere for what is behind it (RFC 9113 §6.8). Once that is written, libnghttp2 closes
 * such streams. */
static void ask(struct h2_client *client, struct h2_stream *stream)
{
	if (client->draining && stream->id > client->last) {
		front_h2_end_exchange(stream, false);
		front_h2_set_time(client);
		return;
	}
	stream->asks = true;
	TAILQ_INSERT_TAIL(&client->asked, stream, asked);
}

static void take_headers(struct h2_client *client, struct h2_stream *stream, const nghttp2_frame *frame)
{
	bool alone = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
	head_ends(client, stream->id);
	stream->ended |= alone && !stream->exchange;
	if (!stream->exchange || client->wrong)
		return;
	/* Not what it is once it is read: a byte may stand for thousands. */
	front_h2_count_use(client, client->block);
	if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
		stream->ended = stream->alone = alone;
		ask(client, stream);
		return;
	}
	if (front_h2_trailers_check(stream))
		front_h2_body_end(stream);
}

/* --- bodies and frames --- */

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
	struct h2_client *client = context;
	struct h2_stream *stream = frame->hd.stream_id ? stream_of(client, frame->hd.stream_id) : NULL;
	(void)session;
	if (frame->hd.type == NGHTTP2_RST_STREAM)
		front_h2_count_reset(client);
	else if (stream && frame->hd.type == NGHTTP2_HEADERS)
		take_headers(client, stream, frame);
	else if (stream && frame->hd.type == NGHTTP2_DATA && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		front_h2_body_end(stream);
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t size, void *context)
{
	struct h2_client *client = context;
	struct h2_stream *stream = stream_of(client, id);
	(void)flags;
	client->carried += size;
	front_h2_count_use(client, size);
	if (stream)
		front_h2_body_take(stream, bytes, size);
	else
		nghttp2_session_consume_connection(session, size);
	return 0;
}

/* The response is out to its end: what still comes of the request is dropped. A reset at once would be the first that curl
 * 7.88 and others see, and they would throw the response away. */
static void note_end_of_response(struct h2_client *client, int32_t id)
{
	struct h2_stream *stream = stream_of(client, id);
	if (!stream)
		return;
	stream->whole = true;
	if (stream->ended)
		return;
	front_h2_end_exchange(stream, true);
	loop_timer_set(client->front->worker->loop, &stream->timer, REST_TIME);
	front_h2_set_time(client);
}

/* Two codes are ours to send; the others tell of what the client did. */
static void note_reset(struct h2_client *client, const nghttp2_frame *frame)
{
	struct h2_stream *stream = stream_of(client, frame->hd.stream_id);
	uint32_t code = frame->rst_stream.error_code;
	head_ends(client, frame->hd.stream_id);
	if (code == NGHTTP2_NO_ERROR || code == NGHTTP2_INTERNAL_ERROR)
		return;
	if (stream)
		stream->spoilt = true;
	else
		give_up(client, frame->hd.stream_id);
	front_h2_count_reset(client);
}

/* libnghttp2 ends the connection; the frame says why. */
static void note_goaway(struct h2_client *client, uint32_t code)
{
	if (client->refused)
		client->parted = true;
	else if (code != NGHTTP2_NO_ERROR)
		worker_note_refusal(client->front->worker, &client->way, front_h2_reason(code), 0);
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
	struct h2_client *client = context;
	uint8_t type = frame->hd.type;
	(void)session;
	if (type == NGHTTP2_RST_STREAM)
		note_reset(client, frame);
	else if (type == NGHTTP2_GOAWAY)
		note_goaway(client, frame->goaway.error_code);
	else if (type == NGHTTP2_DATA && frame->hd.length > 0)
		front_h2_count_use(client, 0);
	if ((type == NGHTTP2_DATA || type == NGHTTP2_HEADERS) && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		note_end_of_response(client, frame->hd.stream_id);
	return 0;
}

/* A head that libnghttp2 cannot write: there will be no response. */
static int on_frame_unsent(nghttp2_session *session, const nghttp2_frame *frame, int error, void *context)
{
	(void)error;
	if (frame->hd.type == NGHTTP2_HEADERS && stream_of(context, frame->hd.stream_id))
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_INTERNAL_ERROR);
	return 0;
}

bool front_h2_make_callbacks(nghttp2_session_callbacks **callbacks)
{
	if (nghttp2_session_callbacks_new(callbacks) != 0)
		return false;
	nghttp2_session_callbacks_set_on_begin_frame_callback(*callbacks, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(*callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(*callbacks, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(*callbacks, on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(*callbacks, on_frame);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(*callbacks, on_invalid_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(*callbacks, on_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(*callbacks, on_frame_sent);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(*callbacks, on_frame_unsent);
	nghttp2_session_callbacks_set_on_stream_close_callback(*callbacks, on_stream_close);
	return true;
}
