#include "upstream_h2.h"

#include <stdlib.h>

#include "memory.h"
#include "upstream_h2_internal.h"

#define OUT_MOST (16384 - 1)  /* of a body that waits for its frames: a backlog of it takes 16 KiB */
#define HEAD_ROOM (64 * 1024) /* beside limits.head: a secret may be longer than what stood in its place */

/* ---- what is told ---- */

void h2_tell(struct h2_request *request, enum h2_news news)
{
	request->news |= news;
	loop_later(request->room->loop, &request->task);
}

/* One thing at a time: within, the exchange may release the request. */
static void tell(struct loop_task *task)
{
	struct h2_request *request = (struct h2_request *)((char *)task - offsetof(struct h2_request, task));
	const struct upstream_events *events = request->upstream.events;
	void *context = request->upstream.context;
	unsigned next = request->news & -request->news;
	request->news &= ~next;
	if (request->news)
		loop_later(request->room->loop, task);
	switch ((enum h2_news)next) {
	case H2_NEWS_CONNECTED:
		events->connected(context);
		break;
	case H2_NEWS_HEAD:
		events->head(context, &request->response);
		break;
	case H2_NEWS_WRITABLE:
		events->writable(context);
		break;
	case H2_NEWS_READABLE:
		events->readable(context);
		break;
	case H2_NEWS_FAILED:
		events->failed(context, &request->error);
		break;
	}
}

/* ---- its stream ---- */

static ssize_t give_body(nghttp2_session *session, int32_t id, uint8_t *bytes, size_t size, uint32_t *flags,
                         nghttp2_data_source *source, void *context)
{
	struct h2_request *request = nghttp2_session_get_stream_user_data(session, id);
	nghttp2_nv *pairs;
	(void)source;
	(void)context;
	if (!request)
		return NGHTTP2_ERR_DEFERRED;
	size_t taken = backlog_take(&request->out, bytes, size);
	if (request->done && backlog_size(&request->out) == 0) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		size_t count = h2_trailers_write(request, &pairs);
		if (count > 0 && nghttp2_submit_trailer(session, id, pairs, count) == 0)
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
	} else if (taken == 0) {
		request->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	return (ssize_t)taken;
}

static bool has_body(const struct body_framing *body)
{
	return body->kind != BODY_NONE && !(body->kind == BODY_LENGTH && body->length == 0);
}

void h2_request_open(struct h2_request *request, struct h2_connection *connection)
{
	const nghttp2_data_provider body = {.read_callback = give_body};
	request->id = nghttp2_submit_request(connection->session, NULL, request->pairs, request->pair_count,
	                                     has_body(&request->sends) ? &body : NULL, request);
	if (request->id < 0)
		abort(); /* memory is out: that there are ids left was seen before */
	arena_wipe(&request->arena);
	request->connection = connection;
	request->state = H2_HEAD;
	request->error.reused = connection->opened++ > 0;
	if (request->error.reused)
		tally_count(upstream_pool_tally(connection->room->pool), TALLY_UPSTREAM_REUSED);
	if (connection->streams++ == 0)
		connection->silent_since = loop_now(connection->room->loop);
	LIST_INSERT_HEAD(&connection->requests, request, others);
	h2_tell(request, H2_NEWS_CONNECTED);
	if (request->wants_write)
		h2_tell(request, H2_NEWS_WRITABLE);
	request->wants_write = false;
	/* The last id that there is (RFC 9113 §5.1.1). */
	if (!nghttp2_session_check_request_allowed(connection->session))
		h2_connection_leave(connection);
	h2_connection_soon(connection);
}

/* The windows of others open again for what it has not read: it has a window's worth of memory of its own. */
void h2_request_leave(struct h2_request *request)
{
	struct h2_connection *connection = request->connection;
	if (!connection)
		return;
	nghttp2_session_consume_connection(connection->session, backlog_size(&request->in));
	nghttp2_session_set_stream_user_data(connection->session, request->id, NULL);
	LIST_REMOVE(request, others);
	request->connection = NULL;
	/* The response is whole, and the upstream reads no more of the request (RFC 9113 §8.1). */
	if (request->ended && request->wants_write)
		h2_tell(request, H2_NEWS_WRITABLE);
	h2_connection_soon(connection);
}

