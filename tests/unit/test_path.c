/* The canonical form of a path, and what has none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "path.h"

#define PLAIN {false, false}
#define WHOLE {false, true}
#define SLASH {true, false}
#define BOTH {true, true}

struct row {
	struct span path;
	struct path_options options;
	enum path_result result;
	const char *canonical;
};

#define ROW(path, options, canonical) {{path, sizeof path - 1}, options, PATH_OK, canonical}
#define BAD(path, options, result) {{path, sizeof path - 1}, options, result, ""}

static const struct row rows[] = {
	ROW("/", WHOLE, "/"),
	ROW("/v1/models", WHOLE, "/v1/models"),
	ROW("/v1/", WHOLE, "/v1/"),
	ROW("/%76%31/%6d", WHOLE, "/v1/m"),
	ROW("/a%2d%2E%5f%7e%41%39", WHOLE, "/a-._~A9"),
	ROW("/%3a%40%2a", WHOLE, "/%3A%40%2A"),
	ROW("/:@!$&'()*+,;=", WHOLE, "/:@!$&'()*+,;="),
	ROW("/a b\"<>^`{}|#?", WHOLE, "/a%20b%22%3C%3E%5E%60%7B%7D%7C%23%3F"),
	ROW("/{secret}", WHOLE, "/%7Bsecret%7D"),
	ROW("/\xc3\xbc\xff", WHOLE, "/%C3%BC%FF"),
	ROW("/%c3%bc", WHOLE, "/%C3%BC"),
	ROW("/%25%32%35", WHOLE, "/%2525"),
	ROW("/%252e%252e/", WHOLE, "/%252e%252e/"),
	ROW("/...", WHOLE, "/..."),
	ROW("/.git/..a/a../a.", WHOLE, "/.git/..a/a../a."),
	ROW("/a//b", PLAIN, "/a//b"),
	ROW("//", PLAIN, "//"),
	ROW("/a%2fb", SLASH, "/a%2Fb"),
	ROW("/@scope%2Fname", BOTH, "/@scope%2Fname"),
	ROW("/a%2F%2fb", SLASH, "/a%2F%2Fb"),
	ROW("/a%2F", BOTH, "/a%2F"),
	BAD("", PLAIN, PATH_NOT_ABSOLUTE),
	BAD("a", PLAIN, PATH_NOT_ABSOLUTE),
	BAD("*", PLAIN, PATH_NOT_ABSOLUTE),
	BAD("%2f", SLASH, PATH_NOT_ABSOLUTE),
	BAD("/%", PLAIN, PATH_MALFORMED_ESCAPE),
	BAD("/%4", PLAIN, PATH_MALFORMED_ESCAPE),
	BAD("/%4g", PLAIN, PATH_MALFORMED_ESCAPE),
	BAD("/%g4", PLAIN, PATH_MALFORMED_ESCAPE),
	BAD("/%%41", PLAIN, PATH_MALFORMED_ESCAPE),
	BAD("/%u0041", PLAIN, PATH_MALFORMED_ESCAPE),
	BAD("/% 41", PLAIN, PATH_MALFORMED_ESCAPE),
	BAD("/a%2fb", PLAIN, PATH_ENCODED_SLASH),
	BAD("/a%2Fb", WHOLE, PATH_ENCODED_SLASH),
	BAD("/a\\b", PLAIN, PATH_BACKSLASH),
	BAD("/a%5Cb", SLASH, PATH_BACKSLASH),
	BAD("/a%5cb", PLAIN, PATH_BACKSLASH),
	BAD("/a%00", PLAIN, PATH_CONTROL),
	BAD("/a\0b", PLAIN, PATH_CONTROL),
	BAD("/a%0d%0aHost:x", PLAIN, PATH_CONTROL),
	BAD("/a\tb", PLAIN, PATH_CONTROL),
	BAD("/\x7f", PLAIN, PATH_CONTROL),
	BAD("/%7F", PLAIN, PATH_CONTROL),
	BAD("/.", PLAIN, PATH_DOT_SEGMENT),
	BAD("/..", PLAIN, PATH_DOT_SEGMENT),
	BAD("/a/./b", PLAIN, PATH_DOT_SEGMENT),
	BAD("/a/../b", PLAIN, PATH_DOT_SEGMENT),
	BAD("/a/%2e%2E/b", PLAIN, PATH_DOT_SEGMENT),
	BAD("/a/.%2e", PLAIN, PATH_DOT_SEGMENT),
	BAD("/a/%2e/", PLAIN, PATH_DOT_SEGMENT),
	BAD("/a/..;/b", PLAIN, PATH_DOT_SEGMENT),
	BAD("/a/..;x=1", PLAIN, PATH_DOT_SEGMENT),
	BAD("/a%2F..", SLASH, PATH_DOT_SEGMENT),
	BAD("/a%2f%2e%2e%2fb", SLASH, PATH_DOT_SEGMENT),
	BAD("/..%2Fa", SLASH, PATH_DOT_SEGMENT),
	BAD("/a/.%2Fb", SLASH, PATH_DOT_SEGMENT),
	BAD("//", WHOLE, PATH_EMPTY_SEGMENT),
	BAD("//a", WHOLE, PATH_EMPTY_SEGMENT),
	BAD("/a//b", WHOLE, PATH_EMPTY_SEGMENT),
	BAD("/a//", WHOLE, PATH_EMPTY_SEGMENT),
	BAD("/a%2F%2Fb", BOTH, PATH_EMPTY_SEGMENT),
	BAD("/%2Fb", BOTH, PATH_EMPTY_SEGMENT),
	BAD("/a/%2Fb", BOTH, PATH_EMPTY_SEGMENT),
};

static enum path_result canonical(const struct row *row, char **out, size_t *length)
{
	/* Exactly the room that is asked for: the sanitizer sees a byte more. */
	*out = malloc(path_canonical_room(row->path) + 1);
	assert_non_null(*out);
	return path_canonical(row->path, row->options, *out, length);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct row *row = &rows[i];
		char *out;
		size_t length = 0;
		enum path_result result = canonical(row, &out, &length);
		if (result != row->result)
			fail_msg("`%.*s`: came `%s`, should be `%s` `%s`", SPAN_ARGS(row->path), path_result_text(result),
			         path_result_text(row->result), row->canonical);
		if (result == PATH_OK && (strcmp(out, row->canonical) != 0 || length != strlen(out)))
			fail_msg("`%.*s`: came `%s` length %zu, should be `%s`", SPAN_ARGS(row->path), out, length, row->canonical);
		free(out);
	}
}

