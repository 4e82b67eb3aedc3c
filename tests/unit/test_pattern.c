/* Host patterns: what is one, what it matches, which of several decides, and an index that agrees with all of that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "pattern.h"

struct good_row {
	const char *text;
	enum pattern_kind kind;
	const char *formatted;
};

static const struct good_row good_rows[] = {
	{"pypi.org", PATTERN_EXACT, "pypi.org"},
	{"PyPI.org.", PATTERN_EXACT, "pypi.org"},
	{"nats.internal:4222", PATTERN_EXACT, "nats.internal:4222"},
	{"*.PythonHosted.org", PATTERN_WILDCARD, "*.pythonhosted.org"},
	{"*.example.com:8443", PATTERN_WILDCARD, "*.example.com:8443"},
	{"*.b\xc3\xbc" "cher.de", PATTERN_WILDCARD, "*.xn--bcher-kva.de"},
	{"*.com", PATTERN_WILDCARD, "*.com"},
	{"!pypi.org", PATTERN_EXACT, "!pypi.org"},
	{"!*.example.com:80", PATTERN_WILDCARD, "!*.example.com:80"},
	{"!10.0.0.0/8", PATTERN_CIDR, "!10.0.0.0/8"},
	{"127.0.0.1", PATTERN_EXACT, "127.0.0.1"},
	{"127.0.0.1:5432", PATTERN_EXACT, "127.0.0.1:5432"},
	{"[2001:DB8::1]", PATTERN_EXACT, "2001:db8::1"},
	{"2001:db8:0::1", PATTERN_EXACT, "2001:db8::1"},
	{"::1", PATTERN_EXACT, "::1"},
	{"[2001:db8::1]:443", PATTERN_EXACT, "[2001:db8::1]:443"},
	{"::ffff:10.0.0.1", PATTERN_EXACT, "10.0.0.1"},
	{"10.0.0.0/8", PATTERN_CIDR, "10.0.0.0/8"},
	{"10.1.2.3/32", PATTERN_CIDR, "10.1.2.3/32"},
	{"0.0.0.0/0", PATTERN_CIDR, "0.0.0.0/0"},
	{"10.0.0.0/8:5432", PATTERN_CIDR, "10.0.0.0/8:5432"},
	{"fd00::/8", PATTERN_CIDR, "fd00::/8"},
	{"[fd00::]/8", PATTERN_CIDR, "fd00::/8"},
	{"[fd00::]/8:443", PATTERN_CIDR, "[fd00::]/8:443"},
	{"::ffff:10.0.0.0/104", PATTERN_CIDR, "10.0.0.0/8"},
	{"::/0", PATTERN_CIDR, "::/0"},
	{"2001:db8::5/128", PATTERN_CIDR, "2001:db8::5/128"},
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof good_rows / sizeof *good_rows; i++) {
		const struct good_row *row = &good_rows[i];
		struct pattern pattern, again;
		struct fault fault = FAULT_INIT;
		char text[PATTERN_TEXT], second[PATTERN_TEXT];
		if (!pattern_parse(span_of(row->text), &pattern, &fault))
			fail_msg("`%s`: refused (%s), should be `%s`", row->text, fault.text, row->formatted);
		size_t length = pattern_format(&pattern, text);
		if (pattern.kind != row->kind || strcmp(text, row->formatted) != 0 || length != strlen(text))
			fail_msg("`%s`: came kind %d `%s`, should be kind %d `%s`", row->text, pattern.kind, text, row->kind,
			         row->formatted);
		if (!pattern_parse(span_of(text), &again, &fault) || !pattern_format(&again, second) || strcmp(text, second))
			fail_msg("`%s`: formatted as `%s`, which is read as `%s` (%s)", row->text, text, second, fault.text);
	}
}

struct bad_row {
	const char *text;
	const char *why;
};

static const struct bad_row bad_rows[] = {
	{"", "names no host"},
	{"!", "names no host"},
	{"*", "`*`"},
	{"*:443", "`*`"},
	{"*.", "empty"},
	{"*.*.example", "`*`"},
	{"a.*.example", "`*`"},
	{"*example", "`*`"},
	{"**.example", "`*`"},
	{"example.*", "`*`"},
	{"*.127.0.0.1", "in front of an address"},
	{"*.[::1]", "in front of an address"},
	{"!!example", "no host name"},
	{"https://example", "scheme and path"},
	{"example/path", "scheme and path"},
	{"example:0", "port"},
	{"example:70000", "port"},
	{"example:", "port"},
	{"127.1", "four numbers"},
	{"10.0.0.0/33", "prefix length"},
	{"10.0.0.0/", "prefix length"},
	{"10.0.0.0/08", "prefix length"},
	{"10.0.0.0/a", "prefix length"},
	{"10.0.0.0/8:0", "port of"},
	{"::/129", "prefix length"},
	{"::ffff:10.0.0.0/95", "prefix length"},
	{"10.0.0.1/8", "the network is 10.0.0.0/8"},
	{"10.1.255.0/12", "the network is 10.0.0.0/12"},
	{"2001:db8::1/32", "the network is 2001:db8::/32"},
	{"1.2.3.4/0", "the network is 0.0.0.0/0"},
	{"exa mple", "blank"},
	{"user@example", "user name"},
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bad_rows / sizeof *bad_rows; i++) {
		struct pattern pattern;
		struct fault fault = FAULT_INIT;
		if (pattern_parse(span_of(bad_rows[i].text), &pattern, &fault))
			fail_msg("`%s`: taken, should be refused (%s)", bad_rows[i].text, bad_rows[i].why);
		if (fault.code != FAULT_USAGE || !strstr(fault.text, bad_rows[i].why))
			fail_msg("`%s`: refused with `%s`, should speak of `%s`", bad_rows[i].text, fault.text, bad_rows[i].why);
	}
}

struct match_row {
	const char *pattern, *host;
	uint16_t port;
	bool matches;
};

static const struct match_row match_rows[] = {
	{"example.com", "example.com", 443, true},
	{"example.com", "example.com", 80, true},
	{"example.com", "example.com", 8080, false},
	{"example.com:8080", "example.com", 8080, true},
	{"example.com:8080", "example.com", 443, false},
	{"example.com", "a.example.com", 443, false},
	{"example.com", "example.org", 443, false},
	{"*.example.com", "a.example.com", 443, true},
	{"*.example.com", "a.b.c.example.com", 80, true},
	{"*.example.com", "example.com", 443, false},
	{"*.example.com", "a.example.com", 22, false},
	{"*.com", "127.0.0.1", 443, false},
	{"127.0.0.1", "127.0.0.1", 443, true},
	{"127.0.0.1", "::ffff:127.0.0.1", 443, true},
	{"::1", "0:0:0:0:0:0:0:1", 443, true},
	{"10.0.0.0/8", "10.255.0.1", 443, true},
	{"10.0.0.0/8", "11.0.0.1", 443, false},
	{"10.0.0.0/8", "10.0.0.1", 5432, false},
	{"10.0.0.0/8:5432", "10.0.0.1", 5432, true},
	{"10.0.0.0/8", "a.example", 443, false},
	{"172.16.0.0/12", "172.31.255.255", 443, true},
	{"172.16.0.0/12", "172.32.0.0", 443, false},
	{"0.0.0.0/0", "203.0.113.9", 80, true},
	{"0.0.0.0/0", "::1", 80, false},
	{"::/0", "127.0.0.1", 80, false},
	{"::/0", "fe80::1", 80, true},
	{"2001:db8::/33", "2001:db8:7fff::1", 80, true},
	{"2001:db8::/33", "2001:db8:8000::1", 80, false},
	{"2001:db8::5/128", "2001:db8::5", 80, true},
	{"2001:db8::5/128", "2001:db8::4", 80, false},
};

/* Each row is asked of pattern_matches() and of an index with that one pattern. */
static void test_matches(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof match_rows / sizeof *match_rows; i++) {
		const struct match_row *row = &match_rows[i];
		struct pattern pattern;
		struct host host;
		assert_true(pattern_parse(span_of(row->pattern), &pattern, NULL));
		assert_true(host_parse(span_of(row->host), &host, NULL));
		bool matches = pattern_matches(&pattern, &host, row->port);
		struct pattern_index *index = pattern_index_new();
		pattern_index_add(index, &pattern, &pattern);
		bool found = pattern_index_find(index, &host, row->port) == &pattern;
		pattern_index_free(index);
		if (matches != row->matches || found != row->matches)
			fail_msg("`%s` with `%s` port %u: came %d, by index %d, should be %d", row->pattern, row->host, row->port,
			         matches, found, row->matches);
	}
}

