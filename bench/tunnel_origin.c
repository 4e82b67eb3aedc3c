/*
 * The origin behind proxies that pass bytes: source, sink and echo on one port, as tunnel.h says.
 *
 *   tunnel_origin PORT
 *
 * It serves on 127.0.0.1, and on ::1 where there is one, until it is ended. bench/tunnels.py builds and runs it.
 */
#include <stdbool.h>

#include "tunnel.h"

enum { ROOM = 16 * 1024, BACKLOG = 1024 };

struct connection {
	int fd;
	enum order order; /* 0: not yet known */
	uint64_t count, left;
	bool waits;      /* with an echo, until the client reads */
	size_t from, to; /* of `bytes`: what is not yet used, or not yet sent back */
	unsigned char bytes[ROOM];
};

static int poller;

static void drop(struct connection *connection)
{
	close(connection->fd);
	free(connection);
}

static void want(struct connection *connection, uint32_t events)
{
	watch(poller, EPOLL_CTL_MOD, connection->fd, events, connection);
}

/* 0 or less of a send or receive: is it the end, or only nothing now? */
static bool ended(ssize_t moved)
{
	return moved == 0 || (errno != EAGAIN && errno != EINTR);
}

static bool source(struct connection *connection)
{
	ssize_t sent = pour(connection->fd, connection->left);
	if (sent <= 0)
		return !ended(sent);
	connection->left -= (uint64_t)sent;
	if (connection->left == 0)
		want(connection, EPOLLIN);
	return true;
}

static bool sunk(struct connection *connection, size_t got)
{
	if (got > connection->left)
		return false;
	connection->left -= got;
	uint64_t count = htobe64(connection->count);
	return connection->left || send(connection->fd, &count, sizeof count, MSG_NOSIGNAL) == sizeof count;
}

static bool sink(struct connection *connection)
{
	ssize_t got = swallow(connection->fd, connection->left);
	if (got <= 0)
		return !ended(got);
	return sunk(connection, (size_t)got);
}

/* What came goes back; before it has, nothing more is read. */
static bool echo(struct connection *connection)
{
	size_t pending = connection->to - connection->from;
	ssize_t sent = send(connection->fd, connection->bytes + connection->from, pending, MSG_NOSIGNAL);
	if (sent <= 0 && ended(sent))
		return false;
	connection->from += sent > 0 ? (size_t)sent : 0;
	bool waits = connection->from < connection->to;
	if (waits != connection->waits)
		want(connection, waits ? EPOLLOUT : EPOLLIN);
	connection->waits = waits;
	return true;
}

/* The length of what lies before the order, or of what is missing to tell it: at least that must have come. */
static size_t prologue(const struct connection *connection)
{
	if (connection->to == 0 || connection->bytes[0] != TLS_HANDSHAKE)
		return 0;
	if (connection->to < TLS_HEAD_SIZE)
		return TLS_HEAD_SIZE;
	return TLS_HEAD_SIZE + (size_t)(connection->bytes[3] << 8 | connection->bytes[4]);
}

/* As a proxy answers it. The client waits for that, so nothing is behind the head. */
static bool grant(struct connection *connection)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\n\r\n";
	if (!memmem(connection->bytes, connection->to, "\r\n\r\n", 4))
		return connection->to < ROOM;
	connection->to = 0;
	return send(connection->fd, answer, sizeof answer - 1, MSG_NOSIGNAL) == sizeof answer - 1;
}

static bool begin(struct connection *connection)
{
	if (connection->to && connection->bytes[0] == CONNECT)
		return grant(connection);
	size_t before = prologue(connection);
	if (connection->to < before + ORDER_SIZE)
		return before + ORDER_SIZE <= ROOM;
	connection->order = connection->bytes[before];
	memcpy(&connection->count, connection->bytes + before + 1, COUNT_SIZE);
	connection->count = connection->left = be64toh(connection->count);
	connection->from = before + ORDER_SIZE;
	size_t behind = connection->to - connection->from;
	switch (connection->order) {
	case SOURCE:
		want(connection, EPOLLOUT);
		return true;
	case SINK:
		return sunk(connection, behind);
	case ECHO:
		return behind == 0 || echo(connection);
	}
	return false;
}

static bool receive(struct connection *connection)
{
	if (connection->from == connection->to)
		connection->from = connection->to = 0;
	ssize_t got = recv(connection->fd, connection->bytes + connection->to, ROOM - connection->to, 0);
	if (got <= 0)
		return !ended(got);
	connection->to += (size_t)got;
	if (!connection->order)
		return begin(connection);
	return connection->order == ECHO && echo(connection);
}

static bool serve(struct connection *connection, uint32_t events)
{
	if (events & EPOLLOUT)
		return connection->order == SOURCE ? source(connection) : echo(connection);
	if (connection->order == SINK && connection->left)
		return sink(connection);
	return receive(connection);
}

static void take(int listener)
{
	for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
		struct connection *connection = malloc(sizeof *connection);
		if (!connection)
			fail("no memory");
		connection->fd = fd;
		connection->order = 0;
		connection->waits = false;
		connection->from = connection->to = 0;
		without_delay(fd);
		watch(poller, EPOLL_CTL_ADD, fd, EPOLLIN, connection);
	}
}

/* Listens, or returns -1 where the address is not to be had. `owner` tells the listener from connections. */
static int listen_on(const struct sockaddr *address, socklen_t size, int *owner)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	if (fd < 0 || bind(fd, address, size) || listen(fd, BACKLOG))
		return -1;
	*owner = fd;
	watch(poller, EPOLL_CTL_ADD, fd, EPOLLIN, owner);
	return fd;
}

int main(int count, char **words)
{
	static int listeners[2];
	if (count != 2)
		fail("usage: tunnel_origin PORT");
	in_port_t port = htons((in_port_t)atoi(words[1]));
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	poller = epoll_create1(EPOLL_CLOEXEC);
	listen_on((struct sockaddr *)&v6, sizeof v6, &listeners[1]);
	if (listen_on((struct sockaddr *)&v4, sizeof v4, &listeners[0]) < 0)
		fail("tunnel_origin: 127.0.0.1:%s: %s", words[1], strerror(errno));
	for (;;) {
		struct epoll_event events[EVENTS];
		int ready = epoll_wait(poller, events, EVENTS, -1);
		for (int i = 0; i < ready; i++) {
			void *owner = events[i].data.ptr;
			if (owner == &listeners[0] || owner == &listeners[1])
				take(*(int *)owner);
			else if (!serve(owner, events[i].events))
				drop(owner);
		}
	}
}
