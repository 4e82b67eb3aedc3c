/* Rules: what is one, and what a list of them says of a request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "rules.h"

struct good_row {
	const char *text;
	bool allow;
	size_t methods;
	const char *pattern;
};

static const struct good_row good_rows[] = {
	{"allow GET /v1/models", true, 1, "/v1/models"},
	{"allow GET,POST,PATCH /v1/**", true, 3, "/v1/**"},
	{"deny * /v1/fine_tuning/**", false, 0, "/v1/fine_tuning/**"},
	{"deny * *", false, 0, "**"},
	{"allow * **", true, 0, "**"},
	{"  allow \t GET   /  ", true, 1, "/"},
	{"allow PROPFIND /dav/*/x", true, 1, "/dav/*/x"},
	{"allow GET /%76%31/a%2fb/%3a", true, 1, "/v1/a%2Fb/%3A"},
	{"allow GET /bot{secret}/getMe", true, 1, "/bot{secret}/getMe"},
	{"allow GET /bot%7Bsecret%7D/{secret}", true, 1, "/bot%7Bsecret%7D/{secret}"},
	{"allow GET /%7bsecret}/%7Esecret{secret}", true, 1, "/%7Bsecret%7D/~secret{secret}"},
	{"allow GET /{other}", true, 1, "/%7Bother%7D"},
	{"allow GET /\xc3\xbc", true, 1, "/%C3%BC"},
	{"allow GET /a%2A*", true, 1, "/a%2A*"},
	{"allow GET /v1/", true, 1, "/v1/"},
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof good_rows / sizeof *good_rows; i++) {
		const struct good_row *row = &good_rows[i];
		struct rules rules = {0};
		struct fault fault = FAULT_INIT;
		if (!rules_add(&rules, span_of(row->text), &fault))
			fail_msg("`%s`: refused (%s)", row->text, fault.text);
		const struct rule *rule = &rules.list[0];
		if (rule->allow != row->allow || rule->method_count != row->methods || strcmp(rule->pattern, row->pattern) ||
		    strcmp(rule->text, row->text) || !rule->methods != !row->methods)
			fail_msg("`%s`: came allow %d, %zu methods, `%s`; should be %d, %zu, `%s`", row->text, rule->allow,
			         rule->method_count, rule->pattern, row->allow, row->methods, row->pattern);
		rules_free(&rules);
	}
}

struct bad_row {
	const char *text;
	const char *why;
};

static const struct bad_row bad_rows[] = {
	{"", "neither"},
	{"allow", "less than three"},
	{"allow GET", "less than three"},
	{"allow /v1", "less than three"},
	{"permit GET /", "neither"},
	{"Allow GET /", "neither"},
	{"allow GET v1", "begin with /"},
	{"allow GET https://example/v1", "begin with /"},
	{"allow GET, POST /v1", "more than three"},
	{"allow GET /a b", "more than three"},
	{"allow get /v1", "lower case"},
	{"allow GET,post /v1", "lower case"},
	{"allow GET,,POST /v1", "no method"},
	{"allow ,GET /v1", "no method"},
	{"allow GET, /v1", "no method"},
	{"allow G@T /v1", "no method"},
	{"allow GET,* /v1", "beside other methods"},
	{"allow GET /v1?x=1", "query"},
	{"allow GET /a/../b", "dot segment"},
	{"allow GET /a//b", "empty segment"},
	{"allow GET /a%", "hex digits"},
	{"allow GET /a\\b", "backslash"},
	{"allow GET /a%00", "control"},
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bad_rows / sizeof *bad_rows; i++) {
		struct rules rules = {0};
		struct fault fault = FAULT_INIT;
		if (rules_add(&rules, span_of(bad_rows[i].text), &fault) || rules.count)
			fail_msg("`%s`: taken, should be refused (%s)", bad_rows[i].text, bad_rows[i].why);
		if (fault.code != FAULT_USAGE || !strstr(fault.text, bad_rows[i].why) || !strstr(fault.text, "a rule is like"))
			fail_msg("`%s`: refused with `%s`, should speak of `%s`", bad_rows[i].text, fault.text, bad_rows[i].why);
	}
}

static void test_too_long(void **state)
{
	(void)state;
	struct rules rules = {0};
	char text[2000] = "allow GET /";
	memset(text + strlen(text), 'a', 1023);
	assert_true(rules_add(&rules, span_of(text), NULL));
	text[strlen(text)] = 'a';
	assert_false(rules_add(&rules, span_of(text), NULL));
	memset(text + 11, '"', 900); /* three times as long once it is escaped */
	assert_false(rules_add(&rules, span_of(text), NULL));
	rules_free(&rules);
}

