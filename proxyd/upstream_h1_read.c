/* The response on an HTTP/1.1 connection: its heads as they come, its body as it is asked for. */
#include "upstream_connection.h"

#define DIRECT_CHUNK 4096 /* a chunk of which so much is left is read straight into the reader's memory */
#define HEAD_READ 8192    /* with a head; more of a body would only be copied */

/* ---- its head ---- */

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
	codec_body_start(&connection->body, connection->response.body, connection->head_limits);
	connection->body_done |= connection->response.body.kind == BODY_LENGTH && connection->response.body.length == 0;
	connection->upstream.events->head(connection->upstream.context, &connection->response);
}

/* What follows the head is the new protocol's, and whoever is told of it takes the connection. Nobody can have asked whose
 * request is not all sent. */
static void take_switch(struct connection *connection)
{
	if (!connection->upgrades || connection->out.length > 0 || connection->write_broken) {
		h1_failed(connection, UPSTREAM_SWITCHED, "%.100s switched protocols unasked (101)",
		          connection_host(connection));
		return;
	}
	connection->state = CONNECTION_BODY;
	connection->keep_alive = false;
	connection->upstream.events->head(connection->upstream.context, &connection->response);
}

/* False where that was the end of this use. */
static bool take_interim(struct connection *connection, size_t size)
{
	uint64_t use = connection->uses;
	if (!upstream_interims_add(&connection->interims, size)) {
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
			codec_response_head(bytes, connection->head_limits, connection->is_head ? SPAN("HEAD") : SPAN("GET"),
		                            &connection->arena, &connection->response, &used, &why);
		if (result == CODEC_MORE) {
			arena_reset(&connection->arena);
			return true;
		}
		if (result != CODEC_DONE) {
			h1_fail_head(connection, result, why);
			return false;
		}
		connection->in_start += used;
		if (connection->response.status == 101)
			take_switch(connection);
		else if (connection->response.status >= 200)
			take_final(connection);
		else if (take_interim(connection, used))
			continue;
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

void h1_read_head(struct connection *connection)
{
	while (connection->can_read) {
		compact(connection);
		char *into = connection->in + connection->in_end;
		size_t room = connection->in_size - connection->in_end;
		ssize_t count = connection_read(connection, into, room < HEAD_READ ? room : HEAD_READ);
		if (count == ENDPOINT_AGAIN)
			break;
		if (count <= 0) {
			h1_fail_closed(connection, count < 0 || connection->write_broken);
			return;
		}
		bool first = connection->in_end == 0;
		connection->answered = true;
		connection->in_end += (size_t)count;
		/* Without a line's end there is nothing new to parse: bytes that come one by one cost no more than lines. */
		if (!first && connection->in_end < connection->head_limits.head && !memchr(into, '\n', (size_t)count))
			continue;
		if (!parse_heads(connection))
			return;
	}
	if (connection->write_broken)
		h1_fail_closed(connection, true);
}

/* ---- its body ---- */

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
		h1_fail_quietly(connection, UPSTREAM_CUT, "the body of the answer of %.100s %s", connection_host(connection), why);
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

/* A reset that a write was told of looks like an end to who reads. */
static ssize_t body_ended(struct connection *connection, bool reset)
{
	if (!reset && codec_body_may_end(&connection->body)) {
		connection->body_done = true;
		return 0;
	}
	h1_fail_quietly(connection, UPSTREAM_CUT, "%.100s %s the connection within the body of its answer",
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
		h1_fail_quietly(connection, UPSTREAM_CUT, "the answer of %.100s has a line in its body that is too long",
		             connection_host(connection));
		return ENDPOINT_BROKEN;
	}
	ssize_t count = connection_read(connection, connection->in + connection->in_end, room);
	if (count > 0)
		connection->in_end += (size_t)count;
	return count;
}

ssize_t h1_read(struct upstream *upstream, void *bytes, size_t size)
{
	struct connection *connection = connection_of(upstream);
	size_t total = read_run(connection, bytes, size);
	while (total == 0 && connection->state == CONNECTION_BODY && !connection->body_done && size > 0) {
		bool direct = reads_direct(connection);
		ssize_t count = ENDPOINT_AGAIN;
		if (connection->can_read)
			count = direct ? read_direct(connection, bytes, size) : refill(connection);
		if (count == ENDPOINT_AGAIN) {
			connection->wants_read = true;
			return UPSTREAM_READ_AGAIN;
		}
		if (count <= 0 && connection->state == CONNECTION_BODY)
			return body_ended(connection, count < 0 || connection->write_broken);
		if (direct && count > 0)
			return count;
		total = read_run(connection, bytes, size);
	}
	return total == 0 && connection->state == CONNECTION_FAILED ? UPSTREAM_READ_ERROR : (ssize_t)total;
}

size_t h1_ready(struct upstream *upstream, bool *whole)
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

void h1_drain_buffer(struct connection *connection)
{
	while (!connection->body_done && connection->state == CONNECTION_BODY && take_run(connection))
		continue;
}
