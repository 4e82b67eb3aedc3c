/* HTTP/2 upstreams, against a server on loopback that is on the same loop: who shares a connection, who waits, what comes of
 * a reset or a GOAWAY, and that windows, stream ids and memory do not run out. What real servers do is in tests/e2e. */
#include "config_rows.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "file.h"
#include "memory.h"
#include "mint_leaf.h"
#include "upstream_connection.h"
#include "upstream_h2_internal.h"

#define TEXT "version: 1\nsession: none\nprofiles: { a: { hosts: [{ host: a.test, intercept: true }] } }\n"
#define PATIENCE 20000 /* ms; far more than anything here takes */
#define LINKS 40
#define CLIENTS 8
#define CLIENTS_MOST 40

static char folder[] = "/tmp/keystile-h2-XXXXXX";
static struct mint *mint;
static struct tls_trust *trust;
static struct leaf *leaf;

/* GnuTLS 3.7.9 loses some 200 bytes of a session's data where the server does not take the ticket. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libgnutls\n";
}

static int enter(void **state)
{
	(void)state;
	struct fault fault = FAULT_INIT;
	struct host host;
	AUTO_BUFFER struct buffer pem = {0};
	struct config *config = good(TEXT);
	if (!mkdtemp(folder) || chdir(folder) != 0)
		return -1;
	mint = mint_new(config, &fault);
	config_free(config);
	mint_pem(mint, &pem);
	assert_true(file_replace("ca.pem", buffer_view(&pem), 0600, &fault));
	assert_true(host_parse(SPAN("127.0.0.1"), &host, &fault));
	trust = tls_trust_load("ca.pem", &fault);
	leaf = mint_get(mint, &host, &fault);
	return trust && leaf ? 0 : -1;
}

static int leave(void **state)
{
	(void)state;
	leaf_free(leaf);
	mint_free(mint);
	tls_trust_free(trust);
	AUTO_FREE char *command = memory_format("rm -rf %s", folder);
	return chdir("/") == 0 && system(command) == 0 ? 0 : -1;
}

/* ---- the server ---- */

struct world;

/* One connection of the server. */
struct link {
	struct loop_watch watch;
	struct world *world;
	struct endpoint end;
	nghttp2_session *session;
	struct buffer out;
	int32_t reset; /* a stream that is to be reset, with `reset_code` */
	uint32_t reset_code;
	bool shaken, ended;
	bool deaf; /* reads nothing more */
	uint32_t goaway; /* that the client said; 1000: none */
};

/* What the server does with each request, once its head is there. */
typedef void serve_request(struct link *link, int32_t id);

struct script {
	serve_request *serve;
	bool only_h1, silent; /* `silent`: its SETTINGS do not come */
	uint32_t streams, window;
};

/* ---- the client ---- */

struct client {
	struct world *world;
	struct upstream *upstream; /* NULL: over */
	bool reads, forgets;       /* takes the body; releases the request as soon as its head is there */
	bool forgets_interim;
	size_t body, sent;         /* of the request */
	size_t got;
	struct upstream_error error;
	struct buffer log;
};

struct world {
	struct loop *loop;
	struct dialer *dialer;
	struct upstream_pool *pool;
	struct upstream_h2 *room;
	struct destination destination;
	struct loop_watch listener;
	struct loop_timer patience, look;
	const struct script *script;
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option; /* windows do not open again */
	struct link links[LINKS];
	size_t link_count;
	struct client clients[CLIENTS_MOST];
	size_t left; /* clients that are not over */
	bool late;
};

static void link_flush(struct link *link)
{
	const uint8_t *bytes;
	ssize_t count = 1;
	while (link->session && !link->world->script->silent && count > 0) {
		while (link->out.length > 0) {
			count = endpoint_write(&link->end, link->out.data, link->out.length);
			if (count < 0)
				return;
			link->out.length -= (size_t)count;
			memmove(link->out.data, link->out.data + count, link->out.length);
		}
		if ((count = nghttp2_session_mem_send(link->session, &bytes)) > 0)
			buffer_append(&link->out, bytes, (size_t)count);
	}
}

