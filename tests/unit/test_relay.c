/* A relay between two real sockets, whose other ends threads write and read. */
#include "relay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define FOREVER 60000 /* ms, of tests that end long before */

struct world {
	struct relay relay; /* first: done() finds the world by it */
	struct loop *loop;
	struct relay_room *room;
	int peers[RELAY_SIDES]; /* the other ends of the relay's sockets; blocking */
	enum relay_end end;
	bool over;
};

/* --- sockets --- */

static void small_buffers(int fd)
{
	int size = 8192;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
}

static void tcp_pair(int pair[2], bool small)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (small)
		small_buffers(listener);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (small)
		small_buffers(pair[0]);
	assert_int_equal(connect(pair[0], (struct sockaddr *)&address, sizeof address), 0);
	pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(pair[1] >= 0);
	close(listener);
}

enum kind { TCP, TCP_SMALL, UNIX };

static void ignore(struct loop_watch *watch, uint32_t events)
{
	(void)watch;
	(void)events;
}

static void done(struct relay *relay, enum relay_end end)
{
	struct world *world = (struct world *)relay;
	assert_false(world->over);
	world->end = end;
	world->over = true;
	loop_stop(world->loop);
}

static void begin(struct world *world, enum kind kind, uint64_t idle)
{
	static const uint32_t nothing[RELAY_SIDES];
	struct fault fault = FAULT_INIT;
	*world = (struct world){.loop = loop_new(&fault)};
	assert_non_null(world->loop);
	world->room = relay_room_new(world->loop);
	for (int side = 0; side < RELAY_SIDES; side++) {
		int pair[2];
		if (kind == UNIX)
			assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		else
			tcp_pair(pair, kind == TCP_SMALL);
		world->peers[side] = pair[0];
		fcntl(pair[1], F_SETFL, O_NONBLOCK);
		world->relay.watches[side] = (struct loop_watch){.fd = -1, .ready = ignore};
		loop_watch_add(world->loop, &world->relay.watches[side], pair[1], RELAY_EVENTS);
		world->relay.ends[side] = (struct endpoint){.fd = pair[1]};
	}
	relay_start(&world->relay, world->room, nothing, idle, done);
}

static void finish(struct world *world)
{
	assert_true(world->over);
	for (int side = 0; side < RELAY_SIDES; side++) {
		assert_int_equal(world->relay.watches[side].fd, -1);
		close(world->relay.ends[side].fd);
		close(world->peers[side]);
	}
	relay_room_free(world->room);
	loop_free(world->loop);
}

/* --- what peers do --- */

struct talk {
	int fd;
	size_t size;      /* bytes to write, of random pieces, then the end */
	unsigned seed;    /* of the pieces and the bytes */
	unsigned pieces;  /* the longest one */
	size_t expected;  /* bytes to read, until the end */
	unsigned other;   /* the seed that they were written with */
	size_t written;
	bool right;       /* all of them came, and no others */
};

static char byte_at(unsigned seed, size_t at)
{
	return (char)((at * 2654435761u + seed) >> 7);
}

static void *write_all(void *context)
{
	struct talk *talk = context;
	char bytes[65536];
	unsigned state = talk->seed;
	for (size_t at = 0; at < talk->size;) {
		size_t count = 1 + (size_t)rand_r(&state) % talk->pieces;
		if (count > talk->size - at)
			count = talk->size - at;
		for (size_t i = 0; i < count; i++)
			bytes[i] = byte_at(talk->seed, at + i);
		for (size_t sent = 0; sent < count;) {
			ssize_t one = send(talk->fd, bytes + sent, count - sent, MSG_NOSIGNAL);
			if (one < 0)
				return NULL;
			sent += (size_t)one;
			talk->written += (size_t)one;
		}
		at += count;
	}
	shutdown(talk->fd, SHUT_WR);
	return NULL;
}

static void *read_all(void *context)
{
	struct talk *talk = context;
	char bytes[65536];
	unsigned state = talk->seed;
	size_t at = 0;
	talk->right = true;
	for (;;) {
		ssize_t count = recv(talk->fd, bytes, 1 + (size_t)rand_r(&state) % talk->pieces, 0);
		if (count <= 0)
			break;
		for (ssize_t i = 0; i < count; i++)
			talk->right &= bytes[i] == byte_at(talk->other, at + (size_t)i);
		at += (size_t)count;
	}
	talk->right &= at == talk->expected;
	return NULL;
}

