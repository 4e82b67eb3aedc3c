/* Commands in the background: which are one, what they gave, and what becomes of them. */
#include "config_rows.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "clock.h"
#include "commands.h"
#include "memory.h"
#include "secret.h"
#include "secret_use.h"

static char folder[] = "/tmp/keystile-test-commands-XXXXXX";
static atomic_int changes;

static void count_change(void *context)
{
	(void)context;
	atomic_fetch_add(&changes, 1);
}

struct world {
	struct config *config;
	struct spent *spent;
	struct commands *commands;
};

/* `entries` are credentials; "@" in them is the folder. */
static struct config *config_of(const char *entries, const char *names)
{
	AUTO_BUFFER struct buffer text = {0};
	buffer_string(&text, "version: 1\nsession: none\ncredentials:\n");
	for (const char *c = entries; *c; c++)
		if (*c == '@')
			buffer_string(&text, folder);
		else
			buffer_char(&text, *c);
	buffer_format(&text, "profiles: { p: { credentials: [%s] } }\n", names);
	return good(text.data);
}

static struct world begin(const char *entries, const char *names)
{
	struct world world = {.config = config_of(entries, names), .spent = spent_new()};
	struct fault fault = FAULT_INIT;
	world.commands = commands_new(world.spent, count_change, NULL);
	commands_want(world.commands, world.config);
	if (!commands_start(world.commands, &fault))
		fail_msg("%s", fault.text);
	return world;
}

static void end(struct world *world)
{
	commands_free(world->commands);
	spent_free(world->spent);
	config_free(world->config);
	atomic_store(&ahead, 0);
}

