#include "client_hello.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "buffer.h"

/* --- what hellos are made of --- */

static void number(struct buffer *out, size_t size, size_t value)
{
	while (size-- > 0)
		buffer_char(out, (char)(value >> 8 * size));
}

static void vector(struct buffer *out, size_t size, struct span content)
{
	number(out, size, content.length);
	buffer_span(out, content);
}

/* The content of a server_name extension. */
static void name_list(struct buffer *out, unsigned type, struct span name)
{
	AUTO_BUFFER struct buffer entry = {0};
	number(&entry, 1, type);
	vector(&entry, 2, name);
	vector(out, 2, buffer_view(&entry));
}

static void extension(struct buffer *out, unsigned type, struct span content)
{
	number(out, 2, type);
	vector(out, 2, content);
}

static void server_name(struct buffer *out, const char *name)
{
	AUTO_BUFFER struct buffer list = {0};
	name_list(&list, 0, span_of(name));
	extension(out, 0, buffer_view(&list));
}

/* A handshake message of this type around a hello with these extensions (data NULL: without that part), and `tail`. */
static void message(struct buffer *out, unsigned type, struct span extensions, struct span tail)
{
	static const char random[32] = "0123456789abcdef0123456789abcdef";
	AUTO_BUFFER struct buffer hello = {0};
	number(&hello, 2, 0x0303);
	buffer_append(&hello, random, sizeof random);
	vector(&hello, 1, SPAN("session"));
	vector(&hello, 2, SPAN("\x13\x01\x13\x02"));
	vector(&hello, 1, (struct span){"", 1});
	if (extensions.data)
		vector(&hello, 2, extensions);
	buffer_span(&hello, tail);
	number(out, 1, type);
	vector(out, 3, buffer_view(&hello));
}

/* Cuts `content` into records of `size` bytes. */
static void records(struct buffer *out, struct span content, size_t size)
{
	while (content.length > 0) {
		number(out, 1, 22);
		number(out, 2, 0x0301);
		vector(out, 2, span_head(content, size));
		content = span_from(content, size);
	}
}

static void whole(struct buffer *out, struct span extensions, size_t size)
{
	AUTO_BUFFER struct buffer hello = {0};
	message(&hello, 1, extensions, SPAN(""));
	records(out, buffer_view(&hello), size);
}

static enum hello_result read_hello(struct span bytes, struct client_hello *hello, const char **why)
{
	struct arena arena = {0};
	enum hello_result result = client_hello_read(bytes, &arena, hello, why);
	arena_free(&arena);
	return result;
}

/* --- tests --- */

static void named(struct buffer *out, const char *name)
{
	extension(out, 0x0a0a, SPAN("grease"));
	server_name(out, name);
	extension(out, 16, SPAN("alpn"));
}

static void expect_name(const char *name, const char *canonical)
{
	AUTO_BUFFER struct buffer extensions = {0}, bytes = {0};
	struct client_hello hello;
	const char *why;
	named(&extensions, name);
	whole(&bytes, buffer_view(&extensions), 16384);
	enum hello_result result = read_hello(buffer_view(&bytes), &hello, &why);
	if (!canonical) {
		assert_int_equal(result, HELLO_BAD);
		assert_non_null(why);
		return;
	}
	assert_int_equal(result, HELLO_DONE);
	assert_true(hello.named);
	assert_string_equal(hello.name.name, canonical);
}

static void test_names(void **state)
{
	(void)state;
	expect_name("api.example.com", "api.example.com");
	expect_name("API.Example.COM", "api.example.com");
	expect_name("api.example.com.", "api.example.com");
	expect_name("", NULL);
	expect_name("192.0.2.1", NULL);
	expect_name("[2001:db8::1]", NULL);
	expect_name("2001:db8::1", NULL);
	expect_name("api.example.com:443", NULL);
	expect_name("0x7f000001", NULL);
	expect_name("a b", NULL);
	expect_name("a..b", NULL);
	expect_name("user@api.example.com", NULL);
}

static void test_nul_in_name(void **state)
{
	AUTO_BUFFER struct buffer list = {0}, extensions = {0}, bytes = {0};
	struct client_hello hello;
	const char *why;
	(void)state;
	name_list(&list, 0, SPAN("a.test\0.b.test"));
	extension(&extensions, 0, buffer_view(&list));
	whole(&bytes, buffer_view(&extensions), 16384);
	assert_int_equal(read_hello(buffer_view(&bytes), &hello, &why), HELLO_BAD);
}

static void test_without_name(void **state)
{
	AUTO_BUFFER struct buffer extensions = {0}, bytes = {0}, bare = {0};
	struct client_hello hello;
	const char *why;
	(void)state;
	extension(&extensions, 16, SPAN("alpn"));
	whole(&bytes, buffer_view(&extensions), 16384);
	assert_int_equal(read_hello(buffer_view(&bytes), &hello, &why), HELLO_DONE);
	assert_false(hello.named);
	whole(&bare, (struct span){NULL, 0}, 16384);
	assert_int_equal(read_hello(buffer_view(&bare), &hello, &why), HELLO_DONE);
	assert_false(hello.named);
}

