#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "quantity.h"

/* A path, or "@name" for an abstract socket (sd_notify(3)). False where it is neither, or too long. */
static bool notify_address(const char *name, struct sockaddr_un *address, socklen_t *length)
{
	size_t size = strlen(name);
	if ((name[0] != '/' && name[0] != '@') || name[1] == 0 || size >= sizeof address->sun_path)
		return false;
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(address->sun_path, name, size);
	if (name[0] == '@')
		address->sun_path[0] = 0;
	/* An abstract name has no NUL at its end; every byte of it counts. */
	*length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + (name[0] == '/'));
	return true;
}

void service_notify(const char *state)
{
	const char *name = getenv("NOTIFY_SOCKET");
	if (!name || !*name)
		return;
	struct sockaddr_un address;
	socklen_t length;
	if (!notify_address(name, &address, &length)) {
		log_warning("NOTIFY_SOCKET is %s: not a path and not @name; the service manager is not told \"%s\"", name, state);
		return;
	}
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, length) < 0)
		log_warning("cannot tell the service manager \"%s\" at %s: %s", state, name, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static bool take_socket(int fd, struct fault *fault)
{
	int listening = 0;
	socklen_t size = sizeof listening;
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0)
		return fault_errno(fault, "socket %d of LISTEN_FDS", fd);
	if (!listening)
		return fault_set(fault, FAULT_USAGE, "socket %d of LISTEN_FDS does not listen; in the .socket unit write "
		                 "ListenStream= and Accept=no", fd);
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
		return fault_errno(fault, "socket %d of LISTEN_FDS", fd);
	return true;
}

bool service_sockets(size_t *count, struct fault *fault)
{
	const char *count_text = getenv("LISTEN_FDS"), *pid_text = getenv("LISTEN_PID");
	uint64_t number = 0, pid = 0;
	bool ours = count_text && pid_text && quantity_number(span_of(pid_text), 1, INT32_MAX, &pid, NULL) &&
	            (pid_t)pid == getpid();
	bool fine = !ours || quantity_number(span_of(count_text), 0, SERVICE_SOCKETS, &number, fault) ||
	            fault_wrap(fault, "LISTEN_FDS");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDNAMES");
	for (int fd = SERVICE_FIRST_FD; fine && fd < SERVICE_FIRST_FD + (int)number; fd++)
		fine = take_socket(fd, fault);
	*count = fine ? (size_t)number : 0;
	return fine;
}