struct match_row {
	const char *pattern, *path;
	bool matches;
};

static const struct match_row match_rows[] = {
	{"/v1/models", "/v1/models", true},
	{"/v1/models", "/v1/models/", false},
	{"/v1/models", "/v1/model", false},
	{"/v1/models", "/v1/modelss", false},
	{"/v1/models", "/V1/models", false},
	{"/v1/**", "/v1", true},
	{"/v1/**", "/v1/", true},
	{"/v1/**", "/v1/a", true},
	{"/v1/**", "/v1/a/b/c/", true},
	{"/v1/**", "/v10", false},
	{"/v1/**", "/v1x/a", false},
	{"/v1/**", "/", false},
	{"/v1**", "/v1", true},
	{"/v1**", "/v10/a", true},
	{"/v1/*", "/v1/a", true},
	{"/v1/*", "/v1/", true},
	{"/v1/*", "/v1", false},
	{"/v1/*", "/v1/a/", false},
	{"/v1/*", "/v1/a/b", false},
	{"/v1/*/c", "/v1/b/c", true},
	{"/v1/*/c", "/v1/b/d/c", false},
	{"/v1/*/c", "/v1//c", true},
	{"/*/*/issues", "/a/b/issues", true},
	{"/*/*/issues", "/a/issues", false},
	{"/a*c", "/abbc", true},
	{"/a*c", "/ac", true},
	{"/a*c", "/abcd", false},
	{"/a*b*c", "/axbxbxc", true},
	{"/a*b*c", "/axb/c", false},
	{"/**/c", "/a/b/c", true},
	{"/**/c", "/c", false},
	{"/**/c", "/a/cc", false},
	{"/a/**/z", "/a/b/c/z", true},
	{"/a/**/z", "/a/z/z/z", true},
	{"/a/**/z", "/a/z/y", false},
	{"/a/**/*.js", "/a/b/c/d.js", true},
	{"/a/**/*.js", "/a/b/d.jsx", false},
	{"/a/**/b/*/c/**", "/a/x/b/b/y/c", true},
	{"/a/**/b/*/c/**", "/a/x/b/y/z/c/d", false},
	{"/***", "/a/b", true},
	{"/*/**", "/a", true},
	{"/*/**", "/a/b/c", true},
	{"/**", "/", true},
	{"/**", "/a/b", true},
	{"*", "/", true},
	{"*", "/a/b", true},
	{"**", "/a/b", true},
	{"/", "/", true},
	{"/", "/a", false},
	/* an escape and its plain byte are one, but for slash and braces */
	{"/@scope/**", "/%40scope/x", true},
	{"/%40scope/**", "/@scope/x", true},
	{"/a%2Ab", "/a*b", true},
	{"/a%2Ab", "/axb", false},
	{"/*:tune", "/gpt%3Atune", true},
	{"/\xc3\xbc*", "/%C3%BCx", true},
	{"/a/b", "/a%2Fb", false},
	{"/a%2Fb", "/a%2Fb", true},
	{"/a%2Fb", "/a/b", false},
	{"/a*b", "/a%2Fb", true},
	{"/bot{secret}/*", "/bot{secret}/getMe", true},
	{"/bot{secret}/*", "/bot%7Bsecret%7D/getMe", false},
	{"/bot{secret}/**", "/bot{secret}", true},
	{"/bot*/getMe", "/bot{secret}/getMe", true},
};

static void test_patterns(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof match_rows / sizeof *match_rows; i++) {
		const struct match_row *row = &match_rows[i];
		struct rules rules = {0};
		char text[100];
		snprintf(text, sizeof text, "allow * %s", row->pattern);
		assert_true(rules_add(&rules, span_of(text), NULL));
		struct rules_verdict verdict = rules_judge(&rules, SPAN("GET"), span_of(row->path), false);
		if (verdict.allow != row->matches || (verdict.rule != NULL) != row->matches)
			fail_msg("`%s` with `%s`: came %d, should be %d", row->pattern, row->path, verdict.allow, row->matches);
		rules_free(&rules);
	}
}