static int on_server_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
	struct link *link = context;
	(void)session;
	if (frame->hd.type == NGHTTP2_HEADERS)
		link->world->script->serve(link, frame->hd.stream_id);
	else if (frame->hd.type == NGHTTP2_GOAWAY)
		link->goaway = frame->goaway.error_code;
	return 0;
}

static void link_start(struct link *link)
{
	const struct script *script = link->world->script;
	const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, script->streams},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, script->window},
	};
	if (!tls_is_h2(link->end.tls))
		return;
	assert_int_equal(nghttp2_session_server_new2(&link->session, link->world->callbacks, link, link->world->option), 0);
	if (!script->silent)
		nghttp2_submit_settings(link->session, NGHTTP2_FLAG_NONE, settings, 2);
}

static void link_read(struct link *link)
{
	uint8_t bytes[16384];
	ssize_t count;
	while ((count = endpoint_read(&link->end, bytes, sizeof bytes)) > 0)
		if (link->session)
			assert_true(nghttp2_session_mem_recv(link->session, bytes, (size_t)count) >= 0);
	link->ended |= count != ENDPOINT_AGAIN;
	link_flush(link);
	if (link->reset)
		nghttp2_submit_rst_stream(link->session, NGHTTP2_FLAG_NONE, link->reset, link->reset_code);
	link->reset = 0;
	link_flush(link);
}

static void on_link(struct loop_watch *watch, uint32_t events)
{
	struct link *link = (struct link *)watch;
	struct fault fault = FAULT_INIT;
	(void)events;
	if (link->ended)
		return;
	if (!link->shaken) {
		enum tls_result result = tls_handshake(link->end.tls, &fault);
		if (result == TLS_WANT_READ || result == TLS_WANT_WRITE)
			return;
		link->shaken = result == TLS_OK;
		link->ended = !link->shaken;
		if (link->ended)
			return;
		link_start(link);
	}
	if (!link->deaf)
		link_read(link);
	if (link->ended && link->world->left == 0)
		loop_stop(link->world->loop);
}

