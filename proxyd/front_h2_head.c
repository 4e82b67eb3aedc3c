/* From the fields of a header block to a request (RFC 9113 §8.2, §8.3), as strict as the codec is with HTTP/1 heads.
 * libnghttp2 has seen to what is HTTP/2's own: which pseudo-fields there are, once each and in front; names in small letters;
 * no field of the hop; no TE but "trailers". */
#include "front_h2_internal.h"

#define FIELD_BYTES 32 /* each field counts so many beside its name and value (RFC 9113 §6.5.2) */
#define BEYOND 8       /* times limits.head */

static struct span *pseudo_field(struct h2_head *head, struct span name)
{
	const struct {
		struct span name, *place;
	} rows[] = {
		{SPAN(":method"), &head->method},
		{SPAN(":scheme"), &head->scheme},
		{SPAN(":authority"), &head->authority},
		{SPAN(":path"), &head->path},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (span_equal(name, rows[i].name))
			return rows[i].place;
	return NULL;
}

bool front_h2_head_add(struct h2_stream *stream, const struct field *field)
{
	struct arena *arena = exchange_arena(stream->exchange);
	size_t most = (size_t)front_h2_limits(stream->client)->head;
	stream->head.size += field->name.length + field->value.length + FIELD_BYTES;
	if (stream->head.size > most)
		return stream->head.size <= most * BEYOND;
	struct span *place = pseudo_field(&stream->head, field->name);
	if (place)
		*place = arena_span(arena, field->value);
	else
		fields_add_copy(&exchange_request(stream->exchange)->fields, arena, field);
	return true;
}

/* A Cookie field may come in pieces, to be compressed better; HTTP/1 knows one alone (RFC 9113 §8.2.3). */
static void join_cookies(struct fields *fields, struct arena *arena)
{
	size_t size = 0, kept = 0;
	struct field *first = NULL;
	char *end = NULL;
	if (fields_count(fields, SPAN("cookie")) < 2)
		return;
	for (size_t i = 0; i < fields->count; i++)
		if (span_equal(fields->list[i].name, SPAN("cookie")))
			size += fields->list[i].value.length + strlen("; ");
	for (size_t i = 0; i < fields->count; i++) {
		struct field field = fields->list[i];
		if (!span_equal(field.name, SPAN("cookie"))) {
			fields->list[kept++] = field;
			continue;
		}
		if (!first) {
			first = &fields->list[kept++];
			*first = (struct field){.name = field.name, .value = {arena_alloc(arena, size), 0}};
			end = (char *)(uintptr_t)first->value.data;
		} else {
			end = mempcpy(end, "; ", 2);
		}
		end = mempcpy(end, field.value.data, field.value.length);
		first->value.length = (size_t)(end - first->value.data);
	}
	fields->count = kept;
}

/* Do they name the same host and port? */
static bool agree(struct span a, struct span b, bool tls)
{
	struct authority first, second;
	if (!authority_parse(a, &first, NULL) || !authority_parse(b, &second, NULL))
		return false;
	uint16_t otherwise = authority_usual_port(tls);
	return host_equal(&first.host, &second.host) &&
	       (first.port ? first.port : otherwise) == (second.port ? second.port : otherwise);
}

/* One of :authority and Host may be left out; with both, no two readers may find two hosts (RFC 9113 §8.3.1). Then Host is
 * what :authority is. */
static bool settle_host(struct h2_head *head, struct fields *fields, struct arena *arena)
{
	struct field *host = (struct field *)(uintptr_t)fields_find(fields, SPAN("host"));
	bool tls = span_equal_nocase(head->scheme, SPAN("https"));
	if (!host && head->authority.data)
		fields_add(fields, arena, SPAN("host"), head->authority);
	else if (host && !head->authority.data)
		head->authority = host->value;
	else if (host && !span_equal(host->value, head->authority) && !agree(host->value, head->authority, tls))
		return false;
	else if (host)
		host->value = head->authority;
	return true;
}

/* In absolute-form: who asks by HTTP/2 always names the host, whether it is the proxy's own or another. */
static struct span make_target(const struct h2_head *head, struct arena *arena)
{
	if (span_equal(head->method, SPAN("CONNECT")))
		return head->authority;
	if (span_equal(head->path, SPAN("*")))
		return head->path;
	return span_of(arena_format(arena, "%.*s://%.*s%.*s", SPAN_ARGS(head->scheme), SPAN_ARGS(head->authority),
	                            SPAN_ARGS(head->path)));
}

static enum codec_result bad(const char *text, const char **why)
{
	*why = text;
	return CODEC_BAD;
}

/* Without Content-Length the body ends with the stream, which is what chunks are for where it goes by HTTP/1.1. */
static enum codec_result settle_body(struct request *request, bool alone, const char **why)
{
	if (alone && request->body.kind == BODY_LENGTH && request->body.length > 0)
		return bad("has a Content-Length and no body", why);
	if (!alone && request->body.kind == BODY_NONE)
		request->body.kind = BODY_CHUNKED;
	return CODEC_DONE;
}

enum codec_result front_h2_head_read(struct h2_stream *stream, bool alone, const char **why)
{
	const struct config_limits *limits = front_h2_limits(stream->client);
	struct arena *arena = exchange_arena(stream->exchange);
	struct request *request = exchange_request(stream->exchange);
	struct h2_head *head = &stream->head;
	request->method = head->method;
	request->minor = 1;
	request->h2 = true;
	*why = "has a head over the limit";
	if (head->size > limits->head)
		return CODEC_TOO_LARGE;
	join_cookies(&request->fields, arena);
	if (!settle_host(head, &request->fields, arena))
		return bad("has a Host field that names another host than its :authority", why);
	/* :authority is the Host field of HTTP/1.1, and the other pseudo-fields are its request line. */
	*why = "has more fields than the limit";
	if (request->fields.count > limits->fields)
		return CODEC_TOO_MANY;
	request->target = make_target(head, arena);
	enum codec_result result = codec_request_check(request, why);
	return result == CODEC_DONE ? settle_body(request, alone, why) : result;
}
