#include "dial_parent_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "secret.h"

static struct config *config_of(const char *text)
{
	struct config_messages errors = {0}, warnings = {0};
	struct config *config = config_parse(span_of(text), "/k.yaml", false, &errors, &warnings);
	if (!config)
		fail_msg("%s\n%s", text, errors.count ? errors.list[0] : "");
	config_messages_free(&errors);
	config_messages_free(&warnings);
	return config;
}

#define AROUND "version: 1\nprofiles: { a: {} }\nparent: { proxy: \"http://Proxy.Corp:3128\""

static struct secret_value ready(const char *text)
{
	return (struct secret_value){.ready = true, .bytes = span_of(text)};
}

/* What libcurl is told (it decodes both parts), or why nothing is. */
static void test_auth(void **state)
{
	static const struct {
		const char *value, *coded;
	} rows[] = {
		{"user:password", "user:password"},
		{"user:", "user:"},
		{"us er:%41:b@/\xc3\xbc", "us%20er:%2541%3Ab%40%2F%C3%BC"},
		{"user", NULL},
		{":password", NULL},
	};
	struct config *config = config_of(AROUND ", auth: env:A }\n");
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct secret_value value = ready(rows[i].value);
		struct dial_parent *parent = dial_parent_new(config, &value);
		const char *why = dial_parent_waits(parent);
		if (rows[i].coded ? !parent->coded || strcmp(parent->coded, rows[i].coded) != 0 || why : !why || parent->coded)
			fail_msg("%s: came %s, %s", rows[i].value, parent->coded ? parent->coded : "nothing", why ? why : "ready");
		if (why && strstr(why, rows[i].value + 1))
			fail_msg("%s: told in \"%s\"", rows[i].value, why);
		dial_parent_unref(parent);
	}
	config_free(config);
}

static void test_current(void **state)
{
	struct secret_value one = ready("u:1"), two = ready("u:2"), bad = ready("u");
	struct secret_value gone = {.why = "env:A: not set"}, elsewhere = {.why = "env:A: is empty"};
	const struct secret_value *values[] = {&one, &two, &bad, &gone, &elsewhere};
	struct config *config = config_of(AROUND ", auth: env:A }\n");
	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct dial_parent *parent = dial_parent_new(config, values[i]);
		for (size_t k = 0; k < 5; k++)
			assert_int_equal(dial_parent_is_current(parent, config, values[k]), i == k && values[k] != &bad);
		dial_parent_unref(parent);
	}
	struct dial_parent *open = dial_parent_new(config, NULL);
	assert_true(dial_parent_is_current(open, config, NULL) && !dial_parent_waits(open) && !open->coded);
	struct config *other = config_of(AROUND ", except: [b.test], auth: env:A }\n");
	assert_false(dial_parent_is_current(open, other, NULL));
	dial_parent_unref(open);
	config_free(other);
	config_free(config);
}

static void test_exceptions(void **state)
{
	static const struct {
		const char *authority;
		bool leads;
	} rows[] = {
		{"example.com:443", true},  {"corp:443", true},         {"git.corp:443", false},      {"a.git.corp:80", false},
		{"git.corp:8443", true},    {"api.test:8443", false},   {"api.test:443", true},       {"10.1.2.3:443", false},
		{"10.1.2.3:81", true},      {"11.1.2.3:443", true},     {"[2001:db8::1]:80", false},  {"[2001:db9::1]:80", true},
	};
	struct config *config = config_of(AROUND ", except: [\"*.corp\", \"api.test:8443\", 10.0.0.0/8, \"2001:db8::/32\"] }\n");
	struct dial_parent *parent = dial_parent_new(config, NULL);
	(void)state;
	config_free(config); /* it outlives the configuration */
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct authority authority;
		assert_true(authority_parse(span_of(rows[i].authority), &authority, NULL));
		if (dial_parent_leads(parent, &authority.host, authority.port) != rows[i].leads)
			fail_msg("%s: should go %s", rows[i].authority, rows[i].leads ? "through it" : "past it");
		assert_false(dial_parent_leads(NULL, &authority.host, authority.port));
	}
	assert_string_equal(dial_parent_name(parent), "proxy.corp:3128");
	dial_parent_unref(dial_parent_ref(parent));
	dial_parent_unref(parent);
	dial_parent_unref(dial_parent_ref(NULL));
}

static void test_none(void **state)
{
	struct config *config = config_of("version: 1\nprofiles: { a: {} }\n");
	(void)state;
	assert_null(dial_parent_new(config, NULL));
	config_free(config);
}

static int set_up(void **state)
{
	(void)state;
	return secret_start(NULL) ? 0 : -1;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_auth),
		cmocka_unit_test(test_current),
		cmocka_unit_test(test_exceptions),
		cmocka_unit_test(test_none),
	};
	return cmocka_run_group_tests_name("dial_parent", tests, set_up, NULL);
}
