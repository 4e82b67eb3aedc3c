#include "protocols.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* "Name: value|Name: value" */
static struct fields fields_of(const char *text, struct arena *arena)
{
	struct fields fields = {0};
	struct span rest = span_of(text);
	while (rest.data) {
		struct span value = span_split(&rest, '|'), name = span_split(&value, ':');
		if (name.length > 0)
			fields_add(&fields, arena, name, span_trim(value));
	}
	return fields;
}

#define ASKS "Connection: Upgrade|Upgrade: websocket"

static const struct {
	const char *fields;
	bool asked;
} asked_rows[] = {
	{ASKS, true},
	{"upgrade: WebSocket|connection: UPGRADE", true},
	{"Connection: keep-alive, Upgrade|Upgrade: websocket", true},
	{"Connection: keep-alive|Connection: close|Connection: x,,upgrade|Upgrade: websocket", true},
	{"Connection: Upgrade|Upgrade: a/1.0, b|Upgrade: c", true},
	{"Connection: Upgrade|Upgrade: , ,websocket", true},
	{"Connection: Upgrade|Upgrade: spdy/3.1", true},
	{"Connection: Upgrade|Upgrade: httpd, tlsx, h2cc, h3", true},
	{"", false},
	{"Upgrade: websocket", false},
	{"Connection: Upgrade", false},
	{"Connection: keep-alive|Upgrade: websocket", false},
	{"Connection: upgraded, x upgrade|Upgrade: websocket", false},
	{"Connection: Upgrade|Upgrade:", false},
	{"Connection: Upgrade|Upgrade: , ,", false},
	{"Connection: Upgrade|X-Upgrade: websocket", false},
	{"Connection: Upgrade, HTTP2-Settings|Upgrade: h2c|HTTP2-Settings: AAMAAABkAAQAAP__", false},
	{"Connection: Upgrade|Upgrade: H2C", false},
	{"Connection: Upgrade|Upgrade: h2c/x", false},
	{"Connection: Upgrade|Upgrade: h2", false},
	{"Connection: Upgrade|Upgrade: HTTP/2.0", false},
	{"Connection: Upgrade|Upgrade: http", false},
	{"Connection: Upgrade|Upgrade: TLS/1.2", false},
	{"Connection: Upgrade|Upgrade: tls", false},
	{"Connection: Upgrade|Upgrade: websocket, h2c", false},
	{"Connection: Upgrade|Upgrade: websocket|Upgrade: TLS/1.0", false},
	{"Connection: Upgrade|Upgrade: web socket", false},
	{"Connection: Upgrade|Upgrade: websocket/", false},
	{"Connection: Upgrade|Upgrade: /13", false},
	{"Connection: Upgrade|Upgrade: a/b/c", false},
	{ASKS "|Expect: 100-continue", false},
};

static void test_asked(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof asked_rows / sizeof *asked_rows; i++) {
		struct arena arena = {0};
		struct request request = {.method = SPAN("GET"), .minor = 1, .fields = fields_of(asked_rows[i].fields, &arena)};
		if (protocols_asked(&request) != asked_rows[i].asked)
			fail_msg("\"%s\": should be %d", asked_rows[i].fields, asked_rows[i].asked);
		arena_free(&arena);
	}
}

static void test_who_may_ask(void **state)
{
	static const struct {
		struct request request;
		bool asked;
	} rows[] = {
		{{.method = {"GET", 3}, .minor = 1}, true},
		{{.method = {"GET", 3}, .minor = 1, .body = {BODY_LENGTH, 0}}, true},
		{{.method = {"GET", 3}, .minor = 0}, false},
		{{.method = {"GET", 3}, .minor = 1, .h2 = true}, false},
		{{.method = {"GET", 3}, .minor = 1, .body = {BODY_LENGTH, 1}}, false},
		{{.method = {"GET", 3}, .minor = 1, .body = {BODY_CHUNKED, 0}}, false},
		{{.method = {"POST", 4}, .minor = 1}, false},
		{{.method = {"HEAD", 4}, .minor = 1}, false},
		{{.method = {"get", 3}, .minor = 1}, false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct arena arena = {0};
		struct request request = rows[i].request;
		request.fields = fields_of(ASKS, &arena);
		if (protocols_asked(&request) != rows[i].asked)
			fail_msg("row %zu: should be %d", i, rows[i].asked);
		arena_free(&arena);
	}
}

static const struct {
	const char *asked, *answered;
	unsigned minor;
	bool granted;
} granted_rows[] = {
	{ASKS, "Upgrade: websocket|Connection: Upgrade", 1, true},
	{ASKS, "UPGRADE: WEBSOCKET|CONNECTION: x, UPGRADE", 1, true},
	{"Connection: Upgrade|Upgrade: a/1, b|Upgrade: c", "Connection: upgrade|Upgrade: c, a/1", 1, true},
	{"Connection: Upgrade|Upgrade: a|Upgrade: b", "Connection: upgrade|Upgrade: b|Upgrade: a", 1, true},
	{ASKS, "Upgrade: websocket|Connection: Upgrade", 0, false},
	{ASKS, "Upgrade: websocket", 1, false},
	{ASKS, "Upgrade: websocket|Connection: keep-alive", 1, false},
	{ASKS, "Connection: Upgrade", 1, false},
	{ASKS, "Connection: Upgrade|Upgrade:", 1, false},
	{ASKS, "Connection: Upgrade|Upgrade: h2c", 1, false},
	{ASKS, "Connection: Upgrade|Upgrade: websocket, h2c", 1, false},
	{ASKS, "Connection: Upgrade|Upgrade: websocket|Upgrade: h2c", 1, false},
	{ASKS, "Connection: Upgrade|Upgrade: websocket/13", 1, false},
	{"Connection: Upgrade|Upgrade: a/1", "Connection: upgrade|Upgrade: a", 1, false},
};

static void test_granted(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof granted_rows / sizeof *granted_rows; i++) {
		struct arena arena = {0};
		struct request request = {.fields = fields_of(granted_rows[i].asked, &arena)};
		struct response response = {
			.status = 101, .minor = granted_rows[i].minor, .fields = fields_of(granted_rows[i].answered, &arena)};
		if (protocols_granted(&request, &response) != granted_rows[i].granted)
			fail_msg("\"%s\" answered with \"%s\": should be %d", granted_rows[i].asked, granted_rows[i].answered,
			         granted_rows[i].granted);
		arena_free(&arena);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_asked),
		cmocka_unit_test(test_who_may_ask),
		cmocka_unit_test(test_granted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
