#include "worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "inquiry.h"
#include "listener.h"

static struct listener listener = {.fd = -1};

/* As a worker of the same server that accepted a client: returns the client's end, and proxyd's in `*fd`. */
static int accept_client(struct server *server, int *fd)
{
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
	atomic_fetch_add(&server->connections, 1);
	*fd = pair[1];
	return pair[0];
}

/* A worker takes what it is handed, until it drains: then it may end at any time, and what it took would be lost. */
static void test_handing(void **state)
{
	(void)state;
	struct worker worker = {0};
	const struct config config = {.limits = {.head = 24 << 10, .fields = 100, .connections = 10, .head_time = 60000,
	                                         .idle = 60000, .connect = 1000, .handshake = 1000}};
	struct snapshot snapshot = {.references = 1, .config = &config};
	struct server server = {
		.workers = &worker, .worker_count = 1, .snapshot = &snapshot, .audit = audit_open(NULL, false, NULL)};
	struct fault fault = FAULT_INIT;
	char byte;
	int fd;
	sigset_t wake;
	sigemptyset(&wake);
	sigaddset(&wake, SERVER_WAKE_SIGNAL);
	sigprocmask(SIG_BLOCK, &wake, NULL);
	pthread_mutex_init(&server.snapshot_lock, NULL);
	if (!worker_prepare(&worker, &server, 0, &fault) || !worker_start(&worker, &fault))
		fail_msg("came `%s`", fault.text);

	int silent = accept_client(&server, &fd);
	assert_true(worker_hand(&worker, &listener, fd, "unix"));
	worker_drain(&worker);
	assert_int_equal(read(silent, &byte, 1), 0); /* it was served, and then closed for its silence */
	close(silent);

	int late = accept_client(&server, &fd);
	assert_false(worker_hand(&worker, &listener, fd, "unix"));
	assert_int_equal(write(fd, "+", 1), 1); /* still ours */
	assert_int_equal(read(late, &byte, 1), 1);
	close(late);
	close(fd);

	int woken;
	sigwait(&wake, &woken);
	assert_true(worker_has_ended(&worker));

	struct inquiry_result result;
	inquiry_ask(&server, &result);
	assert_null(atomic_load(&worker.asked)); /* nobody waits for what it would say */
	inquiry_free(&result);
	worker_end(&worker);
	assert_int_equal(worker.connections, 0);
	assert_int_equal(snapshot.references, 1);
	audit_close(server.audit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_handing)};
	return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
