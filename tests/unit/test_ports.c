/* Which TCP ports a confined program may connect to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "ports.h"

/* The proxy is keystile.pod:8180 in all of them. */
static const struct row {
	const char *no_proxy;
	const char *ports;
} rows[] = {
	{"", "8180"},
	{"localhost,127.0.0.1", "8180"},
	{"localhost,127.0.0.1,keystile.pod", "8180"},
	{"localhost,127.0.0.1,pypi.org", "80 443 8180"},
	{"pypi.org", "80 443 8180"},
	{"localhost,127.0.0.1,.pythonhosted.org", "80 443 8180"},
	{"localhost,127.0.0.1,nats.internal:4222", "4222 8180"},
	{"nats.internal:4222,.x.test,git.test:22,nats.internal:4222", "22 80 443 4222 8180"},
	{"localhost:5432,127.0.0.1:65535", "5432 8180 65535"},
	{"localhost,", "8180"},
	{"x.test:0,x.test:65536,x.test:", "8180"},
};

static void test_rows(void **state)
{
	(void)state;
	struct authority advertise;
	assert_true(authority_parse(SPAN("keystile.pod:8180"), &advertise, NULL));
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct port_set set = {0};
		char came[256] = "";
		size_t length = 0;
		ports_needed(&advertise, span_of(rows[i].no_proxy), &set);
		for (unsigned port = 0; port < 65536 && length < 200; port++)
			if (port_set_has(&set, (uint16_t)port))
				length += (size_t)snprintf(came + length, sizeof came - length, "%s%u", length ? " " : "", port);
		if (strcmp(came, rows[i].ports) != 0)
			fail_msg("`%s`: came %s, should be %s", rows[i].no_proxy, came, rows[i].ports);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
	return cmocka_run_group_tests_name("ports", tests, NULL, NULL);
}
