/* Memory for secrets, and what counts as one. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "secret.h"

#define BOM "\xef\xbb\xbf"
#define ROW(text, lines, clean, why) {{text, sizeof(text) - 1}, lines, clean, why}

static const struct {
	struct span text;
	bool lines;
	const char *clean, *why; /* one of them NULL */
} clean_rows[] = {
	ROW("sk-1", false, "sk-1", NULL),
	ROW("sk-1\n", false, "sk-1", NULL),
	ROW("sk-1\r\n", false, "sk-1", NULL),
	ROW(BOM "sk-1", false, "sk-1", NULL),
	ROW(BOM "sk-1\r\n", false, "sk-1", NULL),
	ROW(" sk-1 ", false, " sk-1 ", NULL),
	ROW("p\xc3\xa4ss", false, "p\xc3\xa4ss", NULL),
	ROW("\xff\xfe", false, "\xff\xfe", NULL),
	ROW("sk-1\r", false, NULL, "has a line break in it"),
	ROW("sk-1\n\n", false, NULL, "has a line break in it"),
	ROW("sk\0x", false, NULL, "has a control character"),
	ROW("sk\tx", false, NULL, "has a control character"),
	ROW("sk\x7fx", false, NULL, "has a control character"),
	ROW("a\nb", false, NULL, "has a line break in it"),
	ROW("", false, NULL, "is empty"),
	ROW("\n", false, NULL, "is empty"),
	ROW("\r\n", false, NULL, "is empty"),
	ROW(BOM, false, NULL, "is empty"),
	ROW(BOM "\n", false, NULL, "is empty"),
	ROW("  \t", false, NULL, "is empty"),
	ROW("<no value>", false, NULL, "is <no value>"),
	ROW("<no value>\n", false, NULL, "is <no value>"),
	ROW("Bearer <no value>", false, NULL, "is <no value>"),
	ROW("a\nb\n", true, "a\nb", NULL),
	ROW("a\r\nb\r\n", true, "a\r\nb", NULL),
	ROW("{\n\t1\n}", true, "{\n\t1\n}", NULL),
	ROW("a\033b", true, NULL, "has a control character"),
	ROW("a\0b", true, NULL, "has a control character"),
};

static void test_clean(void **context)
{
	(void)context;
	for (size_t i = 0; i < sizeof clean_rows / sizeof *clean_rows; i++) {
		struct span value = clean_rows[i].text;
		const char *why = secret_clean(&value, clean_rows[i].lines);
		const char *expected = clean_rows[i].why;
		if ((why == NULL) != (expected == NULL) || (why && strcmp(why, expected) != 0))
			fail_msg("row %zu: should say %s, said %s", i, expected ? expected : "nothing", why ? why : "nothing");
		if (!why && !span_equal(value, span_of(clean_rows[i].clean)))
			fail_msg("row %zu: should become \"%s\", became \"%.*s\"", i, clean_rows[i].clean, SPAN_ARGS(value));
	}
}

static void test_arena_does_not_move(void **context)
{
	(void)context;
	struct secret_arena *arena = secret_arena_new(8);
	struct span spans[500];
	char text[16];
	for (size_t i = 0; i < 500; i++)
		spans[i] = secret_arena_add(arena, (struct span){text, (size_t)snprintf(text, sizeof text, "secret%zu", i)});
	assert_int_equal(secret_arena_add(arena, SPAN("")).length, 0);
	secret_arena_seal(arena);
	for (size_t i = 0; i < 500; i++) {
		snprintf(text, sizeof text, "secret%zu", i);
		assert_string_equal(spans[i].data, text); /* with a NUL behind */
	}
	secret_arena_free(arena);
	secret_arena_free(NULL);
}

/* Reading or writing at `place` must end a process by a fault of memory. */
static void expect_crash(const char *what, volatile char *place, bool write)
{
	pid_t child = fork();
	if (child == 0) {
		signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would turn it into an exit */
		signal(SIGBUS, SIG_DFL);
		if (write)
			*place = 'x';
		_exit(*place == 'x' ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFSIGNALED(status) || (WTERMSIG(status) != SIGSEGV && WTERMSIG(status) != SIGBUS))
		fail_msg("%s: should end by SIGSEGV, ended with status %x", what, (unsigned)status);
}

static void test_arena_is_guarded(void **context)
{
	(void)context;
	struct secret_arena *arena = secret_arena_new(4096);
	char *room = secret_arena_room(arena, 4095);
	expect_crash("reading behind the end", room + 4096 + 16, false);
	secret_arena_seal(arena);
	expect_crash("writing after the seal", room, true);
	secret_arena_free(arena);
}

static void test_process_is_closed(void **context)
{
	(void)context;
	struct rlimit core;
	assert_int_equal(getrlimit(RLIMIT_CORE, &core), 0);
	assert_int_equal(core.rlim_cur, 0);
	assert_int_equal(core.rlim_max, 0);
	assert_int_equal(prctl(PR_GET_DUMPABLE), 0);
}

enum { SWALLOWED = 3 }; /* AddressSanitizer puts an mlock() of its own in place that always succeeds */

static void test_lock_failure_is_noticed(void **context)
{
	(void)context;
	pid_t child = fork();
	if (child == 0) {
		struct rlimit none = {0, 0};
		/* Root may lock whatever the limit says, so this is for another user. */
		if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || (geteuid() == 0 && setuid(65534) != 0))
			_exit(2);
		static char page[4096];
		if (mlock(page, sizeof page) == 0)
			_exit(SWALLOWED);
		bool before = secret_locked();
		secret_arena_free(secret_arena_new(100));
		_exit(before && !secret_locked() ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == SWALLOWED)
		skip();
	assert_int_equal(status, 0);
}

static void test_equal(void **context)
{
	(void)context;
	assert_true(secret_equal(SPAN("abc"), SPAN("abc")));
	assert_true(secret_equal(SPAN(""), SPAN("")));
	assert_false(secret_equal(SPAN("abc"), SPAN("abd")));
	assert_false(secret_equal(SPAN("abc"), SPAN("abcd")));
	assert_false(secret_equal(SPAN("abc"), SPAN("")));
}

static void test_realloc_keeps(void **context)
{
	(void)context;
	char *text = secret_realloc(NULL, 4);
	memcpy(text, "abc", 4);
	text = secret_realloc(text, 100000);
	assert_string_equal(text, "abc");
	text = secret_realloc(text, 4);
	assert_string_equal(text, "abc");
	secret_free(text);
	secret_free(NULL);
}

int main(void)
{
	struct fault fault = FAULT_INIT;
	if (!secret_start(&fault))
		return 1;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),             cmocka_unit_test(test_arena_does_not_move),
		cmocka_unit_test(test_arena_is_guarded),  cmocka_unit_test(test_process_is_closed),
		cmocka_unit_test(test_lock_failure_is_noticed), cmocka_unit_test(test_equal),
		cmocka_unit_test(test_realloc_keeps),
	};
	return cmocka_run_group_tests_name("secret", tests, NULL, NULL);
}
