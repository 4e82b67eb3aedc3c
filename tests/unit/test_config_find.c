/* Where the configuration is looked for. */
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_rows.h"
#include "file.h"
#include "memory.h"

/* A folder of its own, in which the test stands. */
static int enter(void **state)
{
	char folder[] = "/tmp/test_config_find.XXXXXX";
	if (!mkdtemp(folder) || chdir(folder) != 0)
		return -1;
	*state = memory_string(folder);
	setenv("XDG_CONFIG_HOME", folder, 1);
	setenv("HOME", "/nowhere", 1);
	unsetenv("KEYSTILE_CONFIG");
	return 0;
}

static int leave(void **state)
{
	unlink("keystile.yaml");
	unlink("keystile/keystile.yaml");
	rmdir("keystile");
	int left = chdir("/") || rmdir(*state);
	free(*state);
	return left;
}

static void put(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static void expect(const char *given, const char *should, bool here)
{
	struct fault fault = FAULT_INIT;
	bool found_here = !here;
	AUTO_FREE char *path = config_find(given, &found_here, &fault);
	if (!path)
		fail_msg("found nothing, should be %s: %s", should, fault.text);
	compare(should, "path", path, should);
	settle();
	assert_int_equal(found_here, here);
}

static void test_order(void **state)
{
	AUTO_FREE char *user = memory_format("%s/keystile/keystile.yaml", (const char *)*state);
	struct fault fault = FAULT_INIT;
	bool here;
	if (access("/etc/keystile/keystile.yaml", F_OK) != 0) {
		assert_null(config_find(NULL, &here, &fault));
		assert_int_equal(fault.code, FAULT_MISSING);
		assert_non_null(strstr(fault.text, user));
		assert_non_null(strstr(fault.text, "./keystile.yaml"));
		assert_non_null(strstr(fault.text, "/etc/keystile/keystile.yaml"));
		assert_non_null(strstr(fault.text, "--config"));
	}
	assert_int_equal(mkdir("keystile", 0700), 0);
	put("keystile/keystile.yaml");
	expect(NULL, user, false);
	put("keystile.yaml");
	expect(NULL, "./keystile.yaml", true);
	/* What is named is not what was found, be it the same file. */
	setenv("KEYSTILE_CONFIG", "keystile.yaml", 1);
	expect(NULL, "keystile.yaml", false);
	expect("given.yaml", "given.yaml", false);
	setenv("KEYSTILE_CONFIG", "", 1);
	expect(NULL, "./keystile.yaml", true);
}

/* Where XDG_CONFIG_HOME says nothing: ~/.config. */
static void test_home(void **state)
{
	(void)state;
	struct fault fault = FAULT_INIT;
	bool here;
	unlink("keystile.yaml");
	if (access("/etc/keystile/keystile.yaml", F_OK) == 0)
		return;
	static const char *const useless[] = {"", "relative/path"};
	for (size_t i = 0; i < 2; i++) {
		setenv("XDG_CONFIG_HOME", useless[i], 1);
		assert_null(config_find(NULL, &here, &fault));
		assert_non_null(strstr(fault.text, "/nowhere/.config/keystile/keystile.yaml"));
	}
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("HOME");
	assert_null(config_find(NULL, &here, &fault));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_home),
	};
	return cmocka_run_group_tests(tests, enter, leave);
}
