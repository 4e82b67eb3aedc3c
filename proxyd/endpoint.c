#include "endpoint.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

static ssize_t of_errno(void)
{
	return errno == EAGAIN || errno == EINTR ? ENDPOINT_AGAIN : ENDPOINT_BROKEN;
}

static ssize_t of_result(enum tls_result result, size_t count)
{
	static const ssize_t values[] = {
		[TLS_WANT_READ] = ENDPOINT_AGAIN,
		[TLS_WANT_WRITE] = ENDPOINT_AGAIN,
		[TLS_CLOSED] = 0,
		[TLS_FAILED] = ENDPOINT_BROKEN,
	};
	return result == TLS_OK ? (ssize_t)count : values[result];
}

ssize_t endpoint_read(struct endpoint *end, void *bytes, size_t size)
{
	size_t count;
	if (end->tls) {
		enum tls_result result = tls_read(end->tls, bytes, size, &count);
		return of_result(result, count);
	}
	ssize_t result = recv(end->fd, bytes, size, 0);
	return result >= 0 ? result : of_errno();
}

bool endpoint_is_drained(const struct endpoint *end, size_t count, size_t size)
{
	return end->tls ? tls_is_drained(end->tls) : count < size;
}

ssize_t endpoint_write(struct endpoint *end, const void *bytes, size_t size)
{
	size_t count;
	if (end->tls) {
		enum tls_result result = tls_write(end->tls, bytes, size, &count);
		return of_result(result == TLS_CLOSED ? TLS_FAILED : result, count);
	}
	ssize_t result = send(end->fd, bytes, size, MSG_NOSIGNAL);
	return result >= 0 ? result : of_errno();
}

void endpoint_send_at_once(int fd)
{
	const int on = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void endpoint_shut(struct endpoint *end)
{
	if (end->tls)
		tls_shut(end->tls);
	shutdown(end->fd, SHUT_WR);
}

void endpoint_cut(struct endpoint *end)
{
	const struct linger now = {.l_onoff = 1, .l_linger = 0};
	setsockopt(end->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	if (end->tls)
		tls_cut(end->tls);
}

void endpoint_close(struct endpoint *end)
{
	tls_close(end->tls);
	end->tls = NULL;
	if (end->fd >= 0)
		close(end->fd);
	end->fd = -1;
}
