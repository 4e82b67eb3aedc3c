#include "sigv4_chunks.h"

#include "memory.h"

#define LINE_MOST 128               /* bytes of a chunk's line: 16 digits, the name, the signature */
#define TRAILERS_MOST (8 * 1024)    /* bytes of all trailers */

static const struct span chunk_name = {";chunk-signature=", 17}, trailer_name = {"x-amz-trailer-signature:", 24};

void sigv4_chunks_start(struct sigv4_chunks *chunks, bool trailers)
{
	chunks->trailers = trailers;
	chunks->state = CHUNKS_HEAD;
}

void sigv4_chunks_end(struct sigv4_chunks *chunks)
{
	buffer_wipe(&chunks->held);
	explicit_bzero(chunks->key, sizeof chunks->key);
}

static bool fail(struct sigv4_chunks *chunks, const char *why)
{
	chunks->wrong = why;
	return false;
}

/* --- signing --- */

/* Writes the signature over `text` into its place, and remembers it for the next one. */
static void put_signature(struct sigv4_chunks *chunks, const struct buffer *text)
{
	hmac_sha256_hex((struct span){(const char *)chunks->key, SHA256_BYTES}, buffer_view(text), chunks->previous);
	memcpy(chunks->held.data + chunks->signature, chunks->previous, SHA256_HEX);
}

static void begin_text(const struct sigv4_chunks *chunks, const char *algorithm, struct buffer *text)
{
	const struct sigv4_scope *scope = &chunks->scope;
	buffer_format(text, "%s\n%s\n%.*s/%.*s/%.*s/aws4_request\n%s\n", algorithm, scope->time, SIGV4_DAY, scope->time,
	              SPAN_ARGS(scope->region), SPAN_ARGS(scope->service), chunks->previous);
}

static void sign_chunk(struct sigv4_chunks *chunks)
{
	AUTO_WIPE struct buffer text = {0};
	char hash[SHA256_HEX + 1];
	begin_text(chunks, "AWS4-HMAC-SHA256-PAYLOAD", &text);
	sha256_hex((struct span){NULL, 0}, hash);
	buffer_format(&text, "%s\n", hash);
	sha256_hex(span_head(span_from(buffer_view(&chunks->held), chunks->data), chunks->size), hash);
	buffer_string(&text, hash);
	put_signature(chunks, &text);
}

static void sign_trailers(struct sigv4_chunks *chunks, const struct buffer *canonical)
{
	AUTO_WIPE struct buffer text = {0};
	char hash[SHA256_HEX + 1];
	begin_text(chunks, "AWS4-HMAC-SHA256-TRAILER", &text);
	sha256_hex(buffer_view(canonical), hash);
	buffer_string(&text, hash);
	put_signature(chunks, &text);
}

static void make_ready(struct sigv4_chunks *chunks, enum sigv4_chunks_state behind)
{
	chunks->state = CHUNKS_READY;
	chunks->behind = behind;
	chunks->handed = 0;
}

/* --- reading --- */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = span_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_signature(struct span text)
{
	for (size_t i = 0; i < text.length; i++)
		if (hex_value(text.data[i]) < 0)
			return false;
	return text.length == SHA256_HEX;
}

/* "10000;chunk-signature=…" CRLF */
static bool read_head(struct sigv4_chunks *chunks)
{
	struct span line = buffer_view(&chunks->held);
	size_t digits = 0;
	if (!span_ends(line, SPAN("\r\n")))
		return fail(chunks, "a chunk's line does not end in CRLF");
	line.length -= 2;
	chunks->size = 0;
	for (; digits < line.length && hex_value(line.data[digits]) >= 0; digits++) {
		chunks->size = chunks->size << 4 | (size_t)hex_value(line.data[digits]);
		if (chunks->size > SIGV4_CHUNK_MOST)
			return fail(chunks, "a signed chunk is longer than 128 KiB");
	}
	struct span rest = span_from(line, digits);
	if (digits == 0 || !span_starts(rest, chunk_name) || !is_signature(span_from(rest, chunk_name.length)))
		return fail(chunks, "a chunk's line is not SIZE;chunk-signature=SIGNATURE");
	chunks->signature = digits + chunk_name.length;
	chunks->data = chunks->held.length;
	return true;
}

/* For what follows the line, and no more: a buffer that grows by itself would take twice as much. */
static void make_room(struct sigv4_chunks *chunks, size_t size)
{
	size_t need = chunks->held.length + size + 1;
	if (need <= chunks->held.capacity)
		return;
	struct buffer exact = {memory_alloc(need), 0, need};
	buffer_span(&exact, buffer_view(&chunks->held));
	buffer_wipe(&chunks->held);
	chunks->held = exact;
}

static bool end_head(struct sigv4_chunks *chunks)
{
	if (!read_head(chunks))
		return false;
	if (chunks->size > 0) {
		make_room(chunks, chunks->size + 2);
		chunks->state = CHUNKS_DATA;
	} else {
		sign_chunk(chunks);
		chunks->state = CHUNKS_LAST;
		if (chunks->trailers)
			make_ready(chunks, CHUNKS_TRAILERS);
	}
	return true;
}

