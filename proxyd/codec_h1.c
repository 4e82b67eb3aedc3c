#include "codec_h1.h"

#include "codec_h1_line.h"

/* What the fields of one message say about where its body ends. */
struct framing_fields {
	size_t hosts, lengths, codings;
	struct span host, length, coding;
};

static enum codec_result refuse(enum codec_result result, const char *text, const char **why)
{
	*why = text;
	return result;
}

static void collect_framing(const struct fields *fields, struct framing_fields *found)
{
	*found = (struct framing_fields){0};
	for (size_t i = 0; i < fields->count; i++) {
		const struct field *field = &fields->list[i];
		if (field->name.length == 4 && span_equal_nocase(field->name, SPAN("host"))) {
			found->hosts++;
			found->host = field->value;
		} else if (field->name.length == 14 && span_equal_nocase(field->name, SPAN("content-length"))) {
			found->lengths++;
			found->length = field->value;
		} else if (field->name.length == 17 && span_equal_nocase(field->name, SPAN("transfer-encoding"))) {
			found->codings++;
			found->coding = field->value;
		}
	}
}

/* Digits alone, few enough never to overflow. */
static bool parse_length(struct span text, uint64_t *length)
{
	uint64_t value = 0;
	if (text.length == 0 || text.length > 18)
		return false;
	for (size_t i = 0; i < text.length; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(text.data[i] - '0');
	}
	*length = value;
	return true;
}

/* A body whose coding does not end in "chunked" has no end (RFC 9112 §6.3). */
static bool ends_chunked(struct span coding)
{
	const char *comma = memrchr(coding.data, ',', coding.length);
	struct span last = comma ? span_from(coding, (size_t)(comma - coding.data) + 1) : coding;
	return span_equal_nocase(span_trim(last), SPAN("chunked"));
}

static enum codec_result judge_coding(const struct framing_fields *found, unsigned minor, const char **why)
{
	if (found->lengths > 0)
		return refuse(CODEC_BAD, "has Content-Length beside Transfer-Encoding", why);
	if (found->codings > 1)
		return refuse(CODEC_BAD, "has two Transfer-Encoding fields", why);
	if (minor == 0)
		return refuse(CODEC_BAD, "has a Transfer-Encoding in HTTP/1.0", why);
	if (found->coding.length == 0)
		return refuse(CODEC_BAD, "has an empty Transfer-Encoding", why);
	if (!ends_chunked(found->coding))
		return refuse(CODEC_BAD, "has a Transfer-Encoding that does not end in \"chunked\"", why);
	if (found->coding.length != SPAN("chunked").length)
		return refuse(CODEC_CODING, "has a transfer coding other than \"chunked\"", why);
	return CODEC_DONE;
}

/* Sets `*body` from the fields; `otherwise` is what a message without framing fields has. */
static enum codec_result judge_framing(const struct framing_fields *found, unsigned minor, enum body_kind otherwise,
                                       struct body_framing *body, const char **why)
{
	*body = (struct body_framing){.kind = otherwise};
	if (found->codings > 0) {
		body->kind = BODY_CHUNKED;
		return judge_coding(found, minor, why);
	}
	if (found->lengths == 0)
		return CODEC_DONE;
	if (found->lengths > 1)
		return refuse(CODEC_BAD, "has two Content-Length fields", why);
	body->kind = BODY_LENGTH;
	if (!parse_length(found->length, &body->length))
		return refuse(CODEC_BAD, "has a Content-Length that is not a number", why);
	return CODEC_DONE;
}

/* A port, if there is one: ":" and digits, perhaps none (RFC 3986 §3.2.3). */
static bool ends_as_port(struct span text)
{
	unsigned port = 0;
	if (text.length > 6 || (text.length > 0 && text.data[0] != ':'))
		return false;
	for (size_t i = 1; i < text.length; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
		port = port * 10 + (unsigned)(text.data[i] - '0');
	}
	return port <= 65535;
}

/* host or host:port (RFC 3986 §3.2), without what is used for no host that exists: escapes, and the comma, in which a
 * reader of lists would see two. */
