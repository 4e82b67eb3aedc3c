#include "first_bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct row {
	struct span bytes;
	enum first_bytes elsewhere, named;
};

#define U FIRST_UNDECIDED
#define T FIRST_TLS
#define H FIRST_HTTP
#define O FIRST_OTHER

static const struct row rows[] = {
	{SPAN(""), U, U},
	{SPAN("\x16"), T, T},
	{SPAN("\x16\x03\x01"), T, T},
	{SPAN("\x17\x03"), O, O},
	{SPAN("\x80\x2e\x01"), O, O}, /* the hello of SSL 2 */
	{SPAN("\0\0\0\x08\x04\xd2\x16\x2f"), O, O}, /* PostgreSQL's SSLRequest */
	/* HTTP, and what a lenient server takes for it */
	{SPAN("GET / HTTP/1.1\r\n"), H, H},
	{SPAN("G"), H, U},
	{SPAN("GET"), H, U},
	{SPAN("GET "), H, U},
	{SPAN("GET /"), H, H},
	{SPAN("OPTIONS *"), H, H},
	{SPAN("get /"), H, H},
	{SPAN("GET h"), H, U},
	{SPAN("GET htt"), H, U},
	{SPAN("GET http"), H, H},
	{SPAN("GET HTTPS://x"), H, H},
	{SPAN("GET\t/"), H, H},
	{SPAN("GET   /"), H, H},
	{SPAN("GET \t"), H, U},
	{SPAN("PRI * HTTP/2.0"), H, H},
	{SPAN("\r\nGET /"), O, H},
	{SPAN("\n\n\nGET /"), O, H},
	{SPAN("\r\n"), O, U},
	{SPAN("!#$%&'*+-.^_`|~1 /"), O, H},
	{SPAN("*"), O, U},
	/* what speaks something else */
	{SPAN("*1\r\n$4\r\nPING\r\n"), O, O},
	{SPAN("PING\r\n"), H, O},
	{SPAN("PING"), H, U},
	{SPAN("SSH-2.0-OpenSSH_9.2\r\n"), H, O},
	{SPAN("SSH-2.0-OpenSSH_9.2p1 Debian-2"), H, O},
	{SPAN("CONNECT {\"verbose\":false}"), H, O},
	{SPAN("EHLO host.test"), H, O},
	{SPAN("EHLO mail.test"), H, O},
	{SPAN("AUTH {"), H, O},
	{SPAN(" /"), O, O},
	{SPAN("GET\x1f/"), H, H},
	{SPAN("GET\0/"), H, H},
	{SPAN("GET\x7f/"), H, H},
	{SPAN("(a) /"), O, O},
	{SPAN("GET\r"), H, O},
	{SPAN("GET hx"), H, O},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (first_bytes_judge(rows[i].bytes, false) != rows[i].elsewhere)
			fail_msg("`%.*s`: %d", SPAN_ARGS(rows[i].bytes), first_bytes_judge(rows[i].bytes, false));
		if (first_bytes_judge(rows[i].bytes, true) != rows[i].named)
			fail_msg("`%.*s` on a named port: %d", SPAN_ARGS(rows[i].bytes), first_bytes_judge(rows[i].bytes, true));
	}
}

/* Once it is decided, no byte more changes it. */
static void test_firm(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (int named = 0; named < 2; named++) {
			enum first_bytes before = FIRST_UNDECIDED;
			for (size_t length = 0; length <= rows[i].bytes.length; length++) {
				enum first_bytes now = first_bytes_judge(span_head(rows[i].bytes, length), named);
				assert_true(before == FIRST_UNDECIDED || now == before);
				before = now;
			}
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_firm)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