static void on_listener(struct loop_watch *watch, uint32_t events)
{
	struct world *world = (struct world *)(void *)((char *)watch - offsetof(struct world, listener));
	struct fault fault = FAULT_INIT;
	int fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	(void)events;
	if (fd < 0)
		return;
	assert_true(world->link_count < LINKS);
	struct link *link = &world->links[world->link_count++];
	*link = (struct link){.watch = {.fd = -1, .ready = on_link}, .world = world, .end = {.fd = fd}, .goaway = 1000};
	link->end.tls = tls_server_new(leaf, fd, !world->script->only_h1, &fault);
	assert_non_null(link->end.tls);
	loop_watch_add(world->loop, &link->watch, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

/* ---- what the server says ---- */

#define FIELD(name, value)                                                                                             \
	{(uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), sizeof(name) - 1, sizeof(value) - 1, 0}

static void say_head(struct link *link, int32_t id, uint8_t flags)
{
	const nghttp2_nv fields[] = {FIELD(":status", "200")};
	nghttp2_submit_headers(link->session, flags, id, NULL, fields, 1, NULL);
}

/* `source` counts what is left. */
static ssize_t fill(nghttp2_session *session, int32_t id, uint8_t *bytes, size_t size, uint32_t *flags,
                    nghttp2_data_source *source, void *context)
{
	size_t left = (uintptr_t)source->ptr;
	(void)session;
	(void)id;
	(void)context;
	size = size < left ? size : left;
	memset(bytes, 'x', size);
	source->ptr = (void *)(uintptr_t)(left - size);
	if (size == left)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)size;
}

static void answer_with(struct link *link, int32_t id, size_t size)
{
	const nghttp2_nv fields[] = {FIELD(":status", "200")};
	const nghttp2_data_provider body = {.source = {.ptr = (void *)(uintptr_t)size}, .read_callback = fill};
	nghttp2_submit_response(link->session, id, fields, 1, &body);
}

static void answer(struct link *link, int32_t id)
{
	say_head(link, id, NGHTTP2_FLAG_END_STREAM);
}

static void answer_large(struct link *link, int32_t id)
{
	answer_with(link, id, 200000);
}

static void answer_nothing(struct link *link, int32_t id)
{
	(void)link;
	(void)id;
}

static void answer_interim(struct link *link, int32_t id)
{
	const nghttp2_nv fields[] = {FIELD(":status", "103")};
	nghttp2_submit_headers(link->session, NGHTTP2_FLAG_NONE, id, NULL, fields, 1, NULL);
	answer(link, id);
}

/* ---- what the client is told ---- */

static void let_go(struct client *client)
{
	client->upstream->table->release(client->upstream);
	client->upstream = NULL;
	client->world->left--;
}

static void over(struct client *client)
{
	let_go(client);
	if (client->world->left == 0)
		loop_stop(client->world->loop);
}

static void read_all(struct client *client)
{
	char bytes[5000];
	ssize_t count = UPSTREAM_READ_AGAIN;
	while (client->reads && (count = client->upstream->table->read(client->upstream, bytes, sizeof bytes)) > 0)
		client->got += (size_t)count;
	if (count == UPSTREAM_READ_AGAIN)
		return;
	if (count == UPSTREAM_READ_ERROR)
		client->error = *client->upstream->table->error(client->upstream);
	buffer_format(&client->log, "%s", count == 0 ? " end" : " cut");
	over(client);
}

static void write_more(struct client *client)
{
	char bytes[5000] = "";
	while (client->sent < client->body) {
		size_t left = client->body - client->sent, size = left < sizeof bytes ? left : sizeof bytes;
		size_t taken = client->upstream->table->write(client->upstream, bytes, size);
		client->sent += taken;
		if (taken < size)
			return;
	}
	if (client->body > 0)
		client->upstream->table->finish(client->upstream, NULL);
}

static void on_connected(void *context)
{
	buffer_string(&((struct client *)context)->log, "connected");
}

static void on_interim(void *context, const struct response *interim)
{
	struct client *client = context;
	buffer_format(&client->log, " %u", interim->status);
	if (client->forgets_interim)
		over(client);
}

static void on_head(void *context, const struct response *response)
{
	struct client *client = context;
	buffer_format(&client->log, " %u", response->status);
	if (client->forgets)
		over(client);
	else
		read_all(client);
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
	client->error = *error;
	buffer_string(&client->log, " failed");
	over(client);
}

static const struct upstream_events events = {on_connected, on_interim, on_head, on_readable, on_writable, on_failed};

/* ---- the world ---- */

static void give_up(struct loop_timer *timer)
{
	struct world *world = (struct world *)(void *)((char *)timer - offsetof(struct world, patience));
	world->late = true;
	loop_stop(world->loop);
}

static void listen_on(struct world *world)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t size = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, 16) == 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	world->destination.port = ntohs(address.sin_port);
	world->listener = (struct loop_watch){.fd = -1, .ready = on_listener};
	loop_watch_add(world->loop, &world->listener, fd, EPOLLIN);
}

static struct world *world_new(const struct script *script, uint64_t handshake, uint64_t idle)
{
	struct fault fault = FAULT_INIT;
	struct world *world = memory_alloc(sizeof *world);
	const struct upstream_limits limits = {{24576, 100}, handshake, idle, 8};
	world->script = script;
	world->loop = loop_new(&fault);
	world->dialer = dialer_new(world->loop, NULL, 0, PATIENCE, &fault);
	world->pool = upstream_pool_new(world->loop, world->dialer, limits);
	world->room = upstream_h2_new(world->loop, world->dialer, world->pool, limits, &fault);
	assert_non_null(world->room);
	world->destination = (struct destination){
		.tls = true, .trust = trust, .policy = {.loopback_allowed = true, .literal_allowed = true}};
	assert_true(host_parse(SPAN("127.0.0.1"), &world->destination.host, &fault));
	assert_int_equal(nghttp2_session_callbacks_new(&world->callbacks), 0);
	assert_int_equal(nghttp2_option_new(&world->option), 0);
	nghttp2_option_set_no_auto_window_update(world->option, 1);
	nghttp2_session_callbacks_set_on_frame_recv_callback(world->callbacks, on_server_frame);
	world->patience.fire = give_up;
	listen_on(world);
	return world;
}