/* The most specific first. */
static const char *const order[] = {
	"a.b.example.com:443", "a.b.example.com", "*.b.example.com:443", "*.b.example.com", "*.example.com:443",
	"*.example.com", "*.com:443", "*.com",
};
static const char *const address_order[] = {
	"10.1.2.3:443", "10.1.2.3", "10.1.2.3/32:443", "10.1.2.3/32", "10.1.0.0/16:443", "10.1.0.0/16", "10.0.0.0/8",
	"0.0.0.0/0:443", "0.0.0.0/0",
};

#define ORDERED 9

static int sign(int number)
{
	return (number > 0) - (number < 0);
}

static void check_compare(const char *const *texts, size_t count)
{
	struct pattern patterns[ORDERED];
	for (size_t i = 0; i < count; i++)
		assert_true(pattern_parse(span_of(texts[i]), &patterns[i], NULL));
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < count; k++)
			if (sign(pattern_compare(&patterns[i], &patterns[k])) != sign((int)k - (int)i))
				fail_msg("`%s` against `%s`: came %d", texts[i], texts[k], pattern_compare(&patterns[i], &patterns[k]));
}

static void test_compare(void **state)
{
	(void)state;
	check_compare(order, sizeof order / sizeof *order);
	check_compare(address_order, sizeof address_order / sizeof *address_order);
}

struct visited {
	const char *seen[32];
	size_t count, enough;
};

