#include "upstream_h1.h"

#include "upstream_connection.h"

#define OUT_ENOUGH 16384 /* bytes that are collected before they are sent within a round */

static struct loop *loop_of(const struct connection *connection)
{
	return connection->pool->loop;
}

/* ---- the request ---- */

static size_t out_pending(const struct connection *connection)
{
	return connection->out.length - connection->out_sent;
}

/* Room for body bytes. What was sent already counts until all was: the buffer never grows under a slow upstream. */
static size_t out_room(const struct connection *connection)
{
	size_t used = connection->out.length - connection->out_head;
	return used < OUT_ENOUGH ? OUT_ENOUGH - used : 0;
}

static void wipe_out(struct connection *connection)
{
	if (connection->out_head)
		explicit_bzero(connection->out.data, connection->out_head);
	connection->out_head = connection->out_sent = 0;
	buffer_clear(&connection->out);
}

/* Sends what it can. What goes wrong is told by the task: this may run within a call of the exchange. */
static void flush(struct connection *connection)
{
	while (out_pending(connection) > 0 && connection->can_write && !connection->write_broken) {
		ssize_t count = connection_write(connection, connection->out.data + connection->out_sent,
		                                 out_pending(connection));
		if (count == ENDPOINT_BROKEN) {
			connection->write_broken = connection->can_read = true;
			loop_later(loop_of(connection), &connection->task);
		}
		if (count > 0)
			connection->out_sent += (size_t)count;
	}
	if (out_pending(connection) == 0 || connection->write_broken)
		wipe_out(connection);
}

static bool is_connected(const struct connection *connection)
{
	return connection->state == CONNECTION_HEAD || connection->state == CONNECTION_BODY;
}

static void append_body(struct connection *connection, const void *bytes, size_t size)
{
	char head[20];
	if (connection->sends.kind == BODY_CHUNKED)
		buffer_append(&connection->out, head, codec_chunk_head(size, head));
	buffer_append(&connection->out, bytes, size);
	if (connection->sends.kind == BODY_CHUNKED)
		buffer_string(&connection->out, "\r\n");
	else
		connection->send_left -= size;
}

static size_t h1_write(struct upstream *upstream, const void *bytes, size_t size)
{
	struct connection *connection = connection_of(upstream);
	size_t taken = 0;
	if (connection->request_done || connection->write_broken || connection->state == CONNECTION_FAILED)
		return 0;
	if (connection->sends.kind == BODY_LENGTH && size > connection->send_left)
		size = (size_t)connection->send_left;
	while (taken < size && out_room(connection) > 0 && !connection->write_broken) {
		size_t room = out_room(connection), piece = size - taken < room ? size - taken : room;
		append_body(connection, (const char *)bytes + taken, piece);
		taken += piece;
		if (is_connected(connection) && out_room(connection) == 0)
			flush(connection);
	}
	connection->wants_write = taken < size;
	if (is_connected(connection) && out_pending(connection) > 0)
		loop_later(loop_of(connection), &connection->task);
	return taken;
}

static void h1_finish(struct upstream *upstream, const struct fields *trailers)
{
	struct connection *connection = connection_of(upstream);
	if (connection->request_done || connection->write_broken || connection->state == CONNECTION_FAILED)
		return;
	if (connection->sends.kind == BODY_CHUNKED)
		codec_write_last_chunk(trailers, &connection->out);
	connection->request_done = connection->send_left == 0;
	if (is_connected(connection))
		flush(connection);
}

/* ---- events ---- */

static bool still(const struct connection *connection, uint64_t use)
{
	return connection->uses == use && is_connected(connection);
}

void h1_advance(struct connection *connection)
{
	uint64_t use = connection->uses;
	flush(connection);
	if (connection->wants_write && out_pending(connection) == 0 && !connection->write_broken) {
		connection->wants_write = false;
		connection->upstream.events->writable(connection->upstream.context);
	}
	if (still(connection, use) && connection->state == CONNECTION_HEAD && (connection->can_read || connection->write_broken))
		h1_read_head(connection);
	else if (still(connection, use) && connection->state == CONNECTION_BODY && connection->wants_read &&
	         connection->can_read) {
		connection->wants_read = false;
		connection->upstream.events->readable(connection->upstream.context);
	}
}

void h1_established(struct connection *connection)
{
	connection->state = CONNECTION_HEAD;
	connection->announce = true;
	h1_run_task(&connection->task);
}

void h1_run_task(struct loop_task *task)
{
	struct connection *connection = CONNECTION_OF(task, task);
	uint64_t use = connection->uses;
	if (!is_connected(connection))
		return;
	if (connection->announce && (!connection->write_broken || connection->sent_any)) {
		connection->announce = false;
		connection->upstream.events->connected(connection->upstream.context);
	}
	if (still(connection, use))
		h1_advance(connection);
}

