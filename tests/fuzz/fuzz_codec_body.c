/* Message bodies: content, trailers and end are the same in whatever pieces the bytes come, and what is written again
 * is read again. */
#include <stdint.h>
#include <stdlib.h>

#include "buffer.h"
#include "codec_h1.h"

static const struct codec_limits limits = {300, 6};

struct outcome {
	enum codec_result result;
	size_t used;
	struct buffer content, trailers;
	struct fields fields;
	struct arena arena;
};

/* Feeds `bytes` up to `cut`, then the rest; what was not used comes again. */
static void take(struct outcome *outcome, struct body_framing framing, struct span bytes, const size_t *cuts, size_t count)
{
	struct codec_body body;
	*outcome = (struct outcome){.result = CODEC_MORE};
	codec_body_start(&body, framing, limits);
	for (size_t i = 0; i <= count && outcome->result == CODEC_MORE; i++) {
		size_t end = i < count ? cuts[i] : bytes.length, used = 1;
		while (outcome->result == CODEC_MORE && used > 0 && outcome->used < end) {
			size_t length = end - outcome->used;
			char *copy = malloc(length);
			const char *why = NULL;
			struct span data;
			memcpy(copy, bytes.data + outcome->used, length);
			outcome->result = codec_body_take(&body, (struct span){copy, length}, &data, &used, &outcome->fields,
			                                  &outcome->arena, &why);
			if (used > length || data.length > used || data.data < copy || data.data + data.length > copy + length)
				abort();
			if (outcome->result > CODEC_DONE && (!why || !why[0]))
				abort();
			outcome->used += used;
			buffer_span(&outcome->content, data);
			free(copy);
		}
	}
	if (framing.kind != BODY_NONE && codec_body_may_end(&body) !=
	                                         (outcome->result == CODEC_DONE || framing.kind == BODY_UNTIL_CLOSE ||
	                                          (framing.kind == BODY_LENGTH && framing.length == 0)))
		abort();
	for (size_t i = 0; i < outcome->fields.count; i++)
		buffer_format(&outcome->trailers, "%.*s:%.*s\n", SPAN_ARGS(outcome->fields.list[i].name),
		              SPAN_ARGS(outcome->fields.list[i].value));
}

static void drop(struct outcome *outcome)
{
	buffer_free(&outcome->content);
	buffer_free(&outcome->trailers);
	arena_free(&outcome->arena);
}

static bool is_good(enum codec_result result)
{
	return result == CODEC_DONE || result == CODEC_MORE;
}

/* Of what is malformed the pieces decide how much was told before; that it is refused, they do not. */
static void compare(const struct outcome *a, const struct outcome *b)
{
	if (is_good(a->result) != is_good(b->result))
		abort();
	if (!is_good(a->result))
		return;
	if (a->result != b->result || a->used != b->used ||
	    !span_equal(buffer_view(&a->content), buffer_view(&b->content)) ||
	    !span_equal(buffer_view(&a->trailers), buffer_view(&b->trailers)))
		abort();
}

/* The line at `*at`, which must end in CRLF and have no other line end. */
static struct span line_at(struct span bytes, size_t *at)
{
	struct span rest = span_from(bytes, *at);
	const char *end = rest.length ? memmem(rest.data, rest.length, "\r\n", 2) : NULL;
	if (!end)
		abort();
	struct span line = span_head(rest, (size_t)(end - rest.data));
	if (line.length && (memchr(line.data, '\n', line.length) || memchr(line.data, '\r', line.length)))
		abort();
	*at += line.length + 2;
	return line;
}

static size_t size_of(struct span line)
{
	char digits[17] = "", *end;
	struct span text = span_split(&line, ';');
	if (text.length == 0 || text.length > 16)
		abort();
	memcpy(digits, text.data, text.length);
	if (strspn(digits, "0123456789abcdefABCDEF") != text.length)
		abort();
	return strtoull(digits, &end, 16);
}

/* Reads what was accepted once more, the plain way. */
static void check_plainly(struct span bytes, const struct outcome *outcome)
{
	AUTO_BUFFER struct buffer content = {0};
	size_t at = 0, size, lines = 0;
	while ((size = size_of(line_at(bytes, &at)))) {
		if (size > bytes.length - at)
			abort();
		buffer_append(&content, bytes.data + at, size);
		at += size;
		if (line_at(bytes, &at).length)
			abort();
	}
	while (line_at(bytes, &at).length)
		lines++;
	if (at != outcome->used || lines != outcome->fields.count ||
	    !span_equal(buffer_view(&content), buffer_view(&outcome->content)))
		abort();
}

static void check_written(const struct outcome *first)
{
	AUTO_BUFFER struct buffer out = {0};
	struct outcome again;
	char head[20];
	if (first->content.length) {
		buffer_append(&out, head, codec_chunk_head(first->content.length, head));
		buffer_span(&out, buffer_view(&first->content));
		buffer_string(&out, "\r\n");
	}
	codec_write_last_chunk(&first->fields, &out);
	take(&again, (struct body_framing){BODY_CHUNKED, 0}, buffer_view(&out), NULL, 0);
	/* "Name:value" with no blank is shorter than what is written, and may just have fitted. */
	if (again.result == CODEC_TOO_LARGE) {
		drop(&again);
		return;
	}
	if (again.result != CODEC_DONE || again.used != out.length ||
	    !span_equal(buffer_view(&first->content), buffer_view(&again.content)) ||
	    !span_equal(buffer_view(&first->trailers), buffer_view(&again.trailers)))
		abort();
	drop(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 6)
		return 0;
	struct body_framing framing = {data[0] % 8 < 5 ? BODY_CHUNKED : (enum body_kind)(data[0] % 8 - 5), data[1]};
	if (framing.kind != BODY_LENGTH)
		framing.length = 0;
	struct span bytes = {(const char *)data + 6, size - 6};
	size_t first = (size_t)(data[2] << 8 | data[3]) % (bytes.length + 1);
	size_t second = (size_t)(data[4] << 8 | data[5]) % (bytes.length + 1);
	size_t cuts[] = {first < second ? first : second, first < second ? second : first};
	struct outcome whole, pieces;
	take(&whole, framing, bytes, NULL, 0);
	take(&pieces, framing, bytes, cuts, 2);
	compare(&whole, &pieces);
	if (framing.kind == BODY_CHUNKED && whole.result == CODEC_DONE) {
		check_plainly(bytes, &whole);
		check_written(&whole);
	}
	drop(&whole);
	drop(&pieces);
	return 0;
}