static void world_free(struct world *world)
{
	upstream_h2_free(world->room);
	upstream_pool_free(world->pool);
	dialer_free(world->dialer);
	for (size_t i = 0; i < world->link_count; i++) {
		loop_watch_remove(world->loop, &world->links[i].watch);
		nghttp2_session_del(world->links[i].session);
		endpoint_close(&world->links[i].end);
		buffer_free(&world->links[i].out);
	}
	for (size_t i = 0; i < CLIENTS_MOST; i++)
		buffer_free(&world->clients[i].log);
	int fd = world->listener.fd;
	loop_watch_remove(world->loop, &world->listener);
	close(fd);
	nghttp2_session_callbacks_del(world->callbacks);
	nghttp2_option_del(world->option);
	loop_free(world->loop);
	free(world);
}

static struct client *ask(struct world *world, size_t number)
{
	struct client *client = &world->clients[number];
	struct field host = {.name = SPAN("Host"), .value = SPAN("127.0.0.1")};
	struct request request = {
		.method = client->body ? SPAN("POST") : SPAN("GET"),
		.target = SPAN("/x"),
		.fields = {&host, 1, 1},
		.body = {client->body ? BODY_CHUNKED : BODY_NONE, 0},
	};
	client->world = world;
	client->got = client->sent = 0;
	client->error = (struct upstream_error){0};
	buffer_clear(&client->log);
	world->left++;
	client->upstream = upstream_h2_start(world->room, &world->destination, &request, false, &events, client);
	write_more(client);
	return client;
}

static void run(struct world *world)
{
	loop_timer_set(world->loop, &world->patience, PATIENCE);
	loop_run(world->loop);
	loop_timer_stop(world->loop, &world->patience);
	for (size_t i = 0; world->late && i < CLIENTS; i++)
		print_error("client %zu: %.*s\n", i, SPAN_ARGS(buffer_view(&world->clients[i].log)));
	assert_false(world->late);
}

/* So long nothing happens that is waited for. */
static void pause_for(struct world *world, uint64_t milliseconds)
{
	loop_timer_set(world->loop, &world->patience, milliseconds);
	loop_run(world->loop);
	assert_true(world->late);
	world->late = false;
}

static void expect(const struct client *client, const char *log, enum upstream_failure failure)
{
	if (strcmp(client->log.data, log) != 0 || client->error.failure != failure)
		fail_msg("came \"%s\", %u (%s), should be \"%s\", %u", client->log.data, client->error.failure,
		         client->error.text, log, failure);
}

static struct h2_connection *connection_of_world(struct world *world)
{
	return LIST_FIRST(&h2_origin_get(world->room, &world->destination)->connections);
}

/* Unlike that, it leaves no origin without a connection. */
static struct h2_connection *find_connection(struct world *world)
{
	const struct h2_origin *origin = world->room->buckets[destination_hash(&world->destination) % DESTINATION_BUCKETS];
	return origin ? LIST_FIRST(&origin->connections) : NULL;
}

/* ---- connections ---- */

static void test_shared(void **state)
{
	(void)state;
	const struct script script = {.serve = answer_large, .streams = 100, .window = 65535};
	struct world *world = world_new(&script, PATIENCE, PATIENCE);
	for (size_t round = 0; round < 2; round++) {
		for (size_t i = 0; i < CLIENTS; i++) {
			world->clients[i].reads = true;
			ask(world, i);
		}
		run(world);
		for (size_t i = 0; i < CLIENTS; i++) {
			expect(&world->clients[i], "connected 200 end", UPSTREAM_OK);
			assert_int_equal(world->clients[i].got, 200000);
		}
	}
	assert_int_equal(world->link_count, 1);
	world_free(world);
}

