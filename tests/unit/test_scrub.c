/* The search for secrets: each form, held-back ends, and the same result however the body is cut. */
#include "scrub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <zlib.h>

#include "memory.h"

static const char odd[] = "%\\\"/+ &=<>\t\xc3\xa9";

/* A small generator of its own: a failure tells its seed. */
static uint32_t state;

static uint32_t draw(uint32_t below)
{
	state = state * 1664525u + 1013904223u;
	return (state >> 8) % below;
}

static struct needle_set set_of(struct arena *arena, const char *first, const char *second)
{
	struct needle_set set = {0};
	needle_add(&set, arena, span_of(first));
	if (second)
		needle_add(&set, arena, span_of(second));
	needle_learn(&set, arena_alloc(arena, sizeof(struct needle_steps)));
	return set;
}

struct row {
	const char *text, *masked;
};

static void check_rows(const char *secret, const char *other, const struct row *rows, size_t count)
{
	struct arena arena = {0};
	struct needle_set set = set_of(&arena, secret, other);
	for (size_t i = 0; i < count; i++) {
		uint64_t finds = 0;
		AUTO_FREE char *text = memory_string(rows[i].text);
		assert_int_equal(needle_mask(&set, text, strlen(text), true, &finds), strlen(text));
		assert_string_equal(text, rows[i].masked);
		assert_int_equal(finds > 0, strcmp(rows[i].text, rows[i].masked) != 0);
	}
	arena_free(&arena);
}

static void test_plain(void **unused)
{
	static const struct row rows[] = {
		{"sk-secret-1", "***********"},
		{"a sk-secret-1sk-secret-1 b", "a ********************** b"},
		{"sk-secret-", "sk-secret-"},
		{"k-secret-1", "k-secret-1"},
		{"sk-sk-secret-1", "sk-***********"},
		{"SK-SECRET-1", "SK-SECRET-1"},
		{"", ""},
	};
	(void)unused;
	check_rows("sk-secret-1", NULL, rows, sizeof rows / sizeof *rows);
}

static void test_forms(void **unused)
{
	static const struct row rows[] = {
		{"ab+/c\"\\d e", "**********"},
		{"ab%2B%2Fc%22%5Cd%20e", "********************"},
		{"ab%2b%2fc%22%5cd+e", "******************"},
		{"ab+\\/c\\\"\\\\d e", "*************"},
		{"ab\\u002B\\u002fc\\u0022\\u005Cd\\u0020e", "***********************************"},
		{"ab+%2Fc%22%5Cd e", "****************"},
		{"ab%2B%2Fc%22%5Cd%20", "ab%2B%2Fc%22%5Cd%20"},
		{"%61b%2B%2Fc%22%5Cd%20e", "%61b%2B%2Fc%22%5Cd%20e"}, /* nobody escapes a letter */
	};
	(void)unused;
	check_rows("ab+/c\"\\d e", NULL, rows, sizeof rows / sizeof *rows);
}

static void test_tilde(void **unused)
{
	static const struct row rows[] = {
		{"key~12345", "*********"},
		{"key%7E12345", "***********"},
		{"key%7e12345~", "***********~"},
	};
	(void)unused;
	check_rows("key~12345", NULL, rows, sizeof rows / sizeof *rows);
}

static void test_without_an_anchor(void **unused)
{
	static const struct row rows[] = {
		{"x++++++++y", "x********y"},
		{"%2B%2B%2B%2B%2B%2B%2B%2B", "************************"},
		{"+++++++", "+++++++"},
	};
	(void)unused;
	check_rows("++++++++", NULL, rows, sizeof rows / sizeof *rows);
}

static void test_one_within_the_other(void **unused)
{
	static const struct row rows[] = {
		{"key-12345678", "************"},
		{"key-12345678-and-more", "*********************"},
		{"key-12345678-and-mor", "************-and-mor"},
	};
	(void)unused;
	check_rows("key-12345678", "key-12345678-and-more", rows, sizeof rows / sizeof *rows);
}