struct judge_row {
	const char *rules[4];
	const char *method, *path;
	bool encoded_slash, allow;
	int decided; /* which rule; -1: none */
};

static const struct judge_row judge_rows[] = {
	/* path parameters: what is denied without them is denied with them; what is allowed is so as it stands */
	{{"deny * /admin/**", "allow * /**"}, "GET", "/admin;x/y", false, false, 0},
	{{"deny * /admin/**", "allow * /**"}, "GET", "/admin/y;x=1;z", false, false, 0},
	{{"deny * /a/b", "allow * /**"}, "GET", "/;x/a", false, true, 1},
	{{"deny * /a/b", "allow * /**"}, "GET", "/;x/a/;;/b;", false, false, 0},
	{{"deny * /a/b", "allow * /**"}, "GET", "/a;x%2Fb", true, false, 0},
	{{"deny * /a/b", "allow * /**"}, "GET", "/a;x%2Fb;y", true, false, 0},
	{{"deny * /a", "allow * /**"}, "GET", "/a;x%2Fb", true, false, 0},
	{{"deny * /admin", "allow * /**"}, "GET", "/admins;admin", false, true, 1},
	{{"allow GET /a;x/*"}, "GET", "/a;x/b", false, true, 0},
	{{"allow GET /a/*"}, "GET", "/a;x/b", false, false, -1},
	{{NULL}, "GET", "/x", false, true, -1},
	{{"allow GET /v1/**"}, "GET", "/v1/x", false, true, 0},
	{{"allow GET /v1/**"}, "POST", "/v1/x", false, false, -1},
	{{"allow GET /v1/**"}, "get", "/v1/x", false, false, -1},
	{{"allow GET /v1/**"}, "GETS", "/v1/x", false, false, -1},
	{{"allow GET,POST /v1/**"}, "POST", "/v1/x", false, true, 0},
	{{"deny * /v1/admin/**", "allow * /v1/**"}, "GET", "/v1/admin", false, false, 0},
	{{"deny * /v1/admin/**", "allow * /v1/**"}, "GET", "/v1/admins", false, true, 1},
	{{"allow * /v1/**", "deny * /v1/admin/**"}, "GET", "/v1/admin", false, true, 0},
	{{"deny DELETE *", "allow * *"}, "DELETE", "/v1", false, false, 0},
	{{"deny DELETE *", "allow * *"}, "GET", "/v1", false, true, 1},
	{{"deny * /@a/**", "allow * *"}, "GET", "/%40a/x", false, false, 0},
	/* an encoded slash is judged as a letter and as a slash, and must be allowed as both */
	{{"allow GET /a%2Fb"}, "GET", "/a%2Fb", true, false, -1},
	{{"allow GET /a/b"}, "GET", "/a%2Fb", true, false, -1},
	{{"allow GET /a%2Fb", "allow GET /a/b"}, "GET", "/a%2Fb", true, true, 1},
	{{"allow GET /a%2Fb", "allow GET /a/b"}, "GET", "/a%2Fb", false, true, 0},
	{{"allow GET /*", "allow GET /*/*"}, "GET", "/a%2Fb", true, true, 1},
	{{"allow GET /*"}, "GET", "/a%2Fb", true, false, -1},
	{{"deny GET /a/admin/**", "allow GET /**"}, "GET", "/a%2Fadmin", true, false, 0},
	{{"deny GET /a%2F*", "allow GET /**"}, "GET", "/a%2Fadmin", true, false, 0},
	{{"allow GET /**"}, "GET", "/a%2Fb%2Fc", true, true, 0},
	{{"allow GET /p/*/t", "allow GET /p/*/*/t"}, "GET", "/p/g%2Fn/t", true, true, 1},
	{{"allow GET /p/**"}, "GET", "/p%2Fx", true, false, -1},
	{{"allow GET /p/**", "allow GET /p%2F*"}, "GET", "/p%2Fx", true, true, 0},
};

