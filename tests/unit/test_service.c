/* The service manager's protocols: what is sent, and which sockets are taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "memory.h"
#include "service.h"

/* A datagram socket at `name` ("@…": abstract), as the service manager has it. */
static int bind_manager(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = strlen(name);
	memcpy(address.sun_path, name, length);
	if (name[0] == '@')
		address.sun_path[0] = 0;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0)
		fail_msg("cannot bind %s: %s", name, strerror(errno));
	return fd;
}

static void check_notify(const char *name)
{
	int fd = bind_manager(name);
	char text[64] = "";
	setenv("NOTIFY_SOCKET", name, 1);
	service_notify("READY=1");
	ssize_t length = recv(fd, text, sizeof text - 1, 0);
	unsetenv("NOTIFY_SOCKET");
	close(fd);
	if (length != 7 || strcmp(text, "READY=1") != 0)
		fail_msg("at %s: came %zd `%s`, should be READY=1", name, length, text);
}

static void test_notify(void **state)
{
	(void)state;
	char folder[] = "/tmp/keystile-test-service-XXXXXX";
	assert_non_null(mkdtemp(folder));
	AUTO_FREE char *path = memory_format("%s/notify", folder);
	AUTO_FREE char *abstract = memory_format("@keystile-test-%ld", (long)getpid());
	check_notify(path);
	check_notify(abstract);
	unlink(path);
	rmdir(folder);
}

/* Nobody to tell, or an address that is none: nothing happens, nothing ends. */
static void test_notify_nobody(void **state)
{
	(void)state;
	static const char *const names[] = {"", "/nonexistent/socket", "relative", "@", "vsock:2:1"};
	unsetenv("NOTIFY_SOCKET");
	service_notify("READY=1");
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		setenv("NOTIFY_SOCKET", names[i], 1);
		service_notify("READY=1");
	}
	unsetenv("NOTIFY_SOCKET");
}

struct row {
	const char *fds; /* LISTEN_FDS; NULL: unset */
	bool ours;       /* LISTEN_PID is this process */
	bool listening;  /* what stands at fd 3 */
	size_t count;
	enum fault_code code;
};

static const struct row rows[] = {
	{NULL, true, true, 0, FAULT_NONE},
	{"1", false, true, 0, FAULT_NONE},
	{"1", true, true, 1, FAULT_NONE},
	{"0", true, true, 0, FAULT_NONE},
	{"1", true, false, 0, FAULT_USAGE},
	{"x", true, true, 0, FAULT_USAGE},
	{"-1", true, true, 0, FAULT_USAGE},
	{"99999", true, true, 0, FAULT_USAGE},
};

static int socket_at_first(bool listening)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un nameless = {.sun_family = AF_UNIX};
	if (listening) {
		assert_int_equal(bind(fd, (struct sockaddr *)&nameless, sizeof(sa_family_t)), 0);
		assert_int_equal(listen(fd, 1), 0);
	}
	if (fd != SERVICE_FIRST_FD) {
		assert_int_equal(dup2(fd, SERVICE_FIRST_FD), SERVICE_FIRST_FD);
		close(fd);
	}
	return SERVICE_FIRST_FD;
}

static void check_sockets(const struct row *row)
{
	AUTO_FREE char *pid = memory_format("%ld", (long)getpid() + (row->ours ? 0 : 1));
	int fd = socket_at_first(row->listening);
	struct fault fault = FAULT_INIT;
	unsetenv("LISTEN_FDS");
	if (row->fds)
		setenv("LISTEN_FDS", row->fds, 1);
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDNAMES", "proxy", 1);
	size_t count = 99;
	bool fine = service_sockets(&count, &fault);
	if (fine != (row->code == FAULT_NONE) || count != row->count || fault.code != row->code)
		fail_msg("LISTEN_FDS=%s ours %d listening %d: came %zu, %d `%s`; should be %zu, %d", row->fds ? row->fds : "-",
		         row->ours, row->listening, count, (int)fault.code, fault.text, row->count, (int)row->code);
	if (getenv("LISTEN_FDS") || getenv("LISTEN_PID") || getenv("LISTEN_FDNAMES"))
		fail_msg("LISTEN_FDS=%s: the variables should be gone", row->fds ? row->fds : "-");
	if (count == 1 && (!(fcntl(fd, F_GETFD) & FD_CLOEXEC) || !(fcntl(fd, F_GETFL) & O_NONBLOCK)))
		fail_msg("the socket should be close-on-exec and non-blocking");
	close(fd);
}

static void test_sockets(void **state)
{
	(void)state;
	int kept = fcntl(SERVICE_FIRST_FD, F_DUPFD_CLOEXEC, 10); /* whatever the test runner has there */
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		check_sockets(&rows[i]);
	if (kept >= 0) {
		dup2(kept, SERVICE_FIRST_FD);
		close(kept);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_notify),
		cmocka_unit_test(test_notify_nobody),
		cmocka_unit_test(test_sockets),
	};
	return cmocka_run_group_tests_name("service", tests, NULL, NULL);
}