static void put(const char *name, const char *text)
{
	AUTO_FREE char *path = memory_format("%s/%s", folder, name);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

/* How often a command has run that writes a line to that file. */
static size_t runs(const char *name)
{
	AUTO_FREE char *path = memory_format("%s/%s", folder, name);
	FILE *file = fopen(path, "r");
	size_t lines = 0;
	for (int c; file && (c = getc(file)) != EOF;)
		lines += c == '\n';
	if (file)
		fclose(file);
	return lines;
}

struct look {
	struct command_value value;
	char bytes[64];
};

static struct look look_at(const struct world *world, size_t credential, size_t index)
{
	struct look look = {0};
	AUTO_WIPE struct buffer bytes = {0};
	AUTO_FREE char *key = secret_use_key(secret_use_of(&world->config->credentials[credential], index));
	if (!commands_get(world->commands, key, &bytes, &look.value))
		fail_msg("credential %zu: nobody wanted its command", credential);
	snprintf(look.bytes, sizeof look.bytes, "%.*s", (int)bytes.length, bytes.data ? bytes.data : "");
	return look;
}

static void forget(struct look *look)
{
	free(look->value.why);
	free(look->value.stale);
}

static void expect(const struct world *world, size_t credential, size_t index, const char *bytes, const char *why)
{
	struct look look = look_at(world, credential, index);
	const char *said = look.value.ready ? look.value.stale : look.value.why;
	if (look.value.ready != (bytes != NULL) || (bytes && strcmp(look.bytes, bytes) != 0) ||
	    (why ? !said || !strstr(said, why) : said != NULL))
		fail_msg("credential %zu: should be `%s` %s, came %d `%s` %s", credential, bytes, why, look.value.ready, look.bytes,
		         said);
	forget(&look);
}

static void pause_a_moment(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/* Until `name` has that many lines, and what came of the last run is there. */
static void wait_for_runs(const struct world *world, const char *name, size_t count)
{
	int before = atomic_load(&changes);
	for (int i = 0; i < 5000 && runs(name) < count; i++)
		pause_a_moment();
	assert_int_equal(runs(name), count);
	commands_keep(world->commands, world->config);
	for (int i = 0; i < 5000 && atomic_load(&changes) < before + 2; i++)
		pause_a_moment();
}

/* Until the value is another one than number `before`, or is none. */
static struct look wait_for_other(const struct world *world, size_t credential, uint64_t before)
{
	struct look look = {0};
	for (int i = 0; i < 5000; i++) {
		look = look_at(world, credential, 0);
		if (look.value.number != before && !look.value.pending)
			return look;
		forget(&look);
		pause_a_moment();
	}
	fail_msg("credential %zu keeps value %llu", credential, (unsigned long long)before);
	return look;
}

/* Until its value is one that could not be made anew. */
static void wait_until_stale(const struct world *world, size_t credential, size_t index)
{
	bool stale = false;
	for (int i = 0; i < 5000 && !stale; i++) {
		struct look look = look_at(world, credential, index);
		stale = look.value.stale != NULL;
		forget(&look);
		pause_a_moment();
	}
}

/* Until all values up to that one are gone. */
static void wait_for_drop(const struct world *world, uint64_t number)
{
	bool dropped = false;
	for (int i = 0; i < 5000 && !dropped; i++) {
		struct look look = look_at(world, 0, 0);
		dropped = !look.value.ready && look.value.dropped >= number;
		forget(&look);
		pause_a_moment();
	}
	assert_true(dropped);
}

#define API "upstream: https://x.test, inject: { query: k }"

static void test_which_are_one(void **state)
{
	(void)state;
	struct world world = begin("  a: { " API ", secret: \"exec:sh -c 'echo >> @/one; echo first'\", ttl: 60s }\n"
	                           "  b: { " API ", secret: \"exec:sh -c 'echo >> @/one; echo first'\", ttl: 60s }\n"
	                           "  c: { " API ", secret: \"exec:sh -c 'echo >> @/one; echo first'\", ttl: 61s }\n"
	                           "  d: { " API ", secret: \"exec:echo other\" }\n", "a, b, c, d");
	commands_settle(world.commands, UINT64_MAX);
	assert_int_equal(runs("one"), 2);
	for (size_t i = 0; i < 3; i++)
		expect(&world, i, 0, "first", NULL);
	expect(&world, 3, 0, "other", NULL);
	struct look a = look_at(&world, 0, 0), b = look_at(&world, 1, 0), c = look_at(&world, 2, 0);
	assert_true(a.value.number == b.value.number && a.value.number != c.value.number && a.value.number);
	forget(&a);
	forget(&b);
	forget(&c);
	end(&world);
}

static void test_reasons(void **state)
{
	(void)state;
	struct world world = begin("  a: { " API ", secret: \"exec:false canary\" }\n"
	                           "  b: { " API ", secret: \"exec:true canary\" }\n"
	                           "  c: { " API ", secret: \"exec:/nonexistent/canary\" }\n"
	                           "  d: { " API ", secret: \"exec:printf 'one\\\\ncanary'\" }\n", "a, b, c, d");
	expect(&world, 0, 0, NULL, "exec:false: it is being run for the first time");
	commands_settle(world.commands, UINT64_MAX);
	expect(&world, 0, 0, NULL, "exec:false: ended with status 1");
	expect(&world, 1, 0, NULL, "exec:true is empty; the secret must stand there alone, on one line");
	expect(&world, 2, 0, NULL, "exec:/nonexistent/canary: cannot start");
	expect(&world, 3, 0, NULL, "exec:printf has a line break in it");
	struct look look = look_at(&world, 0, 0);
	assert_true(!look.value.pending && look.value.again && !look.value.number);
	forget(&look);
	end(&world);
}

/* Both together: what one gave while the other failed is used by nobody. */
static void test_together(void **state)
{
	(void)state;
	put("id", "id-1\n");
	put("key", "key-1\n");
	struct world world = begin("  a: { upstream: https://x.test, inject: { header: X, value: \"{id}{key}\" }, "
	                           "secrets: { id: \"exec:cat @/id\", key: \"exec:sh -c 'echo >> @/both; cat @/key'\" } }\n", "a");
	commands_settle(world.commands, UINT64_MAX);
	expect(&world, 0, 0, "id-1", NULL);
	expect(&world, 0, 1, "key-1", NULL);
	put("id", "id-2\n");
	put("key", "\n");
	struct look first = look_at(&world, 0, 0);
	commands_retry(world.commands);
	wait_for_runs(&world, "both", 2);
	wait_until_stale(&world, 0, 1);
	expect(&world, 0, 0, "id-1", NULL);
	expect(&world, 0, 1, "key-1", "is empty");
	put("key", "key-2\n");
	commands_retry(world.commands);
	struct look second = wait_for_other(&world, 0, first.value.number);
	expect(&world, 0, 0, "id-2", NULL);
	expect(&world, 0, 1, "key-2", NULL);
	forget(&first);
	forget(&second);
	end(&world);
}

/* At 80 % of its life it is run again; while that fails the value stays until its end; then there is none. */
static void test_life(void **state)
{
	(void)state;
	put("life", "one\n");
	struct world world = begin("  a: { " API ", secret: \"exec:cat @/life\", ttl: 100s }\n", "a");
	commands_settle(world.commands, UINT64_MAX);
	expect(&world, 0, 0, "one", NULL);
	struct look first = look_at(&world, 0, 0);
	put("life", "two\n");
	atomic_store(&ahead, 85000);
	commands_wake(world.commands);
	struct look second = wait_for_other(&world, 0, first.value.number);
	assert_string_equal(second.bytes, "two");
	assert_true(second.value.until > first.value.until + 80000);
	put("life", "");
	atomic_store(&ahead, 85000 + 85000);
	commands_wake(world.commands);
	wait_until_stale(&world, 0, 0);
	expect(&world, 0, 0, "two", "is empty");
	atomic_store(&ahead, 85000 + 101000);
	expect(&world, 0, 0, NULL, "is empty");
	commands_wake(world.commands);
	wait_for_drop(&world, second.value.number);
	forget(&first);
	forget(&second);
	end(&world);
}

static void test_spent(void **state)
{
	(void)state;
	put("spent", "one\n");
	struct world world = begin("  a: { " API ", secret: \"exec:cat @/spent\" }\n", "a");
	commands_settle(world.commands, UINT64_MAX);
	struct look first = look_at(&world, 0, 0);
	put("spent", "two\n");
	spent_add(world.spent, first.value.number);
	commands_wake(world.commands);
	struct look second = wait_for_other(&world, 0, first.value.number);
	assert_string_equal(second.bytes, "two");
	assert_int_equal(second.value.dropped, first.value.number);
	assert_false(spent_has(world.spent, first.value.number));
	put("spent", "");
	spent_add(world.spent, second.value.number);
	commands_wake(world.commands);
	struct look none = wait_for_other(&world, 0, second.value.number);
	assert_false(none.value.ready);
	assert_non_null(strstr(none.value.why, "is empty"));
	forget(&first);
	forget(&second);
	forget(&none);
	end(&world);
}

/* Until somebody writes: the end of the reading shell is seen at the pipe. */
static int hold(const char *name)
{
	AUTO_FREE char *path = memory_format("%s/%s", folder, name);
	assert_int_equal(mkfifo(path, 0600), 0);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static bool lives(const char *name)
{
	AUTO_FREE char *path = memory_format("%s/%s", folder, name);
	FILE *file = fopen(path, "r");
	int pid = 0;
	if (!file || fscanf(file, "%d", &pid) != 1)
		pid = 0;
	if (file)
		fclose(file);
	return pid && kill(pid, 0) == 0;
}

static void wait_for_life(const char *name, bool life)
{
	for (int i = 0; i < 5000 && lives(name) != life; i++)
		pause_a_moment();
	assert_int_equal(lives(name), life);
}

#define SLOW(n) "  s" n ": { " API ", secret: \"exec:sh -c 'echo $$ > @/pid" n "; read x < @/slow; echo slow'\" }\n"
#define SLOW_NAMES "s1, s2, s3, s4, s5, s6, s7"

/* Seven that hang hold up nobody, and are gone when they are wanted no more, or at the end. */
static void test_slow_ones(void **state)
{
	(void)state;
	int fd = hold("slow");
	struct world world = begin(SLOW("1") SLOW("2") SLOW("3") SLOW("4") SLOW("5") SLOW("6") SLOW("7")
	                           "  a: { " API ", secret: \"exec:echo quick\" }\n", SLOW_NAMES ", a");
	commands_settle(world.commands, 0);
	struct look look = wait_for_other(&world, 7, 0);
	assert_string_equal(look.bytes, "quick");
	forget(&look);
	for (size_t i = 0; i < 7; i++) {
		look = look_at(&world, i, 0);
		assert_true(look.value.pending);
		forget(&look);
	}
	wait_for_life("pid1", true);
	wait_for_life("pid2", true);
	struct config *fewer = config_of(SLOW("2") "  a: { " API ", secret: \"exec:echo quick\" }\n", "s2, a");
	commands_keep(world.commands, fewer);
	wait_for_life("pid1", false);
	assert_true(lives("pid2"));
	struct world other = {fewer, world.spent, world.commands};
	expect(&other, 1, 0, "quick", NULL);
	config_free(world.config);
	world.config = fewer;
	end(&world);
	assert_false(lives("pid2"));
	close(fd);
}

static int set_up(void **state)
{
	(void)state;
	return secret_start(NULL) && mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	AUTO_FREE char *command = memory_format("rm -rf %s", folder);
	(void)state;
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_which_are_one), cmocka_unit_test(test_reasons), cmocka_unit_test(test_together),
		cmocka_unit_test(test_life),          cmocka_unit_test(test_spent),   cmocka_unit_test(test_slow_ones),
	};
	return cmocka_run_group_tests_name("commands", tests, set_up, tear_down);
}