static void test_judge(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof judge_rows / sizeof *judge_rows; i++) {
		const struct judge_row *row = &judge_rows[i];
		struct rules rules = {0};
		for (size_t k = 0; k < 4 && row->rules[k]; k++)
			assert_true(rules_add(&rules, span_of(row->rules[k]), NULL));
		struct rules copy = rules_copy(&rules);
		rules_free(&rules);
		struct rules_verdict verdict =
			rules_judge(&copy, span_of(row->method), span_of(row->path), row->encoded_slash);
		int decided = verdict.rule ? (int)(verdict.rule - copy.list) : -1;
		if (verdict.allow != row->allow || decided != row->decided)
			fail_msg("row %zu, %s %s: came %d by rule %d, should be %d by rule %d", i, row->method, row->path,
			         verdict.allow, decided, row->allow, row->decided);
		rules_free(&copy);
	}
}

/* The same by definition, slowly: the walk must agree with it. */
static bool matches_by_definition(const char *pattern, const char *path)
{
	if (strcmp(pattern, "/**") == 0 && !*path)
		return true;
	if (!*pattern)
		return !*path;
	if (*pattern == '*') {
		bool crosses = pattern[1] == '*';
		const char *rest = pattern + 1 + crosses;
		return matches_by_definition(rest, path) ||
		       (*path && (crosses || *path != '/') && matches_by_definition(pattern, path + 1));
	}
	return *path == *pattern && matches_by_definition(pattern + 1, path + 1);
}

/* The n-th text over the first `letters` of a, b, slash and star, with a slash in front. */
static void nth_text(unsigned n, unsigned letters, char text[16])
{
	size_t length = 0;
	for (text[length++] = '/'; n; n = (n - 1) / letters)
		text[length++] = "ab/*"[(n - 1) % letters];
	text[length] = 0;
}

static void test_all_short_patterns(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 1365; n++) {
		char text[32] = "allow * ", path[16];
		nth_text(n, 4, text + 8);
		struct rules rules = {0};
		if (!rules_add(&rules, span_of(text), NULL) || strstr(text, "***")) {
			rules_free(&rules);
			continue;
		}
		for (unsigned k = 0; k < 1093; k++) {
			nth_text(k, 3, path);
			bool came = rules_judge(&rules, SPAN("GET"), span_of(path), false).allow;
			bool expected = matches_by_definition(rules.list[0].pattern, path);
			if (came != expected)
				fail_msg("`%s` with `%s`: came %d, should be %d", text, path, came, expected);
		}
		rules_free(&rules);
	}
}

/* What takes backtracking matchers an age is bounded by path times pattern: 20 million looks here. */
static void test_bounded(void **state)
{
	(void)state;
	struct rules rules = {0};
	static char pattern[1000] = "allow * /", path[20001];
	for (size_t i = 0; i < 80; i++)
		strcat(pattern, i % 2 ? "*a" : "**a");
	strcat(pattern, "b");
	memset(path, 'a', sizeof path - 1);
	path[0] = '/';
	assert_true(rules_add(&rules, span_of(pattern), NULL));
	clock_t start = clock();
	assert_false(rules_judge(&rules, SPAN("GET"), span_of(path), false).allow);
	double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
	if (seconds > 5)
		fail_msg("a path of 20000 bytes took %.1f s of CPU", seconds);
	rules_free(&rules);
}

static void test_hint(void **state)
{
	(void)state;
	static char path[5001];
	memset(path, 'x', sizeof path - 1);
	memcpy(path, "/v1/", 4);
	char *hints[] = {rules_hint(SPAN("GET"), SPAN("/v1/models")), rules_hint(SPAN("POST"), SPAN("/a*b/*")),
	                 rules_hint(SPAN("GET"), span_of(path))};
	assert_string_equal(hints[0], "allow GET /v1/models");
	assert_string_equal(hints[1], "allow POST /a%2Ab/%2A");
	assert_string_equal(hints[2], "allow GET /v1/**");
	struct rules rules = {0};
	for (size_t i = 0; i < 3; i++) {
		assert_true(rules_add(&rules, span_of(hints[i]), NULL));
		free(hints[i]);
	}
	assert_true(rules_judge(&rules, SPAN("POST"), SPAN("/a*b/*"), false).allow);
	assert_false(rules_judge(&rules, SPAN("POST"), SPAN("/axb/c"), false).allow);
	assert_true(rules_judge(&rules, SPAN("GET"), span_of(path), false).allow);
	rules_free(&rules);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),     cmocka_unit_test(test_bad),
		cmocka_unit_test(test_too_long), cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_judge),    cmocka_unit_test(test_all_short_patterns),
		cmocka_unit_test(test_bounded),  cmocka_unit_test(test_hint),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
