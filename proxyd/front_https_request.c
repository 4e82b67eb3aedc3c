/* Requests as they come: heads as the sniffer would judge them, bodies by the codec. */
#include "front_https_internal.h"
#include "opening.h"
#include "refusal.h"

#define READ_BYTES (16 * 1024)
#define TURNS 4          /* then others have theirs */
#define EXPECT_TIME 3000 /* ms that a body waits for the upstream's 100, as in front_h1 */

/* --- bodies --- */

void front_https_push(struct https_client *client)
{
	struct span left = backlog_view(&client->pending);
	if (left.length > 0)
		backlog_drop(&client->pending, exchange_write(client->exchange, left.data, left.length));
	if (backlog_size(&client->pending) > 0)
		return;
	backlog_free(&client->pending);
	if (client->state != HTTPS_ASKED || client->finished)
		return;
	client->finished = true;
	exchange_finish(client->exchange, &client->trailers);
}

static void give(struct https_client *client, struct span data)
{
	if (client->expects) /* it did not wait */
		loop_timer_stop(client->front->worker->loop, &client->timer);
	client->expects = false;
	size_t taken = exchange_write(client->exchange, data.data, data.length);
	if (taken < data.length)
		backlog_add(&client->pending, data.data + taken, data.length - taken);
}

/* Where the response has begun it cannot be told any more. */
static void spoil(struct https_client *client, enum codec_result result, const char *why)
{
	struct problem problem = {0};
	AUTO_BUFFER struct buffer out = {0};
	refusal_of_head(result, why, front_https_limits(client), exchange_arena(client->exchange), &problem);
	refusal_write(&problem, true, &out);
	if (client->responds) {
		client->gone = true;
		return;
	}
	exchange_spoilt(client->exchange);
	front_https_end_exchange(client, false);
	front_https_write(client, buffer_view(&out));
	front_https_part(client);
}

/* How many bytes it took; 0: it waits for more, or for the exchange. */
static size_t take_body(struct https_client *client, struct span bytes)
{
	const char *why = NULL;
	struct span data;
	size_t used = 0;
	if (backlog_size(&client->pending) > 0)
		return 0;
	enum codec_result result = codec_body_take(&client->body, bytes, &data, &used, &client->trailers,
	                                           exchange_arena(client->exchange), &why);
	if (data.length > 0)
		give(client, data);
	if (result == CODEC_DONE) {
		client->state = HTTPS_ASKED;
		front_https_push(client);
	} else if (result != CODEC_MORE) {
		spoil(client, result, why);
	}
	return used;
}

/* --- heads --- */

static bool has_body(const struct request *request)
{
	return request->body.kind == BODY_CHUNKED || (request->body.kind == BODY_LENGTH && request->body.length > 0);
}

/* Where the body is here already, it does not wait. */
static void await_body(struct https_client *client, const struct request *request, bool waits)
{
	client->state = HTTPS_BODY;
	client->expects =
		waits && request->minor > 0 && fields_list_has(&request->fields, SPAN("expect"), SPAN("100-continue"));
	if (client->expects)
		front_https_set_timer(client, EXPECT_TIME);
}

static void begin(struct https_client *client, const struct opening *opening, bool more)
{
	const struct config_limits *limits = front_https_limits(client);
	struct request *request = exchange_request(client->exchange);
	*request = opening->request;
	loop_timer_stop(client->front->worker->loop, &client->timer);
	client->looked = 0;
	client->kept = true;
	client->finished = !has_body(request);
	client->trailers = (struct fields){0};
	client->closes = fields_list_has(&request->fields, SPAN("connection"), SPAN("close")) ||
	                 (request->minor == 0 && !fields_list_has(&request->fields, SPAN("connection"), SPAN("keep-alive")));
	codec_body_start(&client->body, request->body, (struct codec_limits){(size_t)limits->head, (size_t)limits->fields});
	client->state = HTTPS_ASKED;
	if (has_body(request))
		await_body(client, request, !more);
	exchange_start(client->exchange, &client->way, &front_https_table, client);
}

/* What was said is no request, and gets an answer or none. */
static void turn_away(struct https_client *client, const struct opening *opening)
{
	if (opening->kind == OPENING_REFUSE) {
		front_https_refuse(client, &opening->problem);
		return;
	}
	if (opening->kind == OPENING_ALIEN)
		worker_note_refusal(client->front->worker, &client->way, opening->problem.reason, 0);
	front_https_part(client);
}

