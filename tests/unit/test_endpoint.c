/* An endpoint with TLS on it, over TCP: how much it takes at once, and what is left where. */
#include "tls_world.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h> /* newer than <netinet/tcp.h>: it counts segments */
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>

#include "endpoint.h"
#include "relay.h"

#define RECORD 16384
#define MUCH (1 << 20)

static void open_tcp(struct pair *pair)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	*pair = (struct pair){.fds = {socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), -1}};
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	assert_int_equal(connect(pair->fds[0], (struct sockaddr *)&address, sizeof address), 0);
	pair->fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	close(listener);
	for (int i = 0; i < 2; i++) {
		fcntl(pair->fds[i], F_SETFL, O_NONBLOCK);
		endpoint_send_at_once(pair->fds[i]);
	}
}

static void connect_tcp(struct pair *pair)
{
	open_tcp(pair);
	greet_pair(pair, trust, "api.test", "api.test", false, false);
	assert_string_equal(pair->client_fault.text, "");
	assert_string_equal(pair->server_fault.text, "");
}

static void await(int fd, short events)
{
	struct pollfd poll_fd = {.fd = fd, .events = events};
	assert_int_equal(poll(&poll_fd, 1, 20000), 1);
}

/* Reads what is here by now; it must be what was written from `at` on. */
static size_t take(struct endpoint *end, const char *wanted, size_t at)
{
	static char bytes[5000];
	ssize_t count;
	while ((count = endpoint_read(end, bytes, sizeof bytes)) > 0) {
		assert_memory_equal(bytes, wanted + at, (size_t)count);
		at += (size_t)count;
	}
	assert_int_equal(count, ENDPOINT_AGAIN);
	return at;
}

static char *much(void)
{
	char *bytes = memory_alloc(MUCH);
	for (size_t i = 0; i < MUCH; i++)
		bytes[i] = (char)((i * 2654435761u) >> 9);
	return bytes;
}

static unsigned segments_of(int fd)
{
	struct tcp_info info;
	socklen_t size = sizeof info;
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
	return info.tcpi_data_segs_out;
}

/* Bytes that the kernel holds, and could send. */
static int held_of(int fd)
{
	int held = -1;
	assert_int_equal(ioctl(fd, SIOCOUTQNSD, &held), 0);
	return held;
}

/* Records of one write leave together, and none is kept for what may follow: loopback's segments hold nearly four. */
static void test_records_together(void **state)
{
	struct pair pair;
	AUTO_FREE char *bytes = much();
	(void)state;
	connect_tcp(&pair);
	struct endpoint server = {.fd = pair.fds[1], .tls = pair.server}, client = {.fd = pair.fds[0], .tls = pair.client};
	take(&client, bytes, 0); /* the ticket */
	unsigned before = segments_of(server.fd);
	assert_int_equal(endpoint_write(&server, bytes, 4 * RECORD - 500), 4 * RECORD - 500);
	assert_in_range(segments_of(server.fd) - before, 1, 3);
	assert_int_equal(held_of(server.fd), 0);
	size_t got = 0;
	while (got < 4 * RECORD - 500) {
		await(client.fd, POLLIN);
		got = take(&client, bytes, got);
	}
	close_pair(&pair);
}

/* More than goes without waiting: what was taken arrives, without a further write, and then all of it. */
static void test_slow_reader(void **state)
{
	struct pair pair;
	AUTO_FREE char *bytes = much();
	size_t sent = 0, got = 0;
	(void)state;
	connect_tcp(&pair);
	struct endpoint server = {.fd = pair.fds[1], .tls = pair.server}, client = {.fd = pair.fds[0], .tls = pair.client};
	setsockopt(server.fd, SOL_SOCKET, SO_SNDBUF, &(int){40000}, sizeof(int));
	while (sent < MUCH) {
		ssize_t count;
		while ((count = endpoint_write(&server, bytes + sent, MUCH - sent)) > 0)
			sent += (size_t)count;
		assert_true(sent == MUCH || count == ENDPOINT_AGAIN);
		while (got < sent) {
			await(client.fd, POLLIN);
			got = take(&client, bytes, got);
		}
	}
	assert_int_equal(got, MUCH);
	close_pair(&pair);
}

/* --- a relay --- */

struct world {
	struct relay relay; /* first: done() finds the world by it */
	struct loop *loop;
};

static void ignore(struct loop_watch *watch, uint32_t events)
{
	(void)watch;
	(void)events;
}

static void done(struct relay *relay, enum relay_end end)
{
	(void)end;
	loop_stop(((struct world *)relay)->loop);
}

/* Reads six bytes, then ends, which ends the relay. */
static void *read_six(void *context)
{
	char bytes[6];
	int fd = *(int *)context;
	bool right = recv(fd, bytes, sizeof bytes, MSG_WAITALL) == sizeof bytes && !memcmp(bytes, "onetwo", sizeof bytes);
	close(fd);
	return right ? context : NULL;
}

/* TCP's urgent mark cuts a read short: what is behind it came with the same edge. */
static void test_urgent_mark(void **state)
{
	static const uint32_t nothing[RELAY_SIDES];
	struct fault fault = FAULT_INIT;
	struct pair pair;
	struct world world = {.loop = loop_new(&fault)};
	pthread_t reader;
	int plain[2];
	void *right;
	(void)state;
	connect_tcp(&pair);
	struct relay_room *room = relay_room_new(world.loop);
	struct endpoint client = {.fd = pair.fds[0], .tls = pair.client};
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, plain), 0);
	fcntl(plain[0], F_SETFL, O_NONBLOCK);
	assert_int_equal(endpoint_write(&client, "one", 3), 3);
	assert_int_equal(send(client.fd, "!", 1, MSG_OOB), 1);
	assert_int_equal(endpoint_write(&client, "two", 3), 3);
	world.relay.ends[RELAY_CLIENT] = (struct endpoint){.fd = pair.fds[1], .tls = pair.server};
	world.relay.ends[RELAY_UPSTREAM] = (struct endpoint){.fd = plain[0]};
	for (int side = 0; side < RELAY_SIDES; side++) {
		world.relay.watches[side] = (struct loop_watch){.fd = -1, .ready = ignore};
		loop_watch_add(world.loop, &world.relay.watches[side], world.relay.ends[side].fd, RELAY_EVENTS);
	}
	relay_start(&world.relay, room, nothing, 20000, done);
	pthread_create(&reader, NULL, read_six, &plain[1]);
	loop_run(world.loop);
	pthread_join(reader, &right);
	assert_non_null(right);
	close(plain[0]);
	relay_room_free(room);
	loop_free(world.loop);
	close_pair(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records_together),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_urgent_mark),
	};
	return cmocka_run_group_tests(tests, enter, leave);
}
