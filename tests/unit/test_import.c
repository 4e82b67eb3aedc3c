/* What `creds import` reads of an .env file. The expected values are those of docker compose's own reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "dotenv.h"
#include "value.h"

/* `expected`: "NAME=VALUE|" for each entry, "LINE!|" for each that is wrong. */
#define ROW(text, expected) {{text, sizeof(text) - 1}, expected}

static const struct {
	struct span text;
	const char *expected;
} rows[] = {
	ROW("", ""),
	ROW("\n\n", ""),
	ROW("# nothing\n   # here", ""),
	ROW("A=1", "A=1|"),
	ROW("A=1\nB=2\n", "A=1|B=2|"),
	ROW("A=1\r\nB=2\r\n", "A=1|B=2|"),
	ROW("  A = 1  \n", "A=1|"),
	ROW("A: 1", "A=1|"),
	ROW("A=b=c", "A=b=c|"),
	ROW("a.b-c_1=x", "a.b-c_1=x|"),
	ROW("export A=1\nexport\tB=2", "A=1|B=2|"),
	ROW("exported=1", "exported=1|"),
	ROW("A=", "A=|"),
	ROW("A=\nB=1", "A=|B=1|"),
	/* comments */
	ROW("A=1 # note", "A=1|"),
	ROW("A=1#2", "A=1#2|"),
	ROW("A=#1", "A=#1|"),
	ROW("A=1\t# note", "A=1\t# note|"),
	ROW("A=\"1\" # note\nB=2", "A=1|B=2|"),
	ROW("A='1 # 2'", "A=1 # 2|"),
	/* single quotes */
	ROW("A='a b'", "A=a b|"),
	ROW("A=' a '", "A= a |"),
	ROW("A='$B ${C} $$ \\n'", "A=$B ${C} $$ \\n|"),
	ROW("A='it\\'s'", "A=it's|"),
	ROW("A='a\\\\b'", "A=a\\\\b|"),
	ROW("A='a\nb'\nB=1", "A=a\nb|B=1|"),
	ROW("A=''", "A=|"),
	/* double quotes */
	ROW("A=\"a\\nb\\tc\"", "A=a\nb\tc|"),
	ROW("A=\"say \\\"hi\\\"\"", "A=say \"hi\"|"),
	ROW("A=\"a\\\\b\"", "A=a\\b|"),
	ROW("A=\"a\\qb\"", "A=a\\qb|"),
	ROW("A=\"a'b\"", "A=a'b|"),
	ROW("A=\"\\0101\"", "A=A|"),
	ROW("A=\"\\0351\"", "A=\xc3\xa9|"),
	ROW("A=\"\\09\"", "A=\\9|"),
	ROW("A=\"line 1\nline 2\"", "A=line 1\nline 2|"),
	ROW("A=\"1\"B=2", "A=1|B=2|"),
	/* no quotes: nothing is an escape */
	ROW("A=a\\nb", "A=a\\nb|"),
	ROW("A=it's", "A=it's|"),
	ROW("A=a\"b\"", "A=a\"b\"|"),
	/* dollars */
	ROW("A=a$$b", "A=a$b|"),
	ROW("A=\"a$$b\"", "A=a$b|"),
	ROW("A=\"a\\$b\"", "A=a$b|"),
	ROW("A=a$", "A=a$|"),
	ROW("A=a$1b", "A=a$1b|"),
	ROW("A=a$b", "1!|"),
	ROW("A=a${b}", "1!|"),
	ROW("A=\"a$b\"\nB=2", "1!|B=2|"),
	ROW("A=a$_", "1!|"),
	/* wrong */
	ROW("A", "1!|"),
	ROW("A\nB=1", "1!|B=1|"),
	ROW("=1", "1!|"),
	ROW("\n\nA B=1\nC=2", "3!|C=2|"),
	ROW("A/B=1", "1!|"),
	ROW("A=\"open\nB=2", "1!|B=2|"),
	ROW("A='open", "1!|"),
	ROW("A=\"open\\\"", "1!|"),
	ROW("A=1\nB='1\n2\n'\nC", "A=1|B=1\n2\n|5!|"),
	ROW("A\0=1", "1!|"),
};

static void test_rows(void **context)
{
	(void)context;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct dotenv reader = {.rest = rows[i].text, .line = 1};
		struct dotenv_entry entry;
		struct fault fault = FAULT_INIT;
		AUTO_BUFFER struct buffer came = {0};
		enum dotenv_result result;
		while ((result = dotenv_next(&reader, &entry, &fault)) != DOTENV_END) {
			if (result == DOTENV_WRONG)
				buffer_format(&came, "%u!|", entry.line);
			else
				buffer_format(&came, "%.*s=%.*s|", SPAN_ARGS(entry.name), SPAN_ARGS(entry.value));
		}
		dotenv_end(&reader);
		if (!span_equal(buffer_view(&came), span_of(rows[i].expected)))
			fail_msg("\"%.*s\"\nshould be \"%s\"\nwas       \"%.*s\"", SPAN_ARGS(rows[i].text), rows[i].expected,
			         SPAN_ARGS(buffer_view(&came)));
	}
}

/* A line that is no NAME=VALUE may be a secret by itself: no message shows any of it. */
static void test_messages_quote_nothing(void **context)
{
	(void)context;
	static const char *const wrong[] = {"sk-canary", "sk canary=1", "=canary", "A=canary$canary", "A=\"canary",
	                                    "canary/canary=canary"};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct dotenv reader = {.rest = span_of(wrong[i]), .line = 1};
		struct dotenv_entry entry;
		struct fault fault = FAULT_INIT;
		assert_int_equal(dotenv_next(&reader, &entry, &fault), DOTENV_WRONG);
		if (strstr(fault.text, "canary"))
			fail_msg("\"%s\": the message shows it: %s", wrong[i], fault.text);
		dotenv_end(&reader);
	}
}

static void test_oddities(void **context)
{
	(void)context;
	static const struct {
		const char *value;
		bool odd;
	} values[] = {
		{"sk-1", false}, {" sk-1", true}, {"sk-1 ", true}, {"a\nb", true}, {"a\tb", true},
		{"-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----", false}, {"{\n\t\"type\": 1\n}", false},
	};
	for (size_t i = 0; i < sizeof values / sizeof *values; i++)
		if ((value_oddity(span_of(values[i].value)) != NULL) != values[i].odd)
			fail_msg("\"%s\" should %sbe odd", values[i].value, values[i].odd ? "" : "not ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_messages_quote_nothing),
		cmocka_unit_test(test_oddities),
	};
	return cmocka_run_group_tests_name("import", tests, NULL, NULL);
}
