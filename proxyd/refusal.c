#include "refusal.h"

/* One row for each result of the codec. */
static const struct head_row {
	unsigned status;
	const char *reason, *hint;
} rows[] = {
	[CODEC_BAD] = {400, "malformed", NULL},
	[CODEC_TOO_LARGE] = {431, "head_too_large", "send fewer or shorter fields, or raise limits.head"},
	[CODEC_TOO_MANY] = {431, "too_many_fields", "send fewer fields, or raise limits.fields"},
	[CODEC_VERSION] = {400, "malformed", "speak HTTP/1.1 to the proxy"},
	[CODEC_CODING] = {501, "transfer_coding", "send the body with Content-Length or Transfer-Encoding: chunked"},
};

void refusal_of_head(enum codec_result result, const char *why, const struct config_limits *limits, struct arena *arena,
                     struct problem *problem)
{
	const struct head_row *row = &rows[result];
	const char *detail = arena_format(arena, "the request %s", why);
	if (result == CODEC_TOO_LARGE)
		detail = arena_format(arena, "the request head is longer than %llu bytes", (unsigned long long)limits->head);
	if (result == CODEC_TOO_MANY)
		detail = arena_format(arena, "the request has more than %llu fields", (unsigned long long)limits->fields);
	problem_set(problem, row->status, row->reason, detail, row->hint);
}

void refusal_write(const struct problem *problem, bool close, struct buffer *out)
{
	struct arena arena = {0};
	struct response response = {0};
	struct span body;
	problem_response(problem, &arena, &response, &body);
	response.body = (struct body_framing){BODY_LENGTH, body.length};
	codec_write_response(&response, 1, close, out);
	buffer_span(out, body);
	arena_free(&arena);
}
