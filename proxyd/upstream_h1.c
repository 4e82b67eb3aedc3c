#include "upstream_h1.h"

#include <stdarg.h>
#include <stdio.h>

#include "upstream_connection.h"

#define OUT_ENOUGH 16384         /* bytes that are collected before they are sent within a round */
#define DIRECT_CHUNK 4096        /* a chunk of which so much is left is read straight into the reader's memory */
#define INTERIM_COUNT 100        /* 1xx heads of one response */
#define INTERIM_BYTES (256 * 1024)

static struct connection *connection_of(struct upstream *upstream)
{
	return (struct connection *)upstream;
}

static struct loop *loop_of(const struct connection *connection)
{
	return connection->pool->loop;
}

/* ---- failures ---- */

static void set_error(struct connection *connection, enum upstream_failure failure, const char *format,
                      va_list arguments)
{
	struct upstream_error *error = &connection->error;
	error->failure = failure;
	error->unanswered = !connection->answered;
	error->unsent = !connection->sent_any;
	error->reused = connection->reused;
	vsnprintf(error->text, sizeof error->text, format, arguments);
	connection_close(connection);
	connection->state = CONNECTION_FAILED;
}

static void fail_quietly(struct connection *connection, enum upstream_failure failure, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void fail_quietly(struct connection *connection, enum upstream_failure failure, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	set_error(connection, failure, format, arguments);
	va_end(arguments);
}

static void tell_failure(struct connection *connection)
{
	connection->upstream.events->failed(connection->upstream.context, &connection->error);
}

void h1_failed(struct connection *connection, enum upstream_failure failure, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	set_error(connection, failure, format, arguments);
	va_end(arguments);
	tell_failure(connection);
}

static void fail_closed(struct connection *connection, bool reset)
{
	h1_failed(connection, UPSTREAM_CLOSED, "%.100s %s the connection %s", connection_host(connection),
	          reset ? "reset" : "closed", connection->answered ? "within the head of its answer" : "without an answer");
}

/* A TLS record where a status line should be. */
static bool looks_like_tls(const struct connection *connection)
{
	return connection->in_end - connection->in_start >= 2 &&
	       (connection->in[connection->in_start] == 0x15 || connection->in[connection->in_start] == 0x16) &&
	       connection->in[connection->in_start + 1] == 0x03;
}

static void fail_head(struct connection *connection, enum codec_result result, const char *why)
{
	const char *host = connection_host(connection);
	if (result == CODEC_TOO_LARGE || result == CODEC_TOO_MANY)
		h1_failed(connection, UPSTREAM_HEAD_TOO_LARGE, "the answer of %.100s %s (limits: %s)", host, why,
		          result == CODEC_TOO_LARGE ? "head" : "fields");
	else if (looks_like_tls(connection))
		h1_failed(connection, UPSTREAM_MALFORMED, "%.100s answers in TLS; should the URL start with https://?", host);
	else
		h1_failed(connection, UPSTREAM_MALFORMED, "the answer of %.100s %s", host, why);
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
		if (count == CONNECTION_BROKEN) {
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

/* ---- the response ---- */

static bool keeps_alive(const struct connection *connection)
{
	const struct response *response = &connection->response;
	if (response->minor == 0)
		return fields_list_has(&response->fields, SPAN("connection"), SPAN("keep-alive"));
	if (fields_list_has(&response->fields, SPAN("connection"), SPAN("close")))
		return false;
	/* A 204 that speaks of a body may be followed by one. */
	const struct field *length = fields_find(&response->fields, SPAN("content-length"));
	return response->status != 204 || ((!length || span_equal(length->value, SPAN("0"))) &&
	                                   !fields_find(&response->fields, SPAN("transfer-encoding")));
}

static void take_final(struct connection *connection)
{
	connection->in_base = connection->in_start;
	connection->state = CONNECTION_BODY;
	connection->keep_alive = keeps_alive(connection);
	connection->body_done = connection->response.body.kind == BODY_NONE;
	connection->wants_read = true;
	codec_body_start(&connection->body, connection->response.body, connection->pool->limits.head);
	connection->body_done |= connection->response.body.kind == BODY_LENGTH && connection->response.body.length == 0;
	connection->upstream.events->head(connection->upstream.context, &connection->response);
}

/* False where that was the end of this use. */
static bool take_interim(struct connection *connection, size_t size)
{
	uint64_t use = connection->uses;
	connection->interim_count++;
	connection->interim_bytes += size;
	if (connection->response.status == 101) {
		h1_failed(connection, UPSTREAM_MALFORMED, "%.100s switched protocols unasked (101)",
		          connection_host(connection));
		return false;
	}
	if (connection->interim_count > INTERIM_COUNT || connection->interim_bytes > INTERIM_BYTES) {
		h1_failed(connection, UPSTREAM_MALFORMED, "%.100s sent too many interim (1xx) answers",
		          connection_host(connection));
		return false;
	}
	connection->upstream.events->interim(connection->upstream.context, &connection->response);
	if (connection->uses != use)
		return false;
	arena_reset(&connection->arena);
	return true;
}

/* Parses the heads that are there. False where there is no more to do. */
static bool parse_heads(struct connection *connection)
{
	while (connection->in_start < connection->in_end) {
		const char *why = "is malformed";
		size_t used = 0;
		struct span bytes = {connection->in + connection->in_start, connection->in_end - connection->in_start};
		enum codec_result result =
			codec_response_head(bytes, connection->pool->limits.head, connection->is_head ? SPAN("HEAD") : SPAN("GET"),
		                            &connection->arena, &connection->response, &used, &why);
		if (result == CODEC_MORE) {
			arena_reset(&connection->arena);
			return true;
		}
		if (result != CODEC_DONE) {
			fail_head(connection, result, why);
			return false;
		}
		connection->in_start += used;
		if (connection->response.status >= 200) {
			take_final(connection);
			return false;
		}
		if (!take_interim(connection, used))
			return false;
	}
	connection->in_start = connection->in_end = 0;
	return true;
}

/* Moves what is not consumed down to the base. */
static void compact(struct connection *connection)
{
	size_t kept = connection->in_end - connection->in_start;
	if (kept && connection->in_start > connection->in_base)
		memmove(connection->in + connection->in_base, connection->in + connection->in_start, kept);
	connection->in_start = connection->in_base;
	connection->in_end = connection->in_base + kept;
}

static void read_head(struct connection *connection)
{
	while (connection->can_read) {
		compact(connection);
		char *into = connection->in + connection->in_end;
		ssize_t count = connection_read(connection, into, connection->in_size - connection->in_end);
		if (count == CONNECTION_AGAIN)
			break;
		if (count <= 0) {
			fail_closed(connection, count < 0);
			return;
		}
		bool first = connection->in_end == 0;
		connection->answered = true;
		connection->in_end += (size_t)count;
		/* Without a line's end there is nothing new to parse: bytes that come one by one cost no more than lines. */
		if (!first && connection->in_end < connection->pool->limits.head.head && !memchr(into, '\n', (size_t)count))
			continue;
		if (!parse_heads(connection))
			return;
	}
	if (connection->write_broken)
		fail_closed(connection, true);
}

/* ---- the response's body ---- */

static struct span buffered(const struct connection *connection)
{
	return (struct span){connection->in + connection->in_start, connection->in_end - connection->in_start};
}

/* Takes the next run of content out of what is buffered. False where more bytes are needed, or it is malformed. */
static bool take_run(struct connection *connection)
{
	const char *why = "is malformed";
	size_t used = 0;
	struct span bytes = buffered(connection);
	if (bytes.length == 0)
		return false;
	enum codec_result result = codec_body_take(&connection->body, bytes, &connection->run, &used,
	                                           &connection->trailers, &connection->arena, &why);
	connection->in_start += used;
	if (result == CODEC_DONE)
		connection->body_done = true;
	else if (result != CODEC_MORE)
		fail_quietly(connection, UPSTREAM_CUT, "the body of the answer of %.100s %s", connection_host(connection), why);
	return result == CODEC_DONE || (result == CODEC_MORE && used > 0);
}

static size_t read_run(struct connection *connection, char *bytes, size_t size)
{
	size_t total = 0;
	while (total < size && connection->state == CONNECTION_BODY) {
		if (connection->run.length == 0 && (connection->body_done || !take_run(connection)))
			break;
		struct span piece = span_head(connection->run, size - total);
		if (piece.length)
			memcpy(bytes + total, piece.data, piece.length);
		connection->run = span_from(connection->run, piece.length);
		total += piece.length;
	}
	return total;
}

static ssize_t body_ended(struct connection *connection, bool reset)
{
	if (!reset && codec_body_may_end(&connection->body)) {
		connection->body_done = true;
		return 0;
	}
	fail_quietly(connection, UPSTREAM_CUT, "%.100s %s the connection within the body of its answer",
	             connection_host(connection), reset ? "reset" : "closed");
	return UPSTREAM_READ_ERROR;
}

/* May bytes from the socket go straight to the reader? */
static bool reads_direct(const struct connection *connection)
{
	const struct codec_body *body = &connection->body;
	if (connection->in_start < connection->in_end)
		return false;
	return body->framing.kind != BODY_CHUNKED || (body->state == CHUNK_DATA && body->left >= DIRECT_CHUNK);
}

/* One byte more than the length is asked for where there is room: what comes short tells that the socket is empty, and
 * what comes beyond it that this connection cannot be trusted with another request. */
static ssize_t read_direct(struct connection *connection, void *bytes, size_t size)
{
	struct codec_body *body = &connection->body;
	const char *why;
	size_t used, want = size;
	struct span data;
	if (body->framing.kind == BODY_LENGTH && body->left < want)
		want = (size_t)body->left + 1;
	else if (body->framing.kind == BODY_CHUNKED && body->left < want)
		want = (size_t)body->left;
	ssize_t count = connection_read(connection, bytes, want);
	if (count <= 0)
		return count;
	if (codec_body_take(body, (struct span){bytes, (size_t)count}, &data, &used, NULL, NULL, &why) == CODEC_DONE)
		connection->body_done = true;
	if (used < (size_t)count)
		connection->keep_alive = false;
	return (ssize_t)used;
}

static ssize_t refill(struct connection *connection)
{
	compact(connection);
	size_t room = connection->in_size - connection->in_end;
	if (room == 0) {
		fail_quietly(connection, UPSTREAM_CUT, "the answer of %.100s has a line in its body that is too long",
		             connection_host(connection));
		return CONNECTION_BROKEN;
	}
	ssize_t count = connection_read(connection, connection->in + connection->in_end, room);
	if (count > 0)
		connection->in_end += (size_t)count;
	return count;
}

static ssize_t h1_read(struct upstream *upstream, void *bytes, size_t size)
{
	struct connection *connection = connection_of(upstream);
	size_t total = read_run(connection, bytes, size);
	while (total == 0 && connection->state == CONNECTION_BODY && !connection->body_done && size > 0) {
		bool direct = reads_direct(connection);
		ssize_t count = CONNECTION_AGAIN;
		if (connection->can_read)
			count = direct ? read_direct(connection, bytes, size) : refill(connection);
		if (count == CONNECTION_AGAIN) {
			connection->wants_read = true;
			return UPSTREAM_READ_AGAIN;
		}
		if (count <= 0 && connection->state == CONNECTION_BODY)
			return body_ended(connection, count < 0);
		if (direct && count > 0)
			return count;
		total = read_run(connection, bytes, size);
	}
	return total == 0 && connection->state == CONNECTION_FAILED ? UPSTREAM_READ_ERROR : (ssize_t)total;
}

static size_t h1_ready(struct upstream *upstream, bool *whole)
{
	struct connection *connection = connection_of(upstream);
	struct codec_body body = connection->body;
	struct span rest = buffered(connection), data;
	size_t total = connection->run.length, used = 1;
	const char *why;
	*whole = connection->body_done;
	while (!*whole && rest.length > 0 && used > 0) {
		enum codec_result result = codec_body_take(&body, rest, &data, &used, NULL, NULL, &why);
		if (result != CODEC_DONE && result != CODEC_MORE)
			break;
		total += data.length;
		rest = span_from(rest, used);
		*whole = result == CODEC_DONE;
	}
	return total;
}

static const struct fields *h1_trailers(struct upstream *upstream)
{
	const struct connection *connection = connection_of(upstream);
	return connection->trailers.count ? &connection->trailers : NULL;
}

static const struct upstream_error *h1_error(struct upstream *upstream)
{
	return &connection_of(upstream)->error;
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
		read_head(connection);
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
	if (connection->announce && (!connection->write_broken || connection->sent_any)) {
		connection->announce = false;
		connection->upstream.events->connected(connection->upstream.context);
	}
	if (still(connection, use))
		h1_advance(connection);
}

/* ---- start and end ---- */

/* Reads over what is left in the buffer: often the end of the body is there, and nobody asked for it. */
static void drain_buffer(struct connection *connection)
{
	while (!connection->body_done && connection->state == CONNECTION_BODY && take_run(connection))
		continue;
}

static bool is_reusable(struct connection *connection)
{
	if (connection->state != CONNECTION_BODY || !connection->request_done || !connection->keep_alive ||
	    connection->write_broken || out_pending(connection) > 0)
		return false;
	drain_buffer(connection);
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

static const struct upstream_table h1_table = {
	.write = h1_write,
	.finish = h1_finish,
	.read = h1_read,
	.ready = h1_ready,
	.trailers = h1_trailers,
	.error = h1_error,
	.release = h1_release,
};

static void begin_request(struct connection *connection, const struct request *head)
{
	connection->uses++;
	codec_write_request(head, &connection->out);
	connection->out_head = connection->out.length;
	connection->sends = head->body;
	connection->send_left = head->body.kind == BODY_LENGTH ? head->body.length : 0;
	connection->request_done = head->body.kind == BODY_NONE || (head->body.kind == BODY_LENGTH && head->body.length == 0);
	connection->is_head = span_equal(head->method, SPAN("HEAD"));
	connection->wants_write = connection->write_broken = connection->sent_any = false;
}

static void begin_response(struct connection *connection)
{
	connection->in_base = connection->in_start = connection->in_end = 0;
	connection->run = (struct span){0};
	connection->trailers = (struct fields){0};
	connection->interim_count = connection->interim_bytes = 0;
	connection->answered = connection->body_done = connection->wants_read = false;
	connection->error = (struct upstream_error){0};
}

struct upstream *upstream_h1_start(struct upstream_pool *pool, const struct destination *destination,
                                   const struct request *head, bool fresh, const struct upstream_events *events,
                                   void *context)
{
	struct connection *connection = fresh ? NULL : pool_take_idle(pool, destination);
	bool reused = connection != NULL;
	if (!reused)
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
