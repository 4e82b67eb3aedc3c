#include "codec_h1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "buffer.h"
#include "codec_h1_line.h"
#include "memory.h"

static const struct codec_limits limits = {400, 8};

static const char *const result_names[] = {"MORE", "DONE", "BAD", "TOO_LARGE", "TOO_MANY", "VERSION", "CODING"};
static const char *const kind_names[] = {"none", "length", "chunked", "until close"};

/* Bytes with their length, since some hold a NUL; copied to the heap so that a read beyond them is found. */
#define BYTES(literal) literal, sizeof(literal) - 1

static struct span heap_copy(const char *bytes, size_t length)
{
	char *copy = malloc(length ? length : 1);
	if (length)
		memcpy(copy, bytes, length);
	return (struct span){copy, length};
}

struct request_row {
	const char *bytes;
	size_t length;
	enum codec_result result;
	enum body_kind kind;
	uint64_t body;
	const char *why; /* a part of what is said */
};

#define HOST "Host: a\r\n"
#define LONG_60 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct request_row request_rows[] = {
	{BYTES("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), CODEC_DONE, BODY_NONE, 0, NULL},
	{BYTES("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), CODEC_DONE, BODY_NONE, 0, NULL},
	{BYTES("GET / HTTP/1.0\r\n\r\n"), CODEC_DONE, BODY_NONE, 0, NULL},
	{BYTES("GET http://a/ HTTP/1.1\r\nhOST:a:80\r\n\r\n"), CODEC_DONE, BODY_NONE, 0, NULL},
	{BYTES("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"), CODEC_DONE, BODY_NONE, 0, NULL},
	{BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"), CODEC_DONE, BODY_LENGTH, 5, NULL},
	{BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length:\t5 \r\n\r\n"), CODEC_DONE, BODY_LENGTH, 5, NULL},
	{BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n"), CODEC_DONE, BODY_LENGTH, 0, NULL},
	{BYTES("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n"), CODEC_DONE, BODY_CHUNKED, 0, NULL},
	{BYTES("GET / HTTP/1.1\r\n" HOST "X: \xc3\xa9\t.\r\nEmpty:\r\n\r\n"), CODEC_DONE, BODY_NONE, 0, NULL},
	{BYTES("GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n"), CODEC_DONE, BODY_NONE, 0, NULL},
	{BYTES(""), CODEC_MORE, 0, 0, NULL},
	{BYTES("\r\n"), CODEC_MORE, 0, 0, NULL},
	{BYTES("GET / HTTP/1.1\r\nHost: a\r\n\r"), CODEC_MORE, 0, 0, NULL},
	{BYTES("\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n"), CODEC_BAD, 0, 0, "empty lines"},
	{BYTES("GET / HTTP/1.1\r\n\r\n"), CODEC_BAD, 0, 0, "no Host"},
	{BYTES("GET / HTTP/1.1\r\n" HOST HOST "\r\n"), CODEC_BAD, 0, 0, "two Host"},
	{BYTES("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"), CODEC_BAD, 0, 0, "host or host:port"},
	{BYTES("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), CODEC_BAD, 0, 0, "host or host:port"},
	{BYTES("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), CODEC_BAD, 0, 0, "host or host:port"},
	{BYTES("GET / HTTP/1.1\r\nHost:\r\n\r\n"), CODEC_BAD, 0, 0, "host or host:port"},
	{BYTES("GET / HTTP/1.1\r\nHost: :80\r\n\r\n"), CODEC_BAD, 0, 0, "host or host:port"},
	{BYTES("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"), CODEC_BAD, 0, 0, "host or host:port"},
	{BYTES("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"), CODEC_BAD, 0, 0, "host or host:port"},
	{BYTES("GET / HTTP/1.1\r\nHost: a:000080\r\n\r\n"), CODEC_BAD, 0, 0, "host or host:port"},
	{BYTES("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n"), CODEC_BAD, 0, 0, "host or host:port"},
	{BYTES("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"), CODEC_BAD, 0, 0, "host or host:port"},
	{BYTES("GET / HTTP/1.1\r\nHost: []\r\n\r\n"), CODEC_BAD, 0, 0, "host or host:port"},
	{BYTES("GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n"), CODEC_BAD, 0, 0, "host or host:port"},
	{BYTES("GET / HTTP/1.1\r\nHost: a%62\r\n\r\n"), CODEC_BAD, 0, 0, "host or host:port"},
	{BYTES("GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n"), CODEC_BAD, 0, 0, "host or host:port"},
	{BYTES("GET / HTTP/1.1\r\nHost: [::1]:65535\r\n\r\n"), CODEC_DONE, BODY_NONE, 0, NULL},
	{BYTES("GET / HTTP/1.1\r\nHost: a_b;c=d:\r\n\r\n"), CODEC_DONE, BODY_NONE, 0, NULL},
	{BYTES("GET / HTTP/1.1\nHost: a\n\n"), CODEC_BAD, 0, 0, "bare LF"},
	{BYTES("GET / HTTP/1.1\r\nHost: a\n\r\n"), CODEC_BAD, 0, 0, "bare LF"},
	{BYTES("GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n"), CODEC_BAD, 0, 0, "bare CR"},
	{BYTES("GET / HTTP/1.1\r\n" HOST "X: a\r\r\n\r\n"), CODEC_BAD, 0, 0, "bare CR"},
	{BYTES("GET / HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n"), CODEC_BAD, 0, 0, "NUL"},
	{BYTES("GET / HTTP/1.1\r\n" HOST "X: a\x01\r\n\r\n"), CODEC_BAD, 0, 0, "control"},
	{BYTES("GET / HTTP/1.1\r\n" HOST "X: a\x7f\r\n\r\n"), CODEC_BAD, 0, 0, "control"},
	{BYTES("GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n"), CODEC_BAD, 0, 0, "folded"},
	{BYTES("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), CODEC_BAD, 0, 0, "folded"},
	{BYTES("GET / HTTP/1.1\r\nHost : a\r\n\r\n"), CODEC_BAD, 0, 0, "blank before the colon"},
	{BYTES("GET / HTTP/1.1\r\n" HOST "nonsense\r\n\r\n"), CODEC_BAD, 0, 0, "without a colon"},
	{BYTES("GET / HTTP/1.1\r\n" HOST ": x\r\n\r\n"), CODEC_BAD, 0, 0, "without a name"},
	{BYTES("GET / HTTP/1.1\r\n" HOST "N\xc3\xa9: x\r\n\r\n"), CODEC_BAD, 0, 0, "field name"},
	{BYTES("GET  / HTTP/1.1\r\n" HOST "\r\n"), CODEC_BAD, 0, 0, "target"},
	{BYTES("GET / x HTTP/1.1\r\n" HOST "\r\n"), CODEC_BAD, 0, 0, "target"},
	{BYTES("GET /\tx HTTP/1.1\r\n" HOST "\r\n"), CODEC_BAD, 0, 0, "target"},
	{BYTES("G@T / HTTP/1.1\r\n" HOST "\r\n"), CODEC_BAD, 0, 0, "method"},
	{BYTES(" / HTTP/1.1\r\n" HOST "\r\n"), CODEC_BAD, 0, 0, "method"},
	{BYTES("GET / HTTP/1.1 \r\n" HOST "\r\n"), CODEC_BAD, 0, 0, "target"},
	{BYTES("GET / FTP/1.1\r\n" HOST "\r\n"), CODEC_BAD, 0, 0, "no HTTP version"},
	{BYTES("GET /\r\n\r\n"), CODEC_VERSION, 0, 0, "version"},
	{BYTES("GET / HTTP/1.2\r\n" HOST "\r\n"), CODEC_VERSION, 0, 0, "version"},
	{BYTES("GET / HTTP/2.0\r\n" HOST "\r\n"), CODEC_VERSION, 0, 0, "version"},
	{BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), CODEC_VERSION, 0, 0, "version"},
	{BYTES("GET / HTTP/1.11\r\n" HOST "\r\n"), CODEC_VERSION, 0, 0, "version"},
	{BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"), CODEC_BAD, 0, 0, "two Content-"},
	{BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\n"), CODEC_BAD, 0, 0, "not a number"},
	{BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\n"), CODEC_BAD, 0, 0, "not a number"},
	{BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length: 5x\r\n\r\n"), CODEC_BAD, 0, 0, "not a number"},
	{BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\n"), CODEC_BAD, 0, 0, "not a number"},
	{BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n"), CODEC_BAD, 0, 0, "not a number"},
	{BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551616\r\n\r\n"), CODEC_BAD, 0, 0, "not a number"},
	{BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"), CODEC_BAD, 0, 0, "beside"},
	{BYTES("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), CODEC_BAD, 0, 0,
	 "two Transfer-"},
	{BYTES("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), CODEC_BAD, 0, 0, "HTTP/1.0"},
	{BYTES("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n"), CODEC_BAD, 0, 0, "empty"},
	{BYTES("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n"), CODEC_CODING, 0, 0, "coding"},
	{BYTES("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n"), CODEC_BAD, 0, 0, "end in"},
	{BYTES("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n"), CODEC_BAD, 0, 0, "end in"},
	{BYTES("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \"chunked\"\r\n\r\n"), CODEC_BAD, 0, 0, "end in"},
	{BYTES("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked,\r\n\r\n"), CODEC_BAD, 0, 0, "end in"},
	{BYTES("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: ,\tChunked\r\n\r\n"), CODEC_CODING, 0, 0, "coding"},
	{BYTES("GET / HTTP/1.1\r\nHost: a\r\n1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n6:\r\n7:\r\n\r\n"), CODEC_DONE, BODY_NONE, 0, NULL},
	{BYTES("GET / HTTP/1.1\r\nHost: a\r\n1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n6:\r\n7:\r\n8:\r\n\r\n"), CODEC_TOO_MANY, 0, 0, "fields"},
	{BYTES("GET /" LONG_60 LONG_60 LONG_60 LONG_60 LONG_60 LONG_60 LONG_60), CODEC_TOO_LARGE, 0, 0, "limit"},
	{BYTES("GET / HTTP/1.1\r\nX: " LONG_60 LONG_60 LONG_60 LONG_60 LONG_60 LONG_60 LONG_60 "\r\n\r\n"), CODEC_TOO_LARGE, 0,
	 0, "limit"},
};

static enum codec_result parse_request(struct span bytes, struct request *request, size_t *used, const char **why)
{
	struct arena arena = {0};
	enum codec_result result = codec_request_head(bytes, limits, &arena, request, used, why);
	arena_free(&arena);
	return result;
}

static void check_request(const struct request_row *row)
{
	struct request request;
	size_t used = 0;
	const char *why = "";
	struct span bytes = heap_copy(row->bytes, row->length);
	enum codec_result result = parse_request(bytes, &request, &used, &why);
	bool body_right = result != CODEC_DONE || (request.body.kind == row->kind && request.body.length == row->body);
	if (result != row->result || !body_right || (row->why && !strstr(why, row->why)))
		fail_msg("sent \"%s\"\ncame %s (%s), body %s %ju\nshould be %s (%s), body %s %ju", row->bytes,
		         result_names[result], why, kind_names[request.body.kind], (uintmax_t)request.body.length,
		         result_names[row->result], row->why ? row->why : "", kind_names[row->kind], (uintmax_t)row->body);
	free((char *)(uintptr_t)bytes.data);
}

/* A part of a good head is MORE, a part of a bad one MORE or bad already, and nothing is DONE before its end. */
static void check_request_parts(const struct request_row *row)
{
	struct request request;
	size_t used, whole = row->length;
	const char *why;
	if (row->result == CODEC_DONE)
		parse_request((struct span){row->bytes, row->length}, &request, &whole, &why);
	for (size_t i = 0; i < whole; i++) {
		struct span part = heap_copy(row->bytes, i);
		enum codec_result result = parse_request(part, &request, &used, &why);
		if (result != CODEC_MORE && (result == CODEC_DONE || result != row->result))
			fail_msg("sent %zu bytes of \"%s\"\ncame %s, should be MORE", i, row->bytes, result_names[result]);
		free((char *)(uintptr_t)part.data);
	}
}

static void test_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof request_rows / sizeof *request_rows; i++) {
		check_request(&request_rows[i]);
		check_request_parts(&request_rows[i]);
	}
}

static void test_request_parts_of_a_head(void **state)
{
	struct arena arena = {0};
	struct request request;
	size_t used;
	const char *why;
	(void)state;
	struct span bytes = SPAN("\r\nPUT /a?b=c HTTP/1.1\r\nHost: h:8\r\nX-Y: \t two words \t\r\n\r\nrest");
	assert_int_equal(codec_request_head(bytes, limits, &arena, &request, &used, &why), CODEC_DONE);
	assert_int_equal(used, bytes.length - 4);
	assert_true(span_equal(request.method, SPAN("PUT")));
	assert_true(span_equal(request.target, SPAN("/a?b=c")));
	assert_int_equal(request.minor, 1);
	assert_true(span_equal(request.fields.list[1].name, SPAN("X-Y")));
	assert_true(span_equal(request.fields.list[1].value, SPAN("two words")));
	arena_free(&arena);
}

struct check_row {
	const char *method, *target, *name, *value;
	enum codec_result result;
};

static const struct check_row check_rows[] = {
	{"GET", "/", "X", "y", CODEC_DONE},
	{"GET", "/", "Content-Length", "7", CODEC_DONE},
	{"GET", "/", "Transfer-Encoding", "chunked", CODEC_DONE},
	{"GET", "/", "Host", "other", CODEC_BAD},
	{"GET", "/", "Transfer-Encoding", "gzip", CODEC_BAD},
	{"GET", "/", "Transfer-Encoding", "gzip, chunked", CODEC_CODING},
	{"GET", "/", "Content-Length", "7 ", CODEC_BAD},
	{"G T", "/", "X", "y", CODEC_BAD},
	{"GET", "/ ", "X", "y", CODEC_BAD},
	{"GET", "", "X", "y", CODEC_BAD},
	{"GET", "/", "X ", "y", CODEC_BAD},
	{"GET", "/", "X", "y\r\nZ: 1", CODEC_BAD},
	{"GET", "/", "X\r\n", "y", CODEC_BAD},
};

static void test_request_check(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof check_rows / sizeof *check_rows; i++) {
		const struct check_row *row = &check_rows[i];
		struct arena arena = {0};
		struct request request = {.method = span_of(row->method), .target = span_of(row->target), .minor = 1};
		const char *why = "";
		fields_add(&request.fields, &arena, SPAN("Host"), SPAN("a"));
		fields_add(&request.fields, &arena, span_of(row->name), span_of(row->value));
		enum codec_result result = codec_request_check(&request, &why);
		if (result != row->result)
			fail_msg("\"%s\" \"%s\" \"%s\": \"%s\" came %s (%s), should be %s", row->method, row->target, row->name,
			         row->value, result_names[result], why, result_names[row->result]);
		arena_free(&arena);
	}
}

static const struct trailer_row {
	const char *name, *value;
	enum codec_result result;
} trailer_rows[] = {
	{"X-A", "b\t\xff", CODEC_DONE}, {"X-A", "", CODEC_DONE},      {"X A", "b", CODEC_BAD},
	{"", "b", CODEC_BAD},           {"X-\xc4", "b", CODEC_BAD},    {"X-A", "b\rc", CODEC_BAD},
	{"X-A", "b\x01", CODEC_BAD},    {"content-length", "5", CODEC_BAD}, {"Transfer-Encoding", "chunked", CODEC_BAD},
};

static void test_trailers_check(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof trailer_rows / sizeof *trailer_rows; i++) {
		const struct trailer_row *row = &trailer_rows[i];
		struct arena arena = {0};
		struct fields trailers = {0};
		const char *why = "";
		fields_add(&trailers, &arena, span_of(row->name), span_of(row->value));
		enum codec_result result = codec_trailers_check(&trailers, limits, &why);
		if (result != row->result)
			fail_msg("\"%s\": \"%s\" came %s (%s), should be %s", row->name, row->value, result_names[result], why,
			         result_names[row->result]);
		for (size_t more = 0; more < limits.fields; more++)
			fields_add(&trailers, &arena, SPAN("X-A"), SPAN("b"));
		assert_int_equal(codec_trailers_check(&trailers, limits, &why), CODEC_TOO_MANY);
		arena_free(&arena);
	}
}

struct response_row {
	const char *method, *bytes;
	size_t length;
	enum codec_result result;
	unsigned status;
	enum body_kind kind;
	uint64_t body;
};

static const struct response_row response_rows[] = {
	{"GET", BYTES("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), CODEC_DONE, 200, BODY_LENGTH, 5},
	{"GET", BYTES("HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n"), CODEC_DONE, 200, BODY_LENGTH, 5},
	{"GET", BYTES("HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n"), CODEC_DONE, 200, BODY_LENGTH, 5},
	{"GET", BYTES("HTTP/1.1 404 Not \xc3\xa9 Found\r\nTransfer-Encoding: chunked\r\n\r\n"), CODEC_DONE, 404, BODY_CHUNKED, 0},
	{"GET", BYTES("HTTP/1.1 200 OK\r\n\r\n"), CODEC_DONE, 200, BODY_UNTIL_CLOSE, 0},
	{"GET", BYTES("HTTP/1.0 200 OK\r\n\r\n"), CODEC_DONE, 200, BODY_UNTIL_CLOSE, 0},
	{"HEAD", BYTES("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), CODEC_DONE, 200, BODY_NONE, 0},
	{"HEAD", BYTES("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), CODEC_DONE, 200, BODY_NONE, 0},
	{"GET", BYTES("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"), CODEC_DONE, 304, BODY_NONE, 0},
	{"GET", BYTES("HTTP/1.1 204 No Content\r\n\r\n"), CODEC_DONE, 204, BODY_NONE, 0},
	{"GET", BYTES("HTTP/1.1 100 Continue\r\n\r\n"), CODEC_DONE, 100, BODY_NONE, 0},
	{"GET", BYTES("HTTP/1.1 101 Switching Protocols\r\n\r\n"), CODEC_DONE, 101, BODY_NONE, 0},
	{"GET", BYTES("HTTP/1.1 200 OK\r\nContent-Len"), CODEC_MORE, 0, 0, 0},
	{"GET", BYTES("\r\nHTTP/1.1 200 OK\r\n\r\n"), CODEC_BAD, 0, 0, 0},
	{"GET", BYTES("HTTP/1.1 200 OK\n\n"), CODEC_BAD, 0, 0, 0},
	{"GET", BYTES("HTTP/1.1 20 OK\r\n\r\n"), CODEC_BAD, 0, 0, 0},
	{"GET", BYTES("HTTP/1.1 2000 OK\r\n\r\n"), CODEC_BAD, 0, 0, 0},
	{"GET", BYTES("HTTP/1.1 099 OK\r\n\r\n"), CODEC_BAD, 0, 0, 0},
	{"GET", BYTES("HTTP/1.1 600 OK\r\n\r\n"), CODEC_BAD, 0, 0, 0},
	{"GET", BYTES("HTTP/1.1 +20 OK\r\n\r\n"), CODEC_BAD, 0, 0, 0},
	{"GET", BYTES("HTTP/1.1  200 OK\r\n\r\n"), CODEC_BAD, 0, 0, 0},
	{"GET", BYTES("HTTP/1.1\r\n\r\n"), CODEC_BAD, 0, 0, 0},
	{"GET", BYTES("HTTP/2 200\r\n\r\n"), CODEC_VERSION, 0, 0, 0},
	{"GET", BYTES("ICY 200 OK\r\n\r\n"), CODEC_BAD, 0, 0, 0},
	{"GET", BYTES("\x15\x03\x03\x00\x02\x02\x28"), CODEC_BAD, 0, 0, 0},
	{"GET", BYTES("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"), CODEC_BAD, 0, 0, 0},
	{"GET", BYTES("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"), CODEC_BAD, 0, 0, 0},
	{"GET", BYTES("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"), CODEC_BAD, 0, 0, 0},
	{"GET", BYTES("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), CODEC_BAD, 0, 0, 0},
	{"GET", BYTES("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"), CODEC_BAD, 0, 0, 0},
	{"GET", BYTES("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"), CODEC_CODING, 0, 0, 0},
	{"GET", BYTES("HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n"), CODEC_BAD, 0, 0, 0},
	{"GET", BYTES("HTTP/1.1 200 OK\r\nX: a\r\n\tb\r\n\r\n"), CODEC_BAD, 0, 0, 0},
	{"GET", BYTES("HTTP/1.1 200 OK\r\nX : a\r\n\r\n"), CODEC_BAD, 0, 0, 0},
};

static void test_responses(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof response_rows / sizeof *response_rows; i++) {
		const struct response_row *row = &response_rows[i];
		struct arena arena = {0};
		struct response response;
		size_t used;
		const char *why = "";
		struct span bytes = heap_copy(row->bytes, row->length);
		enum codec_result result =
			codec_response_head(bytes, limits, span_of(row->method), &arena, &response, &used, &why);
		bool same = result != CODEC_DONE || (response.status == row->status && response.body.kind == row->kind &&
		                                     response.body.length == row->body);
		if (result != row->result || !same)
			fail_msg("%s got \"%s\"\ncame %s (%s) %u body %s, should be %s %u body %s", row->method, row->bytes,
			         result_names[result], why, response.status, kind_names[response.body.kind],
			         result_names[row->result], row->status, kind_names[row->kind]);
		free((char *)(uintptr_t)bytes.data);
		arena_free(&arena);
	}
}

/* A head that HTTP/2 brought. */
struct checked_row {
	const char *method;
	unsigned status;
	const char *name, *value; /* of a field; NULL: none */
	bool alone;
	enum codec_result result;
	enum body_kind kind;
	uint64_t body;
};

static const struct checked_row checked_rows[] = {
	{"GET", 200, NULL, NULL, false, CODEC_DONE, BODY_CHUNKED, 0},
	{"GET", 200, NULL, NULL, true, CODEC_DONE, BODY_NONE, 0},
	{"GET", 200, "content-length", "5", false, CODEC_DONE, BODY_LENGTH, 5},
	{"GET", 200, "content-length", "0", true, CODEC_DONE, BODY_LENGTH, 0},
	{"GET", 200, "content-length", "5", true, CODEC_BAD, 0, 0},
	{"GET", 200, "content-length", "5x", false, CODEC_BAD, 0, 0},
	{"HEAD", 200, "content-length", "5", true, CODEC_DONE, BODY_NONE, 0},
	{"GET", 304, "content-length", "5", true, CODEC_DONE, BODY_NONE, 0},
	{"GET", 204, NULL, NULL, true, CODEC_DONE, BODY_NONE, 0},
	{"GET", 103, "link", "</a>", false, CODEC_DONE, BODY_NONE, 0},
	{"GET", 99, NULL, NULL, true, CODEC_BAD, 0, 0},
	{"GET", 600, NULL, NULL, true, CODEC_BAD, 0, 0},
	{"GET", 200, "x y", "1", true, CODEC_BAD, 0, 0},
	{"GET", 200, "x", "a\rb", true, CODEC_BAD, 0, 0},
	{"GET", 200, "transfer-encoding", "gzip", false, CODEC_BAD, 0, 0},
};

static void test_checked_responses(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof checked_rows / sizeof *checked_rows; i++) {
		const struct checked_row *row = &checked_rows[i];
		struct field field = {.name = span_of(row->name), .value = span_of(row->value)};
		struct response response = {.status = row->status, .minor = 1, .fields = {&field, row->name != NULL, 1}};
		const char *why = "";
		enum codec_result result = codec_response_check(&response, span_of(row->method), row->alone, &why);
		bool same = result != CODEC_DONE || (response.body.kind == row->kind && response.body.length == row->body);
		if (result != row->result || !same)
			fail_msg("%s, %u, %s\ncame %s (%s) body %s, should be %s, body %s", row->method, row->status,
			         row->name ? row->value : "no field", result_names[result], why, kind_names[response.body.kind],
			         result_names[row->result], kind_names[row->kind]);
	}
}

struct body_row {
	enum body_kind kind;
	uint64_t length;
	const char *bytes;
	size_t size;
	enum codec_result result;
	const char *content, *trailers;
	size_t rest; /* bytes behind the body */
};

static const struct body_row body_rows[] = {
	{BODY_NONE, 0, BYTES("next"), CODEC_DONE, "", "", 4},
	{BODY_LENGTH, 5, BYTES("hellonext"), CODEC_DONE, "hello", "", 4},
	{BODY_LENGTH, 0, BYTES("next"), CODEC_DONE, "", "", 4},
	{BODY_LENGTH, 50, BYTES("hello"), CODEC_MORE, "hello", "", 0},
	{BODY_UNTIL_CLOSE, 0, BYTES("hello"), CODEC_MORE, "hello", "", 0},
	{BODY_CHUNKED, 0, BYTES("0\r\n\r\nnext"), CODEC_DONE, "", "", 4},
	{BODY_CHUNKED, 0, BYTES("5\r\nhello\r\n0\r\n\r\n"), CODEC_DONE, "hello", "", 0},
	{BODY_CHUNKED, 0, BYTES("5\r\nhello\r\n00a\r\n, my world\r\n0000\r\n\r\nx"), CODEC_DONE, "hello, my world", "", 1},
	{BODY_CHUNKED, 0, BYTES("5;a=\"b\";c\r\nhello\r\n0;x\r\n\r\n"), CODEC_DONE, "hello", "", 0},
	{BODY_CHUNKED, 0, BYTES("A\r\n0123456789\r\n0\r\nX: 1\r\nY:2 \r\n\r\nnext"), CODEC_DONE, "0123456789", "X=1 Y=2 ", 4},
	{BODY_CHUNKED, 0, BYTES("5\r\nhel"), CODEC_MORE, "hel", "", 0},
	{BODY_CHUNKED, 0, BYTES("5\r\nhello\r\n0\r\nX: 1\r\n"), CODEC_MORE, "hello", "X=1 ", 0},
	{BODY_CHUNKED, 0, BYTES("5\nhello\r\n0\r\n\r\n"), CODEC_BAD, "", "", 0},
	{BODY_CHUNKED, 0, BYTES("5 \r\nhello\r\n0\r\n\r\n"), CODEC_BAD, "", "", 0},
	{BODY_CHUNKED, 0, BYTES(" 5\r\nhello\r\n0\r\n\r\n"), CODEC_BAD, "", "", 0},
	{BODY_CHUNKED, 0, BYTES("0x5\r\nhello\r\n0\r\n\r\n"), CODEC_BAD, "", "", 0},
	{BODY_CHUNKED, 0, BYTES("+5\r\nhello\r\n0\r\n\r\n"), CODEC_BAD, "", "", 0},
	{BODY_CHUNKED, 0, BYTES("-5\r\nhello\r\n0\r\n\r\n"), CODEC_BAD, "", "", 0},
	{BODY_CHUNKED, 0, BYTES("\r\nhello\r\n0\r\n\r\n"), CODEC_BAD, "", "", 0},
	{BODY_CHUNKED, 0, BYTES(";a\r\nhello\r\n0\r\n\r\n"), CODEC_BAD, "", "", 0},
	{BODY_CHUNKED, 0, BYTES("10000000000000005\r\nhello\r\n0\r\n\r\n"), CODEC_BAD, "", "", 0},
	{BODY_CHUNKED, 0, BYTES("5;a\x01\r\nhello\r\n0\r\n\r\n"), CODEC_BAD, "", "", 0},
	{BODY_CHUNKED, 0, BYTES("5;a\nb\r\nhello\r\n0\r\n\r\n"), CODEC_BAD, "", "", 0},
	{BODY_CHUNKED, 0, BYTES("5\r\nhelloX\r\n0\r\n\r\n"), CODEC_BAD, "hello", "", 0},
	{BODY_CHUNKED, 0, BYTES("5\r\nhello\n0\r\n\r\n"), CODEC_BAD, "hello", "", 0},
	{BODY_CHUNKED, 0, BYTES("5\r\nhello\rX0\r\n\r\n"), CODEC_BAD, "hello", "", 0},
	{BODY_CHUNKED, 0, BYTES("0\r\nX : 1\r\n\r\n"), CODEC_BAD, "", "", 0},
	{BODY_CHUNKED, 0, BYTES("0\r\nX: 1\n\r\n"), CODEC_BAD, "", "", 0},
	{BODY_CHUNKED, 0, BYTES("0\r\n folded\r\n\r\n"), CODEC_BAD, "", "", 0},
	{BODY_CHUNKED, 0, BYTES("0\r\nContent-Length: 5\r\n\r\n"), CODEC_BAD, "", "", 0},
	{BODY_CHUNKED, 0, BYTES("0\r\n1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n6:\r\n7:\r\n8:\r\n9:\r\n\r\n"), CODEC_TOO_MANY, "",
	 "1= 2= 3= 4= 5= 6= 7= 8= ", 0},
	{BODY_CHUNKED, 0, BYTES("0\r\nX: " LONG_60 LONG_60 LONG_60 LONG_60 LONG_60 LONG_60 LONG_60), CODEC_TOO_LARGE, "", "", 0},
	{BODY_CHUNKED, 0, BYTES("5;" LONG_60 LONG_60 LONG_60 LONG_60 LONG_60), CODEC_BAD, "", "", 0},
};

static void trailers_text(const struct fields *trailers, struct buffer *text)
{
	for (size_t i = 0; i < trailers->count; i++)
		buffer_format(text, "%.*s=%.*s ", SPAN_ARGS(trailers->list[i].name), SPAN_ARGS(trailers->list[i].value));
}

/* Feeds the body in pieces of `step` bytes, what was not used again with the next piece. */
static void check_body(const struct body_row *row, size_t step)
{
	AUTO_BUFFER struct buffer content = {0}, trailers_seen = {0};
	struct arena arena = {0};
	struct codec_body body;
	struct fields trailers = {0};
	const char *why = "";
	size_t start = 0, end = 0;
	enum codec_result result = CODEC_MORE;
	codec_body_start(&body, (struct body_framing){row->kind, row->length}, limits);
	buffer_string(&content, "");
	while (result == CODEC_MORE && end < row->size) {
		end = end + step < row->size ? end + step : row->size;
		size_t used = 1;
		while (result == CODEC_MORE && used > 0) {
			struct span data, bytes = heap_copy(row->bytes + start, end - start);
			result = codec_body_take(&body, bytes, &data, &used, &trailers, &arena, &why);
			buffer_span(&content, data);
			start += used;
			free((char *)(uintptr_t)bytes.data);
		}
	}
	buffer_string(&trailers_seen, "");
	trailers_text(&trailers, &trailers_seen);
	bool rest_right = result != CODEC_DONE || row->size - start <= row->rest;
	if (result != row->result || strcmp(content.data, row->content) != 0 ||
	    strcmp(trailers_seen.data, row->trailers) != 0 || !rest_right)
		fail_msg("body \"%s\" in steps of %zu\ncame %s (%s) \"%s\" trailers \"%s\"\nshould be %s \"%s\" \"%s\"", row->bytes,
		         step, result_names[result], why, content.data, trailers_seen.data, result_names[row->result],
		         row->content, row->trailers);
	assert_int_equal(codec_body_may_end(&body), result == CODEC_DONE || row->kind == BODY_UNTIL_CLOSE);
	arena_free(&arena);
}

static void test_bodies(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof body_rows / sizeof *body_rows; i++)
		for (size_t step = 1; step <= body_rows[i].size; step++)
			check_body(&body_rows[i], step);
}

static void expect_text(struct buffer *out, const char *wanted)
{
	assert_string_equal(out->data, wanted);
	assert_int_equal(out->length, strlen(wanted));
	buffer_clear(out);
}

static void test_writing(void **state)
{
	AUTO_BUFFER struct buffer out = {0};
	struct arena arena = {0};
	struct request request = {.method = SPAN("POST"), .target = SPAN("/v1?a"), .body = {BODY_LENGTH, 1234567890123}};
	struct response response = {404, 1, SPAN("Not Found"), {0}, {BODY_CHUNKED, 0}};
	(void)state;
	fields_add(&request.fields, &arena, SPAN("Host"), SPAN("h"));
	codec_write_request(&request, &out);
	expect_text(&out, "POST /v1?a HTTP/1.1\r\nHost: h\r\nContent-Length: 1234567890123\r\n\r\n");
	request.body = (struct body_framing){BODY_CHUNKED, 0};
	codec_write_request(&request, &out);
	expect_text(&out, "POST /v1?a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
	request.body = (struct body_framing){BODY_NONE, 0};
	codec_write_request(&request, &out);
	expect_text(&out, "POST /v1?a HTTP/1.1\r\nHost: h\r\n\r\n");
	codec_write_response(&response, 1, false, &out);
	expect_text(&out, "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n");
	codec_write_response(&response, 0, true, &out);
	expect_text(&out, "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n");
	response.body = (struct body_framing){BODY_LENGTH, 0};
	codec_write_response(&response, 1, true, &out);
	expect_text(&out, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	codec_write_piece(&response, 1, SPAN("ab"), &out);
	codec_write_end(&response, 1, &request.fields, &out);
	expect_text(&out, "ab");
	response.body = (struct body_framing){BODY_UNTIL_CLOSE, 0};
	codec_write_response(&response, 1, false, &out);
	codec_write_piece(&response, 1, SPAN("ab"), &out);
	codec_write_end(&response, 1, &request.fields, &out);
	expect_text(&out, "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nHost: h\r\n\r\n");
	assert_false(codec_ends_by_close(&response, 1));
	codec_write_response(&response, 0, false, &out);
	codec_write_piece(&response, 0, SPAN("ab"), &out);
	codec_write_end(&response, 0, &request.fields, &out);
	expect_text(&out, "HTTP/1.1 404 Not Found\r\n\r\nab");
	assert_true(codec_ends_by_close(&response, 0));
	codec_write_last_chunk(NULL, &out);
	expect_text(&out, "0\r\n\r\n");
	codec_write_last_chunk(&request.fields, &out);
	expect_text(&out, "0\r\nHost: h\r\n\r\n");
	arena_free(&arena);
}

static void test_chunk_heads(void **state)
{
	static const struct {
		uint64_t size;
		const char *text;
	} rows[] = {{1, "1\r\n"},   {15, "f\r\n"},           {16, "10\r\n"},
	            {500, "1f4\r\n"}, {0x100000, "100000\r\n"}, {UINT64_MAX, "ffffffffffffffff\r\n"}};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char out[20];
		size_t length = codec_chunk_head(rows[i].size, out);
		assert_int_equal(length, strlen(rows[i].text));
		assert_memory_equal(out, rows[i].text, length);
	}
}

/* Looked at eight bytes at a time: each place in lines of many lengths. */
static void test_control_characters(void **state)
{
	static const char refused[] = "\x01\x1f\x7f\r\n", allowed[] = "\t \x80\xff~";
	(void)state;
	for (size_t length = 1; length < 40; length++)
		for (size_t at = 0; at < length; at++) {
			AUTO_FREE char *line = memory_array(length, 1);
			memset(line, 'a', length);
			for (size_t i = 0; i < 5; i++) {
				line[at] = refused[i];
				assert_non_null(codec_line_fault((struct span){line, length}));
				line[at] = allowed[i];
				assert_null(codec_line_fault((struct span){line, length}));
			}
			line[at] = 0;
			assert_string_equal(codec_line_fault((struct span){line, length}), "has a NUL");
		}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),  cmocka_unit_test(test_request_parts_of_a_head),
		cmocka_unit_test(test_request_check),
		cmocka_unit_test(test_trailers_check), cmocka_unit_test(test_responses), cmocka_unit_test(test_checked_responses),
		cmocka_unit_test(test_bodies),    cmocka_unit_test(test_writing),
		cmocka_unit_test(test_chunk_heads), cmocka_unit_test(test_control_characters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
