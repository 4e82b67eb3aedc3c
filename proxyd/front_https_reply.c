/* What the exchange tells, and responses: pulled out of the exchange as the client takes them. */
#include "front_https_internal.h"

#define OUT_BYTES (48 * 1024)     /* that many, or a piece more, are written at once */
#define PIECE_BYTES (16 * 1024)
#define TURNS 4                   /* then others have theirs */
#define INTERIM_BYTES (64 * 1024) /* of 1xx that a client does not take */

static unsigned minor_of(const struct https_client *client)
{
	return exchange_request(client->exchange)->minor;
}

/* --- the response --- */

static void add_head(struct https_client *client, struct buffer *out)
{
	struct response head = *exchange_response(client->exchange);
	client->headed = true;
	client->closes |= client->state == HTTPS_BODY || codec_ends_by_close(&head, minor_of(client)) ||
	                  exchange_closes(client->exchange) || client->front->worker->draining;
	/* A client of HTTP/1.0 has asked for that, or it would close (RFC 9112 §9.3). */
	if (minor_of(client) == 0 && !client->closes)
		fields_add(&head.fields, exchange_arena(client->exchange), SPAN("Connection"), SPAN("keep-alive"));
	codec_write_response(&head, minor_of(client), client->closes, out);
	client->said = head.body.kind == BODY_NONE;
}

/* False where there is no more for now, or at all. */
static bool add_piece(struct https_client *client, struct buffer *out)
{
	const struct response *head = exchange_response(client->exchange);
	char bytes[PIECE_BYTES];
	ssize_t count = exchange_read(client->exchange, bytes, sizeof bytes);
	if (count > 0)
		codec_write_piece(head, minor_of(client), (struct span){bytes, (size_t)count}, out);
	else if (count == 0)
		codec_write_end(head, minor_of(client), exchange_trailers(client->exchange), out);
	client->said = count == 0;
	client->gone |= count == UPSTREAM_READ_ERROR;
	return count > 0;
}

static void make_bytes(struct https_client *client, struct buffer *out)
{
	buffer_clear(out);
	if (!client->headed)
		add_head(client, out);
	while (!client->said && out->length < OUT_BYTES && add_piece(client, out))
		;
}

bool front_https_reply(struct https_client *client)
{
	struct buffer *out = &client->front->out;
	for (unsigned turn = 0; turn < TURNS; turn++) {
		if (!client->responds || client->said || client->gone || outbox_size(&client->outbox) > 0)
			return false;
		make_bytes(client, out);
		if (out->length == 0)
			return false;
		front_https_write(client, buffer_view(out));
	}
	return !client->said;
}

/* --- what the exchange tells --- */

static void interim(struct https_client *client, const struct response *response)
{
	struct buffer *out = &client->front->out;
	if (client->responds || minor_of(client) == 0)
		return;
	buffer_clear(out);
	codec_write_response(response, 1, false, out);
	front_https_write(client, buffer_view(out));
	client->gone |= outbox_size(&client->outbox) > INTERIM_BYTES;
	if (client->gone)
		front_https_soon(client);
}

void front_https_proceed(struct https_client *client)
{
	const struct response proceed = {.status = 100, .reason = SPAN("Continue")};
	if (!client->expects)
		return;
	client->expects = false;
	loop_timer_stop(client->front->worker->loop, &client->timer);
	interim(client, &proceed);
}

static void front_proceed(void *front)
{
	front_https_proceed(front);
}

static void front_interim(void *front, const struct response *response)
{
	interim(front, response);
}

static void front_respond(void *front)
{
	struct https_client *client = front;
	client->responds = true;
	client->expects = false;
	loop_timer_stop(client->front->worker->loop, &client->timer);
	front_https_soon(client);
}

/* Where the client does not take the 101 at once, it is not there to switch. */
static bool front_upgrade(void *front)
{
	struct https_client *client = front;
	struct response head = *exchange_response(client->exchange);
	struct buffer *out = &client->front->out;
	if (client->state != HTTPS_ASKED)
		return false;
	fields_add(&head.fields, exchange_arena(client->exchange), SPAN("Connection"), SPAN("Upgrade"));
	buffer_clear(out);
	codec_write_response(&head, 1, false, out);
	front_https_write(client, buffer_view(out));
	client->gone |= outbox_size(&client->outbox) > 0;
	client->switches = true;
	front_https_soon(client);
	return true;
}

static void front_readable(void *front)
{
	front_https_soon(front);
}

static void front_writable(void *front)
{
	struct https_client *client = front;
	front_https_push(client);
	front_https_soon(client);
}

static void front_abort(void *front)
{
	struct https_client *client = front;
	client->gone = true;
	front_https_soon(client);
}

const struct front_table front_https_table = {
	.proceed = front_proceed,
	.interim = front_interim,
	.respond = front_respond,
	.upgrade = front_upgrade,
	.readable = front_readable,
	.writable = front_writable,
	.abort = front_abort,
};