/* The canonical form of a canonical form is itself. */
static void test_idempotent(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (rows[i].result != PATH_OK)
			continue;
		struct row again = {span_of(rows[i].canonical), rows[i].options, PATH_OK, rows[i].canonical};
		char *out;
		size_t length = 0;
		enum path_result result = canonical(&again, &out, &length);
		if (result != PATH_OK || strcmp(out, again.canonical) != 0)
			fail_msg("`%s`: came `%s` the second time (%s)", again.canonical, out, path_result_text(result));
		free(out);
	}
}

static void test_every_byte(void **state)
{
	(void)state;
	for (unsigned c = 0; c < 256; c++) {
		char plain[2] = {'/', (char)c}, escaped[5], from_plain[7], from_escaped[13];
		size_t length = 0;
		snprintf(escaped, sizeof escaped, "/%%%02x", c);
		enum path_result a = path_canonical((struct span){plain, 2}, (struct path_options)PLAIN, from_plain, &length);
		enum path_result b = path_canonical(span_of(escaped), (struct path_options)PLAIN, from_escaped, &length);
		bool refused = c < 0x20 || c == 0x7f || c == '\\' || c == '.';
		if (c == '/' || c == '%')
			continue;
		if ((a != PATH_OK) != refused || a != b)
			fail_msg("byte %02x: plain `%s`, escaped `%s`, should be %s", c, path_result_text(a), path_result_text(b),
			         refused ? "refused" : "fine");
	}
}

struct prefix_row {
	const char *path, *prefix;
	bool is_prefix;
};

static const struct prefix_row prefix_rows[] = {
	{"/v1/x", "", true},     {"/v1/x", "/v1", true},   {"/v1", "/v1", true},   {"/v1/", "/v1", true},
	{"/v10", "/v1", false},  {"/v", "/v1", false},     {"/", "/v1", false},    {"/v1/x/y", "/v1/x", true},
	{"/v1/xy", "/v1/x", false}, {"/V1/x", "/v1", false}, {"/v1%2Fx", "/v1", false},
};

static void test_prefix(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof prefix_rows / sizeof *prefix_rows; i++) {
		const struct prefix_row *row = &prefix_rows[i];
		if (path_has_prefix(span_of(row->path), span_of(row->prefix)) != row->is_prefix)
			fail_msg("`%s` below `%s`: should be %d", row->path, row->prefix, row->is_prefix);
	}
}

static void test_query(void **state)
{
	(void)state;
	struct span query, path = path_split_query(SPAN("/a?b?c"), &query);
	assert_true(span_equal(path, SPAN("/a")) && span_equal(query, SPAN("b?c")));
	path = path_split_query(SPAN("/a?"), &query);
	assert_true(span_equal(path, SPAN("/a")) && query.data && query.length == 0);
	path = path_split_query(SPAN("/a"), &query);
	assert_true(span_equal(path, SPAN("/a")) && !query.data);
	path = path_split_query(SPAN(""), &query);
	assert_true(path.length == 0 && !query.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),   cmocka_unit_test(test_idempotent), cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_prefix), cmocka_unit_test(test_query),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