static void test_no_ascii(void **unused)
{
	static const struct row rows[] = {
		{"caf\xc3\xa9-secret", "************"},
		{"caf\\u00e9-secret", "****************"},
		{"caf%C3%A9-secret", "****************"},
		{"caf\\u00e8-secret", "caf\\u00e8-secret"},
	};
	(void)unused;
	check_rows("caf\xc3\xa9-secret", NULL, rows, sizeof rows / sizeof *rows);
}

static void test_short_and_long(void **unused)
{
	struct arena arena = {0};
	struct needle_set set = set_of(&arena, "1234567", NULL);
	(void)unused;
	assert_int_equal(set.count, 0);
	char text[1301] = {0}, copy[1301];
	for (size_t i = 0; i < sizeof text - 1; i++)
		text[i] = (char)('a' + i * i % 23);
	needle_add(&set, &arena, span_of(text));
	assert_int_equal(set.count, 3);
	assert_true(set.reach <= 6 * NEEDLE_PIECE);
	uint64_t finds = 0;
	memcpy(copy, text, sizeof copy);
	needle_mask(&set, copy, sizeof copy - 1, true, &finds);
	assert_int_equal(strspn(copy, "*"), sizeof copy - 1);
	needle_add(&set, &arena, span_of(text));
	assert_int_equal(set.count, 3);
	arena_free(&arena);
}

static void test_undecided(void **unused)
{
	struct arena arena = {0};
	struct needle_set set = set_of(&arena, "se+cret-key", NULL);
	static const struct {
		const char *text;
		size_t undecided;
	} rows[] = {
		{"abc", 0}, {"abcs", 1}, {"se+cret-ke", 10}, {"xse%2", 4}, {"se%2Bcret", 9}, {"se%2Ccret", 0}, {"se\\u002", 7},
		{"se+cret-key", 0}, {"data\n\n", 0}, {"", 0},
	};
	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_int_equal(needle_undecided(&set, span_of(rows[i].text)), rows[i].undecided);
	arena_free(&arena);
}

static void test_replace(void **unused)
{
	struct arena arena = {0};
	struct needle_set set = set_of(&arena, "se+cret-key", NULL);
	uint64_t finds = 0;
	struct span plain = SPAN("nothing"), out = needle_replace(&set, plain, &arena, &finds);
	(void)unused;
	assert_ptr_equal(out.data, plain.data);
	out = needle_replace(&set, SPAN("a=se+cret-key;b=se%2Bcret-key"), &arena, &finds);
	assert_true(span_equal(out, SPAN("a=[secret];b=[secret]")));
	assert_int_equal(finds, 2);
	arena_free(&arena);
}

/* One begins within the other: nothing of either stays. */
static void test_replace_overlapping(void **unused)
{
	struct arena arena = {0};
	struct needle_set set = set_of(&arena, "abcdefgh-1", "efgh-1zzzz");
	uint64_t finds = 0;
	(void)unused;
	struct span out = needle_replace(&set, SPAN("x abcdefgh-1zzzz y efgh-1zzzz"), &arena, &finds);
	assert_true(span_equal(out, SPAN("x [secret] y [secret]")));
	assert_int_equal(finds, 3);
	arena_free(&arena);
}

/* Whatever lies between them, each find is found. */
static void test_far_apart(void **unused)
{
	struct arena arena = {0};
	struct needle_set set = set_of(&arena, "sk-secret-1", "%2fother+22");
	(void)unused;
	for (size_t gap = 0; gap < 6000; gap += gap < 1100 ? 1 : 37) {
		static char text[16384], mask[16384];
		uint64_t finds = 0;
		size_t length = 2 * (11 + gap) + 15;
		memset(text, 'k', length);
		memcpy(text, "sk-secret-1", 11);
		memcpy(text + 11 + gap, "%252fother%2b22", 15);
		memcpy(text + length - 11, "sk-secret-1", 11);
		memcpy(mask, text, length);
		memset(mask, '*', 11);
		memset(mask + 11 + gap, '*', 15);
		memset(mask + length - 11, '*', 11);
		assert_int_equal(needle_mask(&set, text, length, true, &finds), length);
		assert_int_equal(finds, 3);
		assert_memory_equal(text, mask, length);
	}
	arena_free(&arena);
}

