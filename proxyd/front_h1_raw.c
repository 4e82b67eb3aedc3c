/* What is written past libmicrohttpd, which cannot: 1xx responses, a response that comes before the request body's end,
 * and a last word to a client that is too slow. */
#include "front_h1_internal.h"

#include <errno.h>
#include <sys/socket.h>

#include "codec_h1.h"
#include "refusal.h"

#define PIECE_BYTES (16 * 1024)
#define LAST_TIME 2000 /* ms that a client may go on sending once it has its answer */

/* True once everything that waited is with the kernel. */
static bool flush(struct client *client)
{
	while (client->raw_sent < client->raw.length) {
		ssize_t count = send(client->fd, client->raw.data + client->raw_sent, client->raw.length - client->raw_sent,
		                     MSG_NOSIGNAL | MSG_DONTWAIT);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return false;
		client->raw_sent += (size_t)count;
	}
	buffer_clear(&client->raw);
	client->raw_sent = 0;
	return true;
}

static unsigned minor_of(const struct client *client)
{
	return exchange_request(client->exchange)->minor;
}

/* Where the end of the connection is the end of the body, a plain close would look like a whole one. */
static void cut_short(struct client *client)
{
	if (codec_ends_by_close(exchange_response(client->exchange), minor_of(client)))
		front_h1_reset(client);
	else
		front_h1_close(client);
}

/* Says the last word and waits a moment for the client to stop sending. */
static void close_softly(struct client *client)
{
	shutdown(client->fd, SHUT_WR);
	front_h1_set_timer(client, LAST_TIME);
	front_h1_resume(client);
}

void front_h1_raw_pump(struct client *client)
{
	const struct response *head = exchange_response(client->exchange);
	char bytes[PIECE_BYTES];
	for (;;) {
		if (!flush(client)) {
			if (errno != EAGAIN)
				front_h1_close(client);
			return;
		}
		if (client->raw_done) {
			close_softly(client);
			return;
		}
		ssize_t count = head->body.kind == BODY_NONE ? 0 : exchange_read(client->exchange, bytes, sizeof bytes);
		if (count == UPSTREAM_READ_AGAIN)
			return;
		if (count == UPSTREAM_READ_ERROR) {
			cut_short(client);
			return;
		}
		if (count > 0)
			codec_write_piece(head, minor_of(client), (struct span){bytes, (size_t)count}, &client->raw);
		else
			codec_write_end(head, minor_of(client), exchange_trailers(client->exchange), &client->raw);
		client->raw_done = count == 0;
	}
}

void front_h1_raw_start(struct client *client)
{
	const struct response *head = exchange_response(client->exchange);
	client->state = CLIENT_RAW;
	client->reset_on_cut = codec_ends_by_close(head, minor_of(client));
	codec_write_response(head, minor_of(client), true, &client->raw);
	/* It goes on reading the request, to drop it. */
	front_h1_resume(client);
	front_h1_raw_pump(client);
}

void front_h1_raw_interim(struct client *client, const struct response *interim)
{
	AUTO_BUFFER struct buffer out = {0};
	codec_write_response(interim, 1, false, &out);
	ssize_t count = send(client->fd, out.data, out.length, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (count >= 0 && (size_t)count < out.length)
		front_h1_close(client);
}

void front_h1_raw_problem(struct client *client, unsigned status, const char *reason, const char *detail,
                          const char *hint)
{
	AUTO_BUFFER struct buffer out = {0};
	struct problem problem = {0};
	problem_set(&problem, status, reason, detail, hint);
	refusal_write(&problem, true, &out);
	send(client->fd, out.data, out.length, MSG_NOSIGNAL | MSG_DONTWAIT);
}