static size_t take_line(struct sigv4_chunks *chunks, struct span bytes)
{
	const char *end = memchr(bytes.data, '\n', bytes.length);
	size_t count = end ? (size_t)(end - bytes.data) + 1 : bytes.length;
	if (count > LINE_MOST - chunks->held.length) {
		fail(chunks, "a chunk's line is not SIZE;chunk-signature=SIGNATURE");
		return bytes.length;
	}
	buffer_append(&chunks->held, bytes.data, count);
	if (end)
		end_head(chunks);
	return count;
}

/* The data, or nothing, and CRLF. */
static size_t take_data(struct sigv4_chunks *chunks, struct span bytes)
{
	size_t left = chunks->data + chunks->size + 2 - chunks->held.length;
	size_t count = bytes.length < left ? bytes.length : left;
	buffer_append(&chunks->held, bytes.data, count);
	if (count < left)
		return count;
	if (!span_ends(buffer_view(&chunks->held), SPAN("\r\n"))) {
		fail(chunks, "a chunk does not end where its size says");
		return count;
	}
	if (chunks->state == CHUNKS_DATA) {
		sign_chunk(chunks);
		make_ready(chunks, CHUNKS_HEAD);
	} else {
		make_ready(chunks, CHUNKS_OVER);
	}
	return count;
}

static size_t take_trailers(struct sigv4_chunks *chunks, struct span bytes)
{
	if (bytes.length > TRAILERS_MOST - chunks->held.length)
		fail(chunks, "the signed trailers are longer than 8 KiB");
	else
		buffer_append(&chunks->held, bytes.data, bytes.length);
	return bytes.length;
}

size_t sigv4_chunks_take(struct sigv4_chunks *chunks, struct span bytes)
{
	if (bytes.length == 0)
		return 0;
	switch (chunks->state) {
	case CHUNKS_HEAD:
		return take_line(chunks, bytes);
	case CHUNKS_DATA:
	case CHUNKS_LAST:
		return take_data(chunks, bytes);
	case CHUNKS_TRAILERS:
		return take_trailers(chunks, bytes);
	case CHUNKS_READY:
		return 0;
	case CHUNKS_OVER:
		break;
	}
	fail(chunks, "something follows the last chunk");
	return bytes.length;
}

/* One line of the trailers into what is signed; `*place` is set where it is the signature's. */
static bool read_trailer(struct sigv4_chunks *chunks, struct span line, struct buffer *canonical, size_t *place)
{
	if (span_starts(line, trailer_name) && *place == 0) {
		*place = (size_t)(line.data - chunks->held.data) + trailer_name.length;
		return is_signature(span_from(line, trailer_name.length));
	}
	struct span value = line, name = span_split(&value, ':');
	if (!value.data || *place || !text_is_token(name))
		return false;
	for (size_t i = 0; i < name.length; i++)
		buffer_char(canonical, span_lower(name.data[i]));
	buffer_char(canonical, ':');
	buffer_span(canonical, span_trim(value));
	buffer_char(canonical, '\n');
	return true;
}

/* Writers differ in how they end these lines: CRLF, LF, or LF and then an empty one. */
static bool read_trailers(struct sigv4_chunks *chunks)
{
	AUTO_WIPE struct buffer canonical = {0};
	struct span rest = buffer_view(&chunks->held);
	size_t place = 0;
	while (rest.data) {
		struct span line = span_split(&rest, '\n');
		if (span_ends(line, SPAN("\r")))
			line.length--;
		if (line.length > 0 && !read_trailer(chunks, line, &canonical, &place))
			return fail(chunks, "the signed trailers are not name:value lines and x-amz-trailer-signature:SIGNATURE");
	}
	if (place == 0)
		return fail(chunks, "the signed trailers have no x-amz-trailer-signature");
	chunks->signature = place;
	sign_trailers(chunks, &canonical);
	make_ready(chunks, CHUNKS_OVER);
	return true;
}

bool sigv4_chunks_finish(struct sigv4_chunks *chunks)
{
	if (chunks->wrong)
		return false;
	if (chunks->state == CHUNKS_TRAILERS)
		return read_trailers(chunks);
	bool over = chunks->state == CHUNKS_OVER || (chunks->state == CHUNKS_READY && chunks->behind == CHUNKS_OVER);
	return over || fail(chunks, "the body ends in the middle of a chunk");
}

struct span sigv4_chunks_ready(const struct sigv4_chunks *chunks)
{
	if (chunks->state != CHUNKS_READY)
		return (struct span){"", 0};
	return span_from(buffer_view(&chunks->held), chunks->handed);
}

void sigv4_chunks_handed(struct sigv4_chunks *chunks, size_t count)
{
	chunks->handed += count;
	if (chunks->handed < chunks->held.length)
		return;
	buffer_clear(&chunks->held);
	chunks->state = chunks->behind;
}
