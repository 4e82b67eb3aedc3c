/*
 * Load for proxies that pass bytes. bench/tunnels.py builds and runs it, with tunnel_origin.c behind the proxy.
 *
 *   tunnel_load down|up|open|echo PORT TUNNELS AMOUNT HEAD HELLO
 *
 * It opens TUNNELS tunnels through what listens on 127.0.0.1:PORT, and writes one line: how much was done, the
 * nanoseconds in all, and of `open` and `echo` the median and the 99th percentile of what one took, in nanoseconds.
 *
 *   down, up  AMOUNT bytes through all tunnels together, once all are open; counted in bytes
 *   open      for AMOUNT milliseconds: open a tunnel, exchange a message, close, TUNNELS at a time; counted in tunnels
 *   echo      for AMOUNT milliseconds: a message there and back again, once all are open; counted in messages
 *
 * HEAD is a file with what opens a tunnel, and is answered by 200; where it is empty a connection is one. HELLO is a
 * file with what the client says first within it: a TLS record, or nothing.
 */
#include "tunnel.h"

#include <stdbool.h>

enum { MESSAGE_SIZE = 64, ANSWER_ROOM = 4096 };

struct tunnel {
	int fd;
	enum { CONNECTING, OPENING, WAITING, TALKING } phase;
	uint64_t began; /* open: when it was dialled; echo: when the message left */
	uint64_t left;  /* of a bulk */
	size_t got;     /* of what is read into `bytes`: an answer, a count or a message */
	char bytes[ANSWER_ROOM];
};

struct mode {
	const char *name;
	enum order order;
	uint32_t events;
	bool alone; /* talks as soon as it is open, whatever others do */
	void (*talk)(struct tunnel *tunnel);
};

static void talk_down(struct tunnel *tunnel);
static void talk_up(struct tunnel *tunnel);
static void talk_open(struct tunnel *tunnel);
static void talk_echo(struct tunnel *tunnel);

static const struct mode modes[] = {
	{"down", SOURCE, EPOLLIN, false, talk_down},
	{"up", SINK, EPOLLOUT, false, talk_up},
	{"open", ECHO, EPOLLIN, true, talk_open},
	{"echo", ECHO, EPOLLIN, false, talk_echo},
};

static const struct mode *mode;
static int poller;
static uint16_t port;
static size_t tunnel_count, open_count, live_count;
static uint64_t bulk_each;
static uint64_t started, ends, done;
static char head[4096], first[8192], message[MESSAGE_SIZE];
static size_t head_size, first_size;
static struct times times;

static void say(struct tunnel *tunnel, const char *bytes, size_t size)
{
	tunnel->got = 0;
	if (send(tunnel->fd, bytes, size, MSG_NOSIGNAL) != (ssize_t)size)
		fail("sending %zu bytes: %s", size, strerror(errno));
}

static void end(struct tunnel *tunnel)
{
	close(tunnel->fd);
	live_count--;
}

static void dial(struct tunnel *tunnel)
{
	tunnel->began = now();
	tunnel->phase = CONNECTING;
	tunnel->fd = dial_loopback(poller, port, tunnel);
}

static void want(struct tunnel *tunnel, uint32_t events)
{
	watch(poller, EPOLL_CTL_MOD, tunnel->fd, events, tunnel);
}

/* What a tunnel says first: the greeting, the order, and where it is to be echoed the message. */
static void begin(struct tunnel *tunnel)
{
	tunnel->phase = TALKING;
	tunnel->left = bulk_each;
	if (!mode->alone)
		tunnel->began = now();
	say(tunnel, first, first_size);
	want(tunnel, mode->events);
}

static void opened(struct tunnel *tunnel, struct tunnel *all)
{
	tunnel->phase = WAITING;
	open_count++;
	if (mode->alone) {
		begin(tunnel);
		return;
	}
	want(tunnel, 0);
	if (open_count < tunnel_count)
		return;
	ends = now() + (ends - started);
	started = now();
	for (size_t i = 0; i < tunnel_count; i++)
		begin(&all[i]);
}

static void connected(struct tunnel *tunnel, struct tunnel *all)
{
	must_be_connected(tunnel->fd);
	if (head_size == 0) {
		opened(tunnel, all);
		return;
	}
	say(tunnel, head, head_size);
	tunnel->phase = OPENING;
	want(tunnel, EPOLLIN);
}

/* Reads up to `size` bytes in all; are they there? */
static bool fill(struct tunnel *tunnel, size_t size)
{
	ssize_t got = recv(tunnel->fd, tunnel->bytes + tunnel->got, size - tunnel->got, 0);
	if (got == 0)
		fail("the proxy closed the tunnel after %zu of %zu bytes", tunnel->got, size);
	if (got < 0 && errno != EAGAIN)
		fail("receiving: %s", strerror(errno));
	tunnel->got += got > 0 ? (size_t)got : 0;
	return tunnel->got == size;
}

