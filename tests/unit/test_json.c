/* JSON of others: what is read, what is refused, and in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "buffer.h"
#include "json.h"
#include "memory.h"

#define NO "it is no JSON"
#define DEEP_8 "[[[[[[[["
#define END_8 "]]]]]]]]"

static const struct {
	struct span text;
	const char *fault; /* "": it is read */
} texts[] = {
	{SPAN("{}"), ""},
	{SPAN(" \r\n\t{ \"a\" : 1 } \n"), ""},
	{SPAN("{\"a\":" DEEP_8 DEEP_8 DEEP_8 "[[[[[[[" "]]]]]]]" END_8 END_8 END_8 "}"), ""},
	{SPAN("{\"a\":" DEEP_8 DEEP_8 DEEP_8 DEEP_8 END_8 END_8 END_8 END_8 "}"), "it is nested more than 32 deep"},
	{SPAN("{\"a\":\"" DEEP_8 DEEP_8 DEEP_8 DEEP_8 DEEP_8 "\\\"[\"}"), ""},
	{SPAN(DEEP_8 DEEP_8 DEEP_8 DEEP_8 DEEP_8), "it is nested more than 32 deep"},
	{SPAN(""), NO},
	{SPAN("<html>secret</html>"), NO},
	{SPAN("{\"a\":1}x"), NO},
	{SPAN("{\"a\":1}{}"), NO},
	{SPAN("{\"a\":1,}"), NO},
	{SPAN("{'a':1}"), NO},
	{SPAN("{\"a\":1"), NO},
	{SPAN("{\"a\":01}"), NO},
	{SPAN("{\"a\":1e999}"), NO},
	{SPAN("{\"a\":\"\xff\"}"), NO},
	{SPAN("{\"a\":\"\\u0000\"}"), NO},
	{SPAN("{\"a\":\"\\ud800\"}"), NO},
	{SPAN("{\"a\":\"x\0y\"}"), NO},
	{SPAN("{}\0"), NO},
	{SPAN("\xef\xbb\xbf{}"), NO},
	{SPAN("{\"a\":1,\"a\":2}"), "it has a member twice"},
	{SPAN("{\"b\":{\"a\":1,\"\\u0061\":2}}"), "it has a member twice"},
	{SPAN("[]"), "it is JSON, but no object"},
	{SPAN("\"secret\""), "it is JSON, but no object"},
	{SPAN("null"), "it is JSON, but no object"},
};

static void test_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct fault fault = FAULT_INIT;
		struct json *json = json_read(texts[i].text, &fault);
		if (!json != !!*texts[i].fault || strcmp(fault.text, texts[i].fault) != 0 || (!json && fault.code != FAULT_BROKEN))
			fail_msg("`%s`: said `%s`, should be `%s`", texts[i].text.data, fault.text, texts[i].fault);
		json_end(json);
	}
}

static void test_size(void **state)
{
	AUTO_BUFFER struct buffer text = {0};
	struct fault fault = FAULT_INIT;
	(void)state;
	buffer_string(&text, "{}");
	memset(buffer_room(&text, JSON_MOST), ' ', JSON_MOST);
	text.length = JSON_MOST;
	struct json *json = json_read(buffer_view(&text), &fault);
	assert_non_null(json);
	json_end(json);
	text.length++;
	assert_null(json_read(buffer_view(&text), &fault));
	assert_string_equal(fault.text, "it is longer than 64 KiB");
}

#define NUMBER_MOST 1000

static const struct {
	const char *value; /* of the member "a"; NULL: there is none */
	enum member text, number;
	const char *is;
	uint64_t counts;
} members[] = {
	{NULL, MEMBER_ABSENT, MEMBER_ABSENT, NULL, 0},
	{"null", MEMBER_ABSENT, MEMBER_ABSENT, NULL, 0},
	{"\"\"", MEMBER_GOOD, MEMBER_OTHER, "", 0},
	{"\"x\\\"\\u00e4\"", MEMBER_GOOD, MEMBER_OTHER, "x\"\xc3\xa4", 0},
	{"\"5\"", MEMBER_GOOD, MEMBER_OTHER, "5", 0},
	{"true", MEMBER_OTHER, MEMBER_OTHER, NULL, 0},
	{"[]", MEMBER_OTHER, MEMBER_OTHER, NULL, 0},
	{"{\"a\":1}", MEMBER_OTHER, MEMBER_OTHER, NULL, 0},
	{"1", MEMBER_OTHER, MEMBER_GOOD, NULL, 1},
	{"999", MEMBER_OTHER, MEMBER_GOOD, NULL, 999},
	{"1000", MEMBER_OTHER, MEMBER_GOOD, NULL, 1000},
	{"1001", MEMBER_OTHER, MEMBER_GOOD, NULL, 1000},
	{"99999999999999999999999", MEMBER_OTHER, MEMBER_GOOD, NULL, 1000},
	{"1e300", MEMBER_OTHER, MEMBER_GOOD, NULL, 1000},
	{"3.0", MEMBER_OTHER, MEMBER_GOOD, NULL, 3},
	{"3.6e2", MEMBER_OTHER, MEMBER_GOOD, NULL, 360},
	{"3.5", MEMBER_OTHER, MEMBER_OTHER, NULL, 0},
	{"0.9", MEMBER_OTHER, MEMBER_OTHER, NULL, 0},
	{"0", MEMBER_OTHER, MEMBER_OTHER, NULL, 0},
	{"-0", MEMBER_OTHER, MEMBER_OTHER, NULL, 0},
	{"-1", MEMBER_OTHER, MEMBER_OTHER, NULL, 0},
	{"-1e300", MEMBER_OTHER, MEMBER_OTHER, NULL, 0},
};

static void test_members(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
		AUTO_BUFFER struct buffer whole = {0};
		struct span text = {0};
		uint64_t number = 0;
		buffer_format(&whole, members[i].value ? "{\"b\":0,\"a\":%s}" : "{\"b\":0}", members[i].value);
		struct json *json = json_read(buffer_view(&whole), NULL);
		assert_non_null(json);
		enum member as_text = json_member_text(json, "a", &text);
		enum member as_number = json_member_number(json, "a", NUMBER_MOST, &number);
		if (as_text != members[i].text || as_number != members[i].number)
			fail_msg("`%s`: as text %d, as number %d", whole.data, as_text, as_number);
		if (as_text == MEMBER_GOOD && !span_equal(text, span_of(members[i].is)))
			fail_msg("`%s`: came `%.*s`", whole.data, SPAN_ARGS(text));
		if (as_number == MEMBER_GOOD && number != members[i].counts)
			fail_msg("`%s`: came %llu", whole.data, (unsigned long long)number);
		json_end(json);
	}
}

/* What jansson frees is zeroed first. */
static void test_wipes(void **state)
{
	json_malloc_t allocates;
	json_free_t frees;
	(void)state;
	json_end(json_read(SPAN("{}"), NULL));
	json_get_alloc_funcs(&allocates, &frees);
	assert_true(frees == memory_wipe_free);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_wipes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
