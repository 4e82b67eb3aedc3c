/* When files are looked at: on a clock that the test moves, with a server that only counts. The files and their watches are real. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include "file.h"
#include "follow.h"
#include "memory.h"

/* ---- a loop whose time goes on by hand ---- */

struct loop {
	uint64_t now;
	struct loop_timer *timers[3];
	struct loop_watch *watches[2];
};

static struct loop loop;

uint64_t loop_now(const struct loop *of)
{
	return of->now;
}

void loop_timer_stop(struct loop *of, struct loop_timer *timer)
{
	if (timer->link)
		*timer->link = NULL;
	timer->link = NULL;
	(void)of;
}

void loop_timer_set(struct loop *of, struct loop_timer *timer, uint64_t milliseconds)
{
	size_t i = 0;
	loop_timer_stop(of, timer);
	while (of->timers[i])
		i++;
	assert_true(i < sizeof of->timers / sizeof *of->timers);
	of->timers[i] = timer;
	timer->link = &of->timers[i];
	timer->due = of->now + milliseconds;
}

void loop_watch_add(struct loop *of, struct loop_watch *watch, int fd, uint32_t events)
{
	of->watches[of->watches[0] != NULL] = watch;
	watch->fd = fd;
	watch->events = events;
}

void loop_watch_remove(struct loop *of, struct loop_watch *watch)
{
	of->watches[of->watches[1] == watch] = NULL;
	watch->fd = -1;
}

static void hear(void)
{
	for (size_t i = 0; i < 2; i++) {
		struct pollfd poll_fd = {.fd = loop.watches[i]->fd, .events = POLLIN};
		if (poll(&poll_fd, 1, 0) > 0)
			loop.watches[i]->ready(loop.watches[i], EPOLLIN);
	}
}

static void pass(uint64_t milliseconds)
{
	for (uint64_t end = loop.now + milliseconds; loop.now < end; loop.now += 10) {
		hear();
		for (size_t i = 0; i < 3; i++) {
			struct loop_timer *timer = loop.timers[i];
			if (!timer || timer->due > loop.now)
				continue;
			loop_timer_stop(&loop, timer);
			timer->fire(timer);
		}
	}
	hear();
}

/* ---- a server that counts ---- */

static struct config config;
static struct snapshot snapshot = {.config = &config};
static struct server server;
static unsigned looks, taken, last_still, unsettled;
static bool news, refusing;

struct snapshot *server_snapshot(struct server *of)
{
	(void)of;
	return &snapshot;
}

void snapshot_unref(struct snapshot *of)
{
	(void)of;
}

bool server_look(struct server *of, unsigned still)
{
	(void)of;
	looks++;
	last_still = still;
	news = false;
	return !(unsettled && unsettled--);
}

bool server_would_look(struct server *of)
{
	(void)of;
	return news;
}

bool server_take_config(struct server *of, struct config *fresh, unsigned still, struct fault *fault)
{
	(void)of, (void)still;
	taken++;
	config_free(fresh);
	return !refusing || fault_set(fault, FAULT_IO, "a file of it is not there");
}

void server_forget_former(struct server *of)
{
	(void)of;
}

void server_take_expired(struct server *of)
{
	(void)of;
}

void server_retry(struct server *of)
{
	(void)of;
}

bool server_reopen_audit(struct server *of, struct fault *fault)
{
	(void)of, (void)fault;
	return true;
}

/* ---- the files ---- */

static char folder[] = "/tmp/keystile-test-follow-XXXXXX";

static void run(const char *words)
{
	AUTO_FREE char *command = memory_format("cd %s && { %s\n}", folder, words);
	assert_int_equal(system(command), 0);
}

static struct follow *start(void)
{
	loop = (struct loop){.now = 1000};
	run("printf 'version: 1\\nlisten: 127.0.0.1:1\\nsession: none\\nprofiles: { a: {} }\\n' >keystile.yaml; echo a >secret");
	AUTO_FREE char *path = memory_format("%s/keystile.yaml", folder);
	struct follow_file file = {.path = path, .seen = follow_content(path)};
	struct follow *follow = follow_start(&server, &loop, &file);
	pass(1000); /* with the look that is for what changed meanwhile */
	looks = taken = unsettled = 0;
	news = false;
	return follow;
}

static void check(const char *what, unsigned looks_wanted, unsigned taken_wanted)
{
	if (looks != looks_wanted || taken != taken_wanted)
		fail_msg("%s: %u looks and %u configurations, not %u and %u", what, looks, taken, looks_wanted, taken_wanted);
}

static void test_quiet(void **state)
{
	(void)state;
	struct follow *follow = start();
	run("echo b >secret");
	pass(90);
	check("moved a moment ago", 0, 0);
	run("echo c >secret");
	pass(90);
	check("moved again", 0, 0);
	pass(30);
	check("still", 1, 0);
	assert_int_equal(last_still, 100);
	pass(2000);
	check("no more", 1, 0);
	run("echo '# more' >>keystile.yaml");
	pass(480);
	check("the configuration takes longer", 1, 0);
	pass(50);
	check("and is still", 1, 1);
	pass(2000);
	check("with a look at what was fresh then", 2, 1);
	follow_stop(follow);
}

