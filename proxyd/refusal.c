#include "refusal.h"

#include "codec_h1.h"

void refusal_write(const struct problem *problem, struct buffer *out)
{
	struct arena arena = {0};
	struct response response = {0};
	struct span body;
	problem_response(problem, &arena, &response, &body);
	response.body = (struct body_framing){BODY_LENGTH, body.length};
	codec_write_response(&response, 1, true, out);
	buffer_span(out, body);
	arena_free(&arena);
}