/* The one that begins first is told, though its anchor is the last to come. */
static void test_anchor_behind_another_find(void **unused)
{
	struct arena arena = {0};
	struct needle_set set = set_of(&arena, "++++++++zzzzzzzz", "2B%2B%2B");
	size_t start = 0, end = 0;
	(void)unused;
	assert_true(needle_find(&set,
	                        SPAN("..%2B%2B%2B%2B%2B%2B%2B%2Bzzzzzzzz, and more text behind it than stands in front of an anchor"),
	                        0, &start, &end));
	assert_int_equal(start, 2);
	assert_int_equal(end, 34);
	arena_free(&arena);
}

static void test_no_half_characters(void **unused)
{
	struct arena arena = {0};
	struct needle_set set = {0};
	char secret[515] = {0};
	(void)unused;
	memset(secret, 'a', 514);
	memcpy(secret + 256, "\xc3\xa9", 2);
	needle_add(&set, &arena, span_of(secret));
	assert_int_equal(set.count, 2);
	assert_int_equal(set.list[0].bytes.length, 256);
	assert_int_equal(set.list[1].bytes.length, 258);
	/* What is no text has no characters. */
	set = (struct needle_set){0};
	memset(secret, 0x85, 514);
	needle_add(&set, &arena, span_of(secret));
	assert_int_equal(set.list[0].bytes.length, 257);
	secret[0] = 'A';
	needle_add(&set, &arena, span_of(secret));
	assert_int_equal(set.count, 2);
	assert_int_equal(set.list[1].bytes.length, 257);
	arena_free(&arena);
}

/* ---- against a plain search, on random cuts ---- */

struct body {
	char bytes[32768];
	size_t length, given, least;
	bool paused;
};

static ssize_t give(void *context, void *bytes, size_t size)
{
	struct body *body = context;
	size_t left = body->length - body->given, count = 1 + draw((uint32_t)body->least);
	if ((body->paused = !body->paused && draw(3) == 0))
		return -1;
	if (count > left)
		count = left;
	if (count > size)
		count = size;
	memcpy(bytes, body->bytes + body->given, count);
	body->given += count;
	return (ssize_t)count;
}

static bool is_given(void *context)
{
	const struct body *body = context;
	return body->given == body->length && draw(2);
}

static void random_secret(char secret[40])
{
	size_t length = 8 + draw(24);
	for (size_t i = 0; i < length; i++)
		secret[i] = draw(3) ? (char)('a' + draw(4)) : odd[draw(sizeof odd - 3)];
	secret[length] = 0;
}

/* One of the forms in which it is searched for. */
static size_t write_form(const char *secret, unsigned form, char *out)
{
	size_t length = 0;
	for (; *secret; secret++) {
		bool plain = (*secret >= 'a' && *secret <= 'z');
		if (plain || form == 0)
			out[length++] = *secret;
		else if (form == 1)
			length += (size_t)sprintf(out + length, "%%%02X", (unsigned char)*secret);
		else if (form == 2)
			length += (size_t)sprintf(out + length, "\\u%04x", (unsigned char)*secret);
		else
			length += (size_t)sprintf(out + length, strchr("\"\\/", *secret) ? "\\%c" : *secret == '\t' ? "\\t" : "%c", *secret);
	}
	return length;
}

/* Noise with secrets in all forms, whole and cut short. `mask` has "*" where the plain search finds one. */
static void random_body(const char *secret, struct body *body, char *mask)
{
	body->length = 0;
	while (body->length < 1500) {
		char *at = body->bytes + body->length;
		size_t size = 0;
		if (draw(3)) {
			for (size = draw(20) + 1; size > 0 && body->length < 1500; size--)
				body->bytes[body->length++] = draw(2) ? (char)('a' + draw(4)) : odd[draw(sizeof odd - 3)];
			continue;
		}
		size = write_form(secret, draw(4), at);
		body->length += draw(2) ? size : draw((uint32_t)size);
	}
	memcpy(mask, body->bytes, body->length);
	for (unsigned form = 0; form < 4; form++) {
		char text[256];
		size_t size = write_form(secret, form, text);
		for (size_t i = 0; i + size <= body->length; i++)
			if (!memcmp(body->bytes + i, text, size))
				memset(mask + i, '*', size);
	}
}

