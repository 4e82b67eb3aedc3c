/* What the exchange tells, and responses through libmicrohttpd: its framing and keep-alive, our fields and body. */
#include "front_h1_internal.h"
#include "protocols.h"

#define WHOLE_LIMIT (32 * 1024) /* a body that is here already and no longer goes out as one piece */
#define BLOCK_BYTES (32 * 1024)
#define WORTH_READING 4096 /* room behind what was read already; a search of little room for secrets takes memory for it */

/* libmicrohttpd wants strings, refuses empty values (a blank is the same to a reader, RFC 9110 §5.5), and copies. */
static bool add_field(struct MHD_Response *response, const struct field *field, struct arena *arena)
{
	char *name = arena_copy(arena, field->name.data, field->name.length);
	char *value = field->value.length ? arena_copy(arena, field->value.data, field->value.length) : " ";
	return MHD_add_response_header(response, name, value) == MHD_YES;
}

#define KEPT_BYTES 72     /* of libmicrohttpd's, for each field and cookie */
#define OTHER_BYTES 2048  /* of libmicrohttpd's, beside these */
static size_t count_crumbs(const struct fields *fields)
{
	size_t count = 0;
	for (size_t i = 0; i < fields->count; i++) {
		struct span cookies = fields->list[i].value;
		if (!span_equal_nocase(fields->list[i].name, SPAN("cookie")))
			continue;
		for (; cookies.data; count++)
			span_split(&cookies, ';');
	}
	return count;
}

/* What libmicrohttpd has of a request with a head of `size` bytes, beside that head. */
static size_t kept_of(const struct request *request, size_t size)
{
	size_t crumbs = count_crumbs(&request->fields);
	/* A cookie's pieces point into a copy of it. */
	return (crumbs ? size : 0) + (request->fields.count + crumbs) * KEPT_BYTES;
}

size_t front_h1_needs(const struct request *request, size_t size)
{
	size_t memory = size + kept_of(request, size) + OTHER_BYTES;
	/* What a client says early, behind an upgrade, must leave room for a 101 with cookies. */
	bool spacious = size > LOOK_BYTES || protocols_asked(request);
	return spacious && memory <= SMALL_MEMORY ? SMALL_MEMORY + 1 : memory;
}

static bool add_fields(struct MHD_Response *response, const struct fields *fields, struct arena *arena)
{
	for (size_t i = 0; i < fields->count; i++) {
		if (span_equal_nocase(fields->list[i].name, SPAN("content-length")))
			continue;
		if (!add_field(response, &fields->list[i], arena))
			return false;
	}
	return true;
}

#define HEAD_MORE 768   /* the status line, what libmicrohttpd adds, and gaps */

static size_t head_size(const struct fields *fields)
{
	size_t size = 0;
	for (size_t i = 0; i < fields->count; i++)
		size += fields->list[i].name.length + fields->list[i].value.length + strlen(": \r\n");
	return size;
}

/* What its read buffer takes, which may hold requests behind this one: half of the memory, or a longer head and the step by
 * which it grew. The head alone, where that is known to be all. */
static size_t read_by(const struct client *client, size_t head)
{
	size_t memory = client->hall->memory, grown = head + memory / 8;
	if (!front_h1_may_have_read_on(client))
		return head;
	return grown > memory / 2 ? grown : memory / 2;
}

/* Does the head fit into libmicrohttpd's memory, where the request still is? */
static bool fits(const struct client *client)
{
	const struct request *request = exchange_request(client->exchange);
	size_t head = request->target.length + head_size(&request->fields) + HEAD_MORE / 2;
	return head_size(&exchange_response(client->exchange)->fields) + HEAD_MORE + kept_of(request, head) +
	           read_by(client, head) <= client->hall->memory;
}

