/* HTTP/1.1 upstreams and their pool, against a peer on loopback that follows a script in a thread of its own.
 *
 * The client starts one request after the other, each when the one before is over (or, with `waits`, when the peer says
 * so), reads what comes, and writes down what it was told; what it wrote is held against what it should have been told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buffer.h"
#include "upstream_connection.h"

#define PATIENCE 10000 /* ms */
#define STEPS 14
#define ASKS 4

/* ---- the peer ---- */

enum act {
	NOTHING,
	ACCEPT,
	END,    /* waits for the other side's */
	HALF,   /* ends its own direction */
	CLOSE,
	RESET,
	AWAIT,  /* a client that waits, its connection idle, or one that has the head and nothing of the body */
	NOTIFY, /* lets a client go on that waits */
};

/* One of these. */
struct step {
	const char *expect, *send;
	size_t fill, take; /* sends and receives so many bytes of a pattern */
	enum act act;
};

struct peer {
	struct loop *loop;
	int listener, fd;
	int word;           /* what the client writes when it waits */
	int held[STEPS];    /* connections before `fd` */
	size_t held_count;
	const struct step *steps;
	bool dribble; /* sends byte by byte */
	char fault[400];
};

static char pattern(size_t index)
{
	return (char)('a' + index % 23);
}

static bool fault(struct peer *peer, const char *what, const char *came)
{
	snprintf(peer->fault, sizeof peer->fault, "%.190s, came \"%.190s\"", what, came);
	return false;
}