/* One that is written again and again. */
static void test_patience(void **state)
{
	(void)state;
	struct follow *follow = start();
	for (unsigned i = 0; i < 40; i++) {
		run("echo b >secret");
		pass(50);
		if (looks < (50 * i) / 600)
			fail_msg("%u looks within %u ms", looks, 50 * i);
	}
	pass(200);
	unsigned before = looks;
	pass(2000);
	check("no more", before, 0);
	follow_stop(follow);
}

/* The same of the configuration, which is given more time. */
static void test_patience_with_the_configuration(void **state)
{
	(void)state;
	struct follow *follow = start();
	run("echo '# more' >>keystile.yaml");
	for (unsigned i = 0; i < 49; i++) {
		run("touch keystile.yaml");
		pass(100);
	}
	check("never still", 0, 0);
	run("touch keystile.yaml");
	pass(200);
	check("but not for ever", 0, 1);
	follow_stop(follow);
}

/* What a refused one lacks is waited for, and not asked for over and over. */
static void test_refused(void **state)
{
	(void)state;
	struct follow *follow = start();
	refusing = true;
	run("printf 'vault: { file: v, key: \"file:k\" }\n' >>keystile.yaml");
	pass(520);
	check("refused", 0, 1);
	pass(200);
	check("with a look at what was fresh then", 1, 2);
	pass(20000);
	check("no more", 1, 2);
	refusing = false;
	run("echo >k");
	pass(120);
	check("what it lacked", 2, 3);
	pass(2000);
	check("and a look at what was fresh then", 3, 3);
	follow_stop(follow);
}

static void test_unsettled(void **state)
{
	(void)state;
	struct follow *follow = start();
	unsettled = 3;
	run("echo b >secret");
	pass(120);
	check("too fresh", 1, 0);
	pass(330);
	check("looked at until it is still", 4, 0);
	pass(2000);
	check("no more", 4, 0);
	follow_stop(follow);
}

/* What nobody tells of: a file that is written by another name, in a folder that is not watched. */
static void test_untold(void **state)
{
	(void)state;
	struct follow *follow = start();
	pass(28000);
	run("mkdir other; ln keystile.yaml other/name");
	pass(700); /* of the link, its count is told */
	check("a link more", 0, 0);
	run("echo '# more' >>other/name");
	news = true;
	pass(200);
	check("not told", 0, 0);
	pass(300);
	check("after 30 s", 1, 0);
	pass(350);
	check("and half a second for the configuration", 1, 1);
	pass(29000);
	check("no more", 2, 1);
	pass(5000);
	check("nothing to be found", 2, 1);
	follow_stop(follow);
}

/* A mount tells nobody that it hides a folder, and what stands in it may be the same: what changes there later is told. */
static void test_hidden_by_a_mount(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		skip();
	struct follow *follow = start();
	run("mkdir over && cp keystile.yaml secret over");
	AUTO_FREE char *over = memory_format("%s/over", folder);
	assert_int_equal(mount(over, folder, NULL, MS_BIND, NULL), 0);
	pass(31000);
	looks = taken = 0;
	run("echo b >secret; echo '# more' >>keystile.yaml");
	pass(400);
	check("the secret", 1, 0);
	pass(150);
	check("and the configuration", 1, 1);
	follow_stop(follow);
	assert_int_equal(umount(folder), 0);
	run("rm -r over");
}

static void test_sighup(void **state)
{
	(void)state;
	struct follow *follow = start();
	run("echo b >secret; echo '# more' >>keystile.yaml");
	pass(10);
	follow_all(follow);
	check("at once", 1, 1);
	assert_int_equal(last_still, 0);
	follow_stop(follow);
	follow_stop(NULL);
}

static int set_up(void **state)
{
	(void)state;
	static struct config_credential credential;
	static struct named_source secret;
	if (!mkdtemp(folder))
		return -1;
	reloads_begin(&server.reloads);
	source_parse(SPAN("file:secret"), folder, &secret.source, NULL);
	credential = (struct config_credential){.name = "a", .secrets = &secret, .secret_count = 1};
	config.credentials = &credential;
	config.credential_count = 1;
	config.session.none = true;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	source_free(&config.credentials->secrets->source);
	AUTO_FREE char *remove = memory_format("rm -r %s", folder);
	return system(remove);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quiet),  cmocka_unit_test(test_patience), cmocka_unit_test(test_refused), cmocka_unit_test(test_unsettled),
		cmocka_unit_test(test_untold), cmocka_unit_test(test_sighup),
		cmocka_unit_test(test_patience_with_the_configuration), cmocka_unit_test(test_hidden_by_a_mount),
	};
	return cmocka_run_group_tests_name("follow", tests, set_up, tear_down);
}
