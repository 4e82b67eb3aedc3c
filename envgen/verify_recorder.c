#include "verify_recorder.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "memory.h"
#include "monotonic.h"
#include "verify_request.h"

enum { CONNECTIONS = 128, HEAD_BYTES = 8192, ANSWER_BYTES = 256, PORTS = VERIFY_TARGETS + 1 };

struct connection {
	int fd; /* -1: free */
	bool at_proxy;
	size_t length;
	char head[HEAD_BYTES];
};

struct recorder {
	const struct targets *targets;
	unsigned char *seen;
	int listeners[PORTS];
	size_t listener_count;
	struct connection connections[CONNECTIONS];
};

static void note(struct recorder *recorder, const struct target *target, enum seen_way way)
{
	if (target)
		recorder->seen[target - recorder->targets->list] |= (unsigned char)way;
}

static int listen_on(uint16_t port, struct fault *fault)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_ANY_INIT};
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
	int off = 0, on = 1;
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool is_six = fd >= 0 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0;
	if (fd < 0)
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
	    bind(fd, is_six ? (struct sockaddr *)&six : (struct sockaddr *)&four, is_six ? sizeof six : sizeof four) == 0 &&
	    listen(fd, CONNECTIONS) == 0)
		return fd;
	fault_errno(fault, "cannot listen on port %u of a network namespace", port);
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool add_listener(struct recorder *recorder, uint16_t port, struct fault *fault)
{
	int fd = listen_on(port, fault);
	if (fd >= 0)
		recorder->listeners[recorder->listener_count++] = fd;
	return fd >= 0;
}

static bool is_first(const struct targets *targets, size_t number)
{
	uint16_t port = targets->list[number].port;
	if (port == targets->proxy.port)
		return false;
	for (size_t i = 0; i < number; i++)
		if (targets->list[i].port == port)
			return false;
	return true;
}

struct recorder *recorder_new(const struct targets *targets, unsigned char *seen, struct fault *fault)
{
	struct recorder *recorder = memory_alloc(sizeof *recorder);
	recorder->targets = targets;
	recorder->seen = seen;
	for (size_t i = 0; i < CONNECTIONS; i++)
		recorder->connections[i].fd = -1;
	bool done = add_listener(recorder, targets->proxy.port, fault);
	for (size_t i = 0; done && i < targets->count; i++)
		done = !is_first(targets, i) || add_listener(recorder, targets->list[i].port, fault);
	if (done)
		return recorder;
	recorder_free(recorder);
	return NULL;
}

/* The host and port that a connection was made to, an IPv4 address as such. */
static bool destination(int fd, struct host *host, uint16_t *port)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof address;
	char text[INET6_ADDRSTRLEN];
	if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		return false;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address;
	const struct sockaddr_in *four = (const struct sockaddr_in *)&address;
	bool is_six = address.ss_family == AF_INET6;
	*port = ntohs(is_six ? six->sin6_port : four->sin_port);
	return inet_ntop(address.ss_family, is_six ? (const void *)&six->sin6_addr : (const void *)&four->sin_addr, text,
	                 sizeof text) && host_parse(span_of(text), host, NULL);
}

static bool leads_to(const struct host *name, struct in_addr address, const struct host *to)
{
	if (name->kind == HOST_IPV6)
		return host_equal(name, to);
	return to->kind == HOST_IPV4 && memcmp(&address, to->address, sizeof address) == 0;
}

static void note_direct(struct recorder *recorder, const struct host *to, uint16_t port)
{
	const struct targets *targets = recorder->targets;
	for (size_t i = 0; i < targets->count; i++)
		if (targets->list[i].port == port && leads_to(&targets->list[i].host, targets->list[i].address, to))
			note(recorder, &targets->list[i], SEEN_DIRECT);
}

static struct connection *free_connection(struct recorder *recorder)
{
	for (size_t i = 0; i < CONNECTIONS; i++)
		if (recorder->connections[i].fd < 0)
			return &recorder->connections[i];
	return NULL;
}

/* Some clients know by themselves that localhost is ::1 as well (RFC 6761 §6.3). */
static bool is_proxy(const struct targets *targets, const struct host *to)
{
	const struct host *proxy = &targets->proxy.host;
	return leads_to(proxy, targets->proxy_address, to) ||
	       (proxy->kind == HOST_NAME && host_is_loopback(proxy) && host_is_loopback(to));
}

/* The way past the proxy is known as soon as there is a connection. */
static void take(struct recorder *recorder, int listener)
{
	const struct targets *targets = recorder->targets;
	struct connection *connection = free_connection(recorder);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct host to;
	uint16_t port;
	if (fd < 0 || !destination(fd, &to, &port)) {
		if (fd >= 0)
			close(fd);
		return;
	}
	bool at_proxy = port == targets->proxy.port && is_proxy(targets, &to);
	if (!at_proxy)
		note_direct(recorder, &to, port);
	if (!connection) {
		close(fd);
		return;
	}
	connection->fd = fd;
	connection->at_proxy = at_proxy;
	connection->length = 0;
}

