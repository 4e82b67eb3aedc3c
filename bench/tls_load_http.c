/*
 * HTTP/1.1 and HTTP/2 as tls_load speaks them: an answer that is not 200, or not the one that was expected, is the end.
 */
#include "tls_load.h"

struct job job;

static void must_be(const char *bytes, size_t size, size_t at)
{
	if (at + size > job.answer_size || memcmp(bytes, job.answer + at, size) != 0)
		fail("%s was answered by other bytes than the origin's, from %zu on", job.path, at);
}

/* --- HTTP/1.1 --- */

static void h1_ask(struct client *client)
{
	static char request[65536];
	static size_t size;
	if (size == 0) {
		int head = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\n",
		                    job.posted_size ? "POST" : "GET", job.path, job.authority);
		if (job.posted_size)
			head += snprintf(request + head, sizeof request - (size_t)head, "Content-Length: %zu\r\n", job.posted_size);
		head += snprintf(request + head, sizeof request - (size_t)head, "\r\n");
		memcpy(request + head, job.posted, job.posted_size);
		size = (size_t)head + job.posted_size;
	}
	client->began = now();
	client->open = 1;
	say(client, request, size);
}

/* Bytes taken; 0: the head is not whole. */
static size_t h1_take_head(struct client *client, const char *bytes, size_t size)
{
	size_t before = client->head_size, more = sizeof client->head - 1 - before;
	more = more < size ? more : size;
	memcpy(client->head + before, bytes, more);
	client->head_size += more;
	client->head[client->head_size] = 0;
	const char *end = strstr(client->head, "\r\n\r\n");
	if (!end && client->head_size == sizeof client->head - 1)
		fail("the head of a response does not end");
	if (!end)
		return 0;
	const char *length = strcasestr(client->head, "\r\ncontent-length:");
	if (strncmp(client->head, "HTTP/1.1 200", 12) || !length || length > end)
		fail("%s was answered: %.*s", job.path, (int)(end - client->head), client->head);
	client->body_size = client->body_left = strtoul(length + strlen("\r\ncontent-length:"), NULL, 10);
	if (client->body_size != job.answer_size)
		fail("%s was answered by %zu bytes, not %zu", job.path, client->body_size, job.answer_size);
	client->in_body = true;
	client->head_size = 0;
	return (size_t)(end - client->head) + 4 - before;
}

static void h1_take(struct client *client, const char *bytes, size_t size)
{
	if (!client->open)
		fail("bytes that nobody asked for");
	if (!client->in_body) {
		size_t taken = h1_take_head(client, bytes, size);
		if (!client->in_body)
			return;
		bytes += taken;
		size -= taken;
	}
	if (size > client->body_left)
		fail("bytes behind a response");
	must_be(bytes, size, client->body_size - client->body_left);
	client->body_left -= size;
	if (client->body_left > 0)
		return;
	client->in_body = false;
	client->open = 0;
	answered(client, client->began);
	if (is_time_left())
		h1_ask(client);
}

/* There is nothing to say before the first request, nor behind the last one. */
static void h1_say_nothing(struct client *client)
{
	(void)client;
}

const struct protocol protocol_h1 = {"http/1.1", h1_say_nothing, h1_ask, h1_take, h1_say_nothing};

/* --- HTTP/2 --- */

struct stream {
	uint64_t began;
	size_t got, sent;
	bool fine; /* its status is 200 */
};

static nghttp2_session_callbacks *callbacks;

static ssize_t h2_body(nghttp2_session *h2, int32_t id, uint8_t *bytes, size_t size, uint32_t *flags,
                       nghttp2_data_source *source, void *context)
{
	struct stream *stream = source->ptr;
	size_t left = job.posted_size - stream->sent;
	(void)h2;
	(void)id;
	(void)context;
	if (size > left)
		size = left;
	memcpy(bytes, job.posted + stream->sent, size);
	stream->sent += size;
	if (stream->sent == job.posted_size)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)size;
}

static nghttp2_nv field(const char *name, const char *value)
{
	return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value),
	                    NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

