/* Request heads: what is accepted is read the same when it is written again, and in however many pieces it came. */
#include <stdint.h>
#include <stdlib.h>

#include "buffer.h"
#include "codec_h1.h"

static const struct codec_limits limits = {600, 12};

struct parsed {
	struct arena arena;
	struct request request;
	enum codec_result result;
	size_t used;
};

static void parse(struct parsed *parsed, struct span bytes)
{
	const char *why = NULL;
	parsed->arena = (struct arena){0};
	parsed->used = 0;
	parsed->result = codec_request_head(bytes, limits, &parsed->arena, &parsed->request, &parsed->used, &why);
	if (parsed->result != CODEC_MORE && parsed->result != CODEC_DONE && (!why || !why[0]))
		abort();
	if (parsed->result == CODEC_DONE && (parsed->used == 0 || parsed->used > bytes.length || parsed->used > limits.head))
		abort();
}

static bool is_framing(struct span name)
{
	return span_equal_nocase(name, SPAN("content-length")) || span_equal_nocase(name, SPAN("transfer-encoding"));
}

static void check_written(const struct request *first)
{
	AUTO_BUFFER struct buffer out = {0};
	struct request plain = *first;
	struct arena arena = {0};
	struct parsed again;
	plain.fields = (struct fields){0};
	for (size_t i = 0; i < first->fields.count; i++)
		if (!is_framing(first->fields.list[i].name))
			fields_add(&plain.fields, &arena, first->fields.list[i].name, first->fields.list[i].value);
	codec_write_request(&plain, &out);
	const char *why;
	struct arena second = {0};
	if (codec_request_head(buffer_view(&out), (struct codec_limits){4096, 20}, &second, &again.request, &again.used,
	                       &why) != CODEC_DONE) {
		/* HTTP/1.0 needs no Host, and is sent on as HTTP/1.1 with the upstream's. */
		if (first->minor != 0 || fields_count(&first->fields, SPAN("host")))
			abort();
	} else {
		size_t kept = plain.fields.count;
		if (again.used != out.length || !span_equal(again.request.method, first->method) ||
		    !span_equal(again.request.target, first->target) || again.request.body.kind != first->body.kind ||
		    again.request.body.length != first->body.length ||
		    again.request.fields.count != kept + (first->body.kind != BODY_NONE))
			abort();
		for (size_t i = 0; i < kept; i++)
			if (!span_equal(again.request.fields.list[i].name, plain.fields.list[i].name) ||
			    !span_equal(again.request.fields.list[i].value, plain.fields.list[i].value))
				abort();
	}
	arena_free(&second);
	arena_free(&arena);
}

/* What was parsed here passes the check of what others parsed, with the same framing. */
static void check_checked(const struct request *first)
{
	struct request copy = *first;
	const char *why;
	copy.body = (struct body_framing){0};
	if (codec_request_check(&copy, &why) != CODEC_DONE || copy.body.kind != first->body.kind ||
	    copy.body.length != first->body.length)
		abort();
}

/* A part says MORE, or refuses as the whole does; it never accepts. */
static void check_part(struct span bytes, size_t length, const struct parsed *whole)
{
	/* Of its own size, so that a read beyond it is found. */
	char *copy = malloc(length + !length);
	struct parsed part;
	if (length)
		memcpy(copy, bytes.data, length);
	parse(&part, (struct span){copy, length});
	if (whole->result == CODEC_DONE && length >= whole->used ? part.result != CODEC_DONE
	                                                         : part.result == CODEC_DONE)
		abort();
	if (part.result != CODEC_MORE && part.result != CODEC_DONE &&
	    (whole->result == CODEC_DONE || whole->result == CODEC_MORE))
		abort();
	arena_free(&part.arena);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* The first two bytes say where it is cut. */
	if (size < 2)
		return 0;
	size_t cut = (size_t)(data[0] << 8 | data[1]);
	struct span bytes = {(const char *)data + 2, size - 2};
	struct parsed whole;
	parse(&whole, bytes);
	check_part(bytes, cut % (bytes.length + 1), &whole);
	if (whole.result == CODEC_DONE) {
		check_written(&whole.request);
		check_checked(&whole.request);
		check_part(bytes, whole.used, &whole);
		check_part(bytes, whole.used - 1, &whole);
	}
	arena_free(&whole.arena);
	return 0;
}
