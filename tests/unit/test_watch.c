/* What happens to files, and whether it is told. Each row is done by a shell, in a folder of its own. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "memory.h"
#include "watch.h"

struct row {
	const char *name;
	const char *before; /* a shell's words, before it is watched */
	const char *path;   /* of the file, below the folder */
	const char *then;   /* what happens */
	bool told;
};

static const struct row rows[] = {
	{"in place", "echo a >f", "f", "echo b >f", true},
	{"appended to", "echo a >f", "f", "echo b >>f", true},
	{"renamed over it", "echo a >f; echo b >g", "f", "mv g f", true},
	{"renamed away", "echo a >f", "f", "mv f g", true},
	{"removed", "echo a >f", "f", "rm f", true},
	{"comes", "", "f", "echo a >f", true},
	{"its rights", "echo a >f", "f", "chmod 600 f", true},
	{"another file", "echo a >f", "f", "echo b >g", false},
	{"read", "echo a >f", "f", "cat f >/dev/null", false},
	{"its folder comes", "", "d/e/f", "mkdir d", true},
	{"a folder in it comes", "mkdir d", "d/e/f", "mkdir d/e", true},
	{"its folder goes", "mkdir d; echo a >d/f", "d/f", "rm -r d", true},
	{"its folder is swapped", "mkdir d e; echo a >d/f; echo b >e/f", "d/f", "mv d x; mv e d", true},
	{"what a link names", "mkdir d; echo a >d/g; ln -s d/g f", "f", "echo b >d/g", true},
	{"the link", "echo a >g; echo b >h; ln -s g f", "f", "ln -sf h f", true},
	{"beside what a link names", "mkdir d; echo a >d/g; ln -s d/g f", "f", "echo b >d/h", false},
	{"Kubernetes", "mkdir ..1 ..2; echo a >..1/f; echo b >..2/f; ln -s ..1 ..data; ln -s ..data/f f", "f",
	 "ln -s ..2 ..tmp; mv -T ..tmp ..data", true},
	{"Vault Agent", "echo a >f", "f", "echo b >f.tmp; chmod 640 f.tmp; mv f.tmp f", true},
	{"an absolute link", "mkdir d; echo a >d/f; ln -s $PWD/d e", "e/f", "echo b >d/f", true},
	{"up and down", "mkdir d e; echo a >e/f", "d/../e/f", "echo b >e/f", true},
	{"links in a circle", "ln -s b a; ln -s a b", "a", "rm a", true},
	{"a file where a folder should be", "echo a >d", "d/f", "rm d; mkdir d", true},
};

static bool is_told(struct watch *watch)
{
	struct pollfd poll_fd = {.fd = watch_fd(watch), .events = POLLIN};
	bool told = false;
	while (poll(&poll_fd, 1, 0) > 0)
		told |= watch_read(watch);
	return told;
}

static void run(const char *folder, const char *words)
{
	AUTO_FREE char *command = memory_format("cd %s && { %s\n}", folder, *words ? words : ":");
	assert_int_equal(system(command), 0);
}

static void check(const struct row *row)
{
	char folder[] = "/tmp/keystile-test-watch-XXXXXX";
	struct fault fault = FAULT_INIT;
	assert_non_null(mkdtemp(folder));
	run(folder, row->before);
	AUTO_FREE char *path = memory_format("%s/%s", folder, row->path);
	const char *paths[] = {path};
	struct watch *watch = watch_new(&fault);
	assert_non_null(watch);
	assert_true(watch_follow(watch, paths, 1, &fault));
	assert_false(is_told(watch));
	run(folder, row->then);
	if (is_told(watch) != row->told)
		fail_msg("%s: %s", row->name, row->told ? "not told" : "told");
	assert_true(watch_follow(watch, paths, 1, &fault));
	is_told(watch);
	assert_false(is_told(watch));
	watch_free(watch);
	AUTO_FREE char *remove = memory_format("rm -r %s", folder);
	assert_int_equal(system(remove), 0);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		check(&rows[i]);
}

/* It goes on step by step: what was missing is watched once it is there, and what leads nowhere any more is not. */
static void test_follows(void **state)
{
	(void)state;
	char folder[] = "/tmp/keystile-test-watch-XXXXXX";
	assert_non_null(mkdtemp(folder));
	AUTO_FREE char *path = memory_format("%s/d/e/f", folder), *other = memory_format("%s/g", folder);
	const char *paths[] = {path, other};
	static const char *const steps[] = {"mkdir d", "mkdir d/e", "echo a >d/e/f", "echo b >d/e/f", "rm -r d", "mkdir -p d/e", "echo c >d/e/f",
	                                    "echo a >g"};
	struct watch *watch = watch_new(NULL);
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		assert_true(watch_follow(watch, paths, 2, NULL));
		is_told(watch);
		run(folder, steps[i]);
		if (!is_told(watch))
			fail_msg("not told: %s", steps[i]);
	}
	assert_true(watch_follow(watch, &paths[1], 1, NULL));
	is_told(watch);
	run(folder, "echo d >d/e/f");
	assert_false(is_told(watch));
	watch_free(watch);
	watch_free(NULL);
	AUTO_FREE char *remove = memory_format("rm -r %s", folder);
	assert_int_equal(system(remove), 0);
}

/* A folder that may be entered, and not read. */
static void test_denied(void **state)
{
	(void)state;
	char folder[] = "/tmp/keystile-test-watch-XXXXXX";
	struct fault fault = FAULT_INIT;
	assert_non_null(mkdtemp(folder));
	AUTO_FREE char *path = memory_format("%s/d/f", folder);
	const char *paths[] = {path};
	run(folder, "chmod 755 .; mkdir -m 111 d");
	bool root = geteuid() == 0;
	if (root)
		assert_int_equal(seteuid(65534), 0);
	struct watch *watch = watch_new(NULL);
	bool good = watch_follow(watch, paths, 1, &fault);
	AUTO_FREE char *said = memory_format("%s/d cannot be watched: Permission denied; let user %u, who runs proxyd, read and enter it",
	                                     folder, (unsigned)geteuid());
	watch_free(watch);
	if (root)
		assert_int_equal(seteuid(0), 0);
	AUTO_FREE char *remove = memory_format("rmdir %s/d %s", folder, folder);
	assert_int_equal(system(remove), 0);
	assert_false(good);
	assert_int_equal(fault.code, FAULT_DENIED);
	assert_string_equal(fault.text, said);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_follows),
		cmocka_unit_test(test_denied),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
