/* How environments are written down. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "format.h"
#include "memory.h"

struct row {
	const char *format, *name, *value;
	const char *line; /* NULL: it cannot be held */
};

#define GERMAN "\xc3\xa4"
#define READERS_DIFFER "its readers differ in how a quote or a backslash within quotes is written"

static const struct row rows[] = {
	{"sh", "A", "", "export A=''\n"},
	{"sh", "_a1", "plain", "export _a1='plain'\n"},
	{"sh", "A", "it's", "export A='it'\\''s'\n"},
	{"sh", "A", "'", "export A=''\\'''\n"},
	{"sh", "A", "a\nb $HOME `id` \"x\" \\ | ! " GERMAN, "export A='a\nb $HOME `id` \"x\" \\ | ! " GERMAN "'\n"},
	{"sh", "", "x", NULL},
	{"sh", "1A", "x", NULL},
	{"sh", "A-B", "x", NULL},
	{"sh", "A;id", "x", NULL},
	{"sh", "\xc3\x84", "x", NULL},
	{"dotenv", "A", "aZ09._:/,@%-", "A=aZ09._:/,@%-\n"},
	{"dotenv", "A", "", "A=''\n"},
	{"dotenv", "A", " a|b=c \"#\" $x `y` \\n " GERMAN, "A=' a|b=c \"#\" $x `y` \\n " GERMAN "'\n"},
	{"dotenv", "A", "it's", "A=\"it's\"\n"},
	{"dotenv", "A", "it's $x", NULL},
	{"dotenv", "A", "it's \"x\"", NULL},
	{"dotenv", "A", "it's `x`", NULL},
	{"dotenv", "A", "it's \\", NULL},
	{"dotenv", "A", "x\\", NULL},
	{"dotenv", "A", "x\\\\y", NULL},
	{"dotenv", "A", "${x}", NULL},
	{"dotenv", "A", "a\nb", NULL},
	{"dotenv", "A", "a\rb", NULL},
	{"dotenv", "A-B", "x", NULL},
	{"docker", "A", " 'a' \"b\" $c \\ # ", "A= 'a' \"b\" $c \\ # \n"},
	{"docker", "A", "", "A=\n"},
	{"docker", "A", "a\nb", NULL},
	{"k8s", "A", " 'a' \"b\" $c \\ # ", "A= 'a' \"b\" $c \\ # \n"},
	{"k8s", "A", "a\rb", NULL},
	{"systemd", "A", "plain", "A=plain\n"},
	{"systemd", "A", "", "A=\"\"\n"},
	{"systemd", "A", " it's \"$a\" `b` \\n ", "A=\" it's \\\"\\$a\\\" \\`b\\` \\\\n \"\n"},
	{"systemd", "A", "a\nb", NULL},
	{"github", "A", "<<x 'y' ", "A=<<x 'y' \n"},
	{"github", "A", "a\nb", NULL},
	{"github", "NODE_OPTIONS", "x", NULL},
	{"github", "GITHUB_API_URL", "x", NULL},
	{"github", "GITHUB_TOKEN", "x", "GITHUB_TOKEN=x\n"},
	{"github", "RUNNER_X", "x", NULL},
	{"github", "CI", "x", NULL},
	{"json", "A", "a \"b\" \\ \n " GERMAN, "{\n  \"A\": \"a \\\"b\\\" \\\\ \\n " GERMAN "\"\n}\n"},
	{"json", "A-", "x", NULL},
	{"fish", "A", "it's \\ \"$x\" \n", "set -gx A 'it\\'s \\\\ \"$x\" \n'\n"},
	{"fish", "A-", "x", NULL},
};

/* A file with this variable alone, without comments. */
static void write_one(const struct row *row, struct environment *environment, struct buffer *out)
{
	struct variable variable = {(char *)(uintptr_t)row->name, (char *)(uintptr_t)row->value, (char *)(uintptr_t)""};
	environment->list = &variable;
	environment->count = 1;
	format_write(format_find(row->format, NULL), environment, out);
	environment->list = NULL;
	environment->count = 0;
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct row *row = &rows[i];
		struct environment environment = {0};
		AUTO_BUFFER struct buffer out = {0};
		write_one(row, &environment, &out);
		const char *should = row->line ? row->line : strcmp(row->format, "json") == 0 ? "{\n\n}\n" : "";
		if (environment.left_out_count != !row->line || !span_equal(buffer_view(&out), span_of(should)))
			fail_msg("%s %s=%s: came `%.*s`, should be `%s`", row->format, row->name, row->value,
			         SPAN_ARGS(buffer_view(&out)), should);
		environment_free(&environment);
	}
}