static bool note(void *value, void *context)
{
	struct visited *visited = context;
	visited->seen[visited->count++] = value;
	return visited->count < visited->enough;
}

/* Added in the order of `step` through the list, they come back the most specific first. */
static void check_visit(const char *const *texts, size_t count, const char *host_text, size_t step)
{
	struct pattern patterns[ORDERED];
	struct pattern_index *index = pattern_index_new();
	for (size_t i = 0, k = 0; i < count; i++, k = (k + step) % count) {
		assert_true(pattern_parse(span_of(texts[k]), &patterns[k], NULL));
		pattern_index_add(index, &patterns[k], (void *)texts[k]);
	}
	struct host host;
	assert_true(host_parse(span_of(host_text), &host, NULL));
	struct visited all = {.enough = 32}, two = {.enough = 2};
	pattern_index_visit(index, &host, 443, note, &all);
	pattern_index_visit(index, &host, 443, note, &two);
	assert_int_equal(two.count, 2);
	assert_ptr_equal(pattern_index_find(index, &host, 443), texts[0]);
	if (all.count != count)
		fail_msg("%s: %zu matches, should be %zu", host_text, all.count, count);
	for (size_t i = 0; i < count; i++)
		if (all.seen[i] != texts[i])
			fail_msg("%s: match %zu came `%s`, should be `%s`", host_text, i, all.seen[i], texts[i]);
	pattern_index_free(index);
}

static void test_visit(void **state)
{
	(void)state;
	static const size_t odd[] = {1, 3, 5, 7}, coprime[] = {1, 2, 4, 8};
	for (size_t i = 0; i < 4; i++) {
		check_visit(order, sizeof order / sizeof *order, "a.b.example.com", odd[i]);
		check_visit(address_order, sizeof address_order / sizeof *address_order, "10.1.2.3", coprime[i]);
	}
}

static void test_last_added_first(void **state)
{
	(void)state;
	struct pattern parent, child, other;
	int values[3];
	struct host host;
	assert_true(pattern_parse(SPAN("*.example.com"), &parent, NULL));
	assert_true(pattern_parse(SPAN("*.EXAMPLE.com"), &child, NULL));
	assert_true(pattern_parse(SPAN("*.example.com:444"), &other, NULL));
	assert_true(host_parse(SPAN("x.example.com"), &host, NULL));
	struct pattern_index *index = pattern_index_new();
	assert_null(pattern_index_find(index, &host, 443));
	pattern_index_add(index, &parent, &values[0]);
	pattern_index_add(index, &child, &values[1]);
	pattern_index_add(index, &other, &values[2]);
	assert_ptr_equal(pattern_index_find(index, &host, 443), &values[1]);
	assert_ptr_equal(pattern_index_find(index, &host, 444), &values[2]);
	assert_null(pattern_index_find(index, &host, 445));
	pattern_index_free(index);
	pattern_index_free(NULL);
}

#define MANY 4000

static void many_text(size_t number, char text[64])
{
	static const char *const around[][2] = {{"h", ".example.com"}, {"*.w", ".example.com"}, {"*.example", ".com:8443"}};
	if (number % 4 == 3)
		snprintf(text, 64, "10.%zu.%zu.0/24", number / 256 % 256, number % 256);
	else
		snprintf(text, 64, "%s%zu%s", around[number % 4][0], number, around[number % 4][1]);
}

/* The index and a walk over all patterns agree, host by host. */
static void test_index_agrees(void **state)
{
	(void)state;
	static struct pattern patterns[MANY];
	struct pattern_index *index = pattern_index_new();
	for (size_t i = 0; i < MANY; i++) {
		char text[64];
		many_text(i, text);
		assert_true(pattern_parse(span_of(text), &patterns[i], NULL));
		pattern_index_add(index, &patterns[i], &patterns[i]);
	}
	static const char *const hosts[] = {
		"h0.example.com", "h4.example.com", "h5.example.com", "a.w1.example.com", "a.b.w3997.example.com",
		"w1.example.com", "a.example2.com", "10.0.3.9", "10.15.159.1", "10.0.4.1", "11.0.3.9", "example.com", "::1",
	};
	for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
		for (unsigned port = 443; port <= 8443; port += 4000) {
			struct host host;
			assert_true(host_parse(span_of(hosts[i]), &host, NULL));
			const struct pattern *expected = NULL, *came = pattern_index_find(index, &host, (uint16_t)port);
			for (size_t k = 0; k < MANY; k++)
				if (pattern_matches(&patterns[k], &host, (uint16_t)port) &&
				    (!expected || pattern_compare(&patterns[k], expected) >= 0))
					expected = &patterns[k];
			if (came != expected)
				fail_msg("%s port %u: came `%s`, should be `%s`", hosts[i], port, came ? came->host.name : "nothing",
				         expected ? expected->host.name : "nothing");
		}
	pattern_index_free(index);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),    cmocka_unit_test(test_bad),   cmocka_unit_test(test_matches),
		cmocka_unit_test(test_compare), cmocka_unit_test(test_visit), cmocka_unit_test(test_last_added_first),
		cmocka_unit_test(test_index_agrees),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