/* ---- the request's body ---- */

size_t h2_request_room(const struct h2_request *request)
{
	nghttp2_session *session = request->connection->session;
	int32_t all = nghttp2_session_get_remote_window_size(session);
	int32_t own = nghttp2_session_get_stream_remote_window_size(session, request->id);
	/* Servers take it amiss if the window that their SETTINGS bring is smaller than what came before. */
	if (!request->connection->greeted)
		return 0;
	/* The stream is not open before its head is written. */
	if (own < 0)
		own = (int32_t)nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE);
	int32_t window = own < all ? own : all;
	size_t most = window < 0 ? 0 : (size_t)window, waiting = backlog_size(&request->out);
	if (most > OUT_MOST)
		most = OUT_MOST;
	return most > waiting ? most - waiting : 0;
}

static void resume(struct h2_request *request)
{
	if (request->deferred)
		nghttp2_session_resume_data(request->connection->session, request->id);
	request->deferred = false;
	h2_connection_soon(request->connection);
}

static size_t h2_write(struct upstream *upstream, const void *bytes, size_t size)
{
	struct h2_request *request = h2_request_of(upstream);
	if (request->state == H2_BODY && !request->connection)
		return size;
	request->wants_write = request->state != H2_FAILED;
	if (!request->connection || request->done)
		return 0;
	size_t room = h2_request_room(request), taken = size < room ? size : room;
	if (request->sends.kind == BODY_LENGTH && taken > request->send_left)
		taken = (size_t)request->send_left;
	request->wants_write = taken < size;
	if (taken == 0)
		return 0;
	backlog_add(&request->out, bytes, taken);
	request->send_left -= request->sends.kind == BODY_LENGTH ? taken : 0;
	resume(request);
	return taken;
}

static void h2_finish(struct upstream *upstream, const struct fields *trailers)
{
	struct h2_request *request = h2_request_of(upstream);
	request->trailers_up = trailers;
	request->done = request->send_left == 0;
	if (request->done && request->connection)
		resume(request);
}

/* ---- the response's body ---- */

static ssize_t h2_read(struct upstream *upstream, void *bytes, size_t size)
{
	struct h2_request *request = h2_request_of(upstream);
	struct h2_connection *connection = request->connection;
	size_t count = backlog_take(&request->in, bytes, size);
	if (count > 0 && connection) {
		nghttp2_session_consume(connection->session, request->id, count);
		h2_connection_soon(connection);
	}
	if (count > 0 || size == 0)
		return (ssize_t)count;
	if (request->state == H2_FAILED)
		return UPSTREAM_READ_ERROR;
	if (request->ended)
		return 0;
	request->wants_read = true;
	return UPSTREAM_READ_AGAIN;
}

static size_t h2_ready(struct upstream *upstream, bool *whole)
{
	struct h2_request *request = h2_request_of(upstream);
	*whole = request->ended && request->state == H2_BODY;
	return backlog_size(&request->in);
}

static const struct fields *h2_trailers(struct upstream *upstream)
{
	const struct h2_request *request = h2_request_of(upstream);
	return request->trailers.count ? &request->trailers : NULL;
}

/* ---- start and end ---- */

static const struct upstream_error *h2_error(struct upstream *upstream)
{
	struct h2_request *request = h2_request_of(upstream);
	request->error.unsent = !request->sent;
	return &request->error;
}

/* A connection that is being made, and for which nobody waits any more. */
static void stop_making(struct h2_origin *origin)
{
	struct h2_connection *connection, *next;
	if (!TAILQ_EMPTY(&origin->waiting))
		return;
	for (connection = LIST_FIRST(&origin->connections); connection; connection = next) {
		next = LIST_NEXT(connection, others);
		if (connection->state < H2_OPEN)
			h2_connection_end(connection);
	}
}

/* Whoever waited longest got nothing at all: perhaps nobody is there any more, and TCP takes a quarter of an hour to find out. */
static bool is_silent(const struct h2_request *request, const struct h2_connection *connection)
{
	struct upstream_h2 *room = request->room;
	return !request->answered && loop_now(room->loop) - connection->silent_since >= room->limits.handshake;
}

