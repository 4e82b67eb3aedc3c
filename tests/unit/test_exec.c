/* Commands without a shell: what they write, how they end, and what they may not have of us. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "exec.h"
#include "memory.h"

#define LIMIT 4096
#define SOON 10000 /* ms; far more than any command here takes */

static const struct exec_terms usual = {.limit_ms = SOON, .limit = LIMIT, .stop = -1};

struct row {
	const char *command;
	const char *output; /* NULL: it fails */
	enum fault_code code;
	const char *says;   /* a part of the fault */
};

static const struct row rows[] = {
	{"printf abc", "abc", FAULT_NONE, NULL},
	{"printf '%s-%s' \"a b\" c\\ d", "a b-c d", FAULT_NONE, NULL},
	{"echo $HOME ; `ls` > x", "$HOME ; `ls` > x\n", FAULT_NONE, NULL}, /* there is no shell */
	{"true", "", FAULT_NONE, NULL},
	{"cat", "", FAULT_NONE, NULL}, /* standard input is empty */
	{"sh -c 'printf seen; echo canary >&2'", "seen", FAULT_NONE, NULL},
	{"sh -c 'printf early; exec sleep 60 &'", "early", FAULT_NONE, NULL}, /* what it leaves behind is not waited for */
	{"false", NULL, FAULT_BROKEN, "ended with status 1"},
	{"sh -c 'echo canary >&2; exit 3'", NULL, FAULT_BROKEN, "ended with status 3 (7 bytes on its standard error;"},
	{"sh -c 'kill -9 $$'", NULL, FAULT_BROKEN, "ended by signal 9"},
	{"/nonexistent/command", NULL, FAULT_MISSING, "cannot start /nonexistent/command: No such file"},
	{"/etc/passwd", NULL, FAULT_DENIED, "cannot start /etc/passwd: Permission denied"},
	{"echo 'open", NULL, FAULT_USAGE, "a quote that is not closed"},
	{"", NULL, FAULT_USAGE, "no command"},
	{"yes canary", NULL, FAULT_BROKEN, "wrote more than 4096 bytes"},
};

static void check(const struct row *row)
{
	struct fault fault = FAULT_INIT;
	AUTO_WIPE struct buffer out = {0};
	bool done = exec_run(row->command, &usual, &out, &fault);
	if (row->output && (!done || !span_equal(buffer_view(&out), span_of(row->output))))
		fail_msg("`%s`: should give `%s`, came `%.*s` %s", row->command, row->output,
		         SPAN_ARGS(buffer_view(&out)), fault.text);
	if (row->output)
		return;
	if (done || fault.code != row->code || !strstr(fault.text, row->says))
		fail_msg("`%s`: should fail with %d `%s`, came %d `%s`", row->command, (int)row->code, row->says,
		         (int)fault.code, fault.text);
	if (strstr(fault.text, "canary"))
		fail_msg("`%s`: the fault repeats what the command wrote: `%s`", row->command, fault.text);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		check(&rows[i]);
}

/* The whole group is gone afterwards: the pipe whose writing end it held has an end. */
static void test_timeout_kills_the_group(void **state)
{
	(void)state;
	char folder[] = "/tmp/keystile-test-exec-XXXXXX";
	assert_non_null(mkdtemp(folder));
	AUTO_FREE char *fifo = memory_format("%s/fifo", folder);
	AUTO_FREE char *command = memory_format("sh -c 'exec 7<>%s; sleep 60 & sleep 60'", fifo);
	AUTO_FREE char *make = memory_format("mkfifo %s", fifo);
	struct fault fault = FAULT_INIT;
	AUTO_WIPE struct buffer out = {0};
	assert_true(exec_run(make, &usual, &out, &fault));
	int fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	bool done = exec_run(command, &(struct exec_terms){.limit_ms = 200, .limit = LIMIT, .stop = -1}, &out, &fault);
	if (done || fault.code != FAULT_TIMEOUT)
		fail_msg("came %d %d `%s`, should be a timeout", done, (int)fault.code, fault.text);
	struct pollfd hangup = {.fd = fd};
	if (poll(&hangup, 1, SOON) != 1 || !(hangup.revents & POLLHUP))
		fail_msg("a process of the group still holds the pipe");
	close(fd);
	unlink(fifo);
	rmdir(folder);
}

/* What it leaves behind has no end of its own. */
static void test_success_kills_the_group(void **state)
{
	(void)state;
	int pipes[2];
	struct fault fault = FAULT_INIT;
	AUTO_WIPE struct buffer out = {0};
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(fcntl(pipes[0], F_SETFD, FD_CLOEXEC), 0);
	AUTO_FREE char *command = memory_format("sh -c 'exec 7>/proc/%d/fd/%d; sleep 60 >/dev/null 2>&1 & printf early'", (int)getpid(),
	                                        pipes[1]);
	bool done = exec_run(command, &usual, &out, &fault);
	close(pipes[1]);
	struct pollfd hangup = {.fd = pipes[0]};
	if (!done || !span_equal(buffer_view(&out), SPAN("early")))
		fail_msg("came %d `%.*s` %s", done, SPAN_ARGS(buffer_view(&out)), fault.text);
	if (poll(&hangup, 1, SOON) != 1 || !(hangup.revents & POLLHUP))
		fail_msg("a process of the group still holds the pipe");
	close(pipes[0]);
}