/* What the plain search finds is masked; what it does not is one of the forms that it does not know: mixed ones. */
static void compare(const char *out, const char *mask, const struct body *body)
{
	for (size_t i = 0; i < body->length; i++)
		if (mask[i] == '*' && body->bytes[i] != '*')
			assert_int_equal(out[i], '*');
		else
			assert_true(out[i] == body->bytes[i] || out[i] == '*');
}

static void test_random_cuts(void **unused)
{
	(void)unused;
	for (uint32_t seed = 1; seed <= 3000; seed++) {
		state = seed;
		char secret[40], mask[4096], out[4096], whole[4096];
		struct body body = {.least = 1 + draw(40)};
		struct arena arena = {0};
		random_secret(secret);
		random_body(secret, &body, mask);
		struct needle_set set = set_of(&arena, secret, NULL);
		struct scrub scrub = {.needles = &set};
		struct response response = {.status = 200, .body = {BODY_CHUNKED, 0}};
		struct scrub_source source = {give, is_given, &body};
		size_t length = 0;
		uint64_t finds = 0;
		scrub_start(&scrub, &response);
		for (;;) {
			ssize_t count = scrub_read(&scrub, &source, out + length, 1 + draw(2000));
			if (count == 0)
				break;
			if (count > 0)
				length += (size_t)count;
			assert_true(count >= -1 && length <= body.length);
		}
		memcpy(whole, body.bytes, body.length);
		set.steps = NULL;
		needle_mask(&set, whole, body.length, true, &finds);
		if (length != body.length || memcmp(out, whole, length) || finds != scrub.finds)
			fail_msg("seed %u: cut, and whole without steps, differ", seed);
		compare(out, mask, &body);
		scrub_end(&scrub);
		arena_free(&arena);
	}
}

static size_t pack(const char *text, size_t length, char *out, size_t room)
{
	z_stream stream = {0};
	assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	stream.next_in = (Bytef *)(uintptr_t)text;
	stream.avail_in = (uInt)length;
	stream.next_out = (Bytef *)out;
	stream.avail_out = (uInt)room;
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	size_t size = room - stream.avail_out;
	deflateEnd(&stream);
	return size;
}

static ssize_t run_gzip(struct scrub *scrub, struct body *body, char *out, size_t *length)
{
	struct field field = {.name = SPAN("Content-Encoding"), .value = SPAN("gzip")};
	struct response response = {.status = 200, .body = {BODY_CHUNKED, 0}, .fields = {&field, 1, 1}};
	struct scrub_source source = {give, is_given, body};
	ssize_t count = 0;
	*length = 0;
	scrub_start(scrub, &response);
	do {
		count = scrub_read(scrub, &source, out + *length, 1 + draw(2000));
		*length += count > 0 ? (size_t)count : 0;
	} while (count > 0 || count == -1);
	return count;
}

/* Clean bodies pass byte for byte; of one with a find no more goes on than inflates to what stands in front of it. */
static void test_gzip_random_cuts(void **unused)
{
	(void)unused;
	for (uint32_t seed = 1; seed <= 300; seed++) {
		state = seed;
		struct body plain = {.length = 0}, body = {.least = 1 + draw(60)};
		struct arena arena = {0};
		char secret[40], mask[4096], out[8192];
		random_secret(secret);
		random_body(secret, &plain, mask);
		struct needle_set set = set_of(&arena, secret, NULL);
		size_t start, end, length = 0;
		bool holds = needle_find(&set, (struct span){plain.bytes, plain.length}, 0, &start, &end);
		body.length = pack(plain.bytes, plain.length, body.bytes, sizeof body.bytes);
		struct scrub scrub = {.needles = &set};
		assert_int_equal(run_gzip(&scrub, &body, out, &length), holds ? SCRUB_BROKEN : 0);
		if (!holds)
			assert_memory_equal(out, body.bytes, body.length);
		z_stream stream = {0};
		char text[4096];
		assert_int_equal(inflateInit2(&stream, MAX_WBITS + 16), Z_OK);
		stream.next_in = (Bytef *)out;
		stream.avail_in = (uInt)length;
		stream.next_out = (Bytef *)text;
		stream.avail_out = sizeof text;
		if (length)
			inflate(&stream, Z_SYNC_FLUSH);
		if (holds)
			assert_true(sizeof text - stream.avail_out <= start);
		inflateEnd(&stream);
		scrub_end(&scrub);
		arena_free(&arena);
	}
}