static size_t streams_in_all(struct world *world)
{
	struct h2_connection *connection;
	size_t count = 0;
	LIST_FOREACH (connection, &connection_of_world(world)->origin->connections, others)
		count += connection->greeted ? connection->streams : 0;
	return count;
}

static void look_at_streams(struct loop_timer *timer)
{
	struct world *world = (struct world *)(void *)((char *)timer - offsetof(struct world, look));
	if (streams_in_all(world) == 5)
		loop_stop(world->loop);
	else
		loop_timer_set(world->loop, timer, 1);
}

/* As many connections as it takes, and no more. */
static void test_streams_of_the_server(void **state)
{
	(void)state;
	const struct script script = {.serve = answer_nothing, .streams = 2, .window = 65535};
	struct world *world = world_new(&script, PATIENCE, PATIENCE);
	for (size_t i = 0; i < 5; i++)
		ask(world, i);
	world->look.fire = look_at_streams;
	loop_timer_set(world->loop, &world->look, 1);
	run(world);
	assert_int_equal(world->link_count, 3);
	for (size_t i = 0; i < 5; i++)
		let_go(&world->clients[i]);
	world_free(world);
}

/* 32 connections are enough; who comes then is not kept waiting by those who have them. */
static void look_for_failures(struct loop_timer *timer)
{
	struct world *world = (struct world *)(void *)((char *)timer - offsetof(struct world, look));
	if (world->left == 32)
		loop_stop(world->loop);
	else
		loop_timer_set(world->loop, timer, 1);
}

static void test_no_streams_to_spare(void **state)
{
	(void)state;
	const struct script script = {.serve = answer_nothing, .streams = 1, .window = 65535};
	struct world *world = world_new(&script, PATIENCE, PATIENCE);
	for (size_t i = 0; i < CLIENTS_MOST; i++)
		ask(world, i);
	world->look.fire = look_for_failures;
	loop_timer_set(world->loop, &world->look, 1);
	run(world);
	assert_int_equal(world->link_count, 32);
	for (size_t i = 0; i < 32; i++)
		let_go(&world->clients[i]);
	for (size_t i = 32; i < CLIENTS_MOST; i++)
		expect(&world->clients[i], " failed", UPSTREAM_ONLY_H1);
	assert_true(upstream_h2_offers(world->room, &world->destination));
	world_free(world);
}

/* The one that was asked before their SETTINGS is answered; the next one waits until they take it, on the same connection. */
static int32_t opened;

static void open_up(struct link *link, int32_t id)
{
	opened = id;
	say_head(link, id, NGHTTP2_FLAG_END_STREAM);
}

static void test_no_streams_for_a_while(void **state)
{
	(void)state;
	const struct script script = {.serve = open_up, .streams = 0, .window = 65535};
	const nghttp2_settings_entry one = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1};
	struct world *world = world_new(&script, PATIENCE, PATIENCE);
	world->clients[0].reads = world->clients[1].reads = true;
	ask(world, 0);
	run(world);
	ask(world, 1);
	pause_for(world, 50);
	assert_int_equal(world->clients[1].log.length, 0);
	nghttp2_submit_settings(world->links[0].session, NGHTTP2_FLAG_NONE, &one, 1);
	link_flush(&world->links[0]);
	run(world);
	expect(&world->clients[1], "connected 200 end", UPSTREAM_OK);
	assert_int_equal(world->link_count, 1);
	world_free(world);
}

static void test_http1_only(void **state)
{
	(void)state;
	const struct script script = {.only_h1 = true};
	struct world *world = world_new(&script, PATIENCE, PATIENCE);
	world->clients[1].body = 10;
	assert_true(upstream_h2_offers(world->room, &world->destination));
	for (size_t i = 0; i < 3; i++)
		ask(world, i);
	run(world);
	for (size_t i = 0; i < 3; i++)
		expect(&world->clients[i], " failed", UPSTREAM_ONLY_H1);
	assert_int_equal(world->clients[1].sent, 0);
	assert_int_equal(world->link_count, 1);
	assert_int_equal(world->pool->idle_count, 1);
	assert_false(upstream_h2_offers(world->room, &world->destination));
	h2_origin_forget_first(&world->room->forget);
	assert_true(upstream_h2_offers(world->room, &world->destination));
	world_free(world);
}