static void h2_ask(struct client *client)
{
	static char length[24];
	struct stream *stream = enough(NULL, 1, sizeof *stream);
	*stream = (struct stream){.began = now()};
	const nghttp2_data_provider body = {{.ptr = stream}, h2_body};
	snprintf(length, sizeof length, "%zu", job.posted_size);
	const nghttp2_nv fields[] = {
		field(":method", job.posted_size ? "POST" : "GET"), field(":scheme", "https"), field(":authority", job.authority),
		field(":path", job.path), field("accept", "*/*"), field("content-length", length),
	};
	size_t count = sizeof fields / sizeof *fields - !job.posted_size;
	int id = nghttp2_submit_request(client->h2, NULL, fields, count, job.posted_size ? &body : NULL, stream);
	if (id < 0)
		fail("a request of HTTP/2: %s", nghttp2_strerror(id));
	client->open++;
}

static int h2_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
                     const uint8_t *value, size_t value_size, uint8_t flags, void *context)
{
	struct stream *stream = nghttp2_session_get_stream_user_data(h2, frame->hd.stream_id);
	(void)flags;
	(void)context;
	if (stream && name_size == 7 && !memcmp(name, ":status", 7)) {
		stream->fine = value_size == 3 && !memcmp(value, "200", 3);
		if (!stream->fine)
			fail("%s was answered: %.*s", job.path, (int)value_size, (const char *)value);
	}
	return 0;
}

static int h2_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *bytes, size_t size, void *context)
{
	struct stream *stream = nghttp2_session_get_stream_user_data(h2, id);
	(void)flags;
	(void)context;
	if (!stream)
		return 0;
	must_be((const char *)bytes, size, stream->got);
	stream->got += size;
	return 0;
}

static int h2_closed(nghttp2_session *h2, int32_t id, uint32_t error, void *context)
{
	struct client *client = context;
	struct stream *stream = nghttp2_session_get_stream_user_data(h2, id);
	if (!stream)
		return 0;
	if (error || !stream->fine || stream->got != job.answer_size)
		fail("%s was answered by %zu bytes of %zu, error %u", job.path, stream->got, job.answer_size, error);
	client->open--;
	answered(client, stream->began);
	free(stream);
	if (is_time_left())
		h2_ask(client);
	return 0;
}

static void h2_send(struct client *client)
{
	static char record[16384];
	size_t filled = 0;
	const uint8_t *bytes;
	ssize_t count;
	while ((count = nghttp2_session_mem_send(client->h2, &bytes)) > 0)
		for (size_t left = (size_t)count; left > 0;) {
			size_t part = left < sizeof record - filled ? left : sizeof record - filled;
			memcpy(record + filled, bytes, part);
			filled += part;
			bytes += part;
			left -= part;
			if (filled == sizeof record) {
				say(client, record, filled);
				filled = 0;
			}
		}
	if (count < 0)
		fail("HTTP/2: %s", nghttp2_strerror((int)count));
	if (filled)
		say(client, record, filled);
}

static void h2_open(struct client *client)
{
	const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 30}, {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
	if (!callbacks) {
		nghttp2_session_callbacks_new(&callbacks);
		nghttp2_session_callbacks_set_on_header_callback(callbacks, h2_header);
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, h2_data);
		nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, h2_closed);
	}
	if (nghttp2_session_client_new(&client->h2, callbacks, client))
		fail("no session of HTTP/2");
	nghttp2_submit_settings(client->h2, NGHTTP2_FLAG_NONE, settings, 2);
	nghttp2_session_set_local_window_size(client->h2, NGHTTP2_FLAG_NONE, 0, 1 << 30);
	h2_send(client);
}

static void h2_start(struct client *client)
{
	for (size_t i = 0; i < job.streams; i++)
		h2_ask(client);
	h2_send(client);
}

static void h2_take(struct client *client, const char *bytes, size_t size)
{
	ssize_t count = nghttp2_session_mem_recv(client->h2, (const uint8_t *)bytes, size);
	if (count < 0)
		fail("HTTP/2: %s", nghttp2_strerror((int)count));
	h2_send(client);
}

static void h2_stop(struct client *client)
{
	nghttp2_session_terminate_session(client->h2, NGHTTP2_NO_ERROR);
	h2_send(client);
	nghttp2_session_del(client->h2);
	client->h2 = NULL;
}

const struct protocol protocol_h2 = {"h2", h2_open, h2_start, h2_take, h2_stop};