/* RFC 1952 §2.3.1: what a member's head says of itself is not packed. NULL: no such label. */
static size_t pack_labelled(const char *name, const char *comment, const char *extra, char *out, size_t room)
{
	z_stream stream = {0};
	gz_header head = {.name = (Bytef *)(uintptr_t)name, .comment = (Bytef *)(uintptr_t)comment,
	                  .extra = (Bytef *)(uintptr_t)extra, .extra_len = extra ? (uInt)strlen(extra) : 0};
	assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflateSetHeader(&stream, &head), Z_OK);
	stream.next_in = (Bytef *)(uintptr_t)"body";
	stream.avail_in = 4;
	stream.next_out = (Bytef *)out;
	stream.avail_out = (uInt)room;
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	size_t size = room - stream.avail_out;
	deflateEnd(&stream);
	return size;
}

static void test_gzip_labels(void **unused)
{
	static char endless[600];
	memset(endless, 'a', sizeof endless - 1);
	static const struct {
		const char *name, *comment, *extra, *broken;
	} rows[] = {
		{"file.txt", "a comment", "extra", NULL},
		{NULL, NULL, NULL, NULL},
		{"sk-secret-1", NULL, NULL, "secret_in_gzip"},
		{"a", "b sk-secret-1", NULL, "secret_in_gzip"},
		{NULL, NULL, "--sk-secret-1--", "secret_in_gzip"},
		{endless, NULL, NULL, "unreadable_gzip"},
		{NULL, endless, NULL, "unreadable_gzip"},
		{NULL, NULL, endless, "unreadable_gzip"},
	};
	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (uint32_t seed = 1; seed <= 40; seed++) {
			state = seed;
			struct arena arena = {0};
			struct needle_set set = set_of(&arena, "sk-secret-1", NULL);
			struct scrub scrub = {.needles = &set};
			struct body body = {.least = 1 + draw(30)};
			char out[4096];
			size_t first = pack_labelled(NULL, NULL, NULL, body.bytes, sizeof body.bytes), length;
			first = draw(2) ? first : 0;
			body.length = first + pack_labelled(rows[i].name, rows[i].comment, rows[i].extra, body.bytes + first,
			                                    sizeof body.bytes - first);
			ssize_t end = run_gzip(&scrub, &body, out, &length);
			assert_int_equal(end, rows[i].broken ? SCRUB_BROKEN : 0);
			if (rows[i].broken)
				assert_string_equal(scrub.broken, rows[i].broken);
			assert_true(rows[i].broken ? length <= first : length == body.length);
			scrub_end(&scrub);
			arena_free(&arena);
		}
}

/* A head that the body's end cuts short was never looked at whole. */
static void test_gzip_cut_in_its_head(void **unused)
{
	(void)unused;
	struct arena arena = {0};
	struct needle_set set = set_of(&arena, "sk-secret-1", NULL);
	struct body body = {.least = 1000};
	char out[4096];
	size_t length;
	pack_labelled("sk-secret-1", NULL, NULL, body.bytes, sizeof body.bytes);
	state = 1;
	for (body.length = 0; body.length < 22; body.length++) {
		struct scrub scrub = {.needles = &set};
		body.given = 0;
		assert_int_equal(run_gzip(&scrub, &body, out, &length), body.length ? SCRUB_BROKEN : 0);
		assert_int_equal(length, 0);
		scrub_end(&scrub);
	}
	arena_free(&arena);
}

