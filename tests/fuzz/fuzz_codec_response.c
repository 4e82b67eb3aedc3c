/* Response heads: what is accepted is read the same when it is written again, and a part of one is never accepted. */
#include <stdint.h>
#include <stdlib.h>

#include "buffer.h"
#include "codec_h1.h"

static const struct codec_limits limits = {600, 12};

static enum codec_result parse(struct span bytes, struct codec_limits within, struct span method, struct arena *arena,
                               struct response *response, size_t *used)
{
	const char *why = NULL;
	enum codec_result result = codec_response_head(bytes, within, method, arena, response, used, &why);
	if (result != CODEC_MORE && result != CODEC_DONE && (!why || !why[0]))
		abort();
	if (result == CODEC_DONE && (*used == 0 || *used > bytes.length || *used > within.head || response->status < 100 ||
	                             response->status > 599))
		abort();
	return result;
}

static bool is_framing(struct span name)
{
	return span_equal_nocase(name, SPAN("content-length")) || span_equal_nocase(name, SPAN("transfer-encoding"));
}

static void check_same(const struct response *a, const struct response *b, size_t added)
{
	if (a->status != b->status || !span_equal(a->reason, b->reason) || a->body.kind != b->body.kind ||
	    a->body.length != b->body.length || a->fields.count + added != b->fields.count)
		abort();
	for (size_t i = 0; i < a->fields.count; i++)
		if (!span_equal(a->fields.list[i].name, b->fields.list[i].name) ||
		    !span_equal(a->fields.list[i].value, b->fields.list[i].value))
			abort();
}

static void check_written(const struct response *first, struct span method)
{
	AUTO_BUFFER struct buffer out = {0};
	struct arena arena = {0};
	struct response plain = *first, again;
	size_t used;
	plain.fields = (struct fields){0};
	for (size_t i = 0; i < first->fields.count; i++)
		if (!is_framing(first->fields.list[i].name))
			fields_add(&plain.fields, &arena, first->fields.list[i].name, first->fields.list[i].value);
	codec_write_response(&plain, 1, false, &out);
	if (plain.body.kind == BODY_UNTIL_CLOSE) /* a length that nobody told makes chunks */
		plain.body.kind = BODY_CHUNKED;
	if (parse(buffer_view(&out), (struct codec_limits){4096, 20}, method, &arena, &again, &used) != CODEC_DONE ||
	    used != out.length)
		abort();
	check_same(&plain, &again, plain.body.kind == BODY_LENGTH || plain.body.kind == BODY_CHUNKED);
	arena_free(&arena);
}

static void check_part(struct span bytes, size_t length, struct span method, enum codec_result whole, size_t whole_used)
{
	struct arena arena = {0};
	struct response response;
	size_t used;
	char *copy = malloc(length + !length);
	if (length)
		memcpy(copy, bytes.data, length);
	enum codec_result result = parse((struct span){copy, length}, limits, method, &arena, &response, &used);
	if ((result == CODEC_DONE) != (whole == CODEC_DONE && length >= whole_used))
		abort();
	if (result != CODEC_MORE && result != CODEC_DONE && (whole == CODEC_DONE || whole == CODEC_MORE))
		abort();
	arena_free(&arena);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* The first byte says whether it answers a HEAD, the second where it is cut. */
	if (size < 2)
		return 0;
	struct arena arena = {0};
	struct response response;
	struct span method = data[0] & 1 ? SPAN("HEAD") : SPAN("GET"), bytes = {(const char *)data + 2, size - 2};
	size_t used = 0;
	enum codec_result result = parse(bytes, limits, method, &arena, &response, &used);
	check_part(bytes, (size_t)(data[0] << 8 | data[1]) % (bytes.length + 1), method, result, used);
	if (result == CODEC_DONE) {
		check_written(&response, method);
		check_part(bytes, used - 1, method, result, used);
	}
	arena_free(&arena);
	return 0;
}