static ssize_t end_of_body(struct client *client)
{
	const struct fields *trailers = exchange_trailers(client->exchange);
	struct arena *arena = exchange_arena(client->exchange);
	for (size_t i = 0; trailers && i < trailers->count; i++)
		MHD_add_response_footer(client->footers,
		                        arena_copy(arena, trailers->list[i].name.data, trailers->list[i].name.length),
		                        arena_copy(arena, trailers->list[i].value.data, trailers->list[i].value.length));
	return MHD_CONTENT_READER_END_OF_STREAM;
}

static ssize_t cut_short(struct client *client)
{
	front_h1_cut(client);
	return MHD_CONTENT_READER_END_WITH_ERROR;
}

/* What is here, as far as it fits: a call of libmicrohttpd for each record of the upstream's would cost more than the record. */
static ssize_t read_piece(struct client *client, char *bytes, size_t size)
{
	struct span part = span_head(client->prefetched, size);
	ssize_t count = 1;
	size_t filled = part.length;
	if (filled)
		memcpy(bytes, part.data, filled);
	client->prefetched = span_from(client->prefetched, filled);
	while ((filled == 0 || size - filled >= WORTH_READING) && count > 0 && client->state != CLIENT_CLOSE) {
		count = exchange_read(client->exchange, bytes + filled, size - filled);
		filled += count > 0 ? (size_t)count : 0;
	}
	/* Behind bytes an end or an error waits for the next call: it is told again. */
	return filled > 0 ? (ssize_t)filled : count;
}

/* Behind this call one writes what it has made; and a connection that closes behind its answer libmicrohttpd 0.9.75 ends in one
 * more, of which no event tells where several have their answers in one call. */
static void go_on_writing(struct client *client)
{
	front_h1_run_soon(client, client->close_behind ? 2 : 1);
}

static ssize_t read_body(void *context, uint64_t position, char *bytes, size_t size)
{
	struct client *client = context;
	(void)position;
	if (client->state == CLIENT_CLOSE && client->prefetched.length == 0)
		return cut_short(client);
	ssize_t count = read_piece(client, bytes, size);
	if (count == UPSTREAM_READ_AGAIN) {
		front_h1_wait(client);
		return 0;
	}
	go_on_writing(client);
	if (count > 0)
		return count;
	if (count == 0)
		return end_of_body(client);
	return cut_short(client);
}

/* Reads a short body that is here already. False where it turned out to be cut. */
static bool prefetch(struct client *client, size_t ready)
{
	char *bytes = arena_alloc(exchange_arena(client->exchange), ready ? ready : 1);
	size_t filled = 0;
	while (filled < ready) {
		ssize_t count = exchange_read(client->exchange, bytes + filled, ready - filled);
		if (count <= 0)
			return count != UPSTREAM_READ_ERROR;
		filled += (size_t)count;
		client->prefetched = (struct span){bytes, filled};
	}
	return true;
}

static struct MHD_Response *without_body(const struct response *head)
{
	const struct field *length = fields_find(&head->fields, SPAN("content-length"));
	uint64_t size = 0;
	for (size_t i = 0; length && i < length->value.length; i++)
		size = size * 10 + (uint64_t)(length->value.data[i] - '0');
	if (length || head->status == 204)
		return MHD_create_response_from_callback(size, 1, read_body, NULL, NULL);
	/* No Content-Length came and none may be made up: libmicrohttpd leaves it out only where it closes behind. */
	struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 1, read_body, NULL, NULL);
	if (response)
		MHD_set_response_options(response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
	return response;
}

static struct MHD_Response *with_body(struct client *client, const struct response *head)
{
	bool whole = false;
	size_t ready = exchange_ready(client->exchange, &whole);
	if (whole && ready <= WHOLE_LIMIT) {
		if (!prefetch(client, ready))
			return NULL;
		if (head->body.kind == BODY_LENGTH && client->prefetched.length == head->body.length) {
			struct span body = client->prefetched;
			client->prefetched = (struct span){0};
			return MHD_create_response_from_buffer(body.length, (void *)(uintptr_t)(body.length ? body.data : ""),
			                                       MHD_RESPMEM_PERSISTENT);
		}
	}
	uint64_t size = head->body.kind == BODY_LENGTH ? head->body.length : MHD_SIZE_UNKNOWN;
	size_t block = size < BLOCK_BYTES ? (size_t)size : BLOCK_BYTES;
	client->reset_on_cut = size == MHD_SIZE_UNKNOWN && exchange_request(client->exchange)->minor == 0;
	return MHD_create_response_from_callback(size, block, read_body, client, NULL);
}

