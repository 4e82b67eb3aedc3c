#include "front_h1_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "memory.h"
#include "refusal.h"

#define BODY_CALLS 2 /* of libmicrohttpd's: in the first one it writes the 100, in the next one it reads the body */
#define EXPECT_TIME 3000 /* ms that a body waits for the upstream's 100; clients wait for less */

void front_h1_suspend(struct client *client)
{
	client->suspended = true;
	MHD_suspend_connection(client->connection);
}

void front_h1_wait(struct client *client)
{
	if (client->left)
		front_h1_close(client);
	else
		front_h1_suspend(client);
}

void front_h1_resume(struct client *client)
{
	if (client->suspended)
		MHD_resume_connection(client->connection);
	client->suspended = false;
	front_h1_run_soon(client, 0);
}

/* Not all that should have gone has. */
static void reset_socket(struct client *client)
{
	/* SO_LINGER would come too late: libmicrohttpd shuts down before it closes. This resets TCP at once. */
	static const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	connect(client->fd, &nobody, sizeof nobody);
}

void front_h1_cut(struct client *client)
{
	if (client->reset_on_cut && !client->raw_done)
		reset_socket(client);
}

void front_h1_close(struct client *client)
{
	front_h1_cut(client);
	client->state = CLIENT_CLOSE;
	/* Where libmicrohttpd waits for the socket, this is what ends its wait; else the time limit does. */
	shutdown(client->fd, SHUT_RDWR);
	front_h1_resume(client);
	front_h1_end_soon(client);
}

void front_h1_reset(struct client *client)
{
	reset_socket(client);
	front_h1_close(client);
}

/* --- the request, as libmicrohttpd gives it --- */

/* libmicrohttpd takes a query apart as soon as this callback is over, and has no word for a client whose query has more
 * parameters than its memory: it falls silent. Nobody asks for its parameters, so it is shown an empty query. */
static void hide_query(const char *target)
{
	char *query = strchr(target, '?');
	if (query && query[1])
		query[1] = 0;
}

/* The raw request-target; the `url` of the handler is decoded, and cut at %00. */
void *front_h1_on_request_line(void *context, const char *target, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct client *client = info->socket_context;
	(void)context;
	client->state = CLIENT_HEAD;
	client->looked_at = client->next && span_equal(exchange_request(client->next)->target, span_of(target));
	if (client->looked_at) {
		client->exchange = client->next;
		client->next = NULL;
	} else {
		front_h1_forget_next(client);
		client->exchange = exchange_new(client->front->worker);
		exchange_request(client->exchange)->target = arena_span(exchange_arena(client->exchange), span_of(target));
	}
	hide_query(target);
	/* It may have been read together with the request in front of it: then no event told that this head began. */
	if (!client->head_began && !client->left)
		front_h1_set_timer(client, front_h1_limits(client)->head_time);
	return client;
}

struct collect {
	struct fields *fields;
	struct arena *arena;
	const char *next;  /* where the next line must begin, unless blanks stand behind the value; NULL: that is not looked at */
	bool coding;       /* the line before was a Transfer-Encoding */
	size_t head_bytes; /* what the fields take up in a head as RFC 9112 has it, blanks before values included */
	bool odd;
};

/* Since 1.0 libmicrohttpd leaves out the blanks that stand behind a value (RFC 9112 §5), and writes a NUL where they begin. How
 * many are between the end of the last value and the line that begins at `line`? -1: it is not blanks alone. Before 1.0 it does
 * not know "chunked" with a blank behind it: the body would have no end, and hold the next request; so nowhere it may stand there. */
static ptrdiff_t blanks_before(const struct collect *collect, const char *line)
{
	if (!collect->next)
		return 0;
	ptrdiff_t count = line - collect->next;
	const char *blanks = collect->next - 2;
	for (ptrdiff_t i = 1; i < count; i++)
		if (blanks[i] != ' ' && blanks[i] != '\t')
			return -1;
	return count > 0 && (collect->coding || memcmp(blanks + count, "\r\n", 2) != 0) ? -1 : count;
}

static enum MHD_Result collect_field(void *context, enum MHD_ValueKind kind, const char *name, size_t name_length,
                                     const char *value, size_t value_length)
{
	struct collect *collect = context;
	struct span name_span = {name, name_length}, value_span = {value ? value : "", value_length};
	(void)kind;
	/* Both point into the read buffer, so the bytes between them are the colon and blanks, and nothing else fits. */
	ptrdiff_t gap = value ? value - (name + name_length) : 1;
	ptrdiff_t blanks = blanks_before(collect, name);
	collect->coding = span_equal_nocase(name_span, SPAN("transfer-encoding"));
	if (gap < 1 || gap > 1024 || blanks < 0 || (collect->coding && span_trim(value_span).length != value_length))
		collect->odd = true;
	else
		collect->head_bytes += (size_t)blanks + name_length + (size_t)gap + value_length + 2;
	if (collect->next && value)
		collect->next = value + value_length + 2;
	fields_add(collect->fields, collect->arena, name_span, span_trim(value_span));
	return MHD_YES;
}

