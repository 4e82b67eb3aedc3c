/* A client's first bytes inside a tunnel. What is decided stays decided, whatever follows and however it is cut. */
#include <stdint.h>
#include <stdlib.h>

#include "buffer.h"
#include "client_hello.h"
#include "first_bytes.h"

#define require(what)    \
	do {                 \
		if (!(what))     \
			abort();     \
	} while (0)

static enum hello_result read_hello(struct span bytes, struct client_hello *hello)
{
	struct arena arena = {0};
	const char *why = NULL;
	enum hello_result result = client_hello_read(bytes, &arena, hello, &why);
	arena_free(&arena);
	require((result == HELLO_BAD) == (why != NULL));
	require(result != HELLO_MORE || hello->wanted > bytes.length);
	require(result == HELLO_DONE || !hello->named || result == HELLO_BAD);
	return result;
}

/* The handshake message that the records carry, in records of one byte each. */
static void cut(struct span bytes, struct buffer *out)
{
	while (bytes.length >= 5) {
		size_t length = (size_t)(unsigned char)bytes.data[3] << 8 | (unsigned char)bytes.data[4];
		struct span content = span_head(span_from(bytes, 5), length);
		for (size_t i = 0; i < content.length; i++) {
			buffer_append(out, "\x16\x03\x01\x00\x01", 5);
			buffer_char(out, content.data[i]);
		}
		bytes = span_from(bytes, 5 + length);
	}
}

static void hold_to_name(struct span bytes, const struct client_hello *hello)
{
	AUTO_BUFFER struct buffer small = {0};
	struct client_hello again;
	struct host host;
	cut(bytes, &small);
	require(read_hello(buffer_view(&small), &again) == HELLO_DONE);
	require(again.named == hello->named);
	if (!hello->named)
		return;
	require(host_equal(&again.name, &hello->name) && hello->name.kind == HOST_NAME);
	require(host_parse(host_span(&hello->name), &host, NULL) && host_equal(&host, &hello->name));
}

static void hold_to_first(struct span bytes)
{
	for (int named = 0; named < 2; named++) {
		enum first_bytes before = FIRST_UNDECIDED;
		for (size_t length = 0; length <= bytes.length && length < 64; length++) {
			enum first_bytes now = first_bytes_judge(span_head(bytes, length), named);
			require(before == FIRST_UNDECIDED || now == before);
			before = now;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span bytes = {(const char *)data, size};
	struct client_hello hello, early;
	enum hello_result result = read_hello(bytes, &hello);
	hold_to_first(bytes);
	if (size > 0) {
		enum hello_result before = read_hello(span_head(bytes, size - 1), &early);
		require(before == HELLO_MORE || before == result);
		require(before != HELLO_DONE || (early.named == hello.named && host_equal(&early.name, &hello.name)));
	}
	if (result == HELLO_DONE)
		hold_to_name(bytes, &hello);
	return 0;
}
