/* Signed chunks, held against the examples that AWS published: every signature of theirs comes out of a body in which the
 * agent's stand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "memory.h"
#include "secret.h"
#include "sigv4_chunks.h"

#define AGENT "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"
#define HEAD(size, signature) size ";chunk-signature=" signature "\r\n"

/* A body with the agent's signatures, "@" for 1024 times "a", and what goes out. */
struct row {
	const char *seed, *body, *out;
	bool trailers;
};

#define KIB64 "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@"
#define PLAIN_SEED "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
#define TRAILER_SEED "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
#define PLAIN(a, b, c) HEAD("10000", a) KIB64 "\r\n" HEAD("400", b) "@\r\n" HEAD("0", c) "\r\n"
#define TRAILED(a, b, c, d, end) TRAILED_BY(a, b, c, d, "x-amz-checksum-crc32c:sOO8/Q==" end)
#define TRAILED_BY(a, b, c, d, lines) \
	HEAD("10000", a) KIB64 "\r\n" HEAD("400", b) "@\r\n" HEAD("0", c) lines \
	"x-amz-trailer-signature:" d "\r\n\r\n"
#define PLAIN_OUT \
	PLAIN("ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648", \
	      "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497", \
	      "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9")
#define TRAILED_OUT(end) TRAILED_OUT_BY("x-amz-checksum-crc32c:sOO8/Q==" end)
#define TRAILED_OUT_BY(lines) \
	TRAILED_BY("b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2", \
	        "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7", \
	        "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992", TRAILER_SIGNATURE, lines)
#define TRAILER_SIGNATURE "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"

static const struct row rows[] = {
	{PLAIN_SEED, PLAIN(AGENT, AGENT, AGENT), PLAIN_OUT, false},
	{TRAILER_SEED, TRAILED(AGENT, AGENT, AGENT, AGENT, "\r\n"), TRAILED_OUT("\r\n"), true},
	{TRAILER_SEED, TRAILED(AGENT, AGENT, AGENT, AGENT, "\n"), TRAILED_OUT("\n"), true},
	{TRAILER_SEED, TRAILED(AGENT, AGENT, AGENT, AGENT, "\n\r\n"), TRAILED_OUT("\n\r\n"), true},
	{TRAILER_SEED, TRAILED_BY(AGENT, AGENT, AGENT, AGENT, "X-Amz-Checksum-CRC32C: sOO8/Q== \r\n"),
	 TRAILED_OUT_BY("X-Amz-Checksum-CRC32C: sOO8/Q== \r\n"), true},
};