/* Is the head that libmicrohttpd read just what it gave us? A fold, a NUL, a bare LF or a dropped line makes a difference. */
static bool head_is_whole(struct client *client, const struct collect *collect, size_t line)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(client->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	if (collect->odd || !info)
		return false;
	size_t known = line + collect->head_bytes + 2;
	/* What is more stands behind the last value. */
	return info->header_size == known || (collect->next && info->header_size > known &&
	        blanks_before(collect, collect->next + (info->header_size - known)) > 0);
}

static bool read_head(struct client *client, const char *method, const char *version)
{
	struct request *request = exchange_request(client->exchange);
	size_t line = strlen(method) + 1 + request->target.length + 1 + strlen(version) + 2;
	struct collect collect = {
		.fields = &request->fields, .arena = exchange_arena(client->exchange), .next = method + line};
	request->method = span_of(method);
	request->minor = strcmp(version, MHD_HTTP_VERSION_1_0) == 0 ? 0 : 1;
	MHD_get_connection_values_n(client->connection, MHD_HEADER_KIND, collect_field, &collect);
	return head_is_whole(client, &collect, line) &&
	       (request->minor == 0 || strcmp(version, MHD_HTTP_VERSION_1_1) == 0);
}

static bool has_body(const struct request *request)
{
	return request->body.kind == BODY_CHUNKED || (request->body.kind == BODY_LENGTH && request->body.length > 0);
}

/* What sniff judges of a connection's first head, of the later ones. */
static enum codec_result judge_head(struct client *client, bool whole, const char **why)
{
	const struct config_limits *limits = front_h1_limits(client);
	struct request *request = exchange_request(client->exchange);
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(client->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	*why = "has a head that can be read in two ways";
	if (!whole)
		return CODEC_BAD;
	*why = "has a head over the limit";
	if (!info || info->header_size > limits->head)
		return CODEC_TOO_LARGE;
	*why = "has more fields than the limit";
	if (request->fields.count > limits->fields)
		return CODEC_TOO_MANY;
	return codec_request_check(request, why);
}

/* Is it what was looked at, and judged, before libmicrohttpd read it? Of a request with a body its own reading counts, too:
 * that is what finds the body's end. */
static bool is_known(const struct client *client, const char *method)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(client->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	const struct request *request = exchange_request(client->exchange);
	return client->looked_at && info && info->header_size == client->next_size && !has_body(request) &&
	       span_equal(request->method, span_of(method));
}

static enum codec_result take_head(struct client *client, const char *method, const char *version, const char **why)
{
	struct request *request = exchange_request(client->exchange);
	if (is_known(client, method))
		return CODEC_DONE;
	*request = (struct request){.target = request->target};
	return judge_head(client, read_head(client, method, version), why);
}

/* Does it wait for a 100 before it sends its body? Where the body came already, no event will tell of it. Without a body
 * nobody waits, but libmicrohttpd would say 100 by itself, and take no answer while it does. */
static bool awaits_continue(const struct client *client, const struct request *request)
{
	if (request->minor == 0 || !fields_list_has(&request->fields, SPAN("expect"), SPAN("100-continue")))
		return false;
	return !has_body(request) || (!front_h1_has_read_on(client) && !front_h1_has_unread(client));
}

static enum MHD_Result first_call(struct client *client, const char *method, const char *version)
{
	struct request *request = exchange_request(client->exchange);
	const char *why;
	/* Where nothing stands in front of it, the method is at the start of the memory, which is aligned. Where it is not
	 * known what libmicrohttpd read of a second request, there is none. */
	if (!client->memory && (uintptr_t)method % sizeof(void *) == 0)
		client->memory = method;
	client->close_behind = !client->memory;
	client->head = method;
	front_h1_reading(client, false);
	client->held = false;
	loop_timer_stop(client->front->worker->loop, &client->timer);
	enum codec_result result = take_head(client, method, version, &why);
	if (result != CODEC_DONE) {
		struct problem problem = {0};
		refusal_of_head(result, why, front_h1_limits(client), exchange_arena(client->exchange), &problem);
		exchange_refuse(client->exchange, &client->way, &problem, &front_h1_table, client);
		client->close_behind = true;
		client->state = CLIENT_BODY;
		return MHD_YES;
	}
	exchange_start(client->exchange, &client->way, &front_h1_table, client);
	if (client->gone) {
		front_h1_close(client);
	} else if (awaits_continue(client, request)) {
		/* An upstream that knows no Expect waits for the body. */
		client->state = CLIENT_EXPECT;
		front_h1_set_timer(client, EXPECT_TIME);
		front_h1_suspend(client);
	} else if (!has_body(request)) {
		/* The next call, which comes at once, waits: an answer that is queued in this one closes the connection. */
		client->state = CLIENT_WAIT;
	} else {
		client->state = CLIENT_BODY;
		front_h1_reading(client, true);
		front_h1_run_soon(client, BODY_CALLS);
	}
	return MHD_YES;
}

static enum MHD_Result finish_body(struct client *client)
{
	struct fields trailers = {0};
	if (!front_h1_trailers(client, &trailers))
		return MHD_NO;
	client->body_ended = true;
	front_h1_reading(client, false);
	if (client->state == CLIENT_BODY)
		client->state = CLIENT_WAIT;
	else
		front_h1_suspend(client);
	exchange_finish(client->exchange, &trailers);
	return MHD_YES;
}

static enum MHD_Result take_body(struct client *client, const char *bytes, size_t *size)
{
	if (*size == 0)
		return finish_body(client);
	size_t taken = exchange_write(client->exchange, bytes, *size);
	*size -= taken;
	if (*size > 0)
		front_h1_suspend(client);
	else
		front_h1_reading(client, true);
	return MHD_YES;
}

/* While the response is written past libmicrohttpd, the request body goes on; once the response is out, what still comes
 * is dropped. */
static enum MHD_Result take_body_beside(struct client *client, const char *bytes, size_t *size)
{
	if (client->raw_done) {
		bool over = *size == 0;
		*size = 0;
		return over ? MHD_NO : MHD_YES;
	}
	if (*size > 0 || !client->body_ended)
		return take_body(client, bytes, size);
	front_h1_suspend(client);
	return MHD_YES;
}

enum MHD_Result front_h1_on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                                    const char *version, const char *bytes, size_t *size, void **request_context)
{
	struct client *client = *request_context;
	(void)context;
	(void)connection;
	(void)url;
	switch (client->state) {
	case CLIENT_HEAD:
		return first_call(client, method, version);
	case CLIENT_EXPECT:
		loop_timer_stop(client->front->worker->loop, &client->timer);
		client->state = CLIENT_BODY;
		front_h1_reading(client, true);
		front_h1_run_soon(client, BODY_CALLS);
		return MHD_YES;
	case CLIENT_BODY:
		return take_body(client, bytes, size);
	case CLIENT_RAW:
		return take_body_beside(client, bytes, size);
	case CLIENT_WAIT:
		front_h1_rest(client);
		return MHD_YES;
	case CLIENT_IDLE:
	case CLIENT_REPLY:
	case CLIENT_CLOSE:
		break;
	}
	return MHD_NO;
}