/* All of the bytes that may be of the head: one over the limit, so that a head of just its size is told from a longer one. */
static struct span head_of(struct span bytes, const struct config_limits *limits)
{
	const char *end = memmem(bytes.data, bytes.length, "\r\n\r\n", 4);
	return span_head(bytes, end ? (size_t)(end - bytes.data) + 4 : (size_t)limits->head + 1);
}

/* How many bytes the head took; 0: it is not whole, or refused. */
static size_t take_head(struct https_client *client, struct span bytes)
{
	const struct config_limits *limits = front_https_limits(client);
	struct opening opening;
	if (client->looked == 0 && (client->kept || client->front->worker->draining))
		front_https_set_timer(client, limits->head_time);
	bool news = opening_is_news(bytes, client->looked, limits);
	client->looked = bytes.length;
	if (!news)
		return 0;
	client->exchange = exchange_new(client->front->worker);
	struct arena *arena = exchange_arena(client->exchange);
	opening_look(limits, &client->way, arena_span(arena, head_of(bytes, limits)), client->kept, false, arena, &opening);
	if (opening.kind == OPENING_HTTP) {
		begin(client, &opening, bytes.length > opening.size);
		return opening.size;
	}
	if (opening.kind != OPENING_WAIT)
		turn_away(client, &opening);
	front_https_end_exchange(client, false);
	return 0;
}

void front_https_rest(struct https_client *client)
{
	client->state = HTTPS_HEAD;
	client->looked = 0;
	client->since = loop_now(client->front->worker->loop);
	front_https_set_timer(client, front_https_limits(client)->idle);
}

/* --- bytes --- */

static size_t take_some(struct https_client *client, struct span bytes)
{
	switch (client->state) {
	case HTTPS_HEAD:
		return bytes.length > 0 ? take_head(client, bytes) : 0;
	case HTTPS_BODY:
		return bytes.length > 0 ? take_body(client, bytes) : 0;
	case HTTPS_ASKED:
		break;
	case HTTPS_PARTING:
		return bytes.length;
	}
	return 0;
}

static size_t take(struct https_client *client, struct span bytes)
{
	size_t taken = 0, used;
	while ((used = take_some(client, span_from(bytes, taken))) > 0)
		taken += used;
	return taken;
}

static void take_read(struct https_client *client, struct span bytes)
{
	if (backlog_size(&client->in) == 0) {
		size_t taken = take(client, bytes);
		if (taken < bytes.length)
			backlog_add(&client->in, bytes.data + taken, bytes.length - taken);
		return;
	}
	backlog_add(&client->in, bytes.data, bytes.length);
	backlog_drop(&client->in, take(client, backlog_view(&client->in)));
}

/* What was read behind the request before. */
static void take_left(struct https_client *client)
{
	if (backlog_size(&client->in) > 0 && client->looked < backlog_size(&client->in))
		backlog_drop(&client->in, take(client, backlog_view(&client->in)));
	if (backlog_size(&client->in) == 0)
		backlog_free(&client->in);
}

/* Behind a request, too, something is read: its end may be there (RFC 8446 §6.1), of which no event of the socket tells. */
static bool is_read(const struct https_client *client)
{
	if (!client->unread || client->gone)
		return false;
	return client->state == HTTPS_HEAD || client->state == HTTPS_PARTING ||
	       (client->state == HTTPS_BODY && backlog_size(&client->pending) == 0) ||
	       (client->state == HTTPS_ASKED && backlog_size(&client->in) < READ_BYTES);
}

bool front_https_read(struct https_client *client)
{
	char bytes[READ_BYTES];
	take_left(client);
	for (unsigned turn = 0; turn < TURNS && is_read(client); turn++) {
		ssize_t count = endpoint_read(&client->end, bytes, sizeof bytes);
		client->gone |= count == ENDPOINT_BROKEN;
		client->ended |= count == 0;
		client->unread = count > 0 && (client->ended || !endpoint_is_drained(&client->end, (size_t)count, sizeof bytes));
		if (count > 0)
			take_read(client, (struct span){bytes, (size_t)count});
	}
	return is_read(client);
}
