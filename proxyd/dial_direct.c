/* A host that is an address: there is nothing to look up and no other address to try, so one connect(2) is all. */
#include <errno.h>
#include <unistd.h>

#include "dial_internal.h"
#include "endpoint.h"

static void on_ready(struct loop_watch *watch, uint32_t events)
{
	struct dial *dial = OWNER(watch, struct dial, direct);
	int fd = watch->fd, error = 0;
	socklen_t size = sizeof error;
	(void)events;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		error = errno;
	if (error) {
		dial_settle_errno(dial, error);
		return;
	}
	loop_watch_remove(dial->dialer->loop, watch);
	dial_settle_connected(dial, fd);
}

void dial_direct_begin(struct dial *dial)
{
	struct sockaddr_storage address;
	socklen_t size = host_sockaddr(&dial->host, dial->port, &address);
	dial->state = DIAL_DIRECT;
	dial->direct = (struct loop_watch){.fd = -1, .ready = on_ready};
	int fd = dial_open(dial, (struct sockaddr *)&address, size);
	if (fd < 0) {
		dial_fail_later(dial, errno);
		return;
	}
	endpoint_send_at_once(fd);
	if (connect(fd, (struct sockaddr *)&address, size) == 0 || errno == EINPROGRESS) {
		loop_watch_add(dial->dialer->loop, &dial->direct, fd, EPOLLOUT);
		return;
	}
	dial_fail_later(dial, errno);
	close(fd);
}

void dial_direct_stop(struct dial *dial)
{
	int fd = dial->direct.fd;
	if (fd < 0)
		return;
	loop_watch_remove(dial->dialer->loop, &dial->direct);
	close(fd);
}