static void end(struct connection *connection)
{
	close(connection->fd);
	connection->fd = -1;
}

static void say(const struct connection *connection, const void *bytes, size_t length)
{
	ssize_t sent = send(connection->fd, bytes, length, MSG_NOSIGNAL);
	(void)sent; /* a client that is gone has been seen */
}

static void finish(struct connection *connection)
{
	shutdown(connection->fd, SHUT_WR);
	end(connection);
}

static const char *status_of(const struct verify_request *request, struct span head)
{
	if (request->way == SEEN_CHALLENGED)
		return "407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"keystile\"";
	return span_starts(head, SPAN("CONNECT ")) ? "403 Forbidden" : "404 Not Found";
}

/* Answers a head, and takes it off what has come. */
static void answer(struct recorder *recorder, struct connection *connection, size_t length)
{
	struct span head = {connection->head, length};
	struct verify_request request = {0};
	char text[ANSWER_BYTES];
	if (connection->at_proxy)
		verify_request_read(recorder->targets, head, &request);
	note(recorder, request.target, request.way);
	bool stays = request.way == SEEN_CHALLENGED && request.stays;
	int size = snprintf(text, sizeof text, "HTTP/1.1 %s\r\nContent-Length: 0\r\n%s\r\n", status_of(&request, head),
	                    stays ? "" : "Connection: close\r\n");
	say(connection, text, (size_t)size);
	if (!stays) {
		finish(connection);
		return;
	}
	connection->length -= length;
	memmove(connection->head, connection->head + length, connection->length);
}

static void answer_all(struct recorder *recorder, struct connection *connection)
{
	/* RFC 8446 §6.2: handshake_failure. */
	static const char alert[] = {0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x28};
	const char *last;
	if (connection->head[0] == 0x16) {
		say(connection, alert, sizeof alert);
		finish(connection);
	}
	while (connection->fd >= 0 && (last = memmem(connection->head, connection->length, "\r\n\r\n", 4)) != NULL)
		answer(recorder, connection, (size_t)(last - connection->head) + 4);
	if (connection->fd >= 0 && connection->length == HEAD_BYTES)
		answer(recorder, connection, HEAD_BYTES);
}

static void serve(struct recorder *recorder, struct connection *connection)
{
	ssize_t got = recv(connection->fd, connection->head + connection->length, HEAD_BYTES - connection->length, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		end(connection);
		return;
	}
	connection->length += (size_t)got;
	answer_all(recorder, connection);
}

static size_t fill(const struct recorder *recorder, int watched, struct pollfd *polls)
{
	size_t count = 0;
	polls[count++] = (struct pollfd){watched, POLLIN, 0};
	for (size_t i = 0; i < recorder->listener_count; i++)
		polls[count++] = (struct pollfd){recorder->listeners[i], POLLIN, 0};
	for (size_t i = 0; i < CONNECTIONS; i++) /* poll() leaves out what is -1 */
		polls[count++] = (struct pollfd){recorder->connections[i].fd, POLLIN, 0};
	return count;
}

bool recorder_serve(struct recorder *recorder, int watched, uint64_t time)
{
	struct pollfd polls[1 + PORTS + CONNECTIONS];
	uint64_t deadline = monotonic_ms() + time;
	for (;;) {
		uint64_t at = monotonic_ms();
		size_t count = fill(recorder, watched, polls), listeners = recorder->listener_count;
		int ready = at < deadline ? poll(polls, count, (int)(deadline - at)) : 0;
		if (ready == 0)
			return false;
		for (size_t i = 0; ready > 0 && i < listeners; i++)
			if (polls[1 + i].revents)
				take(recorder, polls[1 + i].fd);
		for (size_t i = 0; ready > 0 && i < CONNECTIONS; i++)
			if (polls[1 + listeners + i].fd >= 0 && polls[1 + listeners + i].revents)
				serve(recorder, &recorder->connections[i]);
		/* A client that has ended has nothing left to send, but what it sent may still wait to be read. */
		if (ready == 1 && polls[0].revents)
			return true;
	}
}

void recorder_free(struct recorder *recorder)
{
	if (!recorder)
		return;
	for (size_t i = 0; i < recorder->listener_count; i++)
		close(recorder->listeners[i]);
	for (size_t i = 0; i < CONNECTIONS; i++)
		if (recorder->connections[i].fd >= 0)
			close(recorder->connections[i].fd);
	free(recorder);
}
