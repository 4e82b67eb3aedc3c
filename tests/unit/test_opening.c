/* What a request opens with: the rows are bytes that came so far, and what they are, plain or in TLS, first or kept. */
#include "opening.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define HEAD "GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

enum { PLAIN = 1, KEPT = 2, EOF_TOO = 4, IN_TLS = 8, IN_A_TUNNEL = 16 };

static const struct row {
	struct span bytes;
	unsigned how;
	enum opening_kind kind;
	unsigned status; /* OPENING_REFUSE */
	const char *reason;
} rows[] = {
	{SPAN(""), PLAIN, OPENING_WAIT, 0, NULL},
	{SPAN(""), EOF_TOO, OPENING_GONE, 0, NULL},
	{SPAN("G"), PLAIN, OPENING_WAIT, 0, NULL},
	{SPAN("GET /x HTTP/1.1\r\nHost: h\r\n"), PLAIN, OPENING_WAIT, 0, NULL},
	{SPAN("GET /x HTTP/1.1\r\nHost: h\r\n"), EOF_TOO, OPENING_GONE, 0, NULL},
	{SPAN(HEAD), PLAIN, OPENING_HTTP, 0, NULL},
	{SPAN(HEAD), EOF_TOO, OPENING_HTTP, 0, NULL},
	{SPAN(HEAD "more"), IN_TLS | KEPT, OPENING_HTTP, 0, NULL},
	{SPAN("\r\n" HEAD), PLAIN, OPENING_HTTP, 0, NULL},
	{SPAN("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n"), PLAIN, OPENING_CONNECT, 0, NULL},
	{SPAN("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n"), IN_A_TUNNEL, OPENING_HTTP, 0, NULL},
	{SPAN("PRI * HTT"), PLAIN, OPENING_WAIT, 0, NULL},
	{SPAN("PRI * HTTP/2.0\r\n\r\nSM"), PLAIN, OPENING_WAIT, 0, NULL},
	{SPAN("PRI * HTTP/2.0\r\n\r\nSM"), EOF_TOO, OPENING_GONE, 0, NULL},
	{SPAN(PREFACE), PLAIN, OPENING_H2, 0, NULL},
	{SPAN(PREFACE), KEPT, OPENING_REFUSE, 501, "h2c"},
	{SPAN(PREFACE), IN_TLS, OPENING_REFUSE, 501, "h2c"},
	{SPAN(PREFACE), IN_A_TUNNEL, OPENING_REFUSE, 501, "h2c"},
	{SPAN("PRI * HTTP/2.0\r\n\r\nSN"), PLAIN, OPENING_REFUSE, 400, "malformed"},
	{SPAN("GET /x HTTP/1.1\nHost: h\r\n\r\n"), PLAIN, OPENING_REFUSE, 400, "malformed"},
	{SPAN("GET /x HTTP/2.0\r\n"), PLAIN, OPENING_REFUSE, 400, "malformed"},
	{SPAN("GET /x HTTP/1.1\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\n"), PLAIN, OPENING_REFUSE, 431, "too_many_fields"},
	{SPAN("POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"), PLAIN, OPENING_REFUSE, 501, "transfer_coding"},
	{SPAN("\x16\x03\x01"), PLAIN, OPENING_ALIEN, 0, "first_byte_0x16"},
	{SPAN("(hello"), IN_TLS | KEPT, OPENING_ALIEN, 0, "first_byte_0x28"},
	{SPAN("EHLO mail.test you\r\n"), PLAIN, OPENING_ALIEN, 0, "first_byte_0x45"},
};

static const struct config_limits limits = {.head = 100, .fields = 3};

static struct way way_of(unsigned how, struct way_place *place)
{
	return (struct way){.tls = how & IN_TLS, .place = how & (IN_TLS | IN_A_TUNNEL) ? place : NULL};
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct row *row = &rows[i];
		struct arena arena = {0};
		struct way_place place = {.open = false};
		struct way way = way_of(row->how, &place);
		struct opening opening;
		opening_look(&limits, &way, row->bytes, row->how & KEPT, row->how & EOF_TOO, &arena, &opening);
		if (opening.kind != row->kind || opening.problem.status != row->status)
			print_error("row %zu: %.*s\n", i, SPAN_ARGS(row->bytes));
		assert_int_equal(opening.kind, row->kind);
		assert_int_equal(opening.problem.status, row->status);
		if (row->reason)
			assert_string_equal(opening.problem.reason, row->reason);
		if (opening.kind == OPENING_HTTP)
			assert_true(opening.size <= row->bytes.length);
		arena_free(&arena);
	}
}

/* A head of just the limit, and one that is longer. */
static void test_long_heads(void **state)
{
	(void)state;
	for (int more = 0; more < 2; more++) {
		char head[200];
		struct arena arena = {0};
		struct way way = {0};
		struct opening opening;
		int pad = 100 - (int)strlen("GET /x HTTP/1.1\r\nHost: h\r\nA: \r\n\r\n") + more;
		int size = snprintf(head, sizeof head, "GET /x HTTP/1.1\r\nHost: h\r\nA: %0*d\r\n\r\n", pad, 0);
		assert_int_equal(size, 100 + more);
		opening_look(&limits, &way, (struct span){head, (size_t)size}, false, false, &arena, &opening);
		assert_int_equal(opening.kind, more ? OPENING_REFUSE : OPENING_HTTP);
		assert_int_equal(opening.problem.status, more ? 431 : 0);
		arena_free(&arena);
	}
}

static void test_news(void **state)
{
	(void)state;
	static const struct {
		struct span bytes;
		size_t looked;
		bool news;
	} looks[] = {
		{SPAN("GET"), 0, true},
		{SPAN("GET /x"), 3, false},
		{SPAN("GET /x\t"), 3, false},
		{SPAN("GET /x\n"), 3, true},
		{SPAN("GET /x\r\n"), 7, true},
		{SPAN("GET /x\x7f"), 3, true},
		{SPAN("GET /\x01"), 3, true},
		{SPAN("GET /x"), 10, true}, /* limits.head was lowered */
	};
	for (size_t i = 0; i < sizeof looks / sizeof *looks; i++)
		assert_int_equal(opening_is_news(looks[i].bytes, looks[i].looked, &limits), looks[i].news);
	char full[100];
	memset(full, 'a', sizeof full);
	assert_true(opening_is_news((struct span){full, sizeof full}, 50, &limits));
	assert_false(opening_is_news((struct span){full, sizeof full - 1}, 50, &limits));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_long_heads),
		cmocka_unit_test(test_news),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