/* However many origins there are, few are remembered, and the last ones. */
static void test_remembered(void **state)
{
	(void)state;
	const struct script script = {0};
	struct world *world = world_new(&script, PATIENCE, PATIENCE);
	struct destination destination = world->destination;
	for (uint16_t port = 1; port <= 600; port++) {
		destination.port = port;
		h2_origin_remember(h2_origin_get(world->room, &destination));
		h2_origin_remember(h2_origin_get(world->room, &destination));
	}
	assert_int_equal(world->room->plain_count, 512);
	destination.port = 88;
	assert_true(upstream_h2_offers(world->room, &destination));
	destination.port = 89;
	assert_false(upstream_h2_offers(world->room, &destination));
	assert_true(world->room->forget.link != NULL);
	world_free(world);
}

/* Stream ids are used up: the last one is used, and what follows takes another connection. */
static void test_last_id(void **state)
{
	(void)state;
	const struct script script = {.serve = answer, .streams = 100, .window = 65535};
	struct world *world = world_new(&script, PATIENCE, PATIENCE);
	for (size_t i = 0; i < 3; i++) {
		world->clients[i].reads = true;
		ask(world, i);
		run(world);
		expect(&world->clients[i], "connected 200 end", UPSTREAM_OK);
		if (i == 0)
			nghttp2_session_set_next_stream_id(connection_of_world(world)->session, INT32_MAX);
		assert_int_equal(world->link_count, i < 2 ? 1 : 2);
	}
	world_free(world);
}

static void test_idle(void **state)
{
	(void)state;
	const struct script script = {.serve = answer, .streams = 100, .window = 65535};
	struct world *world = world_new(&script, PATIENCE, 20);
	world->clients[0].reads = true;
	ask(world, 0);
	run(world);
	run(world); /* until the server's end is told */
	assert_int_equal(world->links[0].goaway, NGHTTP2_NO_ERROR);
	assert_true(world->links[0].ended);
	world_free(world);
}

/* Who comes just before the connection is to end has all of its time. */
static void answer_the_first(struct link *link, int32_t id)
{
	if (id == 1)
		answer(link, id);
}

static void test_leaves_with_a_new_stream(void **state)
{
	(void)state;
	const struct script script = {.serve = answer_the_first, .streams = 100, .window = 65535};
	struct world *world = world_new(&script, PATIENCE, 300);
	world->clients[0].reads = true;
	ask(world, 0);
	run(world);
	ask(world, 1);
	h2_connection_leave(connection_of_world(world));
	pause_for(world, 600);
	expect(&world->clients[1], "connected", UPSTREAM_OK);
	let_go(&world->clients[1]);
	world_free(world);
}

/* Who gives up on an upstream that says nothing leaves its connection to nobody; who goes away at once does. */
static void test_says_nothing(void **state)
{
	(void)state;
	const struct script script = {.serve = answer_the_first, .streams = 100, .window = 65535};
	struct world *world = world_new(&script, 300, PATIENCE);
	world->clients[0].reads = true;
	ask(world, 0);
	run(world);
	pause_for(world, 400);
	for (size_t i = 1; i < 4; i++) {
		ask(world, i);
		pause_for(world, i < 3 ? 50 : 400);
		assert_int_equal(world->link_count, 1);
		let_go(&world->clients[i]);
	}
	world->clients[4].reads = true;
	ask(world, 4);
	run(world);
	expect(&world->clients[4], "connected 200 end", UPSTREAM_OK);
	assert_int_equal(world->link_count, 2);
	world_free(world);
}