/* Both peers write and read all there is, each in threads of their own, until all is over. */
static void converse(enum kind kind, const size_t sizes[RELAY_SIDES], unsigned pieces)
{
	struct world world;
	struct talk talks[RELAY_SIDES];
	pthread_t threads[RELAY_SIDES][2];
	begin(&world, kind, FOREVER);
	for (int side = 0; side < RELAY_SIDES; side++) {
		talks[side] = (struct talk){.fd = world.peers[side], .size = sizes[side], .seed = 17u + (unsigned)side,
		                            .pieces = pieces, .expected = sizes[!side], .other = 17u + (unsigned)!side};
		pthread_create(&threads[side][0], NULL, write_all, &talks[side]);
		pthread_create(&threads[side][1], NULL, read_all, &talks[side]);
	}
	loop_run(world.loop);
	for (int side = 0; side < RELAY_SIDES; side++)
		close(world.relay.ends[side].fd);
	for (int side = 0; side < RELAY_SIDES; side++) {
		pthread_join(threads[side][0], NULL);
		pthread_join(threads[side][1], NULL);
		assert_true(talks[side].right);
		assert_true(world.relay.flows[side].bytes == sizes[side]);
	}
	assert_int_equal(world.end, RELAY_BOTH_CLOSED);
	for (int side = 0; side < RELAY_SIDES; side++)
		world.relay.ends[side].fd = -1;
	finish(&world);
}

static void test_both_ways(void **state)
{
	static const unsigned pieces[] = {1, 100, 5000, 16384, 65536};
	(void)state;
	for (enum kind kind = TCP; kind <= UNIX; kind++)
		for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
			size_t size = pieces[i] == 1 ? 5000 : 3000000;
			converse(kind, (const size_t[]){size, size / 3}, pieces[i]);
			converse(kind, (const size_t[]){0, size / 2}, pieces[i]);
			converse(kind, (const size_t[]){size / 2, 0}, pieces[i]);
		}
	converse(TCP, (const size_t[]){0, 0}, 1);
}