/* However it is cut, and wherever it ends so far: nothing is decided early, and nothing is asked for that is not needed. */
static void test_records_and_pieces(void **state)
{
	static const size_t sizes[] = {1, 2, 3, 4, 5, 7, 50, 16384};
	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		AUTO_BUFFER struct buffer extensions = {0}, bytes = {0};
		struct client_hello hello;
		const char *why;
		named(&extensions, "api.example.com");
		whole(&bytes, buffer_view(&extensions), sizes[i]);
		struct span all = buffer_view(&bytes);
		for (size_t length = 0; length < all.length; length++) {
			assert_int_equal(read_hello(span_head(all, length), &hello, &why), HELLO_MORE);
			assert_in_range(hello.wanted, length + 1, all.length);
		}
		assert_int_equal(read_hello(all, &hello, &why), HELLO_DONE);
		assert_string_equal(hello.name.name, "api.example.com");
		buffer_string(&bytes, "\x14\x03\x03");
		assert_int_equal(read_hello(buffer_view(&bytes), &hello, &why), HELLO_DONE);
	}
}

static void expect_bad(struct span bytes, const char *wanted)
{
	struct client_hello hello;
	const char *why = NULL;
	assert_int_equal(read_hello(bytes, &hello, &why), HELLO_BAD);
	assert_string_equal(why, wanted);
}

static void test_two_names(void **state)
{
	AUTO_BUFFER struct buffer twice = {0}, bytes = {0}, entries = {0}, list = {0}, extensions = {0}, both = {0};
	(void)state;
	server_name(&twice, "a.test");
	server_name(&twice, "a.test");
	whole(&bytes, buffer_view(&twice), 16384);
	expect_bad(buffer_view(&bytes), "has two server_name extensions");
	for (unsigned i = 0; i < 2; i++) {
		number(&entries, 1, 0);
		vector(&entries, 2, i ? SPAN("a.test") : SPAN("b.test"));
	}
	vector(&list, 2, buffer_view(&entries));
	extension(&extensions, 0, buffer_view(&list));
	whole(&both, buffer_view(&extensions), 16384);
	expect_bad(buffer_view(&both), "has another server_name than one host_name");
}

static void test_malformed(void **state)
{
	AUTO_BUFFER struct buffer other = {0}, tail = {0}, extensions = {0}, list = {0}, bytes = {0};
	(void)state;
	name_list(&list, 1, SPAN("a.test"));
	extension(&extensions, 0, buffer_view(&list));
	whole(&bytes, buffer_view(&extensions), 16384);
	expect_bad(buffer_view(&bytes), "has another server_name than one host_name");
	buffer_clear(&bytes);
	message(&other, 2, (struct span){NULL, 0}, SPAN(""));
	records(&bytes, buffer_view(&other), 16384);
	expect_bad(buffer_view(&bytes), "is another message than a ClientHello");
	buffer_clear(&bytes);
	message(&tail, 1, SPAN(""), SPAN("x"));
	records(&bytes, buffer_view(&tail), 16384);
	expect_bad(buffer_view(&bytes), "has malformed extensions");
	expect_bad(SPAN("\x16\x03\x01\x00\x00"), "has a record without content, or with too much");
	expect_bad(SPAN("\x16\x03\x01\x40\x01"), "has a record without content, or with too much");
	expect_bad(SPAN("\x16\x02"), "is of no version of TLS");
	expect_bad(SPAN("\x16\x03\x01\x00\x04\x01\x00\x00\x00"), "is shorter than its parts");
	expect_bad(SPAN("\x16\x03\x01\x00\x05\x01\x00\x00\x00\x00"), "shares its record with another message");
	expect_bad(SPAN("\x16\x03\x01\x00\x01\x01\x17"), "is cut by a record that is no handshake");
}

/* A length within that leads beyond what is around it. */
static void test_lengths(void **state)
{
	AUTO_BUFFER struct buffer extensions = {0}, bytes = {0};
	(void)state;
	named(&extensions, "api.example.com");
	whole(&bytes, buffer_view(&extensions), 16384);
	for (size_t i = 9; i < bytes.length; i++) {
		struct client_hello hello;
		const char *why;
		char before = bytes.data[i];
		bytes.data[i] = (char)0xff;
		enum hello_result result = read_hello(buffer_view(&bytes), &hello, &why);
		if (result == HELLO_DONE && hello.named)
			assert_string_equal(hello.name.name, "api.example.com");
		assert_true(result != HELLO_MORE);
		bytes.data[i] = before;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),     cmocka_unit_test(test_nul_in_name),
		cmocka_unit_test(test_without_name), cmocka_unit_test(test_records_and_pieces),
		cmocka_unit_test(test_two_names), cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_lengths),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