static void test_why_not(void **state)
{
	(void)state;
	static const struct {
		struct row row;
		const char *why;
	} refused[] = {
		{{"sh", "A-B", "x", NULL}, "A-B: the format sh cannot hold it: no shell has a variable of that name"},
		{{"docker", "A", "a\nb", NULL}, "A: the format docker cannot hold it: it has a line break"},
		{{"dotenv", "A", "x\\", NULL}, "A: the format dotenv cannot hold it: " READERS_DIFFER},
		{{"dotenv", "A", "${x}", NULL}, "A: the format dotenv cannot hold it: its readers would fill in what it has behind `${`"},
		{{"github", "CI", "x", NULL}, "CI: the format github cannot hold it: the runner sets it itself, in every step"},
		{{"github", "Node_Options", "x", NULL}, "Node_Options: the format github cannot hold it: the runner refuses it"},
	};
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		struct environment environment = {0};
		AUTO_BUFFER struct buffer out = {0};
		write_one(&refused[i].row, &environment, &out);
		assert_int_equal(environment.left_out_count, 1);
		assert_string_equal(environment.left_out[0], refused[i].why);
		environment_free(&environment);
	}
}

/* The longest one that is held, and the next. */
static void test_most(void **state)
{
	(void)state;
	for (size_t i = 0; i < format_count; i++)
		for (size_t more = 0; more < 2; more++) {
			AUTO_FREE char *value = memory_alloc(format_list[i].most);
			memset(value, 'x', format_list[i].most - strlen("A=") + more);
			struct row row = {format_list[i].name, "A", value, NULL};
			struct environment environment = {0};
			AUTO_BUFFER struct buffer out = {0};
			write_one(&row, &environment, &out);
			assert_int_equal(environment.left_out_count, more);
			assert_int_equal(out.length > format_list[i].most, !more);
			environment_free(&environment);
		}
}

static void test_whole(void **state)
{
	(void)state;
	struct variable list[] = {
		{(char *)"A", (char *)"1", (char *)"the proxy"},
		{(char *)"B", (char *)"2", (char *)"the proxy"},
		{(char *)"C-", (char *)"3", (char *)"credential x"},
		{(char *)"D", (char *)"4", (char *)"credential x"},
	};
	struct environment environment = {.list = list, .count = 4};
	AUTO_BUFFER struct buffer out = {0};
	format_write(format_find("sh", NULL), &environment, &out);
	assert_string_equal(out.data, "# the proxy\nexport A='1'\nexport B='2'\n# credential x\nexport D='4'\n");
	assert_int_equal(environment.left_out_count, 1);
	assert_string_equal(environment.left_out[0], "C-: the format sh cannot hold it: no shell has a variable of that name");
	environment.list = NULL;
	environment.count = 0;
	environment_free(&environment);
}

static void test_json_whole(void **state)
{
	(void)state;
	struct variable list[] = {
		{(char *)"A", (char *)"1", (char *)"the proxy"},
		{(char *)"B-", (char *)"2", (char *)"the proxy"},
		{(char *)"C", (char *)"3", (char *)"x"},
	};
	struct environment environment = {.list = list, .count = 3};
	AUTO_BUFFER struct buffer out = {0};
	format_write(format_find("json", NULL), &environment, &out);
	assert_string_equal(out.data, "{\n  \"A\": \"1\",\n  \"C\": \"3\"\n}\n");
	environment.list = NULL;
	environment.count = 0;
	environment_free(&environment);
}

static void test_masks(void **state)
{
	(void)state;
	char *tokens[] = {(char *)"abc", (char *)"a%3Ab"};
	struct environment environment = {.tokens = tokens, .token_count = 2};
	AUTO_BUFFER struct buffer out = {0};
	format_masks(&environment, &out);
	assert_string_equal(out.data, "::add-mask::abc\n::add-mask::a%253Ab\n");
}

static void test_find(void **state)
{
	(void)state;
	static const char *const unknown[] = {"csh", "", "SH"};
	for (size_t i = 0; i < format_count; i++)
		assert_ptr_equal(format_find(format_list[i].name, NULL), &format_list[i]);
	for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
		struct fault fault = FAULT_INIT;
		AUTO_FREE char *why = memory_format("--format %s: there is no such format; there is: sh, dotenv, docker, systemd, github, "
		                                    "json, fish, k8s", unknown[i]);
		assert_null(format_find(unknown[i], &fault));
		assert_string_equal(fault.text, why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_why_not),
		cmocka_unit_test(test_most),
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_json_whole),
		cmocka_unit_test(test_masks),
		cmocka_unit_test(test_find),
	};
	return cmocka_run_group_tests_name("format", tests, NULL, NULL);
}
