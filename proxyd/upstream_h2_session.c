/* What libnghttp2 tells of frames and streams. None of it ends the connection: that is done behind the call. */
#include "memory.h"
#include "upstream_h2_internal.h"

static struct h2_request *request_of(nghttp2_session *session, int32_t id)
{
	return id ? nghttp2_session_get_stream_user_data(session, id) : NULL;
}

static uint64_t now(const struct h2_connection *connection)
{
	return loop_now(connection->room->loop);
}

static void count_use(struct h2_connection *connection)
{
	budget_earn(&connection->frames, BUDGET_FRAMES_PER_USE);
}

/* ---- heads ---- */

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *frame, void *context)
{
	struct h2_connection *connection = context;
	(void)session;
	(void)frame;
	if (!budget_spend(&connection->frames, BUDGET_ACT, now(connection), BUDGET_FRAMES_EACH_MS, BUDGET_FRAMES_MOST))
		h2_accuse(connection, NGHTTP2_ENHANCE_YOUR_CALM, "sends too many frames that carry nothing");
	return 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
	struct h2_connection *connection = context;
	(void)session;
	(void)frame;
	connection->block = 0;
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_length,
                     const uint8_t *value, size_t value_length, uint8_t flags, void *context)
{
	struct h2_connection *connection = context;
	struct h2_request *request = request_of(session, frame->hd.stream_id);
	const struct field field = {{(const char *)name, name_length}, {(const char *)value, value_length},
	                            flags & NGHTTP2_NV_FLAG_NO_INDEX};
	if (request && !connection->wrong)
		h2_head_add(request, &field);
	return 0;
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

/* ---- what comes ---- */

static void note_settings(struct h2_connection *connection, const nghttp2_frame *frame)
{
	if ((frame->hd.flags & NGHTTP2_FLAG_ACK) || connection->greeted)
		return;
	connection->greeted = true;
	loop_timer_stop(connection->room->loop, &connection->timer);
}

static void note_goaway(struct h2_connection *connection, uint32_t code)
{
	h2_connection_retire(connection);
	if (code == NGHTTP2_HTTP_1_1_REQUIRED)
		h2_origin_remember(connection->origin);
}

/* Behind it the request may be gone. */
static void take_message(struct h2_request *request, const nghttp2_frame *frame)
{
	bool last = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
	/* The interim answer that frees the request is never the last frame. */
	if (last && request->wants_read) {
		request->wants_read = false;
		h2_tell(request, H2_NEWS_READABLE);
	}
	request->ended |= last;
	if (frame->hd.type == NGHTTP2_HEADERS)
		h2_head_read(request, last);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
	struct h2_connection *connection = context;
	struct h2_request *request = request_of(session, frame->hd.stream_id);
	if (frame->hd.type == NGHTTP2_SETTINGS)
		note_settings(connection, frame);
	else if (frame->hd.type == NGHTTP2_GOAWAY)
		note_goaway(connection, frame->goaway.error_code);
	if (connection->wrong || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS)
		count_use(connection);
	if (request)
		take_message(request, frame);
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t size, void *context)
{
	struct h2_connection *connection = context;
	struct h2_request *request = request_of(session, id);
	(void)flags;
	count_use(connection);
	if (!request) {
		nghttp2_session_consume_connection(session, size);
		return 0;
	}
	backlog_add(&request->in, bytes, size);
	if (request->wants_read) {
		request->wants_read = false;
		h2_tell(request, H2_NEWS_READABLE);
	}
	return 0;
}

/* ---- what goes ---- */

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
	struct h2_connection *connection = context;
	struct h2_request *request = request_of(session, frame->hd.stream_id);
	if (frame->hd.type == NGHTTP2_DATA && frame->hd.length > 0)
		count_use(connection);
	else if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR)
		h2_accuse(connection, frame->goaway.error_code, "breaks the rules of HTTP/2");
	else if (request && frame->hd.type == NGHTTP2_RST_STREAM)
		request->ours = true;
	if (request && frame->hd.type == NGHTTP2_HEADERS)
		request->sent = true;
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *context)
{
	struct h2_connection *connection = context;
	struct h2_request *request = request_of(session, id);
	connection->streams--;
	h2_connection_soon(connection);
	if (request && request->ended)
		h2_request_leave(request);
	else if (request)
		h2_request_closed(request, code);
	return 0;
}

/* ---- the beginning ---- */

bool h2_make_callbacks(nghttp2_session_callbacks **callbacks)
{
	if (nghttp2_session_callbacks_new(callbacks) != 0)
		return false;
	nghttp2_session_callbacks_set_on_begin_frame_callback(*callbacks, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(*callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(*callbacks, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(*callbacks, on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(*callbacks, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(*callbacks, on_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(*callbacks, on_frame_sent);
	nghttp2_session_callbacks_set_on_stream_close_callback(*callbacks, on_stream_close);
	return true;
}

/* libnghttp2 holds heads with secrets in them. */
static void *take_memory(size_t size, void *context)
{
	(void)context;
	return malloc(size);
}

static void *take_zeroed(size_t count, size_t size, void *context)
{
	(void)context;
	return calloc(count, size);
}

static void give_memory(void *memory, void *context)
{
	(void)context;
	memory_wipe_free(memory);
}

static void *resize_memory(void *memory, size_t size, void *context)
{
	(void)context;
	return memory_wipe_resize(memory, size);
}

bool h2_session_start(struct h2_connection *connection)
{
	struct upstream_h2 *room = connection->room;
	nghttp2_mem memory = {NULL, take_memory, give_memory, take_zeroed, resize_memory};
	const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_WINDOW},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)room->limits.head.head},
	};
	/* So wide that a stream whose client is slow keeps no other one waiting. */
	const int32_t window = H2_STREAMS_MOST * H2_WINDOW;
	nghttp2_session **session = &connection->session;
	return nghttp2_session_client_new3(session, room->callbacks, connection, room->option, &memory) == 0 &&
	       nghttp2_submit_settings(*session, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof *settings) == 0 &&
	       nghttp2_session_set_local_window_size(*session, NGHTTP2_FLAG_NONE, 0, window) == 0;
}
