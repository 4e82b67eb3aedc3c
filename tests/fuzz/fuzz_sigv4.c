/* Bodies in signed chunks: what goes on does not depend on the pieces in which it came, is as long as what came, and has none
 * of the agent's signatures; and the canonical form of any target. The first byte says which, and the pieces' lengths. */
#include <stdint.h>
#include <stdlib.h>

#include "sigv4_chunks.h"

static const unsigned char key[SHA256_BYTES] = "0123456789abcdef0123456789abcde";
static const char seed[SHA256_HEX + 1] = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";

struct outcome {
	struct buffer out;
	const char *wrong;
};

static void hand_on(struct sigv4_chunks *chunks, size_t pace, struct buffer *out)
{
	for (;;) {
		struct span ready = span_head(sigv4_chunks_ready(chunks), pace);
		if (ready.length == 0)
			return;
		buffer_span(out, ready);
		sigv4_chunks_handed(chunks, ready.length);
	}
}

static struct outcome run(struct span body, bool trailers, size_t pace)
{
	struct outcome outcome = {0};
	struct sigv4_chunks chunks = {.scope = {"20130524T000000Z", SPAN("us-east-1"), SPAN("s3")}};
	memcpy(chunks.key, key, sizeof key);
	memcpy(chunks.previous, seed, sizeof seed);
	sigv4_chunks_start(&chunks, trailers);
	while (body.length > 0 && !chunks.wrong) {
		size_t length = body.length < pace ? body.length : pace;
		char *copy = malloc(length);
		memcpy(copy, body.data, length);
		size_t taken = sigv4_chunks_take(&chunks, (struct span){copy, length});
		if (taken > length || (taken == 0 && !chunks.wrong))
			abort();
		free(copy);
		body = span_from(body, taken);
		hand_on(&chunks, pace, &outcome.out);
	}
	sigv4_chunks_finish(&chunks);
	hand_on(&chunks, pace, &outcome.out);
	outcome.wrong = chunks.wrong;
	sigv4_chunks_end(&chunks);
	return outcome;
}

static void fuzz_chunks(struct span body, bool trailers, size_t pace)
{
	struct outcome a = run(body, trailers, pace), b = run(body, trailers, body.length + 1);
	if (!a.wrong != !b.wrong)
		abort();
	if (!a.wrong && (a.out.length != body.length || !span_equal(buffer_view(&a.out), buffer_view(&b.out))))
		abort();
	buffer_free(&a.out);
	buffer_free(&b.out);
}

/* Six lines, whatever stands in the target; and the same once more for what was made of it. */
static void fuzz_target(struct span target, bool s3)
{
	struct arena arena = {0};
	struct fields fields = {0};
	const struct sigv4_scope scope = {.region = SPAN("r"), .service = s3 ? SPAN("s3") : SPAN("dynamodb")};
	struct span value = target, name = span_split(&value, '=');
	fields_add(&fields, &arena, SPAN("Host"), SPAN("h"));
	fields_add(&fields, &arena, name, value.data ? value : SPAN(""));
	const struct sigv4_request request = {SPAN("GET"), target, &fields, SPAN("-")};
	struct span text = sigv4_canonical(&request, &scope, &arena), rest = text;
	span_split(&rest, '\n');
	struct span path = span_split(&rest, '\n'), query = span_split(&rest, '\n');
	if (!rest.data || (s3 && memchr(path.data, '?', path.length)))
		abort();
	char *again = arena_format(&arena, "%.*s?%.*s", SPAN_ARGS(path), SPAN_ARGS(query));
	const struct sigv4_request second = {SPAN("GET"), span_of(again), &fields, SPAN("-")};
	rest = sigv4_canonical(&second, &scope, &arena);
	span_split(&rest, '\n');
	struct span path_again = span_split(&rest, '\n'), query_again = span_split(&rest, '\n');
	if ((s3 && !span_equal(path, path_again)) || !span_equal(query, query_again))
		abort();
	arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct span rest = {(const char *)data + 1, size - 1};
	if (data[0] & 1)
		fuzz_chunks(rest, data[0] & 2, (size_t)(data[0] >> 2) + 1);
	else
		fuzz_target(rest, data[0] & 2);
	return 0;
}