/* False where it cannot be done: the connection is to be closed. */
static bool reply(struct client *client)
{
	const struct response *head = exchange_response(client->exchange);
	struct arena *arena = exchange_arena(client->exchange);
	struct MHD_Response *response = head->body.kind == BODY_NONE ? without_body(head) : with_body(client, head);
	if (!response)
		return false;
	bool done = add_fields(response, &head->fields, arena);
	client->close_behind |= exchange_closes(client->exchange) || client->front->worker->draining;
	if (done && client->close_behind)
		done = MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close") == MHD_YES;
	client->footers = response;
	done = done && MHD_queue_response(client->connection, head->status, response) == MHD_YES;
	MHD_destroy_response(response);
	return done;
}

/* --- what the exchange tells --- */

static void front_proceed(void *front)
{
	struct client *client = front;
	if (client->state == CLIENT_EXPECT)
		front_h1_resume(client);
}

static void front_interim(void *front, const struct response *interim)
{
	struct client *client = front;
	if (exchange_request(client->exchange)->minor == 1 &&
	    (client->state == CLIENT_WAIT || client->state == CLIENT_EXPECT || client->state == CLIENT_BODY))
		front_h1_raw_interim(client, interim);
}

static void front_respond(void *front)
{
	struct client *client = front;
	if (client->state == CLIENT_BODY) {
		front_h1_raw_start(client);
		return;
	}
	if (client->state != CLIENT_WAIT && client->state != CLIENT_EXPECT)
		return;
	loop_timer_stop(client->front->worker->loop, &client->timer);
	if (!fits(client)) {
		client->body_ended |= client->state == CLIENT_WAIT;
		front_h1_raw_start(client);
		return;
	}
	client->state = CLIENT_REPLY;
	if (!reply(client)) {
		front_h1_close(client);
		return;
	}
	front_h1_resume(client); /* one call builds the head */
	go_on_writing(client);
}

/* libmicrohttpd adds `Connection: Upgrade`. */
static bool switch_over(struct client *client)
{
	const struct response *head = exchange_response(client->exchange);
	struct MHD_Response *response = MHD_create_response_for_upgrade(front_h1_on_switch, NULL);
	bool done = response && add_fields(response, &head->fields, exchange_arena(client->exchange)) &&
	            MHD_queue_response(client->connection, head->status, response) == MHD_YES;
	if (response)
		MHD_destroy_response(response);
	return done;
}

static bool front_upgrade(void *front)
{
	struct client *client = front;
	if (client->state == CLIENT_CLOSE)
		return true;
	if (client->state != CLIENT_WAIT || !fits(client))
		return false;
	client->state = CLIENT_REPLY;
	if (!switch_over(client)) {
		front_h1_close(client);
		return true;
	}
	front_h1_resume(client);
	front_h1_run_soon(client, 1);
	return true;
}

static void front_readable(void *front)
{
	struct client *client = front;
	if (client->state == CLIENT_RAW)
		front_h1_raw_pump(client);
	else if (client->state == CLIENT_REPLY)
		front_h1_resume(client);
}

static void front_writable(void *front)
{
	struct client *client = front;
	if (client->state == CLIENT_BODY || (client->state == CLIENT_RAW && !client->body_ended))
		front_h1_resume(client);
}

static void front_abort(void *front)
{
	front_h1_reset(front);
}

const struct front_table front_h1_table = {
	.proceed = front_proceed,
	.interim = front_interim,
	.respond = front_respond,
	.upgrade = front_upgrade,
	.readable = front_readable,
	.writable = front_writable,
	.abort = front_abort,
};