/* ---- start and end ---- */

static const struct fields *h1_trailers(struct upstream *upstream)
{
	const struct connection *connection = connection_of(upstream);
	return connection->trailers.count ? &connection->trailers : NULL;
}

static const struct upstream_error *h1_error(struct upstream *upstream)
{
	struct connection *connection = connection_of(upstream);
	connection->error.unsent = !connection->sent_any;
	return &connection->error;
}

static bool is_reusable(struct connection *connection)
{
	if (connection->state != CONNECTION_BODY || !connection->request_done || !connection->keep_alive || connection->last ||
	    connection->write_broken || out_pending(connection) > 0)
		return false;
	h1_drain_buffer(connection);
	if (connection->state != CONNECTION_BODY || !connection->body_done || connection->in_start < connection->in_end)
		return false;
	return !connection->peer_closed && (!connection->can_read || connection_is_quiet(connection));
}

static void h1_release(struct upstream *upstream)
{
	struct connection *connection = connection_of(upstream);
	bool reusable = is_reusable(connection);
	connection->uses++;
	wipe_out(connection);
	arena_reset(&connection->arena);
	loop_later_cancel(loop_of(connection), &connection->task);
	if (reusable)
		pool_keep(connection);
	else
		pool_discard(connection);
}

static void h1_give(struct upstream *upstream, struct endpoint *end, struct buffer *behind)
{
	struct connection *connection = connection_of(upstream);
	buffer_append(behind, connection->in + connection->in_start, connection->in_end - connection->in_start);
	loop_watch_remove(loop_of(connection), &connection->watch);
	*end = connection->end;
	connection->end = (struct endpoint){.fd = -1};
	connection->state = CONNECTION_FAILED;
}

static const struct upstream_table h1_table = {
	.write = h1_write,
	.finish = h1_finish,
	.read = h1_read,
	.ready = h1_ready,
	.trailers = h1_trailers,
	.give = h1_give,
	.error = h1_error,
	.release = h1_release,
};

/* Some servers leave the body of such a request unread, and take it for the beginning of the next one. An agent would
 * write there what the next request, with its secret, is then a part of. */
static bool has_unlikely_body(const struct request *request)
{
	static const struct span methods[] = {SPAN("GET"), SPAN("HEAD"), SPAN("DELETE"), SPAN("OPTIONS")};
	bool has_body = request->body.kind == BODY_CHUNKED || request->body.length > 0;
	for (size_t i = 0; has_body && i < sizeof methods / sizeof *methods; i++)
		if (span_equal(request->method, methods[i]))
			return true;
	return false;
}

static void begin_request(struct connection *connection, const struct request *head)
{
	connection->uses++;
	codec_write_request(head, &connection->out);
	connection->out_head = connection->out.length;
	connection->sends = head->body;
	connection->send_left = head->body.kind == BODY_LENGTH ? head->body.length : 0;
	connection->request_done = head->body.kind == BODY_NONE || (head->body.kind == BODY_LENGTH && head->body.length == 0);
	connection->is_head = span_equal(head->method, SPAN("HEAD"));
	connection->upgrades = head->upgrade;
	connection->last = has_unlikely_body(head);
	connection->wants_write = connection->write_broken = connection->sent_any = false;
}

static void begin_response(struct connection *connection)
{
	connection->in_base = connection->in_start = connection->in_end = 0;
	connection->run = (struct span){0};
	connection->trailers = (struct fields){0};
	connection->interims = (struct upstream_interims){0};
	connection->answered = connection->body_done = connection->wants_read = false;
	connection->error = (struct upstream_error){0};
}

struct upstream *upstream_h1_start(struct upstream_pool *pool, const struct destination *destination,
                                   const struct request *head, bool fresh, const struct upstream_events *events,
                                   void *context)
{
	struct connection *connection =
		fresh ? NULL : pool_take_idle(pool, destination, !method_is_idempotent(head->method));
	bool reused = connection != NULL;
	if (reused)
		tally_count(pool->tally, TALLY_UPSTREAM_REUSED);
	else
		connection = pool_connect(pool, destination);
	connection->upstream = (struct upstream){&h1_table, events, context};
	connection->reused = connection->announce = reused;
	begin_request(connection, head);
	begin_response(connection);
	if (!reused)
		return &connection->upstream;
	/* With a body to come, head and body leave together at the end of the round, or when the body is complete. */
	if (connection->request_done)
		flush(connection);
	loop_later(pool->loop, &connection->task);
	return &connection->upstream;
}
