/* What envgen verify makes of a request at the proxy's address: whom it asks for, and whether proxyd would let it in. */
#include "verify_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base64.h"
#include "verify_targets.h"

#define TOKEN "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
#define GOOD "Proxy-Authorization: Bearer " TOKEN "\r\n"
#define TUNNEL "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n"
#define WHOLE "GET http://a.test/" VERIFY_PATH "/0 HTTP/1.1\r\nHost: a.test\r\n"
#define OWN "GET http://proxy.test:8180/api/" VERIFY_PATH "/2 HTTP/1.1\r\nHost: proxy.test:8180\r\n"
#define END "\r\n"

enum { NONE = -1 };

static struct targets make_targets(char *token)
{
	struct targets targets = {.count = 3, .proxy_token = token};
	assert_true(authority_parse(SPAN("proxy.test:8180"), &targets.proxy, NULL));
	for (size_t i = 0; i < targets.count; i++)
		assert_true(host_parse(i < 2 ? SPAN("a.test") : SPAN("proxy.test"), &targets.list[i].host, NULL));
	targets.list[0].port = 80;
	targets.list[1].port = 443;
	targets.list[2].port = 8180;
	return targets;
}

static void expect(const struct targets *targets, const char *head, unsigned way, int target, bool stays)
{
	struct verify_request request;
	verify_request_read(targets, span_of(head), &request);
	int number = request.target ? (int)(request.target - targets->list) : NONE;
	if (request.way != way || number != target || request.stays != stays)
		fail_msg("%s: way %u, target %d, stays %d; but should be %u, %d, %d", head, request.way, number, request.stays, way,
		         target, stays);
}

struct row {
	const char *head;
	unsigned way;
	int target;
	bool stays;
};

static const struct row rows[] = {
	{TUNNEL GOOD END, SEEN_PROXY, 1, true},
	{TUNNEL END, SEEN_CHALLENGED, 1, true},
	{WHOLE GOOD END, SEEN_PROXY, 0, true},
	{WHOLE END, SEEN_CHALLENGED, 0, true},
	{"CONNECT other.test:443 HTTP/1.1\r\n" END, SEEN_CHALLENGED, NONE, true},
	{"CONNECT :x HTTP/1.1\r\n" END, SEEN_CHALLENGED, NONE, true},
	{"GET http://a.test/ HTTP/1.1\r\n" END, SEEN_CHALLENGED, NONE, true},
	{"GET http://a.test/" VERIFY_PATH "/3 HTTP/1.1\r\n" END, SEEN_CHALLENGED, NONE, true},
	/* at an endpoint the proxy's token plays no part */
	{"GET /api/" VERIFY_PATH "/2 HTTP/1.1\r\n" END, SEEN_ENDPOINT, 2, true},
	{OWN END, SEEN_PROXY, 2, true},
	{"GET HTTP://PROXY.test:8180/api/" VERIFY_PATH "/2 HTTP/1.1\r\n" END, SEEN_PROXY, 2, true},
	{"GET http://proxy.test/" VERIFY_PATH "/2 HTTP/1.1\r\n" END, SEEN_CHALLENGED, 2, true},
	{"CONNECT proxy.test:8180 HTTP/1.1\r\n" END, SEEN_CHALLENGED, 2, true},
	/* where the token may stand, and where not */
	{TUNNEL "proxy-authorization:bearer   " TOKEN "  \r\n" END, SEEN_PROXY, 1, true},
	{TUNNEL "Proxy-Authorization: Basic eDp5\r\n" GOOD END, SEEN_PROXY, 1, true},
	{TUNNEL "Authorization: Bearer " TOKEN "\r\n" END, SEEN_CHALLENGED, 1, true},
	{TUNNEL "Proxy-Authorization: " TOKEN "\r\n" END, SEEN_CHALLENGED, 1, true},
	{TUNNEL "Proxy-Authorization: Digest " TOKEN "\r\n" END, SEEN_CHALLENGED, 1, true},
	{TUNNEL "Proxy-Authorization: Bearer " TOKEN "x\r\n" END, SEEN_CHALLENGED, 1, true},
	{TUNNEL "Proxy-Authorization: Bearer\r\n" END, SEEN_CHALLENGED, 1, true},
	{TUNNEL "Proxy-Authorization: Basic *\r\n" END, SEEN_CHALLENGED, 1, true},
	{TUNNEL "Proxy-Authorization: Basic Og==\r\n" END, SEEN_CHALLENGED, 1, true}, /* wget2: ":" */
	{TUNNEL END GOOD END, SEEN_CHALLENGED, 1, true},
	/* what may come behind a refusal */
	{"CONNECT a.test:443 HTTP/1.0\r\n" END, SEEN_CHALLENGED, 1, false},
	{TUNNEL "Connection: x, Close\r\n" END, SEEN_CHALLENGED, 1, false},
	{TUNNEL "Connection: keep-alive\r\n" END, SEEN_CHALLENGED, 1, true},
	{WHOLE "Content-Length: 5\r\n" END, SEEN_CHALLENGED, 0, false},
	{WHOLE "content-length: 0\r\n" END, SEEN_CHALLENGED, 0, true},
	{WHOLE "Transfer-Encoding: chunked\r\n" END, SEEN_CHALLENGED, 0, false},
	{WHOLE, SEEN_CHALLENGED, 0, false}, /* without its end */
	/* none at all */
	{"", 0, NONE, false},
	{"GET\r\n\r\n", 0, NONE, false},
	{"CONNECT \r\n\r\n", 0, NONE, false},
};

static void test_requests(void **state)
{
	(void)state;
	char token[] = TOKEN;
	struct targets targets = make_targets(token);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		expect(&targets, rows[i].head, rows[i].way, rows[i].target, rows[i].stays);
}

static void expect_basic(const struct targets *targets, const char *plain, unsigned way)
{
	char encoded[BASE64_BYTES(100)], head[400];
	base64_encode(span_of(plain), encoded);
	snprintf(head, sizeof head, TUNNEL "Proxy-Authorization: Basic %s\r\n" END, encoded);
	expect(targets, head, way, 1, true);
}

static void test_basic(void **state)
{
	(void)state;
	char token[] = TOKEN;
	struct targets targets = make_targets(token);
	expect_basic(&targets, "agent:" TOKEN, SEEN_PROXY);
	expect_basic(&targets, ":" TOKEN, SEEN_PROXY);
	expect_basic(&targets, TOKEN ":", SEEN_PROXY);
	expect_basic(&targets, TOKEN, SEEN_PROXY);
	expect_basic(&targets, TOKEN ":x", SEEN_CHALLENGED);
	expect_basic(&targets, "agent:" TOKEN ":", SEEN_CHALLENGED);
	expect_basic(&targets, "agent:", SEEN_CHALLENGED);
	expect_basic(&targets, "", SEEN_CHALLENGED);
}

/* session: none */
static void test_nobody_is_asked(void **state)
{
	(void)state;
	struct targets targets = make_targets(NULL);
	expect(&targets, TUNNEL END, SEEN_PROXY, 1, true);
	expect(&targets, WHOLE END, SEEN_PROXY, 0, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_basic),
		cmocka_unit_test(test_nobody_is_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