static bool is_host_port(struct span text)
{
	static const bool name[256] = {
		['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['-'] = true, ['.'] = true, ['_'] = true,
		['~'] = true, ['!'] = true, ['$'] = true, ['&'] = true, ['\''] = true, ['('] = true, [')'] = true, ['*'] = true,
		['+'] = true, [';'] = true, ['='] = true,
	};
	static const bool address[256] = {
		['0' ... '9'] = true, ['A' ... 'F'] = true, ['a' ... 'f'] = true, [':'] = true, ['.'] = true,
	};
	bool bracket = text.length > 0 && text.data[0] == '[';
	const bool *allowed = bracket ? address : name;
	size_t end = bracket;
	while (end < text.length && allowed[(unsigned char)text.data[end]])
		end++;
	if (end == bracket || (bracket && (end == text.length || text.data[end] != ']')))
		return false;
	return ends_as_port(span_from(text, end + bracket));
}

static enum codec_result judge_host(const struct framing_fields *found, unsigned minor, const char **why)
{
	if (found->hosts > 1)
		return refuse(CODEC_BAD, "has two Host fields", why);
	if (found->hosts == 0)
		return minor == 0 ? CODEC_DONE : refuse(CODEC_BAD, "has no Host field", why);
	return is_host_port(found->host) ? CODEC_DONE
	                                 : refuse(CODEC_BAD, "has a Host field that is not host or host:port", why);
}

static enum codec_result judge_request(struct request *request, const char **why)
{
	struct framing_fields found;
	collect_framing(&request->fields, &found);
	enum codec_result result = judge_host(&found, request->minor, why);
	if (result != CODEC_DONE)
		return result;
	return judge_framing(&found, request->minor, BODY_NONE, &request->body, why);
}

static bool target_is_plain(struct span target)
{
	for (size_t i = 0; i < target.length; i++)
		if ((unsigned char)target.data[i] <= ' ' || target.data[i] == 0x7f)
			return false;
	return target.length > 0;
}

static enum codec_result judge_fields(const struct fields *fields, const char **why)
{
	for (size_t i = 0; i < fields->count; i++) {
		const struct field *field = &fields->list[i];
		if (!text_is_token(field->name))
			return refuse(CODEC_BAD, "has a field name with a character that may not stand in one", why);
		const char *fault = codec_line_fault(field->value);
		if (fault)
			return refuse(CODEC_BAD, fault, why);
	}
	return CODEC_DONE;
}

enum codec_result codec_request_check(struct request *request, const char **why)
{
	if (!text_is_token(request->method))
		return refuse(CODEC_BAD, "has a method that is not a word", why);
	if (!target_is_plain(request->target))
		return refuse(CODEC_BAD, "has a blank or a control character in its target", why);
	enum codec_result result = judge_fields(&request->fields, why);
	return result == CODEC_DONE ? judge_request(request, why) : result;
}

/* "HTTP/1.0" or "HTTP/1.1". */
static enum codec_result parse_version(struct span text, unsigned *minor, const char **why)
{
	if (!span_starts(text, SPAN("HTTP/")))
		return refuse(CODEC_BAD, "has no HTTP version where one should be", why);
	if (!span_equal(text, SPAN("HTTP/1.1")) && !span_equal(text, SPAN("HTTP/1.0")))
		return refuse(CODEC_VERSION, "has a version other than HTTP/1.0 and HTTP/1.1", why);
	*minor = (unsigned)(text.data[7] - '0');
	return CODEC_DONE;
}

static enum codec_result parse_request_line(struct span line, struct request *request, const char **why)
{
	const char *first = memchr(line.data, ' ', line.length);
	if (!first)
		return refuse(CODEC_BAD, "has a first line that is not METHOD TARGET HTTP/1.1", why);
	request->method = span_head(line, (size_t)(first - line.data));
	if (!text_is_token(request->method))
		return refuse(CODEC_BAD, "has a method that is not a word", why);
	struct span rest = span_from(line, request->method.length + 1);
	const char *second = memrchr(rest.data, ' ', rest.length);
	if (!second)
		return refuse(CODEC_VERSION, "has no HTTP version in its first line", why);
	request->target = span_head(rest, (size_t)(second - rest.data));
	if (!target_is_plain(request->target))
		return refuse(CODEC_BAD, "has a blank or a control character in its target", why);
	return parse_version(span_from(rest, request->target.length + 1), &request->minor, why);
}

static enum codec_result judge_status(unsigned status, const char **why)
{
	if (status < 100 || status > 599)
		return refuse(CODEC_BAD, "has a status code outside of 100 to 599", why);
	return CODEC_DONE;
}

/* "HTTP/1.1 200 OK". The blank behind the code is left out by some servers that have no phrase to say. */
static enum codec_result parse_status_line(struct span line, struct response *response, const char **why)
{
	enum codec_result result = parse_version(span_head(line, 8), &response->minor, why);
	if (result != CODEC_DONE)
		return result;
	const char *text = line.data + 8;
	if (line.length < 12 || text[0] != ' ' || (line.length > 12 && text[4] != ' '))
		return refuse(CODEC_BAD, "has a first line that is not HTTP/1.1 CODE REASON", why);
	for (size_t i = 1; i < 4; i++)
		if (text[i] < '0' || text[i] > '9')
			return refuse(CODEC_BAD, "has a status code that is not three digits", why);
	response->status = (unsigned)((text[1] - '0') * 100 + (text[2] - '0') * 10 + (text[3] - '0'));
	response->reason = span_from(line, 13);
	return judge_status(response->status, why);
}

/* The lines of a head, one after the other. */
struct head_reader {
	struct span bytes;
	struct codec_limits limits;
	size_t used;
	const char **why;
};

static enum codec_result next_line(struct head_reader *reader, struct span *line)
{
	size_t used = 0;
	enum codec_result result = codec_line_take(span_from(reader->bytes, reader->used), line, &used, reader->why);
	if (result == CODEC_BAD)
		return result;
	reader->used += used;
	if (result == CODEC_DONE ? reader->used > reader->limits.head : reader->bytes.length >= reader->limits.head)
		return refuse(CODEC_TOO_LARGE, "has a head over the limit", reader->why);
	return result;
}

static enum codec_result read_fields(struct head_reader *reader, struct arena *arena, struct fields *fields)
{
	for (;;) {
		struct span line;
		struct field field;
		enum codec_result result = next_line(reader, &line);
		if (result != CODEC_DONE || line.length == 0)
			return result;
		result = codec_line_field(line, &field, reader->why);
		if (result != CODEC_DONE)
			return result;
		if (fields->count >= reader->limits.fields)
			return refuse(CODEC_TOO_MANY, "has more fields than the limit", reader->why);
		fields_add(fields, arena, field.name, field.value);
	}
}

enum codec_result codec_request_head(struct span bytes, struct codec_limits limits, struct arena *arena,
                                     struct request *request, size_t *used, const char **why)
{
	struct head_reader reader = {bytes, limits, 0, why};
	struct span line;
	*request = (struct request){0};
	if (span_starts(bytes, SPAN("\r\n")))
		reader.used = 2;
	enum codec_result result = next_line(&reader, &line);
	if (result == CODEC_DONE)
		result = line.length ? parse_request_line(line, request, why)
		                     : refuse(CODEC_BAD, "has empty lines before its first line", why);
	if (result == CODEC_DONE)
		result = read_fields(&reader, arena, &request->fields);
	if (result == CODEC_DONE)
		result = judge_request(request, why);
	if (result == CODEC_DONE)
		*used = reader.used;
	return result;
}

static bool has_no_body(unsigned status, struct span method)
{
	return status < 200 || status == 204 || status == 304 || span_equal(method, SPAN("HEAD"));
}

/* `otherwise`: what a body is whose length no field tells. */
static enum codec_result judge_response(struct response *response, struct span method, enum body_kind otherwise,
                                        const char **why)
{
	struct framing_fields found;
	collect_framing(&response->fields, &found);
	enum codec_result result = judge_framing(&found, response->minor, otherwise, &response->body, why);
	if (result == CODEC_DONE && has_no_body(response->status, method))
		response->body = (struct body_framing){.kind = BODY_NONE};
	return result;
}

enum codec_result codec_response_head(struct span bytes, struct codec_limits limits, struct span method,
                                      struct arena *arena, struct response *response, size_t *used, const char **why)
{
	struct head_reader reader = {bytes, limits, 0, why};
	struct span line;
	*response = (struct response){0};
	enum codec_result result = next_line(&reader, &line);
	if (result == CODEC_DONE)
		result = parse_status_line(line, response, why);
	if (result == CODEC_DONE)
		result = read_fields(&reader, arena, &response->fields);
	if (result == CODEC_DONE)
		result = judge_response(response, method, BODY_UNTIL_CLOSE, why);
	if (result == CODEC_DONE)
		*used = reader.used;
	return result;
}

enum codec_result codec_response_check(struct response *response, struct span method, bool alone, const char **why)
{
	enum codec_result result = judge_status(response->status, why);
	if (result == CODEC_DONE)
		result = judge_fields(&response->fields, why);
	/* Without Content-Length the body ends with the stream, which is what chunks are for in HTTP/1.1. */
	if (result == CODEC_DONE)
		result = judge_response(response, method, alone ? BODY_NONE : BODY_CHUNKED, why);
	if (result == CODEC_DONE && alone && response->body.kind == BODY_LENGTH && response->body.length > 0)
		return refuse(CODEC_BAD, "has a Content-Length and no body", why);
	return result;
}