/* The last byte of each piece could be the beginning of the secret: that is waited for, but not for ever. */
static void test_gzip_undecided(void **unused)
{
	static char text[20000000];
	static const struct {
		size_t size;
		const char *broken;
	} rows[] = {{2000000, NULL}, {sizeof text, "gzip_undecided"}};
	(void)unused;
	memset(text, 's', sizeof text);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct arena arena = {0};
		struct needle_set set = set_of(&arena, "sk-secret-1", NULL);
		struct scrub scrub = {.needles = &set};
		struct body body = {.least = 100};
		char out[sizeof body.bytes];
		size_t length;
		state = 5;
		body.length = pack(text, rows[i].size, body.bytes, sizeof body.bytes);
		assert_int_equal(run_gzip(&scrub, &body, out, &length), rows[i].broken ? SCRUB_BROKEN : 0);
		if (rows[i].broken)
			assert_string_equal(scrub.broken, rows[i].broken);
		assert_int_equal(length, rows[i].broken ? 0 : body.length);
		scrub_end(&scrub);
		arena_free(&arena);
	}
}

static void test_codings(void **unused)
{
	static const struct {
		const char *first, *second;
		unsigned status;
		enum scrub_mode mode;
	} rows[] = {
		{"", NULL, 200, SCRUB_PLAIN},
		{"identity", NULL, 200, SCRUB_PLAIN},
		{" , ,", "Identity", 200, SCRUB_PLAIN},
		{"gzip", NULL, 200, SCRUB_GZIP},
		{", GZip ,", NULL, 200, SCRUB_GZIP},
		{"identity, x-gzip", "", 200, SCRUB_GZIP},
		{"gzip, gzip", NULL, 200, SCRUB_UNREAD},
		{"gzip", "gzip", 200, SCRUB_UNREAD},
		{"br", "identity", 200, SCRUB_UNREAD},
		{"br, gzip", NULL, 200, SCRUB_UNREAD},
		{"gzip", "br", 200, SCRUB_UNREAD},
		{"gzip;q=1", NULL, 200, SCRUB_UNREAD},
		{"identity", NULL, 206, SCRUB_UNREAD},
		{"", NULL, 101, SCRUB_UNREAD},
	};
	(void)unused;
	struct arena arena = {0};
	struct needle_set set = set_of(&arena, "sk-secret-1", NULL);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct field fields[] = {
			{.name = SPAN("Content-Encoding"), .value = span_of(rows[i].first)},
			{.name = SPAN("content-encoding"), .value = span_of(rows[i].second ? rows[i].second : "")}};
		enum body_kind kind = rows[i].status < 200 ? BODY_NONE : BODY_CHUNKED;
		struct response response = {
			.status = rows[i].status, .body = {kind, 0}, .fields = {fields, rows[i].second ? 2 : 1, 2}};
		struct scrub scrub = {.needles = &set};
		scrub_start(&scrub, &response);
		assert_int_equal(scrub.mode, rows[i].mode);
		scrub_end(&scrub);
	}
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_tilde),
		cmocka_unit_test(test_without_an_anchor),
		cmocka_unit_test(test_one_within_the_other),
		cmocka_unit_test(test_no_ascii),
		cmocka_unit_test(test_short_and_long),
		cmocka_unit_test(test_undecided),
		cmocka_unit_test(test_replace), cmocka_unit_test(test_replace_overlapping),
		cmocka_unit_test(test_far_apart), cmocka_unit_test(test_anchor_behind_another_find),
		cmocka_unit_test(test_no_half_characters), cmocka_unit_test(test_codings),
		cmocka_unit_test(test_random_cuts),
		cmocka_unit_test(test_gzip_random_cuts),
		cmocka_unit_test(test_gzip_labels),
		cmocka_unit_test(test_gzip_cut_in_its_head),
		cmocka_unit_test(test_gzip_undecided),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