/* Its windows are open for more than the sockets hold. */
static void fall_deaf(struct link *link, int32_t id)
{
	const int little = 4096;
	(void)id;
	setsockopt(link->end.fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
	nghttp2_session_set_local_window_size(link->session, NGHTTP2_FLAG_NONE, 0, INT32_MAX);
	link_flush(link);
	link->deaf = true;
}

static void test_takes_no_reset(void **state)
{
	(void)state;
	const struct script script = {.serve = fall_deaf, .streams = 100, .window = INT32_MAX};
	struct world *world = world_new(&script, PATIENCE, 100);
	/* The second one finds out that what the socket took of the first is all that it takes. */
	for (size_t i = 0; i < 2; i++) {
		world->clients[i].body = SIZE_MAX;
		ask(world, i);
		pause_for(world, 500);
	}
	assert_true(outbox_size(&find_connection(world)->outbox) > 0);
	let_go(&world->clients[0]);
	let_go(&world->clients[1]);
	pause_for(world, 3000);
	assert_null(find_connection(world));
	world_free(world);
}

static void test_late_settings(void **state)
{
	(void)state;
	const struct script script = {.serve = answer_nothing, .silent = true};
	struct world *world = world_new(&script, 100, PATIENCE);
	ask(world, 0);
	ask(world, 1);
	run(world);
	expect(&world->clients[0], "connected failed", UPSTREAM_HANDSHAKE_TIME);
	expect(&world->clients[1], " failed", UPSTREAM_HANDSHAKE_TIME);
	assert_int_equal(world->link_count, 1);
	world_free(world);
}

/* ---- windows ---- */

static void check_that_all_flows(struct world *world)
{
	struct client *client = &world->clients[0];
	client->forgets = false;
	client->reads = true;
	ask(world, 0);
	run(world);
	expect(client, "connected 200 end", UPSTREAM_OK);
	assert_int_equal(client->got, 200000);
	assert_int_equal(world->link_count, 1);
}

/* Who goes away with the rest of an answer on its way takes nothing of the connection's window along, which is the sum of a
 * hundred of its streams'. */
static void test_windows_of_those_who_leave_early(void **state)
{
	(void)state;
	const struct script script = {.serve = answer_large, .streams = 100, .window = 65535};
	struct world *world = world_new(&script, PATIENCE, PATIENCE);
	world->clients[0].forgets = true;
	for (size_t i = 0; i < 400; i++) {
		ask(world, 0);
		run(world);
	}
	check_that_all_flows(world);
	world_free(world);
}

static void look_at_backlogs(struct loop_timer *timer)
{
	struct world *world = (struct world *)(void *)((char *)timer - offsetof(struct world, look));
	bool whole, full = true;
	for (size_t i = 0; i < CLIENTS; i++)
		full &= world->clients[i].upstream->table->ready(world->clients[i].upstream, &whole) == H2_WINDOW;
	if (full)
		loop_stop(world->loop);
	else
		loop_timer_set(world->loop, timer, 1);
}

/* Nor who has a window's worth of it unread. */
static void test_windows_of_those_who_read_nothing(void **state)
{
	(void)state;
	const struct script script = {.serve = answer_large, .streams = 100, .window = 65535};
	struct world *world = world_new(&script, PATIENCE, PATIENCE);
	world->look.fire = look_at_backlogs;
	for (size_t i = 0; i <= H2_STREAMS_MOST; i += CLIENTS) {
		for (size_t j = 0; j < CLIENTS; j++)
			ask(world, j);
		loop_timer_set(world->loop, &world->look, 1);
		run(world);
		for (size_t j = 0; j < CLIENTS; j++)
			let_go(&world->clients[j]);
	}
	check_that_all_flows(world);
	world_free(world);
}

/* Of a body is taken what their window has room for, and nothing before their SETTINGS. */
static void test_small_window(void **state)
{
	(void)state;
	const struct script script = {.serve = answer_nothing, .streams = 100, .window = 1000};
	struct world *world = world_new(&script, PATIENCE, PATIENCE);
	struct client *client = &world->clients[0];
	client->body = 100000;
	ask(world, 0);
	assert_int_equal(client->sent, 0);
	pause_for(world, 100);
	assert_int_equal(client->sent, 1000);
	let_go(client);
	world_free(world);
}

/* ---- ends ---- */

static uint32_t reset_code;
static bool reset_in_body;

static void reset(struct link *link, int32_t id)
{
	if (reset_in_body)
		say_head(link, id, NGHTTP2_FLAG_NONE);
	link->reset = id;
	link->reset_code = reset_code;
}

static void go_away(struct link *link, int32_t id)
{
	nghttp2_submit_goaway(link->session, NGHTTP2_FLAG_NONE, id - 2 > 0 ? id - 2 : 0, NGHTTP2_NO_ERROR, NULL, 0);
}

static const struct reset_row {
	serve_request *serve;
	uint32_t code;
	bool in_body;
	const char *log;
	enum upstream_failure failure;
	bool unprocessed, offers;
} reset_rows[] = {
	{reset, NGHTTP2_REFUSED_STREAM, false, "connected failed", UPSTREAM_CLOSED, true, true},
	{reset, NGHTTP2_INTERNAL_ERROR, false, "connected failed", UPSTREAM_CLOSED, false, true},
	{reset, NGHTTP2_NO_ERROR, false, "connected failed", UPSTREAM_CLOSED, false, true},
	{reset, NGHTTP2_HTTP_1_1_REQUIRED, false, "connected failed", UPSTREAM_ONLY_H1, false, false},
	{reset, NGHTTP2_NO_ERROR, true, "connected 200 cut", UPSTREAM_CUT, false, true},
	{reset, NGHTTP2_HTTP_1_1_REQUIRED, true, "connected 200 cut", UPSTREAM_CUT, false, true},
	{go_away, 0, false, "connected failed", UPSTREAM_CLOSED, true, true},
};

static void test_resets(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof reset_rows / sizeof *reset_rows; i++) {
		const struct reset_row *row = &reset_rows[i];
		const struct script script = {.serve = row->serve, .streams = 100, .window = 65535};
		struct world *world = world_new(&script, PATIENCE, PATIENCE);
		struct client *client = &world->clients[0];
		reset_code = row->code;
		reset_in_body = row->in_body;
		client->reads = true;
		ask(world, 0);
		run(world);
		expect(client, row->log, row->failure);
		assert_int_equal(client->error.unprocessed, row->unprocessed);
		assert_int_equal(upstream_h2_offers(world->room, &world->destination), row->offers);
		world_free(world);
	}
}