/* Children that are ignored leave no status: that is no success. */
static void test_ignored_children(void **state)
{
	(void)state;
	static const char *const commands[] = {"sh -c 'printf seen; exit 7'", "printf seen"};
	signal(SIGCHLD, SIG_IGN);
	for (size_t i = 0; i < 2; i++) {
		struct fault fault = FAULT_INIT;
		AUTO_WIPE struct buffer out = {0};
		if (exec_run(commands[i], &usual, &out, &fault) || !strstr(fault.text, "cannot "))
			fail_msg("`%s`: came `%s`, should be that nobody can tell how it ended", commands[i], fault.text);
	}
	signal(SIGCHLD, SIG_DFL);
}

static void test_nobody_waits(void **state)
{
	(void)state;
	struct fault fault = FAULT_INIT;
	AUTO_WIPE struct buffer out = {0};
	int stop = eventfd(1, EFD_CLOEXEC);
	bool done = exec_run("sleep 60", &(struct exec_terms){.limit_ms = SOON, .limit = LIMIT, .stop = stop}, &out, &fault);
	if (done || fault.code != FAULT_BUSY || fcntl(stop, F_GETFD) < 0)
		fail_msg("came %d %d `%s`; should be killed, and the descriptor still the caller's", done, (int)fault.code, fault.text);
	close(stop);
}

/* No terminal that it could ask on, or that could send it signals. */
static void test_session(void **state)
{
	(void)state;
	struct fault fault = FAULT_INIT;
	AUTO_WIPE struct buffer out = {0};
	bool done = exec_run("sh -c 'cut -d \" \" -f 6 /proc/$$/stat; echo $$'", &usual, &out, &fault);
	struct span session = buffer_view(&out), own = span_from(session, session.length / 2);
	if (!done || !span_equal(span_head(session, session.length / 2), own))
		fail_msg("its session should be its own: `%.*s` %s", SPAN_ARGS(buffer_view(&out)), fault.text);
}

static void test_inherits_nothing(void **state)
{
	(void)state;
	int fd = open("/etc/passwd", O_RDONLY); /* without O_CLOEXEC, as a library might */
	assert_true(fd > 2);
	signal(SIGPIPE, SIG_IGN);
	struct fault fault = FAULT_INIT;
	AUTO_WIPE struct buffer descriptors = {0}, ignored = {0};
	/* 3 is the folder that ls reads. A shell in between would have descriptors of its own. */
	bool done = exec_run("ls /proc/self/fd", &usual, &descriptors, &fault) &&
	            exec_run("grep SigIgn /proc/self/status", &usual, &ignored, &fault);
	signal(SIGPIPE, SIG_DFL);
	close(fd);
	struct span digits = buffer_view(&ignored); /* the last seven are the signals 1 to 28 */
	if (!done || !span_equal(buffer_view(&descriptors), SPAN("0\n1\n2\n3\n")) ||
	    !span_ends(digits, SPAN("0000000\n")))
		fail_msg("the command should have three descriptors and no ignored signal, came `%.*s`, `%.*s` %s",
		         SPAN_ARGS(buffer_view(&descriptors)), SPAN_ARGS(digits), fault.text);
}

/* What it has instead of ours. The limit comes a moment after its start. */
static void test_terms(void **state)
{
	(void)state;
	char path[] = "PATH=/usr/bin:/bin", own[] = "OWN=1";
	char *environment[] = {path, own, NULL};
	const struct exec_terms terms = {.limit_ms = SOON, .limit = LIMIT, .stop = -1, .environment = environment, .files = 77};
	struct fault fault = FAULT_INIT;
	AUTO_WIPE struct buffer variables = {0}, files = {0};
	bool done = exec_run("env", &terms, &variables, &fault) &&
	            exec_run("sh -c 'until [ $(ulimit -Sn) = 77 ]; do :; done; ulimit -Hn'", &terms, &files, &fault);
	if (!done || !span_equal(buffer_view(&variables), SPAN("PATH=/usr/bin:/bin\nOWN=1\n")))
		fail_msg("came `%.*s` %s", SPAN_ARGS(buffer_view(&variables)), fault.text);
	if (span_equal(buffer_view(&files), SPAN("77\n")))
		fail_msg("the hard limit should stay as it was");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_timeout_kills_the_group),
		cmocka_unit_test(test_success_kills_the_group),
		cmocka_unit_test(test_ignored_children),
		cmocka_unit_test(test_nobody_waits),
		cmocka_unit_test(test_session),
		cmocka_unit_test(test_inherits_nothing),
		cmocka_unit_test(test_terms),
	};
	return cmocka_run_group_tests_name("exec", tests, NULL, NULL);
}