static struct sigv4_chunks start_chunks(const char *seed, bool trailers)
{
	struct sigv4_chunks chunks = {.scope = {"20130524T000000Z", SPAN("us-east-1"), SPAN("s3")}};
	sigv4_derive(NULL, SPAN("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), &chunks.scope, chunks.key);
	memcpy(chunks.previous, seed, SHA256_HEX);
	sigv4_chunks_start(&chunks, trailers);
	return chunks;
}

static struct buffer fill(const char *text)
{
	struct buffer out = {0};
	for (; *text; text++)
		for (size_t i = 0; i < (*text == '@' ? 1024 : 1); i++)
			buffer_char(&out, *text == '@' ? 'a' : *text);
	return out;
}

/* Hands on by `pace` bytes. */
static void hand_on(struct sigv4_chunks *chunks, size_t pace, struct buffer *out)
{
	for (;;) {
		struct span ready = span_head(sigv4_chunks_ready(chunks), pace);
		if (ready.length == 0)
			return;
		buffer_span(out, ready);
		sigv4_chunks_handed(chunks, ready.length);
	}
}

/* Given by `pace` bytes. False with chunks->wrong. */
static bool run(struct sigv4_chunks *chunks, struct span body, size_t pace, struct buffer *out)
{
	while (body.length > 0) {
		size_t taken = sigv4_chunks_take(chunks, span_head(body, pace));
		if (chunks->wrong)
			return false;
		body = span_from(body, taken);
		hand_on(chunks, pace, out);
	}
	bool whole = sigv4_chunks_finish(chunks);
	hand_on(chunks, pace, out);
	return whole;
}

static void test_examples(void **state)
{
	static const size_t paces[] = {1, 7, 1000, 65536, 1 << 20};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (size_t k = 0; k < sizeof paces / sizeof *paces; k++) {
			AUTO_WIPE struct buffer body = fill(rows[i].body), out = {0}, expected = fill(rows[i].out);
			struct sigv4_chunks chunks = start_chunks(rows[i].seed, rows[i].trailers);
			if (!run(&chunks, buffer_view(&body), paces[k], &out))
				fail_msg("row %zu: %s", i, chunks.wrong);
			if (!span_equal(buffer_view(&out), buffer_view(&expected)))
				fail_msg("row %zu, by %zu: …%s", i, paces[k], out.data + out.length - 300);
			assert_int_equal(out.length, body.length);
			sigv4_chunks_end(&chunks);
		}
}

/* Bodies that go on nowhere; of these, what went out before is signed, and the end never comes. */
static const struct {
	const char *body, *wrong;
	bool trailers;
} broken[] = {
	{"", "the body ends in the middle of a chunk", false},
	{HEAD("1", AGENT), "the body ends in the middle of a chunk", false},
	{HEAD("1", AGENT) "x\r\n", "the body ends in the middle of a chunk", false},
	{HEAD("1", AGENT) "x\r\n" HEAD("0", AGENT), "the body ends in the middle of a chunk", false},
	{HEAD("1", AGENT) "xy\r\n", "a chunk does not end where its size says", false},
	{HEAD("0", AGENT) "\r\nx", "something follows the last chunk", false},
	{HEAD("0", AGENT) "x:y\r\n", "a chunk does not end where its size says", false},
	{"1\r\nx\r\n0\r\n\r\n", "a chunk's line is not SIZE;chunk-signature=SIGNATURE", false},
	{"1;chunk-signature=" AGENT "\nx", "a chunk's line does not end in CRLF", false},
	{HEAD("1", "0" AGENT) "x", "a chunk's line is not SIZE;chunk-signature=SIGNATURE", false},
	{HEAD("", AGENT) "x", "a chunk's line is not SIZE;chunk-signature=SIGNATURE", false},
	{"1;chunk-signature=" AGENT ";x=y\r\n", "a chunk's line is not SIZE;chunk-signature=SIGNATURE", false},
	{HEAD("20001", AGENT), "a signed chunk is longer than 128 KiB", false},
	{HEAD("100000000000000001", AGENT), "a signed chunk is longer than 128 KiB", false},
	{HEAD("00000000000000000000000000000000000000000000001", AGENT),
	 "a chunk's line is not SIZE;chunk-signature=SIGNATURE", false},
	{HEAD("0", AGENT), "the signed trailers have no x-amz-trailer-signature", true},
	{HEAD("0", AGENT) "a:b\r\n\r\n", "the signed trailers have no x-amz-trailer-signature", true},
	{HEAD("0", AGENT) "x-amz-trailer-signature:" AGENT "\r\na:b\r\n\r\n",
	 "the signed trailers are not name:value lines and x-amz-trailer-signature:SIGNATURE", true},
	{HEAD("0", AGENT) "x-amz-trailer-signature:00\r\n\r\n",
	 "the signed trailers are not name:value lines and x-amz-trailer-signature:SIGNATURE", true},
	{HEAD("0", AGENT) "a b:c\r\nx-amz-trailer-signature:" AGENT "\r\n\r\n",
	 "the signed trailers are not name:value lines and x-amz-trailer-signature:SIGNATURE", true},
	{HEAD("0", AGENT) "@@@@@@@@@", "the signed trailers are longer than 8 KiB", true},
};

static void test_broken(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
		for (size_t pace = 1; pace < 2000; pace += 999) {
			AUTO_WIPE struct buffer body = fill(broken[i].body), out = {0};
			struct sigv4_chunks chunks = start_chunks(PLAIN_SEED, broken[i].trailers);
			if (run(&chunks, buffer_view(&body), pace, &out) || strcmp(chunks.wrong, broken[i].wrong) != 0)
				fail_msg("row %zu, by %zu: %s", i, pace, chunks.wrong ? chunks.wrong : "went on");
			assert_null(memmem(buffer_view(&out).data, out.length, AGENT, SHA256_HEX));
			sigv4_chunks_end(&chunks);
		}
}

static int start(void **state)
{
	(void)state;
	return secret_start(NULL) ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples),
		cmocka_unit_test(test_broken),
	};
	return cmocka_run_group_tests(tests, start, NULL);
}