static void test_release_within_an_interim_answer(void **state)
{
	(void)state;
	const struct script script = {.serve = answer_interim, .streams = 100, .window = 65535};
	struct world *world = world_new(&script, PATIENCE, PATIENCE);
	world->clients[0].forgets_interim = true;
	world->clients[1].reads = true;
	ask(world, 0);
	ask(world, 1);
	run(world);
	assert_true(span_ends(buffer_view(&world->clients[0].log), SPAN("103")));
	assert_true(span_ends(buffer_view(&world->clients[1].log), SPAN("103 200 end")) ||
	            span_ends(buffer_view(&world->clients[1].log), SPAN("103connected 200 end")));
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_streams_of_the_server),
		cmocka_unit_test(test_no_streams_to_spare),
		cmocka_unit_test(test_no_streams_for_a_while),
		cmocka_unit_test(test_http1_only),
		cmocka_unit_test(test_remembered),
		cmocka_unit_test(test_last_id),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_leaves_with_a_new_stream),
		cmocka_unit_test(test_says_nothing),
		cmocka_unit_test(test_takes_no_reset),
		cmocka_unit_test(test_late_settings),
		cmocka_unit_test(test_windows_of_those_who_leave_early),
		cmocka_unit_test(test_windows_of_those_who_read_nothing),
		cmocka_unit_test(test_small_window),
		cmocka_unit_test(test_resets),
		cmocka_unit_test(test_release_within_an_interim_answer),
	};
	return cmocka_run_group_tests(tests, enter, leave);
}
