/* A response that is searched: the first line is the secret, the rest the body, as it stands or as gzip. Whole and in
 * pieces the same comes out, and no secret as it stands. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "scrub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct body {
	struct span rest;
	size_t piece;
};

static ssize_t give(void *context, void *bytes, size_t size)
{
	struct body *body = context;
	struct span piece = span_head(body->rest, body->piece < size ? body->piece : size);
	if (piece.length)
		memcpy(bytes, piece.data, piece.length);
	body->rest = span_from(body->rest, piece.length);
	return (ssize_t)piece.length;
}

static bool is_given(void *context)
{
	const struct body *body = context;
	return body->rest.length == 0;
}

/* Returns the bytes that came out; *end is what scrub_read() said last. */
static size_t run(struct scrub *scrub, struct span text, bool gzip, size_t piece, char *out, ssize_t *end)
{
	struct body body = {text, piece};
	struct scrub_source source = {give, is_given, &body};
	struct field field = {.name = SPAN("Content-Encoding"), .value = SPAN("gzip")};
	struct response response = {.status = 200, .body = {BODY_CHUNKED, 0}, .fields = {&field, gzip, 1}};
	size_t length = 0;
	scrub_start(scrub, &response);
	while ((*end = scrub_read(scrub, &source, out + length, piece * 3 + 1)) > 0)
		length += (size_t)*end;
	return length;
}

static void check(const struct needle_set *set, struct span secret, struct span text, bool gzip)
{
	static char whole[8192], cut[8192];
	struct scrub first = {.needles = set}, second = {.needles = set};
	ssize_t end, cut_end;
	size_t length = run(&first, text, gzip, text.length + 1, whole, &end);
	struct needle_set slow = *set;
	slow.steps = NULL;
	second.needles = &slow;
	size_t cut_length = run(&second, text, gzip, 1 + text.length % 7, cut, &cut_end);
	if (end != cut_end || (end == 0 && (length != cut_length || length != text.length || memcmp(whole, cut, length))))
		abort();
	if (!gzip && (first.finds != second.finds || memmem(whole, length, secret.data, secret.length)))
		abort();
	scrub_end(&first);
	scrub_end(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = {0};
	struct needle_set set = {0};
	struct span text = {(const char *)data, size}, secret;
	uint64_t finds = 0;
	if (size == 0 || size > 4000)
		return 0;
	secret = span_split(&text, '\n');
	if (!text.data)
		text = SPAN("");
	needle_add(&set, &arena, secret);
	static struct needle_steps steps;
	needle_learn(&set, &steps);
	if (set.count == 1 && !memchr(secret.data, '*', secret.length)) {
		check(&set, secret, text, false);
		check(&set, secret, text, true);
		struct span value = needle_replace(&set, text, &arena, &finds);
		size_t start, end;
		if (!memchr(secret.data, '[', secret.length) && !memchr(secret.data, ']', secret.length) && finds == 0 &&
		    needle_find(&set, value, 0, &start, &end))
			abort();
	}
	arena_free(&arena);
	return 0;
}
