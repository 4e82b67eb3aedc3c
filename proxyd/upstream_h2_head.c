/* Heads: from a request to fields of HTTP/2 (RFC 9113 §8.2, §8.3), and from those to a response, as strict as the codec is
 * with HTTP/1.1. libnghttp2 has seen to what is HTTP/2's own: one :status of three digits, in front; names in small letters;
 * no field of the hop; no 101; a body as long as Content-Length says. */
#include <stdio.h>

#include "upstream_h2_internal.h"

#define FIELD_BYTES 4 /* ": " and CRLF: limits.head means the same in both versions */
#define BEYOND 8      /* times limits.head */
#define LENGTH_TEXT 24

/* ---- up ---- */

/* What framing or the connection says by itself (RFC 9113 §8.2.2); :authority has the host. */
static bool is_replaced(struct span name)
{
	static const struct span names[] = {
		SPAN("host"), SPAN("connection"), SPAN("keep-alive"), SPAN("proxy-connection"), SPAN("transfer-encoding"),
		SPAN("upgrade"), SPAN("content-length"),
	};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (span_equal_nocase(name, names[i]))
			return true;
	return false;
}

/* `sensitive`: it is kept out of the compression's table, here and behind (RFC 7541 §7.1.3). */
static void add_pair(struct h2_request *request, struct span name, struct span value, bool sensitive)
{
	char *lower = arena_copy(&request->arena, name.data, name.length);
	for (size_t i = 0; i < name.length; i++)
		lower[i] = span_lower(lower[i]);
	request->pairs[request->pair_count++] = (nghttp2_nv){
		(uint8_t *)lower,
		(uint8_t *)arena_copy(&request->arena, value.data, value.length),
		name.length,
		value.length,
		sensitive ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE,
	};
}

static bool is_private(const struct field *field)
{
	return field->sensitive || span_equal_nocase(field->name, SPAN("authorization")) ||
	       span_equal_nocase(field->name, SPAN("cookie"));
}

void h2_head_write(struct h2_request *request, const struct request *head)
{
	const struct field *host = fields_find(&head->fields, SPAN("host"));
	char length[LENGTH_TEXT];
	request->pairs = arena_alloc(&request->arena, (head->fields.count + 5) * sizeof *request->pairs);
	add_pair(request, SPAN(":method"), head->method, false);
	add_pair(request, SPAN(":scheme"), SPAN("https"), false);
	add_pair(request, SPAN(":authority"), host->value, false);
	add_pair(request, SPAN(":path"), head->target, true);
	for (size_t i = 0; i < head->fields.count; i++) {
		const struct field *field = &head->fields.list[i];
		if (!is_replaced(field->name))
			add_pair(request, field->name, field->value, is_private(field));
	}
	if (head->body.kind != BODY_LENGTH)
		return;
	snprintf(length, sizeof length, "%llu", (unsigned long long)head->body.length);
	add_pair(request, SPAN("content-length"), span_of(length), false);
}

size_t h2_trailers_write(struct h2_request *request, nghttp2_nv **pairs)
{
	const struct fields *trailers = request->trailers_up;
	request->pair_count = 0;
	request->pairs = arena_alloc(&request->arena, (trailers ? trailers->count : 0) * sizeof **pairs);
	for (size_t i = 0; trailers && i < trailers->count; i++)
		if (!is_replaced(trailers->list[i].name))
			add_pair(request, trailers->list[i].name, trailers->list[i].value, trailers->list[i].sensitive);
	*pairs = request->pairs;
	return request->pair_count;
}

/* ---- down ---- */

static unsigned three_digits(const char *text)
{
	return (unsigned)((text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0'));
}

static bool is_too_large(const struct h2_request *request)
{
	return request->head_size > request->room->limits.head.head;
}

void h2_head_add(struct h2_request *request, const struct field *field)
{
	struct arena *arena = &request->arena;
	const struct codec_limits *limits = &request->room->limits.head;
	struct fields *fields = request->state == H2_BODY ? &request->trailers : &request->response.fields;
	size_t size = field->name.length + field->value.length + FIELD_BYTES;
	request->head_size += size;
	request->connection->block += size;
	if (request->connection->block > limits->head * BEYOND)
		h2_accuse(request->connection, NGHTTP2_ENHANCE_YOUR_CALM,
		          "sends a head that is many times longer than limits.head");
	if (is_too_large(request) || fields->count > limits->fields)
		return;
	if (span_equal(field->name, SPAN(":status")))
		request->response.status = three_digits(field->value.data);
	else
		fields_add_copy(fields, arena, field);
}

/* False where it failed for its size. */
static bool fits(struct h2_request *request, const struct fields *fields)
{
	const char *host = h2_host(request->origin);
	if (is_too_large(request))
		h2_request_fail(request, UPSTREAM_HEAD_TOO_LARGE, "the answer of %.100s has a head over the limit (limits: head)",
		                host);
	else if (fields->count > request->room->limits.head.fields)
		h2_request_fail(request, UPSTREAM_HEAD_TOO_LARGE,
		                "the answer of %.100s has more fields than the limit (limits: fields)", host);
	else
		return true;
	return false;
}

static void take_trailers(struct h2_request *request)
{
	const char *why;
	if (!fits(request, &request->trailers))
		return;
	if (codec_trailers_check(&request->trailers, request->room->limits.head, &why) != CODEC_DONE)
		h2_request_fail(request, UPSTREAM_CUT, "the answer of %.100s %s", h2_host(request->origin), why);
}

/* The exchange may release the request within. */
static void take_interim(struct h2_request *request)
{
	struct upstream_h2 *room = request->room;
	if (!upstream_interims_add(&request->interims, request->head_size)) {
		h2_request_fail(request, UPSTREAM_MALFORMED, "%.100s sent too many interim (1xx) answers",
		                h2_host(request->origin));
		return;
	}
	room->telling = request;
	request->upstream.events->interim(request->upstream.context, &request->response);
	if (!room->telling)
		return;
	room->telling = NULL;
	arena_reset(&request->arena);
	request->response = (struct response){0};
	request->head_size = 0;
}

static void take_head(struct h2_request *request, bool last)
{
	const char *why;
	struct span method = request->is_head ? SPAN("HEAD") : SPAN("GET");
	request->response.minor = 1;
	if (!fits(request, &request->response.fields))
		return;
	if (codec_response_check(&request->response, method, last, &why) != CODEC_DONE) {
		h2_request_fail(request, UPSTREAM_MALFORMED, "the answer of %.100s %s", h2_host(request->origin), why);
	} else if (request->response.status < 200) {
		take_interim(request);
	} else {
		request->state = H2_BODY;
		request->head_size = 0;
		h2_tell(request, H2_NEWS_HEAD);
	}
}

void h2_head_read(struct h2_request *request, bool last)
{
	request->answered = true;
	if (request->state == H2_BODY)
		take_trailers(request);
	else
		take_head(request, last);
}
