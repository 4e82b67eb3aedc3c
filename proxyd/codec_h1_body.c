#include "codec_h1.h"
#include "codec_h1_line.h"

/* A chunk's first line: size, and perhaps extensions that nobody uses. */
#define CHUNK_LINE 256
#define CHUNK_DIGITS 15

void codec_body_start(struct codec_body *body, struct body_framing framing, struct codec_limits limits)
{
	*body = (struct codec_body){
		.framing = framing,
		.state = CHUNK_SIZE,
		.left = framing.kind == BODY_LENGTH ? framing.length : 0,
		.limits = limits,
	};
}

static enum codec_result refuse(enum codec_result result, const char *text, const char **why)
{
	*why = text;
	return result;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = span_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Hex digits, then nothing or ";" and an extension, which is read over (RFC 9112 §7.1.1). */
static enum codec_result parse_size(struct span line, uint64_t *size, const char **why)
{
	size_t digits = 0;
	*size = 0;
	while (digits < line.length && hex_digit(line.data[digits]) >= 0) {
		if (digits == CHUNK_DIGITS)
			return refuse(CODEC_BAD, "has a chunk size that is too long", why);
		*size = *size << 4 | (uint64_t)hex_digit(line.data[digits++]);
	}
	if (digits == 0 || (digits < line.length && line.data[digits] != ';'))
		return refuse(CODEC_BAD, "has a chunk size that is not hex digits", why);
	return CODEC_DONE;
}

static enum codec_result take_size(struct codec_body *body, struct span rest, size_t *used, const char **why)
{
	struct span line;
	enum codec_result result = codec_line_take(span_head(rest, CHUNK_LINE), &line, used, why);
	if (result == CODEC_MORE && rest.length >= CHUNK_LINE)
		return refuse(CODEC_BAD, "has a chunk line that is too long", why);
	if (result == CODEC_MORE && line.length > 0) {
		uint64_t size;
		result = parse_size(line, &size, why);
		return result == CODEC_DONE ? CODEC_MORE : result;
	}
	if (result != CODEC_DONE)
		return result;
	result = parse_size(line, &body->left, why);
	if (result == CODEC_DONE)
		body->state = body->left ? CHUNK_DATA : CHUNK_TRAILERS;
	return result;
}

static void take_data(struct codec_body *body, struct span rest, struct span *data, size_t *used)
{
	*data = span_head(rest, body->left < rest.length ? (size_t)body->left : rest.length);
	*used = data->length;
	body->left -= data->length;
	if (body->left == 0)
		body->state = CHUNK_DATA_END;
}

static enum codec_result take_data_end(struct codec_body *body, struct span rest, size_t *used, const char **why)
{
	if (rest.length == 0)
		return CODEC_MORE;
	if (rest.data[0] != '\r' || (rest.length > 1 && rest.data[1] != '\n'))
		return refuse(CODEC_BAD, "has a chunk that is longer than its size", why);
	if (rest.length < 2)
		return CODEC_MORE;
	*used = 2;
	body->state = CHUNK_SIZE;
	return CODEC_DONE;
}

static bool is_framing(struct span name)
{
	return span_equal_nocase(name, SPAN("content-length")) || span_equal_nocase(name, SPAN("transfer-encoding"));
}

enum codec_result codec_trailers_check(const struct fields *trailers, struct codec_limits limits, const char **why)
{
	if (trailers->count > limits.fields)
		return refuse(CODEC_TOO_MANY, "has more trailers than the limit", why);
	for (size_t i = 0; i < trailers->count; i++) {
		const struct field *field = &trailers->list[i];
		const char *fault = codec_line_fault(field->value);
		if (!text_is_token(field->name))
			return refuse(CODEC_BAD, "has a trailer's name with a character that may not stand in one", why);
		if (fault)
			return refuse(CODEC_BAD, fault, why);
		if (is_framing(field->name))
			return refuse(CODEC_BAD, "has a framing field in its trailers", why);
	}
	return CODEC_DONE;
}

static enum codec_result keep_trailer(const struct codec_body *body, struct span line, struct fields *trailers,
                                      struct arena *arena, const char **why)
{
	struct field field;
	enum codec_result result = codec_line_field(line, &field, why);
	if (result != CODEC_DONE)
		return result;
	if (is_framing(field.name))
		return refuse(CODEC_BAD, "has a framing field in its trailers", why);
	if (!trailers)
		return CODEC_DONE;
	if (trailers->count >= body->limits.fields)
		return refuse(CODEC_TOO_MANY, "has more trailers than the limit", why);
	fields_add(trailers, arena, arena_span(arena, field.name), arena_span(arena, field.value));
	return CODEC_DONE;
}

/* One line of the trailer section; `left` counts the section's bytes. */
static enum codec_result take_trailer(struct codec_body *body, struct span rest, size_t *used,
                                      struct fields *trailers, struct arena *arena, const char **why)
{
	struct span line;
	enum codec_result result = codec_line_take(rest, &line, used, why);
	if (result == CODEC_BAD)
		return result;
	if (body->left + (result == CODEC_DONE ? *used : rest.length) > body->limits.head)
		return refuse(CODEC_TOO_LARGE, "has trailers over the limit", why);
	if (result == CODEC_MORE)
		return result;
	body->left += *used;
	if (line.length > 0)
		return keep_trailer(body, line, trailers, arena, why);
	body->state = CHUNK_DONE;
	return CODEC_DONE;
}

/* Goes on from state to state while there are bytes; stops before a second run of content. */
static enum codec_result take_chunked(struct codec_body *body, struct span bytes, struct span *data, size_t *used,
                                      struct fields *trailers, struct arena *arena, const char **why)
{
	enum codec_result result = CODEC_DONE;
	while (result == CODEC_DONE && body->state != CHUNK_DONE) {
		struct span rest = span_from(bytes, *used);
		size_t taken = 0;
		switch (body->state) {
		case CHUNK_SIZE:
			result = take_size(body, rest, &taken, why);
			break;
		case CHUNK_DATA:
			if (data->length > 0 || rest.length == 0)
				return CODEC_MORE;
			take_data(body, rest, data, &taken);
			break;
		case CHUNK_DATA_END:
			result = take_data_end(body, rest, &taken, why);
			break;
		case CHUNK_TRAILERS:
			result = take_trailer(body, rest, &taken, trailers, arena, why);
			break;
		case CHUNK_DONE:
			break;
		}
		if (result == CODEC_DONE)
			*used += taken;
	}
	return result;
}

enum codec_result codec_body_take(struct codec_body *body, struct span bytes, struct span *data, size_t *used,
                                  struct fields *trailers, struct arena *arena, const char **why)
{
	*used = 0;
	*data = span_head(bytes, 0);
	switch (body->framing.kind) {
	case BODY_NONE:
		return CODEC_DONE;
	case BODY_LENGTH:
		take_data(body, bytes, data, used);
		return body->left == 0 ? CODEC_DONE : CODEC_MORE;
	case BODY_UNTIL_CLOSE:
		*data = bytes;
		*used = bytes.length;
		return CODEC_MORE;
	case BODY_CHUNKED:
		return take_chunked(body, bytes, data, used, trailers, arena, why);
	}
	return CODEC_BAD;
}

bool codec_body_may_end(const struct codec_body *body)
{
	switch (body->framing.kind) {
	case BODY_LENGTH:
		return body->left == 0;
	case BODY_CHUNKED:
		return body->state == CHUNK_DONE;
	case BODY_NONE:
	case BODY_UNTIL_CLOSE:
		return true;
	}
	return false;
}
