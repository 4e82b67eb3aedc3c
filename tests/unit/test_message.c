#include "message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void add(struct fields *fields, struct arena *arena, const char *name, const char *value)
{
	fields_add(fields, arena, span_of(name), span_of(value));
}

static void test_fields(void **state)
{
	struct arena arena = {0};
	struct fields fields = {0};
	(void)state;
	add(&fields, &arena, "Via", "a");
	add(&fields, &arena, "Connection", "keep-alive, X-One");
	add(&fields, &arena, "via", "b");
	add(&fields, &arena, "CONNECTION", " ,Close");
	assert_int_equal(fields_count(&fields, SPAN("VIA")), 2);
	assert_true(span_equal(fields_find(&fields, SPAN("vIA"))->value, SPAN("a")));
	assert_null(fields_find(&fields, SPAN("vi")));
	fields_remove(&fields, SPAN("via"));
	assert_int_equal(fields.count, 2);
	assert_true(span_equal(fields.list[1].name, SPAN("CONNECTION")));
	arena_free(&arena);
}

static void test_many_fields_keep_their_order(void **state)
{
	struct arena arena = {0};
	struct fields fields = {0};
	(void)state;
	for (int i = 0; i < 500; i++)
		add(&fields, &arena, "n", arena_format(&arena, "%d", i));
	for (int i = 0; i < 500; i++)
		assert_true(span_equal(fields.list[i].value, span_of(arena_format(&arena, "%d", i))));
	arena_free(&arena);
}

static const struct {
	const char *one, *two, *token;
	bool has;
} lists[] = {
	{"close", NULL, "close", true},
	{"Close", NULL, "close", true},
	{"keep-alive,\tclose ", NULL, "close", true},
	{"keep-alive", "upgrade, close", "close", true},
	{"closed", NULL, "close", false},
	{"x close", NULL, "close", false},
	{"", NULL, "close", false},
	{",,", NULL, "close", false},
};

static void test_list_has(void **state)
{
	struct arena arena = {0};
	(void)state;
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		struct fields fields = {0};
		add(&fields, &arena, "Connection", lists[i].one);
		if (lists[i].two)
			add(&fields, &arena, "connection", lists[i].two);
		bool has = fields_list_has(&fields, SPAN("connection"), span_of(lists[i].token));
		if (has != lists[i].has)
			fail_msg("\"%s\" with \"%s\": has \"%s\" is %d, should be %d", lists[i].one,
			         lists[i].two ? lists[i].two : "-", lists[i].token, has, lists[i].has);
	}
	arena_free(&arena);
}

static const struct {
	const char *text;
	bool token, idempotent;
} words[] = {
	{"GET", true, true},    {"HEAD", true, true},   {"PUT", true, true},    {"DELETE", true, true},
	{"OPTIONS", true, true}, {"POST", true, false}, {"PATCH", true, false}, {"get", true, false},
	{"M-SEARCH", true, false}, {"", false, false},  {"A B", false, false},  {"A:", false, false},
	{"\xc3\xa9", false, false}, {"!#$%&'*+-.^_`|~09", true, false}, {"(", false, false},
};

static void test_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		bool token = text_is_token(span_of(words[i].text)), idempotent = method_is_idempotent(span_of(words[i].text));
		if (token != words[i].token || idempotent != words[i].idempotent)
			fail_msg("\"%s\": token %d, idempotent %d; should be %d and %d", words[i].text, token, idempotent,
			         words[i].token, words[i].idempotent);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_many_fields_keep_their_order),
		cmocka_unit_test(test_list_has),
		cmocka_unit_test(test_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