static void h2_release(struct upstream *upstream)
{
	struct h2_request *request = h2_request_of(upstream);
	struct h2_connection *connection = request->connection;
	struct upstream_h2 *room = request->room;
	if (room->telling == request)
		room->telling = NULL;
	if (connection) {
		if (is_silent(request, connection))
			h2_connection_leave(connection);
		nghttp2_submit_rst_stream(connection->session, NGHTTP2_FLAG_NONE, request->id, NGHTTP2_CANCEL);
		h2_request_leave(request);
	}
	if (request->state == H2_WAITING) {
		TAILQ_REMOVE(&request->origin->waiting, request, in_line);
		stop_making(request->origin);
	}
	loop_later_cancel(room->loop, &request->task); /* leaving may have had something to tell */
	arena_free(&request->arena);
	backlog_free(&request->out);
	backlog_free(&request->in);
	free(request);
}

static const struct upstream_table h2_table = {
	.write = h2_write,
	.finish = h2_finish,
	.read = h2_read,
	.ready = h2_ready,
	.trailers = h2_trailers,
	.error = h2_error,
	.release = h2_release,
};

struct upstream *upstream_h2_start(struct upstream_h2 *room, const struct destination *destination,
                                   const struct request *head, bool fresh, const struct upstream_events *events,
                                   void *context)
{
	struct h2_request *request = memory_alloc(sizeof *request);
	*request = (struct h2_request){.upstream = {&h2_table, events, context},
	                               .task = {.run = tell},
	                               .room = room,
	                               .origin = h2_origin_get(room, destination),
	                               .state = H2_WAITING,
	                               .profile = destination->profile,
	                               .sends = head->body,
	                               .send_left = head->body.kind == BODY_LENGTH ? head->body.length : 0,
	                               .is_head = span_equal(head->method, SPAN("HEAD")),
	                               .fresh = fresh,
	                               .wants_read = true};
	h2_head_write(request, head);
	TAILQ_INSERT_TAIL(&request->origin->waiting, request, in_line);
	h2_origin_serve(request->origin);
	return &request->upstream;
}

/* ---- the room ---- */

struct upstream_h2 *upstream_h2_new(struct loop *loop, struct dialer *dialer, struct upstream_pool *pool,
                                    struct upstream_limits limits, struct fault *fault)
{
	struct upstream_h2 *room = memory_alloc(sizeof *room);
	*room = (struct upstream_h2){.loop = loop, .dialer = dialer, .pool = pool};
	room->forget.fire = h2_origin_forget_first;
	TAILQ_INIT(&room->plain);
	TAILQ_INIT(&room->resting);
	if (!h2_make_callbacks(&room->callbacks) || nghttp2_option_new(&room->option) != 0) {
		fault_set(fault, FAULT_IO, "libnghttp2 does not start");
		upstream_h2_free(room);
		return NULL;
	}
	/* Windows open by what the exchanges take. */
	nghttp2_option_set_no_auto_window_update(room->option, 1);
	upstream_h2_set_limits(room, limits);
	return room;
}

void upstream_h2_set_limits(struct upstream_h2 *room, struct upstream_limits limits)
{
	room->limits = limits;
	nghttp2_option_set_max_send_header_block_length(room->option, 2 * limits.head.head + HEAD_ROOM);
}

void upstream_h2_close_idle(struct upstream_h2 *room)
{
	struct h2_origin *origin;
	struct h2_connection *connection;
	for (size_t i = 0; i < DESTINATION_BUCKETS; i++)
		for (origin = room->buckets[i]; origin; origin = origin->next)
			LIST_FOREACH (connection, &origin->connections, others)
				if (connection->streams == 0)
					h2_connection_leave(connection);
}

void upstream_h2_free(struct upstream_h2 *room)
{
	if (!room)
		return;
	h2_origin_forget_all(room);
	for (size_t i = 0; i < DESTINATION_BUCKETS; i++)
		while (room->buckets[i])
			h2_connection_end(LIST_FIRST(&room->buckets[i]->connections));
	nghttp2_session_callbacks_del(room->callbacks);
	nghttp2_option_del(room->option);
	buffer_wipe(&room->out);
	free(room);
}