static bool peer_accept(struct peer *peer)
{
	int on = 1;
	if (peer->fd >= 0)
		peer->held[peer->held_count++] = peer->fd;
	peer->fd = accept(peer->listener, NULL, NULL);
	if (peer->fd < 0)
		return fault(peer, "should have got a new connection", strerror(errno));
	setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	struct timeval limit = {.tv_sec = PATIENCE / 1000};
	setsockopt(peer->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	return true;
}

static bool peer_expect(struct peer *peer, const char *text)
{
	char came[1024] = "";
	size_t length = strlen(text), had = 0;
	while (had < length) {
		ssize_t count = recv(peer->fd, came + had, length - had, 0);
		if (count <= 0)
			break;
		had += (size_t)count;
	}
	return strcmp(came, text) == 0 || fault(peer, text, came);
}

/* Of what is malformed the client may have had enough before its end. */
static bool peer_send(struct peer *peer, const char *text)
{
	size_t length = strlen(text), piece = peer->dribble ? 1 : length;
	for (size_t i = 0; i < length; i += piece)
		if (send(peer->fd, text + i, piece, MSG_NOSIGNAL) < 0)
			break;
	return true;
}

static bool peer_fill(struct peer *peer, size_t total)
{
	char bytes[4000];
	for (size_t sent = 0; sent < total;) {
		size_t size = total - sent < sizeof bytes ? total - sent : sizeof bytes;
		for (size_t i = 0; i < size; i++)
			bytes[i] = pattern(sent + i);
		ssize_t count = send(peer->fd, bytes, size, MSG_NOSIGNAL);
		if (count <= 0)
			return fault(peer, "should have been able to send more", strerror(errno));
		sent += (size_t)count;
	}
	return true;
}

static bool peer_take(struct peer *peer, size_t total)
{
	char bytes[4000];
	for (size_t had = 0; had < total;) {
		ssize_t count = recv(peer->fd, bytes, total - had < sizeof bytes ? total - had : sizeof bytes, 0);
		if (count <= 0)
			return fault(peer, "should have got more of the body", strerror(errno));
		for (size_t i = 0; i < (size_t)count; i++)
			if (bytes[i] != pattern(had + i))
				return fault(peer, "should have got the body as it was written", "other bytes");
		had += (size_t)count;
	}
	return true;
}

static bool peer_end(struct peer *peer)
{
	char bytes[4000];
	ssize_t count;
	/* What is still under way may come before the end. */
	while ((count = recv(peer->fd, bytes, sizeof bytes, 0)) > 0)
		continue;
	return count == 0 || errno == ECONNRESET || fault(peer, "should have seen the connection end", strerror(errno));
}

static bool peer_close(struct peer *peer, bool reset)
{
	struct linger linger = {1, 0};
	if (reset)
		setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
	close(peer->fd);
	peer->fd = -1;
	return true;
}

static bool peer_wait(struct peer *peer)
{
	struct pollfd wait = {.fd = peer->word, .events = POLLIN};
	char byte;
	return (poll(&wait, 1, PATIENCE) == 1 && read(peer->word, &byte, 1) == 1) ||
	       fault(peer, "should have waited", "nothing");
}

static bool act(struct peer *peer, enum act act_)
{
	switch (act_) {
	case ACCEPT:
		return peer_accept(peer);
	case END:
		return peer_end(peer);
	case HALF:
		return shutdown(peer->fd, SHUT_WR) == 0;
	case CLOSE:
	case RESET:
		return peer_close(peer, act_ == RESET);
	case AWAIT:
		return peer_wait(peer);
	case NOTIFY:
		loop_wake(peer->loop);
		return true;
	case NOTHING:
		break;
	}
	return false;
}

static bool play_step(struct peer *peer, const struct step *step)
{
	if (step->expect)
		return peer_expect(peer, step->expect);
	if (step->send)
		return peer_send(peer, step->send);
	if (step->fill)
		return peer_fill(peer, step->fill);
	if (step->take)
		return peer_take(peer, step->take);
	return act(peer, step->act);
}

static void *play(void *context)
{
	struct peer *peer = context;
	const struct step *step = peer->steps;
	while (play_step(peer, step))
		step++;
	if (peer->fault[0] && peer->fd >= 0)
		peer_close(peer, true);
	return NULL;
}

/* ---- the client ---- */

struct ask {
	const char *method; /* NULL: no more */
	enum body_kind body;
	size_t size;         /* of the pattern that is its body */
	const char *trailer; /* the value of X-Trailer */
	bool fresh, waits;
	bool stands; /* until the idle connection has ended, without letting the loop see it */
	size_t piece;   /* what one read asks for; 0: 64 KiB */
	bool abandons;   /* releases when the head is there */
	bool holds_back; /* the last byte of its body, and the end */
	bool tells_head; /* lets the peer know */
	bool tells_ready; /* writes down what ready() says at the head */
	bool upgrades;
	const char *host; /* NULL: 127.0.0.1 */
};

struct client {
	struct loop *loop;
	struct upstream_pool *pool;
	const struct ask *asks, *ask;
	int word; /* a byte is written here when it waits */
	bool waiting, told; /* for the peer's word, and that it came before it was waited for */
	struct destination destination;
	struct upstream *upstream;
	struct loop_timer watchdog;
	struct loop_task next;
	size_t written;
	bool finished;
	struct buffer log, body;
	size_t body_size, pattern_size; /* pattern_size: how much of the body was the pattern */
};

static const char *const failure_names[] = {
	[UPSTREAM_OK] = "ok",         [UPSTREAM_DIAL] = "dial",
	[UPSTREAM_TLS] = "tls",       [UPSTREAM_HANDSHAKE_TIME] = "handshake time",
	[UPSTREAM_CLOSED] = "closed", [UPSTREAM_MALFORMED] = "malformed",
	[UPSTREAM_CUT] = "cut",       [UPSTREAM_HEAD_TOO_LARGE] = "head too large",
	[UPSTREAM_SWITCHED] = "switched",
};

static void note(struct client *client, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(struct client *client, const char *format, ...)
{
	char text[600];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	if (client->log.length)
		buffer_char(&client->log, ' ');
	buffer_string(&client->log, text);
}

static void note_error(struct client *client, const struct upstream_error *error)
{
	note(client, "%s%s%s%s: %s", failure_names[error->failure], error->unanswered ? " unanswered" : "",
	     error->unsent ? " unsent" : "", error->reused ? " reused" : "", error->text);
}

static void over(struct client *client)
{
	client->upstream->table->release(client->upstream);
	client->upstream = NULL;
	buffer_clear(&client->body);
	client->body_size = client->pattern_size = 0;
	loop_later(client->loop, &client->next);
}

static void note_body(struct client *client)
{
	if (client->body_size > 200)
		note(client, "%zu%s", client->body_size, client->pattern_size == client->body_size ? "" : " wrong");
	else
		note(client, "\"%.*s\"", SPAN_ARGS(buffer_view(&client->body)));
	const struct fields *trailers = client->upstream->table->trailers(client->upstream);
	for (size_t i = 0; trailers && i < trailers->count; i++)
		note(client, "%.*s=%.*s", SPAN_ARGS(trailers->list[i].name), SPAN_ARGS(trailers->list[i].value));
}

static void read_all(struct client *client)
{
	static char bytes[65536];
	size_t piece = client->ask->piece ? client->ask->piece : sizeof bytes;
	ssize_t count;
	while ((count = client->upstream->table->read(client->upstream, bytes, piece)) > 0) {
		for (size_t i = 0; i < (size_t)count; i++)
			client->pattern_size += bytes[i] == pattern(client->body_size + i);
		client->body_size += (size_t)count;
		buffer_append(&client->body, bytes, client->body_size <= 200 ? (size_t)count : 0);
	}
	if (count == UPSTREAM_READ_AGAIN)
		return;
	note_body(client);
	if (count == UPSTREAM_READ_ERROR)
		note_error(client, client->upstream->table->error(client->upstream));
	over(client);
}

static void write_more(struct client *client)
{
	char bytes[3000];
	struct field field = {.name = SPAN("X-Trailer"), .value = span_of(client->ask->trailer)};
	struct fields trailers = {&field, 1, 1};
	size_t total = client->ask->size - client->ask->holds_back;
	while (client->written < total) {
		size_t rest = total - client->written, size = rest < sizeof bytes ? rest : sizeof bytes;
		for (size_t i = 0; i < size; i++)
			bytes[i] = pattern(client->written + i);
		size_t taken = client->upstream->table->write(client->upstream, bytes, size);
		client->written += taken;
		if (taken < size)
			return;
	}
	if (!client->finished && client->ask->body != BODY_NONE && !client->ask->holds_back)
		client->upstream->table->finish(client->upstream, client->ask->trailer ? &trailers : NULL);
	client->finished = true;
}

static void on_connected(void *context)
{
	note(context, "connected");
}

static void note_head(struct client *client, const struct response *response)
{
	static const char *const kinds[] = {"none", "length", "chunked", "close"};
	note(client, "%u %s", response->status, kinds[response->body.kind]);
}

static void on_interim(void *context, const struct response *interim)
{
	note(context, "%u", interim->status);
}

static void take(struct client *client)
{
	AUTO_BUFFER struct buffer behind = {0};
	struct endpoint end;
	client->upstream->table->give(client->upstream, &end, &behind);
	note(client, "%s \"%.*s\"", send(end.fd, "taken", 5, MSG_NOSIGNAL) == 5 ? "taken" : "no socket",
	     SPAN_ARGS(buffer_view(&behind)));
	endpoint_close(&end);
	over(client);
}

static void on_head(void *context, const struct response *response)
{
	struct client *client = context;
	note_head(client, response);
	if (response->status == 101 && !client->ask->abandons) {
		take(client);
		return;
	}
	if (client->ask->abandons) {
		over(client);
		return;
	}
	if (client->ask->tells_ready) {
		bool whole;
		size_t count = client->upstream->table->ready(client->upstream, &whole);
		note(client, "ready %zu%s", count, whole ? " whole" : "");
	}
	read_all(client);
	if (client->upstream && client->ask->tells_head && write(client->word, "h", 1) != 1)
		abort();
}

static void on_readable(void *context)
{
	read_all(context);
}

static void on_writable(void *context)
{
	write_more(context);
}

static void on_failed(void *context, const struct upstream_error *error)
{
	struct client *client = context;
	note_error(client, error);
	over(client);
}

static const struct upstream_events events = {on_connected, on_interim, on_head, on_readable, on_writable, on_failed};

static void start(struct client *client)
{
	struct field field = {.name = SPAN("Host"), .value = SPAN("h")};
	struct request request = {
		.method = span_of(client->ask->method),
		.target = SPAN("/x"),
		.minor = 1,
		.fields = {&field, 1, 1},
		.body = {client->ask->body, client->ask->size},
		.upgrade = client->ask->upgrades,
	};
	struct fault none = FAULT_INIT;
	if (!host_parse(span_of(client->ask->host ? client->ask->host : "127.0.0.1"), &client->destination.host, &none))
		abort();
	client->written = 0;
	client->finished = false;
	if (client->ask != client->asks)
		note(client, "|");
	client->upstream =
		upstream_h1_start(client->pool, &client->destination, &request, client->ask->fresh, &events, client);
	write_more(client);
}

static void stand(const struct client *client)
{
	struct connection *idle = TAILQ_FIRST(&client->pool->idle);
	struct pollfd wait = {.fd = idle ? idle->end.fd : -1, .events = POLLIN};
	if (!idle || write(client->word, "w", 1) != 1 || poll(&wait, 1, PATIENCE) != 1)
		abort();
}

static void next(struct loop_task *task)
{
	struct client *client = (struct client *)((char *)task - offsetof(struct client, next));
	client->ask++;
	if (client->ask->method && client->ask->stands)
		stand(client);
	if (!client->ask->method)
		loop_stop(client->loop);
	else if (!client->ask->waits || client->told)
		start(client);
	else
		client->waiting = write(client->word, "w", 1) == 1;
	client->told = false;
}

static void woken(void *context)
{
	struct client *client = context;
	client->told = !client->waiting;
	if (client->told)
		return;
	client->waiting = false;
	start(client);
}

static void ran_out_of_time(struct loop_timer *timer)
{
	struct client *client = (struct client *)((char *)timer - offsetof(struct client, watchdog));
	note(client, "and no more in time");
	if (client->upstream)
		client->upstream->table->release(client->upstream);
	loop_stop(client->loop);
}

/* ---- both ---- */

struct play {
	const char *name;
	struct step steps[STEPS];
	struct ask asks[ASKS];
	const char *log;
	struct upstream_limits limits; /* of zero: the usual ones */
};

static int listen_somewhere(uint16_t *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval limit = {.tv_sec = PATIENCE / 1000};
	socklen_t size = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(fd, 16), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	getsockname(fd, (struct sockaddr *)&address, &size);
	*port = ntohs(address.sin_port);
	return fd;
}

static void close_all(struct peer *peer)
{
	for (size_t i = 0; i < peer->held_count; i++)
		close(peer->held[i]);
	if (peer->fd >= 0)
		close(peer->fd);
	close(peer->listener);
	close(peer->word);
}

static void run(const struct play *play_, bool dribble, size_t piece)
{
	static const struct upstream_limits usual = {{2000, 20}, 5000, 60000, 4};
	struct fault none = FAULT_INIT;
	struct loop *loop = loop_new(&none);
	struct dialer *dialer = dialer_new(loop, NULL, 0, 5000, &none);
	struct ask asks[ASKS];
	struct peer peer = {.loop = loop, .fd = -1, .steps = play_->steps, .dribble = dribble};
	struct client client = {.loop = loop, .asks = asks, .ask = asks, .waiting = true};
	pthread_t thread;
	int word[2];
	assert_int_equal(pipe(word), 0);
	peer.word = word[0];
	client.word = word[1];
	memcpy(asks, play_->asks, sizeof asks);
	for (size_t i = 0; i < ASKS && piece; i++)
		asks[i].piece = piece;
	client.watchdog.fire = ran_out_of_time;
	client.next.run = next;
	client.destination.policy.loopback_allowed = true;
	client.pool = upstream_pool_new(loop, dialer, play_->limits.idle ? play_->limits : usual);
	peer.listener = listen_somewhere(&client.destination.port);
	loop_on_wake(loop, woken, &client);
	loop_timer_set(loop, &client.watchdog, PATIENCE);
	pthread_create(&thread, NULL, play, &peer);
	loop_wake(loop);
	loop_run(loop);
	loop_timer_stop(loop, &client.watchdog);
	upstream_pool_free(client.pool);
	pthread_join(thread, NULL);
	close_all(&peer);
	close(client.word);
	if (peer.fault[0] || strcmp(client.log.data, play_->log) != 0)
		fail_msg("%s%s, reads of %zu\ncame   %s\nwanted %s\nthe peer%s%s", play_->name, dribble ? ", byte by byte" : "",
		         piece, client.log.data, play_->log, peer.fault[0] ? " should have got " : " got what it should",
		         peer.fault);
	dialer_free(dialer);
	loop_free(loop);
	buffer_free(&client.log);
	buffer_free(&client.body);
}

#define GET "GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
#define HEAD_REQUEST "HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK_5 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define SWITCHED "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
#define PATTERN_39 "abcdefghijklmnopqrstuvwabcdefghijklmnop"
#define CHUNKED_HEAD "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

/* ---- responses: whole, byte by byte, and read in small pieces ---- */

static const struct play responses[] = {
	{.name = "length, twice on one connection",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = OK_5}, {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "GET"}, {.method = "GET"}},
	 .log = "connected 200 length \"hello\" | connected 200 length \"hello\""},
	{.name = "length 0",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	  {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "GET"}, {.method = "GET"}},
	 .log = "connected 200 length \"\" | connected 200 length \"hello\""},
	{.name = "chunks and trailers",
	 .steps = {{.act = ACCEPT}, {.expect = GET},
	  {.send = CHUNKED_HEAD "3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nX-A: 1\r\nX-B:2\r\n\r\n"}, {.expect = GET},
	  {.send = CHUNKED_HEAD "0\r\n\r\n"}, {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "GET"}, {.method = "GET"}, {.method = "GET"}},
	 .log = "connected 200 chunked \"hello\" X-A=1 X-B=2 | connected 200 chunked \"\" | connected 200 length \"hello\""},
	{.name = "until close",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = "HTTP/1.1 200 OK\r\n\r\nhello"}, {.act = CLOSE},
	  {.act = ACCEPT}, {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "GET"}, {.method = "GET"}},
	 .log = "connected 200 close \"hello\" | connected 200 length \"hello\""},
	{.name = "HTTP/1.0",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"}, {.act = END},
	  {.act = ACCEPT}, {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "GET"}, {.method = "GET"}},
	 .log = "connected 200 length \"hello\" | connected 200 length \"hello\""},
	{.name = "HTTP/1.0 that keeps its connection",
	 .steps = {{.act = ACCEPT}, {.expect = GET},
	  {.send = "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 5\r\n\r\nhello"}, {.expect = GET},
	  {.send = OK_5}},
	 .asks = {{.method = "GET"}, {.method = "GET"}},
	 .log = "connected 200 length \"hello\" | connected 200 length \"hello\""},
	{.name = "Connection: close",
	 .steps = {{.act = ACCEPT}, {.expect = GET},
	  {.send = "HTTP/1.1 200 OK\r\nConnection: x, close\r\nContent-Length: 5\r\n\r\nhello"}, {.act = END},
	  {.act = ACCEPT}, {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "GET"}, {.method = "GET"}},
	 .log = "connected 200 length \"hello\" | connected 200 length \"hello\""},
	{.name = "HEAD",
	 .steps = {{.act = ACCEPT}, {.expect = HEAD_REQUEST}, {.send = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"},
	  {.expect = HEAD_REQUEST}, {.send = CHUNKED_HEAD}, {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "HEAD"}, {.method = "HEAD"}, {.method = "GET"}},
	 .log = "connected 200 none \"\" | connected 200 none \"\" | connected 200 length \"hello\""},
	{.name = "204 and 304",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = "HTTP/1.1 204 No Content\r\n\r\n"}, {.expect = GET},
	  {.send = "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"}, {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "GET"}, {.method = "GET"}, {.method = "GET"}},
	 .log = "connected 204 none \"\" | connected 304 none \"\" | connected 200 length \"hello\""},
	{.name = "204 that speaks of a body",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"}, {.act = END},
	  {.act = ACCEPT}, {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "GET"}, {.method = "GET"}},
	 .log = "connected 204 none \"\" | connected 200 length \"hello\""},
	{.name = "1xx before the answer",
	 .steps = {{.act = ACCEPT}, {.expect = GET},
	  {.send = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" OK_5}},
	 .asks = {{.method = "GET"}},
	 .log = "connected 100 103 200 length \"hello\""},
	{.name = "101 unasked",
	 .steps = {{.act = ACCEPT}, {.expect = GET},
	  {.send = SWITCHED}, {.act = END}},
	 .asks = {{.method = "GET"}},
	 .log = "connected switched: 127.0.0.1 switched protocols unasked (101)"},
	{.name = "101 unasked, behind others",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = "HTTP/1.1 103 Early Hints\r\n\r\n" SWITCHED}, {.act = END}},
	 .asks = {{.method = "GET"}},
	 .log = "connected 103 switched: 127.0.0.1 switched protocols unasked (101)"},
	{.name = "101 asked for",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = OK_5}, {.expect = GET}, {.send = SWITCHED}, {.expect = "taken"},
	  {.act = END}, {.act = ACCEPT}, {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "GET"}, {.method = "GET", .upgrades = true}, {.method = "GET"}},
	 .log = "connected 200 length \"hello\" | connected 101 none taken \"\" | connected 200 length \"hello\""},
	{.name = "101 asked for, and nobody takes it",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = OK_5}, {.expect = GET}, {.send = SWITCHED}, {.act = END},
	  {.act = ACCEPT}, {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "GET"}, {.method = "GET", .upgrades = true, .abandons = true}, {.method = "GET"}},
	 .log = "connected 200 length \"hello\" | connected 101 none | connected 200 length \"hello\""},
	{.name = "101 asked for, and not given",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = OK_5}, {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "GET", .upgrades = true}, {.method = "GET"}},
	 .log = "connected 200 length \"hello\" | connected 200 length \"hello\""},
	{.name = "no answer",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.act = CLOSE}},
	 .asks = {{.method = "GET"}},
	 .log = "connected closed unanswered: 127.0.0.1 closed the connection without an answer"},
	{.name = "half a head",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = "HTTP/1.1 200 OK\r\nContent-Le"}, {.act = CLOSE}},
	 .asks = {{.method = "GET"}},
	 .log = "connected closed: 127.0.0.1 closed the connection within the head of its answer"},
	{.name = "not HTTP",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = "SSH-2.0-x\r\n"}, {.act = END}},
	 .asks = {{.method = "GET"}},
	 .log = "connected malformed: the answer of 127.0.0.1 has no HTTP version where one should be"},
	{.name = "two framings",
	 .steps = {{.act = ACCEPT}, {.expect = GET},
	  {.send = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"}, {.act = END}},
	 .asks = {{.method = "GET"}},
	 .log = "connected malformed: the answer of 127.0.0.1 has Content-Length beside Transfer-Encoding"},
	{.name = "cut within a length",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"}, {.act = CLOSE},
	  {.act = ACCEPT}, {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "GET"}, {.method = "GET"}},
	 .log = "connected 200 length \"hello\" cut: 127.0.0.1 closed the connection within the body of its answer | "
	 "connected 200 length \"hello\""},
	{.name = "cut within a chunk",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = CHUNKED_HEAD "9\r\nhello"}, {.act = CLOSE}},
	 .asks = {{.method = "GET"}},
	 .log = "connected 200 chunked \"hello\" cut: 127.0.0.1 closed the connection within the body of its answer"},
	{.name = "cut behind a chunk",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = CHUNKED_HEAD "5\r\nhello\r\n"}, {.act = CLOSE}},
	 .asks = {{.method = "GET"}},
	 .log = "connected 200 chunked \"hello\" cut: 127.0.0.1 closed the connection within the body of its answer"},
	{.name = "cut within the trailers",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = CHUNKED_HEAD "0\r\nX-A: 1\r\n"}, {.act = CLOSE}},
	 .asks = {{.method = "GET"}},
	 .log = "connected 200 chunked \"\" X-A=1 cut: 127.0.0.1 closed the connection within the body of its answer"},
	{.name = "malformed chunk",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = CHUNKED_HEAD "zz\r\n"}, {.act = END}},
	 .asks = {{.method = "GET"}},
	 .log = "connected 200 chunked \"\" cut: the body of the answer of 127.0.0.1 has a chunk size that is not hex digits"},
	{.name = "too large a head",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = "HTTP/1.1 200 OK\r\nA: " PATTERN_39 PATTERN_39}, {.act = END}},
	 .asks = {{.method = "GET"}},
	 .log = "connected head too large: the answer of 127.0.0.1 has a head over the limit (limits: head)",
	 .limits = {{80, 20}, 5000, 60000, 4}},
	{.name = "a connection that ends behind its answer",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = OK_5}, {.act = HALF}, {.act = END}, {.act = NOTIFY}, {.act = ACCEPT},
	  {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "GET"}, {.method = "GET", .waits = true}},
	 .log = "connected 200 length \"hello\" | connected 200 length \"hello\""},
};

