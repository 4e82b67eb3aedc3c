/* Bytes between libnghttp2 and the socket. What was written is wiped: it may hold secrets. */
#include <errno.h>
#include <sys/socket.h>

#include "upstream_h2_internal.h"

#define READ_BYTES (16 * 1024)
#define OUT_BYTES (64 * 1024) /* written at once */
#define TURNS 4               /* of each, then others have theirs */

void h2_connection_soon(struct h2_connection *connection)
{
	loop_later(connection->room->loop, &connection->task);
}

/* ---- writing ---- */

/* Nobody reads what is written; what came before may still be read. */
static void fall_mute(struct h2_connection *connection)
{
	connection->mute = connection->reset = connection->unread = true;
}

/* False where some of it waits for the socket, or nothing more can be written. */
static bool is_sent(struct h2_connection *connection, enum outbox_result result)
{
	if (result == OUTBOX_BROKEN)
		fall_mute(connection);
	return result == OUTBOX_EMPTY;
}

/* The next frames. libnghttp2 keeps its buffer for those that follow, and reads no byte of it again. */
static bool make_frames(struct h2_connection *connection, struct buffer *out)
{
	const uint8_t *bytes;
	ssize_t count = 0;
	while (out->length < OUT_BYTES && (count = nghttp2_session_mem_send(connection->session, &bytes)) > 0) {
		buffer_append(out, bytes, (size_t)count);
		explicit_bzero((void *)(uintptr_t)bytes, (size_t)count);
	}
	connection->gone |= count < 0;
	return out->length > 0;
}

static bool send_frames(struct h2_connection *connection, struct buffer *out)
{
	bool sent = is_sent(connection, outbox_write(&connection->outbox, &connection->end, buffer_view(out)));
	explicit_bzero(out->data, out->length);
	buffer_clear(out);
	return sent;
}

bool h2_connection_write(struct h2_connection *connection)
{
	struct buffer *out = &connection->room->out;
	return !connection->mute && is_sent(connection, outbox_flush(&connection->outbox, &connection->end)) &&
	       make_frames(connection, out) && send_frames(connection, out);
}

/* True where there is more to write, and the socket takes it. */
static bool write_some(struct h2_connection *connection)
{
	for (unsigned turn = 0; turn < TURNS; turn++)
		if (!h2_connection_write(connection))
			return false;
	return true;
}

/* ---- reading ---- */

static void take(struct h2_connection *connection, const uint8_t *bytes, size_t size)
{
	ssize_t used = nghttp2_session_mem_recv(connection->session, bytes, size);
	if (used == NGHTTP2_ERR_FLOODED)
		h2_accuse(connection, NGHTTP2_ENHANCE_YOUR_CALM, "asks for acknowledgements and takes none");
	else if (used < 0)
		h2_accuse(connection, NGHTTP2_PROTOCOL_ERROR, "does not speak HTTP/2, which it chose");
}

static void read_some(struct h2_connection *connection)
{
	uint8_t bytes[READ_BYTES];
	for (unsigned turn = 0; turn < TURNS && connection->unread && !connection->gone && !connection->wrong; turn++) {
		ssize_t count = endpoint_read(&connection->end, bytes, sizeof bytes);
		if (count == 0 || count == ENDPOINT_BROKEN) {
			connection->gone = true;
			connection->reset |= count < 0;
		} else if (count == ENDPOINT_AGAIN) {
			connection->unread = false;
			connection->gone |= connection->mute;
		} else {
			connection->silent_since = loop_now(connection->room->loop);
			take(connection, bytes, (size_t)count);
		}
	}
}

bool h2_connection_is_quiet(struct h2_connection *connection)
{
	char byte;
	if (recv(connection->end.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN)
		return true;
	connection->unread = true;
	h2_connection_soon(connection);
	return false;
}

/* ---- one round ---- */

static void wake_writers(struct h2_connection *connection)
{
	struct h2_request *request;
	LIST_FOREACH (request, &connection->requests, others) {
		if (!request->wants_write || h2_request_room(request) == 0)
			continue;
		request->wants_write = false;
		h2_tell(request, H2_NEWS_WRITABLE);
	}
}

static bool is_over(const struct h2_connection *connection)
{
	if (connection->gone || connection->wrong)
		return true;
	if (outbox_size(&connection->outbox) > 0 || nghttp2_session_want_write(connection->session))
		return false;
	return !nghttp2_session_want_read(connection->session) ||
	       (connection->state == H2_LEAVING && connection->streams == 0);
}

void h2_connection_serve(struct h2_connection *connection)
{
	bool more = false;
	read_some(connection);
	if (!connection->gone && !connection->wrong)
		more = write_some(connection);
	if (is_over(connection)) {
		h2_connection_end(connection);
		return;
	}
	wake_writers(connection);
	h2_connection_set_time(connection);
	if (more || connection->unread)
		loop_next(connection->room->loop, &connection->task);
	h2_origin_serve(connection->origin);
}

void h2_connection_run(struct loop_task *task)
{
	h2_connection_serve((struct h2_connection *)((char *)task - offsetof(struct h2_connection, task)));
}