/* What libmicrohttpd refused by itself. Of a head it does not tell with which status. */
static void note_refusal(struct client *client, enum MHD_RequestTerminationCode how)
{
	if (how != MHD_REQUEST_TERMINATED_WITH_ERROR)
		return;
	if (client->state == CLIENT_HEAD)
		worker_note_refusal(client->front->worker, &client->way, "malformed", 0);
	else if (client->state == CLIENT_BODY)
		exchange_spoilt(client->exchange);
}

/* The connection is closed, and its memory goes. Where a body was cut or ended with the connection, libmicrohttpd 0.9.75
 * forgets to end it as long as an older connection is there, and that may be one client that is busy for ever. It looks in
 * each call at those that have a time limit of their own. */
static void see_to_end(struct client *client)
{
	client->state = CLIENT_CLOSE;
	client->memory = NULL;
	MHD_set_connection_option(client->connection, MHD_CONNECTION_OPTION_TIMEOUT, 1u);
	front_h1_run_soon(client, 1);
}

void front_h1_on_completed(void *context, struct MHD_Connection *connection, void **request_context,
                           enum MHD_RequestTerminationCode how)
{
	struct client *client = *request_context;
	(void)context;
	(void)connection;
	if (!client || !client->exchange)
		return;
	note_refusal(client, how);
	bool delivered = (client->state == CLIENT_REPLY && how == MHD_REQUEST_TERMINATED_COMPLETED_OK) || client->raw_done;
	bool over = how != MHD_REQUEST_TERMINATED_COMPLETED_OK || client->reset_on_cut;
	exchange_end(client->exchange, delivered);
	client->exchange = NULL;
	client->prefetched = (struct span){0};
	client->footers = NULL;
	client->head_began = false;
	client->body_ended = false;
	client->reset_on_cut = false;
	client->served = true;
	if (over) {
		see_to_end(client);
		return;
	}
	if (client->state == CLIENT_CLOSE || client->state == CLIENT_RAW)
		return;
	client->state = CLIENT_IDLE;
	front_h1_rest(client);
}
