/* URLs of upstreams and token endpoints: what is taken, and as what it is requested. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "origin.h"

#define QUERY ((struct origin_options){.query = true})

static const struct {
	const char *text;
	const char *path, *url; /* NULL: it is refused */
	const char *fault;      /* what is told then begins so */
} rows[] = {
	{"https://a.com", "", "https://a.com", NULL},
	{"https://a.com/", "", "https://a.com/", NULL},
	{"HTTPS://A.com:443/x/", "/x", "https://a.com/x/", NULL},
	{"http://a.com:443/x", "/x", "http://a.com:443/x", NULL},
	{"https://[::1]/x", "/x", "https://[::1]:443/x", NULL},
	{"http://127.0.0.1:8080/oauth/token", "/oauth/token", "http://127.0.0.1:8080/oauth/token", NULL},
	{"https://a.com/%7ex/t", "/~x/t", "https://a.com/~x/t", NULL},
	{"https://a.com/t?", "/t", "https://a.com/t?", NULL},
	{"https://a.com/t?p=B2C_1&x=%20/?", "/t", "https://a.com/t?p=B2C_1&x=%20/?", NULL},
	{"https://a.com?p=1", "", "https://a.com?p=1", NULL},
	{"https://a.com/t#f", NULL, NULL, "a URL with a fragment"},
	{"https://a.com/t?x#f", NULL, NULL, "a URL with a fragment"},
	{"https://a.com/t?x y", NULL, NULL, "the URL's query has characters"},
	{"https://a.com/t?a\\b", NULL, NULL, "the URL's query has characters"},
	{"https://a.com/t?\"", NULL, NULL, "the URL's query has characters"},
	{"https://a.com/t?\xc3\xa4", NULL, NULL, "the URL's query has characters"},
	{"https://*.a.com/t", NULL, NULL, "a URL with a wildcard"},
	{"https://a.com/x/../t", NULL, NULL, "the URL's path has a dot segment"},
	{"https://a.com/x//t", NULL, NULL, "the URL's path has an empty segment"},
	{"ftp://a.com", NULL, NULL, "expected a URL that starts with https:// or http://"},
	{"a.com/t", NULL, NULL, "expected a URL that starts with https:// or http://"},
	{"", NULL, NULL, "expected a URL that starts with https:// or http://"},
	{"https://user:pass@a.com/t", NULL, NULL, ""},
	{"https://", NULL, NULL, ""},
	{"https:///t", NULL, NULL, ""},
	{"https://a.com:0/t", NULL, NULL, ""},
	{"https://0x7f.1/t", NULL, NULL, ""},
};

static void test_rows(void **state)
{
	struct arena arena = {0};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct fault fault = FAULT_INIT;
		struct origin origin;
		bool good = origin_parse(span_of(rows[i].text), QUERY, &arena, &origin, &fault);
		if (good != (rows[i].path != NULL))
			fail_msg("`%s`: taken is %d: %s", rows[i].text, good, fault.text);
		if (!good && (!span_starts(span_of(fault.text), span_of(rows[i].fault)) || fault.code != FAULT_USAGE))
			fail_msg("`%s`: said `%s`", rows[i].text, fault.text);
		if (!good)
			continue;
		assert_string_equal(origin.path, rows[i].path);
		assert_string_equal(origin_url(span_of(rows[i].text), &origin, &arena), rows[i].url);
	}
	arena_free(&arena);
}

/* What the options say decides. */
static void test_options(void **state)
{
	struct arena arena = {0};
	struct origin origin;
	struct origin_options wildcard = {.wildcard = true};
	(void)state;
	assert_true(origin_parse(SPAN("https://*.a.com/x"), wildcard, &arena, &origin, NULL) && origin.wildcard);
	assert_string_equal(origin.host.name, "a.com");
	assert_false(origin_parse(SPAN("https://*.127.0.0.1"), wildcard, &arena, &origin, NULL));
	assert_false(origin_parse(SPAN("https://a.com/x?y"), wildcard, &arena, &origin, NULL));
	assert_string_equal(origin_url(SPAN(""), &(struct origin){.tls = true, .port = 443, .path = "/api", .host = origin.host}, &arena),
	                    arena_format(&arena, "https://%s/api", origin.host.name));
	arena_free(&arena);
}

static void test_format(void **state)
{
	(void)state;
	static const char *const pairs[][2] = {
		{"HTTPS://A.com:443/x/", "https://a.com/x"},
		{"http://a.com:443", "http://a.com:443"},
		{"https://*.a.com", "https://*.a.com"},
		{"http://[0:0::1]:80/x", "http://[::1]:80/x"},
	};
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		struct arena arena = {0};
		struct origin origin;
		AUTO_BUFFER struct buffer text = {0};
		struct origin_options wildcard = {.wildcard = true};
		assert_true(origin_parse(span_of(pairs[i][0]), wildcard, &arena, &origin, NULL));
		origin_format(&origin, &text);
		assert_string_equal(text.data, pairs[i][1]);
		arena_free(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_format),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