static void answered(struct tunnel *tunnel, struct tunnel *all)
{
	if (fill(tunnel, sizeof tunnel->bytes - 1))
		fail("the answer to CONNECT does not end");
	tunnel->bytes[tunnel->got] = 0;
	size_t size = connect_answer(tunnel->bytes);
	if (size == 0)
		return;
	if (size != tunnel->got)
		fail("bytes in a tunnel that nobody sent");
	opened(tunnel, all);
}

static void talk_down(struct tunnel *tunnel)
{
	ssize_t got = swallow(tunnel->fd, tunnel->left);
	if (got == 0 || (got < 0 && errno != EAGAIN))
		fail("%llu bytes before the end: %s", (unsigned long long)tunnel->left,
		     got ? strerror(errno) : "closed");
	tunnel->left -= got > 0 ? (uint64_t)got : 0;
	if (tunnel->left == 0) {
		done += bulk_each;
		end(tunnel);
	}
}

static void talk_up(struct tunnel *tunnel)
{
	if (tunnel->left) {
		ssize_t sent = pour(tunnel->fd, tunnel->left);
		if (sent < 0 && errno != EAGAIN)
			fail("%llu bytes before the end: %s", (unsigned long long)tunnel->left, strerror(errno));
		tunnel->left -= sent > 0 ? (uint64_t)sent : 0;
		if (tunnel->left == 0)
			want(tunnel, EPOLLIN);
		return;
	}
	if (!fill(tunnel, COUNT_SIZE))
		return;
	uint64_t count;
	memcpy(&count, tunnel->bytes, sizeof count);
	if (be64toh(count) != bulk_each)
		fail("the origin got %llu bytes of %llu", (unsigned long long)be64toh(count),
		     (unsigned long long)bulk_each);
	done += bulk_each;
	end(tunnel);
}

/* Is the message back? */
static bool came_back(struct tunnel *tunnel)
{
	if (!fill(tunnel, MESSAGE_SIZE))
		return false;
	if (memcmp(tunnel->bytes, message, MESSAGE_SIZE) != 0)
		fail("a message came back changed");
	record(&times, tunnel->began);
	done++;
	return true;
}

static void talk_open(struct tunnel *tunnel)
{
	if (!came_back(tunnel))
		return;
	end(tunnel);
	if (now() < ends) {
		live_count++;
		dial(tunnel);
	}
}

static void talk_echo(struct tunnel *tunnel)
{
	if (!came_back(tunnel))
		return;
	tunnel->began = now();
	if (tunnel->began >= ends)
		end(tunnel);
	else
		say(tunnel, message, MESSAGE_SIZE);
}

static void serve(struct tunnel *tunnel, struct tunnel *all)
{
	switch (tunnel->phase) {
	case CONNECTING:
		connected(tunnel, all);
		return;
	case OPENING:
		answered(tunnel, all);
		return;
	case WAITING:
		fail("the proxy closed a tunnel that waits");
	case TALKING:
		mode->talk(tunnel);
		return;
	}
}

static void prepare_first(const char *hello)
{
	for (size_t i = 0; i < MESSAGE_SIZE; i++)
		message[i] = (char)(i + 1);
	first_size = load_file(hello, first, sizeof first - ORDER_SIZE - MESSAGE_SIZE);
	uint64_t count = htobe64(bulk_each);
	first[first_size] = (char)mode->order;
	memcpy(first + first_size + 1, &count, COUNT_SIZE);
	first_size += ORDER_SIZE;
	if (mode->order != ECHO)
		return;
	memcpy(first + first_size, message, MESSAGE_SIZE);
	first_size += MESSAGE_SIZE;
}

int main(int count, char **words)
{
	if (count != 7)
		fail("usage: tunnel_load down|up|open|echo PORT TUNNELS AMOUNT HEAD HELLO");
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
		if (!strcmp(words[1], modes[i].name))
			mode = &modes[i];
	if (!mode)
		fail("%s: down, up, open or echo is expected", words[1]);
	port = (uint16_t)number(words[2]);
	tunnel_count = live_count = number(words[3]);
	uint64_t amount = number(words[4]);
	bulk_each = amount / tunnel_count;
	head_size = load_file(words[5], head, sizeof head);
	prepare_first(words[6]);
	poller = epoll_create1(EPOLL_CLOEXEC);
	started = now();
	ends = started + amount * 1000000;
	struct tunnel *tunnels = calloc(tunnel_count, sizeof *tunnels);
	if (!tunnels)
		fail("no memory");
	for (size_t i = 0; i < tunnel_count; i++)
		dial(&tunnels[i]);
	while (live_count) {
		struct epoll_event events[EVENTS];
		int ready = epoll_wait(poller, events, EVENTS, QUIET_MS);
		if (ready == 0)
			fail("nothing moved for %d s, with %zu of %zu tunnels left", QUIET_MS / 1000, live_count,
			     tunnel_count);
		for (int i = 0; i < ready; i++)
			serve(events[i].data.ptr, tunnels);
	}
	report(done, started, &times);
	return 0;
}