static void test_responses(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof responses / sizeof *responses; i++) {
		run(&responses[i], false, 0);
		run(&responses[i], true, 0);
		run(&responses[i], false, 1);
		run(&responses[i], true, 3);
	}
}

/* ---- what tells on timing or order, played once ---- */

#define POST_40 "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 40\r\n\r\n"
#define POST_CHUNKED "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
#define POST_BIG "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\r\n"
#define PATTERN_40 PATTERN_39 "q"
#define BIG 20000000

static const struct play plays[] = {
	{.name = "a body of known length",
	 .steps = {{.act = ACCEPT}, {.expect = POST_40 PATTERN_40}, {.send = OK_5}, {.expect = POST_40 PATTERN_40},
	  {.send = OK_5}},
	 .asks = {{.method = "POST", .body = BODY_LENGTH, .size = 40}, {.method = "POST", .body = BODY_LENGTH, .size = 40}},
	 .log = "connected 200 length \"hello\" | connected 200 length \"hello\""},
	{.name = "bytes behind a 101",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = "HTTP/1.1 100 Continue\r\n\r\n" SWITCHED "HTTP/1.1 200 OK\r\n\r\n"},
	  {.expect = "taken"}, {.act = END}},
	 .asks = {{.method = "GET", .upgrades = true}},
	 .log = "connected 100 101 none taken \"HTTP/1.1 200 OK\r\n\r\n\""},
	{.name = "a body of length 0 needs no end",
	 .steps = {{.act = ACCEPT}, {.expect = "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"}, {.send = OK_5},
	  {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "POST", .body = BODY_LENGTH, .size = 0}, {.method = "GET"}},
	 .log = "connected 200 length \"hello\" | connected 200 length \"hello\""},
	{.name = "a chunked body with a trailer",
	 .steps = {{.act = ACCEPT}, {.expect = POST_CHUNKED "28\r\n" PATTERN_40 "\r\n0\r\nX-Trailer: t\r\n\r\n"}, {.send = OK_5},
	  {.expect = POST_CHUNKED "0\r\n\r\n"}, {.send = OK_5}},
	 .asks = {{.method = "POST", .body = BODY_CHUNKED, .size = 40, .trailer = "t"}, {.method = "POST", .body = BODY_CHUNKED, .size = 0}},
	 .log = "connected 200 length \"hello\" | connected 200 length \"hello\""},
	{.name = "a large body up, and a large one down",
	 .steps = {{.act = ACCEPT}, {.expect = POST_BIG}, {.take = BIG},
	  {.send = "HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n"}, {.fill = BIG}, {.expect = GET},
	  {.send = OK_5}},
	 .asks = {{.method = "POST", .body = BODY_LENGTH, .size = BIG}, {.method = "GET"}},
	 .log = "connected 200 length 20000000 | connected 200 length \"hello\""},
	{.name = "a large chunk",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = CHUNKED_HEAD "1312D00\r\n"}, {.fill = BIG},
	  {.send = "\r\n0\r\nX-A: 1\r\n\r\n"}, {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "GET"}, {.method = "GET"}},
	 .log = "connected 200 chunked 20000000 X-A=1 | connected 200 length \"hello\""},
	{.name = "large until close",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = "HTTP/1.1 200 OK\r\n\r\n"}, {.fill = BIG}, {.act = CLOSE}},
	 .asks = {{.method = "GET"}},
	 .log = "connected 200 close 20000000"},
	{.name = "a reset is no end",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = "HTTP/1.1 200 OK\r\n\r\n"}, {.act = RESET}},
	 .asks = {{.method = "GET"}},
	 .log = "connected 200 close \"\" cut: 127.0.0.1 reset the connection within the body of its answer"},
	{.name = "an answer before the upload's end",
	 .steps = {{.act = ACCEPT}, {.expect = POST_40 PATTERN_39},
	  {.send = "HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nhello"}, {.act = END}, {.act = ACCEPT}, {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "POST", .body = BODY_LENGTH, .size = 40, .holds_back = true}, {.method = "GET"}},
	 .log = "connected 413 length \"hello\" | connected 200 length \"hello\""},
	{.name = "an answer from a peer that reads no more",
	 .steps = {{.act = ACCEPT}, {.expect = POST_BIG}, {.send = "HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nhello"},
	  {.act = CLOSE}},
	 .asks = {{.method = "POST", .body = BODY_LENGTH, .size = BIG}},
	 .log = "connected 413 length \"hello\""},
	{.name = "a peer that goes away within the upload",
	 .steps = {{.act = ACCEPT}, {.expect = POST_BIG}, {.act = RESET}},
	 .asks = {{.method = "POST", .body = BODY_LENGTH, .size = BIG}},
	 .log = "connected closed unanswered: 127.0.0.1 reset the connection without an answer"},
	{.name = "a reused connection that dies before a byte",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = OK_5}, {.expect = GET}, {.act = CLOSE}, {.act = ACCEPT},
	  {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "GET"}, {.method = "GET"}, {.method = "GET", .fresh = true}},
	 .log = "connected 200 length \"hello\" | connected closed unanswered reused: 127.0.0.1 closed the connection without an "
	 "answer | connected 200 length \"hello\""},
	{.name = "a fresh one is asked for",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = OK_5}, {.act = ACCEPT}, {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "GET"}, {.method = "GET", .fresh = true}},
	 .log = "connected 200 length \"hello\" | connected 200 length \"hello\""},
	{.name = "an idle connection ends",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = OK_5}, {.act = AWAIT}, {.act = HALF}, {.act = END},
	  {.act = NOTIFY}, {.act = ACCEPT}, {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "GET"}, {.method = "GET", .waits = true}},
	 .log = "connected 200 length \"hello\" | connected 200 length \"hello\""},
	{.name = "an idle connection ends, and no event has told of it when a request comes that may not be repeated",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = OK_5}, {.act = AWAIT}, {.act = CLOSE}, {.act = ACCEPT},
	  {.expect = POST_40 PATTERN_40}, {.send = OK_5}},
	 .asks = {{.method = "GET"}, {.method = "POST", .body = BODY_LENGTH, .size = 40, .stands = true}},
	 .log = "connected 200 length \"hello\" | connected 200 length \"hello\""},
	{.name = "an idle connection is spoken on",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = OK_5}, {.act = AWAIT},
	  {.send = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"}, {.act = END}, {.act = NOTIFY}, {.act = ACCEPT},
	  {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "GET"}, {.method = "GET", .waits = true}},
	 .log = "connected 200 length \"hello\" | connected 200 length \"hello\""},
	{.name = "one byte more than was said, behind the head",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"},
	  {.act = AWAIT}, {.send = "hellox"}, {.act = END}, {.act = ACCEPT}, {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "GET", .tells_head = true}, {.method = "GET"}},
	 .log = "connected 200 length \"hello\" | connected 200 length \"hello\""},
	{.name = "more than was said",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = OK_5 "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"},
	  {.act = END}, {.act = ACCEPT}, {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "GET"}, {.method = "GET"}},
	 .log = "connected 200 length \"hello\" | connected 200 length \"hello\""},
	{.name = "more than the chunks said",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = CHUNKED_HEAD "5\r\nhello\r\n0\r\n\r\nx"}, {.act = END}, {.act = ACCEPT},
	  {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "GET"}, {.method = "GET"}},
	 .log = "connected 200 chunked \"hello\" | connected 200 length \"hello\""},
	{.name = "released with the answer unread",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"}, {.act = END},
	  {.act = ACCEPT}, {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "GET", .abandons = true}, {.method = "GET"}},
	 .log = "connected 200 length | connected 200 length \"hello\""},
	{.name = "released with the answer here, whole",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = CHUNKED_HEAD "5\r\nhello\r\n0\r\n\r\n"}, {.expect = GET},
	  {.send = OK_5}},
	 .asks = {{.method = "GET", .abandons = true}, {.method = "GET"}},
	 .log = "connected 200 chunked | connected 200 length \"hello\""},
	{.name = "what is ready: a whole length",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "GET", .tells_ready = true}},
	 .log = "connected 200 length ready 5 whole \"hello\""},
	{.name = "what is ready: a part",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"}, {.act = CLOSE}},
	 .asks = {{.method = "GET", .tells_ready = true}},
	 .log = "connected 200 length ready 5 \"hello\" cut: 127.0.0.1 closed the connection within the body of its answer"},
	{.name = "what is ready: chunks and their end",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = CHUNKED_HEAD "3\r\nhel\r\n2\r\nlo\r\n0\r\nX-A: 1\r\n\r\n"}},
	 .asks = {{.method = "GET", .tells_ready = true}},
	 .log = "connected 200 chunked ready 5 whole \"hello\" X-A=1"},
	{.name = "what is ready: chunks without their end",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = CHUNKED_HEAD "3\r\nhel\r\n2\r\nlo\r\n0\r\nX-"}, {.act = CLOSE}},
	 .asks = {{.method = "GET", .tells_ready = true}},
	 .log = "connected 200 chunked ready 5 \"hello\" cut: 127.0.0.1 closed the connection within the body of its answer"},
	{.name = "what is ready: until close, and no body",
	 .steps = {{.act = ACCEPT}, {.expect = HEAD_REQUEST}, {.send = "HTTP/1.1 200 OK\r\n\r\n"}, {.expect = GET},
	  {.send = "HTTP/1.1 200 OK\r\n\r\nhello"}, {.act = CLOSE}},
	 .asks = {{.method = "HEAD", .tells_ready = true}, {.method = "GET", .tells_ready = true}},
	 .log = "connected 200 none ready 0 whole \"\" | connected 200 close ready 5 \"hello\""},
	{.name = "plain HTTP to a TLS port",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = "\x15\x03\x01\x01\x02\x02\x46"}, {.act = END}},
	 .asks = {{.method = "GET"}},
	 .log = "connected malformed: 127.0.0.1 answers in TLS; should the URL start with https://?"},
	{.name = "an idle connection that nobody needs any more",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = OK_5}, {.act = END}, {.act = NOTIFY}, {.act = ACCEPT},
	  {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "GET"}, {.method = "GET", .waits = true}},
	 .log = "connected 200 length \"hello\" | connected 200 length \"hello\"",
	 .limits = {{2000, 20}, 5000, 30, 4}},
	{.name = "no idle ones are kept",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = OK_5}, {.act = END}, {.act = ACCEPT}, {.expect = GET},
	  {.send = OK_5}},
	 .asks = {{.method = "GET"}, {.method = "GET"}},
	 .log = "connected 200 length \"hello\" | connected 200 length \"hello\"",
	 .limits = {{2000, 20}, 5000, 60000, 0}},
	{.name = "too many fields",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = "HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n"}, {.act = END}},
	 .asks = {{.method = "GET"}},
	 .log = "connected head too large: the answer of 127.0.0.1 has more fields than the limit (limits: fields)",
	 .limits = {{2000, 2}, 5000, 60000, 4}},
	{.name = "hosts have connections of their own",
	 .steps = {{.act = ACCEPT}, {.expect = GET}, {.send = OK_5}, {.act = ACCEPT}, {.expect = GET}, {.send = OK_5}},
	 .asks = {{.method = "GET"}, {.method = "GET", .host = "localhost"}},
	 .log = "connected 200 length \"hello\" | connected 200 length \"hello\""},
};

static void test_plays(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof plays / sizeof *plays; i++)
		run(&plays[i], false, 0);
}

static void test_interim_flood(void **state)
{
	static char flood[4000];
	(void)state;
	for (size_t i = 0; i < 150; i++)
		strcat(flood, "HTTP/1.1 103 x\r\n\r\n");
	struct play play_ = {
		.name = "a flood of 1xx",
		.steps = {{.act = ACCEPT}, {.expect = GET}, {.send = flood}, {.act = END}},
		.asks = {{.method = "GET"}},
	};
	AUTO_BUFFER struct buffer log = {0};
	buffer_string(&log, "connected");
	for (size_t i = 0; i < 100; i++)
		buffer_string(&log, " 103");
	buffer_string(&log, " malformed: 127.0.0.1 sent too many interim (1xx) answers");
	play_.log = log.data;
	run(&play_, false, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_plays),
		cmocka_unit_test(test_interim_flood),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
