/* How environments are written down. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "format.h"
#include "memory.h"

struct row {
	const char *name, *value;
	const char *line; /* NULL: it cannot be held */
};

static const struct row rows[] = {
	{"A", "", "export A=''\n"},
	{"_a1", "plain", "export _a1='plain'\n"},
	{"A", "it's", "export A='it'\\''s'\n"},
	{"A", "'", "export A=''\\'''\n"},
	{"A", "a\nb $HOME `id` \"x\" \\ | ! \xc3\xa4", "export A='a\nb $HOME `id` \"x\" \\ | ! \xc3\xa4'\n"},
	{"", "x", NULL},
	{"1A", "x", NULL},
	{"A-B", "x", NULL},
	{"A;id", "x", NULL},
	{"\xc3\x84", "x", NULL},
};

static void test_sh(void **state)
{
	(void)state;
	const struct format *sh = format_find("sh", NULL);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct variable variable = {(char *)(uintptr_t)rows[i].name, (char *)(uintptr_t)rows[i].value, NULL};
		AUTO_BUFFER struct buffer out = {0};
		bool held = sh->write(&variable, &out);
		const char *should = rows[i].line ? rows[i].line : "";
		if (held != (rows[i].line != NULL) || !span_equal(buffer_view(&out), span_of(should)))
			fail_msg("%s=%s: came %d `%.*s`, should be `%s`", rows[i].name, rows[i].value, held,
			         SPAN_ARGS(buffer_view(&out)), should);
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
	assert_string_equal(environment.left_out[0], "C-: the format sh cannot hold it");
	free(environment.left_out[0]);
	free(environment.left_out);
}

static void test_find(void **state)
{
	(void)state;
	static const struct {
		const char *name, *why;
	} refused[] = {
		{"dotenv", "--format dotenv is not built yet; there is: sh"},
		{"docker", "--format docker is not built yet; there is: sh"},
		{"systemd", "--format systemd is not built yet; there is: sh"},
		{"github", "--format github is not built yet; there is: sh"},
		{"json", "--format json is not built yet; there is: sh"},
		{"fish", "--format fish is not built yet; there is: sh"},
		{"k8s", "--format k8s is not built yet; there is: sh"},
		{"csh", "--format csh: there is no such format; there is: sh"},
		{"", "--format : there is no such format; there is: sh"},
	};
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		struct fault fault = FAULT_INIT;
		const struct format *found = format_find(refused[i].name, &fault);
		if (found || strcmp(fault.text, refused[i].why) != 0)
			fail_msg("%s: came %p `%s`, should be `%s`", refused[i].name, (const void *)found, fault.text,
			         refused[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sh),
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_find),
	};
	return cmocka_run_group_tests_name("format", tests, NULL, NULL);
}