/* Out of descriptors, all is copied. */
static void test_without_pipes(void **state)
{
	struct rlimit before, none;
	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 16; /* for the sockets and the loop */
	int fds[16];
	size_t count = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	while (count < 16 && (fds[count] = dup(0)) >= 0)
		count++;
	for (int i = 0; i < 8 && count > 0; i++) /* the loop's two, a listener, the pairs' four; nothing for a pipe's second end */
		close(fds[--count]);
	converse(TCP_SMALL, (const size_t[]){3000000, 1000000}, 65536);
	while (count > 0)
		close(fds[--count]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* What one peer writes while the other one reads nothing is bounded by the sockets' buffers and a pipe. */
static void test_back_pressure(void **state)
{
	struct world world;
	pthread_t writer;
	(void)state;
	begin(&world, TCP_SMALL, 200);
	struct talk talk = {.fd = world.peers[RELAY_UPSTREAM], .size = SIZE_MAX, .pieces = 4096};
	pthread_create(&writer, NULL, write_all, &talk);
	loop_run(world.loop); /* until nothing moves any more */
	assert_int_equal(world.end, RELAY_IDLE);
	for (int side = 0; side < RELAY_SIDES; side++)
		close(world.relay.ends[side].fd);
	pthread_join(writer, NULL);
	assert_in_range(talk.written, 16 * 1024, 256 * 1024);
	for (int side = 0; side < RELAY_SIDES; side++)
		world.relay.ends[side].fd = -1;
	finish(&world);
}

static void reset(int fd)
{
	const struct linger now = {.l_onoff = 1, .l_linger = 0};
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static void test_reset_is_passed_on(void **state)
{
	(void)state;
	for (int side = 0; side < RELAY_SIDES; side++) {
		struct world world;
		char byte;
		begin(&world, TCP, FOREVER);
		reset(world.peers[side]);
		close(world.peers[side]);
		world.peers[side] = -1;
		loop_run(world.loop);
		assert_int_equal(world.end, side == RELAY_CLIENT ? RELAY_CLIENT_BROKEN : RELAY_UPSTREAM_BROKEN);
		close(world.relay.ends[!side].fd);
		world.relay.ends[!side].fd = -1;
		assert_int_equal(recv(world.peers[!side], &byte, 1, 0), -1);
		assert_int_equal(errno, ECONNRESET);
		finish(&world);
	}
}

/* After its end, too: no bytes of the other side would find out for a long time. */
static void test_reset_behind_an_end(void **state)
{
	struct world world;
	struct talk writer;
	char bytes[8];
	(void)state;
	begin(&world, TCP, FOREVER);
	writer = (struct talk){.fd = world.peers[RELAY_CLIENT], .size = 5, .seed = 1, .pieces = 5};
	write_all(&writer);
	reset(world.peers[RELAY_CLIENT]);
	close(world.peers[RELAY_CLIENT]);
	world.peers[RELAY_CLIENT] = -1;
	loop_run(world.loop);
	assert_int_equal(world.end, RELAY_CLIENT_BROKEN);
	assert_true(recv(world.peers[RELAY_UPSTREAM], bytes, sizeof bytes, MSG_DONTWAIT) != 0);
	finish(&world);
}

static void *echo(void *context)
{
	const int *fd = context;
	char bytes[4096];
	ssize_t count;
	while ((count = recv(*fd, bytes, sizeof bytes, 0)) > 0)
		for (ssize_t sent = 0; sent < count;) {
			ssize_t one = send(*fd, bytes + sent, (size_t)(count - sent), MSG_NOSIGNAL);
			if (one < 0)
				return NULL;
			sent += one;
		}
	return NULL;
}

/* Says as much as there is room for, hears nothing, and leaves. */
static void *fill_and_reset(void *context)
{
	int *fd = context;
	static const char bytes[4096];
	struct pollfd room = {.fd = *fd, .events = POLLOUT};
	while (poll(&room, 1, 200) > 0)
		send(*fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
	reset(*fd);
	close(*fd);
	*fd = -1;
	return NULL;
}

/* Each waits for the other to read; once one is gone, that must not hold the other one. */
static void test_reset_while_both_are_full(void **state)
{
	(void)state;
	for (int side = 0; side < RELAY_SIDES; side++) {
		struct world world;
		pthread_t threads[2];
		begin(&world, TCP_SMALL, 5000);
		pthread_create(&threads[0], NULL, echo, &world.peers[!side]);
		pthread_create(&threads[1], NULL, fill_and_reset, &world.peers[side]);
		loop_run(world.loop);
		assert_int_equal(world.end, side == RELAY_CLIENT ? RELAY_CLIENT_BROKEN : RELAY_UPSTREAM_BROKEN);
		/* With what is unread: a reset, which lets go of who still sends. */
		close(world.relay.ends[!side].fd);
		world.relay.ends[!side].fd = -1;
		for (int i = 0; i < 2; i++)
			pthread_join(threads[i], NULL);
		finish(&world);
	}
}

/* What comes without end for a side that is gone is not read without end. */
static void test_endless_for_nobody(void **state)
{
	struct world world;
	pthread_t writer, leaver;
	(void)state;
	begin(&world, TCP_SMALL, FOREVER);
	struct talk talk = {.fd = world.peers[RELAY_UPSTREAM], .size = SIZE_MAX, .pieces = 65536};
	pthread_create(&leaver, NULL, fill_and_reset, &world.peers[RELAY_CLIENT]);
	pthread_create(&writer, NULL, write_all, &talk);
	loop_run(world.loop);
	assert_int_equal(world.end, RELAY_CLIENT_BROKEN);
	pthread_join(leaver, NULL);
	close(world.relay.ends[RELAY_UPSTREAM].fd);
	world.relay.ends[RELAY_UPSTREAM].fd = -1;
	pthread_join(writer, NULL);
	assert_in_range(talk.written, 1024 * 1024, 64 * 1024 * 1024);
	finish(&world);
}

/* A unix socket that is closed is gone for both directions, and what it said before arrives. */
static void test_unix_close(void **state)
{
	struct world world;
	struct talk writer;
	char bytes[8];
	(void)state;
	begin(&world, UNIX, FOREVER);
	writer = (struct talk){.fd = world.peers[RELAY_CLIENT], .size = 5, .seed = 1, .pieces = 5};
	write_all(&writer);
	close(world.peers[RELAY_CLIENT]);
	world.peers[RELAY_CLIENT] = -1;
	loop_run(world.loop);
	assert_int_equal(world.end, RELAY_CLIENT_BROKEN);
	assert_int_equal(recv(world.peers[RELAY_UPSTREAM], bytes, sizeof bytes, 0), 5);
	assert_int_equal(recv(world.peers[RELAY_UPSTREAM], bytes, sizeof bytes, 0), 0);
	finish(&world);
}

static void test_idle(void **state)
{
	struct world world;
	(void)state;
	begin(&world, TCP, 50);
	loop_run(world.loop);
	assert_int_equal(world.end, RELAY_IDLE);
	finish(&world);
}

static void stop_both(struct loop_timer *timer)
{
	struct world *world = (struct world *)((char *)timer - offsetof(struct world, relay.timer));
	relay_stop(&world->relay);
	world->over = true;
	loop_stop(world->loop);
}

static void test_stop(void **state)
{
	struct world world;
	(void)state;
	begin(&world, TCP, 10);
	world.relay.timer.fire = stop_both;
	loop_run(world.loop);
	finish(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),  cmocka_unit_test(test_without_pipes),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_reset_is_passed_on), cmocka_unit_test(test_reset_behind_an_end),
		cmocka_unit_test(test_reset_while_both_are_full), cmocka_unit_test(test_endless_for_nobody),
		cmocka_unit_test(test_unix_close), cmocka_unit_test(test_idle),
		cmocka_unit_test(test_stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
