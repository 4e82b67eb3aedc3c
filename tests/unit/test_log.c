/* The program's own log: one line a message, whatever stands in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "span.h"

static char said[8192];

/* What `log` writes for that message. */
static struct span say(void (*log)(const char *format, ...), const char *message)
{
	int ends[2], error = dup(STDERR_FILENO);
	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	log("%s", message);
	dup2(error, STDERR_FILENO);
	close(error);
	ssize_t length = read(ends[0], said, sizeof said);
	close(ends[0]);
	return (struct span){said, length < 0 ? 0 : (size_t)length};
}

struct row {
	const char *message, *text, *json;
};

static const struct row rows[] = {
	{"ready", "ready", "ready"},
	{"a \"b\" \\ c", "a \"b\" \\ c", "a \\\"b\\\" \\\\ c"},
	{"one\ntwo\tthree\x1b[0m\x7f", "one\\x0atwo\\x09three\\x1b[0m\\x7f", "one\\ntwo\\tthree\\u001b[0m\\u007f"},
	{"csi \xc2\x9b" "2J \xc2\x80\xc2\x9f\xc2\xa0\xc2", "csi \\x9b2J \\x80\\x9f\xc2\xa0\xc2", "csi \\u009b2J \\u0080\\u009f\xc2\xa0\\ufffd"},
	{"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
	{"bad \xff\xc3 utf-8 \xed\xa0\x80", "bad \xff\xc3 utf-8 \xed\xa0\x80", "bad \\ufffd\\ufffd utf-8 \\ufffd\\ufffd\\ufffd"},
	{"", "", ""},
};

static void test_text(void **state)
{
	(void)state;
	log_set_format(LOG_TEXT);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char expected[512];
		snprintf(expected, sizeof expected, "test: warning: %s\n", rows[i].text);
		struct span line = say(log_warning, rows[i].message);
		if (!span_equal(line, span_of(expected)))
			fail_msg("`%s`: came `%.*s`", rows[i].message, SPAN_ARGS(line));
	}
}

/* {"time":"2026-11-27T15:20:01.123Z", and the rest. */
static void test_json(void **state)
{
	(void)state;
	static const struct {
		void (*log)(const char *format, ...);
		const char *level;
	} levels[] = {{log_error, "error"}, {log_warning, "warning"}, {log_info, "info"}, {log_debug, "debug"}};
	static const char shape[] = "{\"time\":\"dddd-dd-ddTdd:dd:dd.dddZ\",";
	log_set_format(LOG_JSON);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char expected[512];
		snprintf(expected, sizeof expected, "\"level\":\"%s\",\"program\":\"test\",\"message\":\"%s\"}\n", levels[i % 4].level,
		         rows[i].json);
		struct span line = say(levels[i % 4].log, rows[i].message);
		for (size_t j = 0; j < strlen(shape); j++)
			if (j >= line.length || (shape[j] == 'd' ? line.data[j] < '0' || line.data[j] > '9' : line.data[j] != shape[j]))
				fail_msg("`%s`: the time is not one: `%.*s`", rows[i].message, SPAN_ARGS(line));
		if (!span_equal(span_from(line, strlen(shape)), span_of(expected)))
			fail_msg("`%s`: came `%.*s`, should end with `%s`", rows[i].message, SPAN_ARGS(line), expected);
	}
}

/* What is too long is cut, and is one line of JSON all the same. */
static void test_long(void **state)
{
	(void)state;
	char message[8000];
	memset(message, '\n', sizeof message - 1);
	message[sizeof message - 1] = 0;
	log_set_format(LOG_JSON);
	struct span line = say(log_error, message);
	assert_true(span_ends(line, SPAN("\\n\"}\n")) && line.length < sizeof said);
	assert_int_equal(line.length - 1, strcspn(said, "\n"));
}

static void test_names(void **state)
{
	(void)state;
	enum log_format format = LOG_TEXT;
	assert_true(log_format_of("json", &format) && format == LOG_JSON);
	assert_true(log_format_of("text", &format) && format == LOG_TEXT);
	assert_false(log_format_of("JSON", &format) || log_format_of("", &format) || log_format_of("jsonl", &format));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text), cmocka_unit_test(test_json), cmocka_unit_test(test_long), cmocka_unit_test(test_names),
	};
	log_open("test", LOG_DEBUG);
	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
