#include "sigv4.h"

#include <stdlib.h>

#include "percent.h"

#define WIDEST 3 /* bytes of an escape */

void sigv4_time(time_t now, char out[SIGV4_TIME + 1])
{
	struct tm parts;
	gmtime_r(&now, &parts);
	strftime(out, SIGV4_TIME + 1, "%Y%m%dT%H%M%SZ", &parts);
}

bool sigv4_is_s3(struct span service)
{
	static const struct span names[] = {{"s3", 2}, {"s3express", 9}, {"s3-outposts", 11}, {"s3-object-lambda", 16}};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (span_equal(service, names[i]))
			return true;
	return false;
}

struct span sigv4_scope_text(const struct sigv4_scope *scope, struct arena *arena)
{
	return span_of(arena_format(arena, "%.*s/%.*s/%.*s/aws4_request", SIGV4_DAY, scope->time, SPAN_ARGS(scope->region),
	                            SPAN_ARGS(scope->service)));
}

/* --- the path --- */

static struct span encode(struct span text, const char *kept, struct arena *arena)
{
	char *out = arena_alloc(arena, WIDEST * text.length + 1);
	return (struct span){out, percent_encode(text, kept, out)};
}

static struct span encode_again(struct span text, bool plus, const char *kept, struct arena *arena)
{
	char *plain = arena_alloc(arena, text.length + 1);
	return encode((struct span){plain, percent_decode(text, plus, plain)}, kept, arena);
}

/* Back behind the "/" of the segment before the one that begins at `used`; the first "/" stays. */
static size_t step_back(const char *out, size_t used)
{
	used -= used > 1;
	while (out[used - 1] != '/')
		used--;
	return used;
}

/* Without empty and dot segments (RFC 3986 §5.2.4). */
static struct span normalize(struct span path, struct arena *arena)
{
	char *out = arena_alloc(arena, path.length + 1);
	size_t used = 0;
	out[used++] = '/';
	while (path.data) {
		struct span segment = span_split(&path, '/');
		if (span_equal(segment, SPAN("..")))
			used = step_back(out, used);
		if (segment.length == 0 || span_equal(segment, SPAN(".")) || span_equal(segment, SPAN("..")))
			continue;
		memcpy(out + used, segment.data, segment.length);
		used += segment.length;
		if (path.data)
			out[used++] = '/';
	}
	return (struct span){out, used};
}

static struct span canonical_path(struct span path, bool s3, struct arena *arena)
{
	return s3 ? encode_again(path, false, "/", arena) : encode(normalize(path, arena), "/", arena);
}

/* --- the query, and the fields: pairs in order --- */

struct pair {
	struct span name, value;
	size_t place; /* in the request */
};

static int compare(struct span a, struct span b)
{
	size_t both = a.length < b.length ? a.length : b.length;
	int order = both ? memcmp(a.data, b.data, both) : 0;
	return order ? order : (a.length > b.length) - (a.length < b.length);
}

static int by_name_and_value(const void *left, const void *right)
{
	const struct pair *a = left, *b = right;
	int order = compare(a->name, b->name);
	return order ? order : compare(a->value, b->value);
}

static int by_name_and_place(const void *left, const void *right)
{
	const struct pair *a = left, *b = right;
	int order = compare(a->name, b->name);
	return order ? order : (a->place > b->place) - (a->place < b->place);
}

static size_t count_pairs(struct span query)
{
	size_t count = 1;
	for (size_t i = 0; i < query.length; i++)
		count += query.data[i] == '&';
	return count;
}

static char *put(char *out, struct span text)
{
	return text.length ? mempcpy(out, text.data, text.length) : out;
}

static struct span join_query(const struct pair *pairs, size_t count, struct arena *arena)
{
	size_t room = 1;
	for (size_t i = 0; i < count; i++)
		room += pairs[i].name.length + pairs[i].value.length + 2;
	char *out = arena_alloc(arena, room), *end = out;
	for (size_t i = 0; i < count; i++) {
		end = put(end, i ? SPAN("&") : SPAN(""));
		end = put(put(put(end, pairs[i].name), SPAN("=")), pairs[i].value);
	}
	return (struct span){out, (size_t)(end - out)};
}

/* By what each parameter stands for, as servers read it: "+" is a blank to them. */
static struct span canonical_query(struct span query, struct arena *arena)
{
	size_t count = 0;
	struct pair *pairs = arena_alloc(arena, count_pairs(query) * sizeof *pairs);
	while (query.data) {
		struct span value = span_split(&query, '&');
		if (value.length == 0)
			continue;
		struct span name = span_split(&value, '=');
		pairs[count++] = (struct pair){encode_again(name, true, "", arena), encode_again(value, true, "", arena), 0};
	}
	qsort(pairs, count, sizeof *pairs, by_name_and_value);
	return join_query(pairs, count, arena);
}

static struct span lower(struct span name, struct arena *arena)
{
	char *out = arena_copy(arena, name.data, name.length);
	for (size_t i = 0; i < name.length; i++)
		out[i] = span_lower(out[i]);
	return (struct span){out, name.length};
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Without blanks at its ends, and one blank for several. */
static struct span single_blanks(struct span value, struct arena *arena)
{
	char *out = arena_alloc(arena, value.length + 1);
	size_t used = 0;
	for (size_t i = 0; i < value.length; i++) {
		if (!is_blank(value.data[i]))
			out[used++] = value.data[i];
		else if (used && out[used - 1] != ' ')
			out[used++] = ' ';
	}
	used -= used && out[used - 1] == ' ';
	return (struct span){out, used};
}

static struct pair *sorted_fields(const struct fields *fields, struct arena *arena)
{
	struct pair *pairs = arena_alloc(arena, fields->count * sizeof *pairs);
	for (size_t i = 0; i < fields->count; i++)
		pairs[i] = (struct pair){lower(fields->list[i].name, arena), single_blanks(fields->list[i].value, arena), i};
	qsort(pairs, fields->count, sizeof *pairs, by_name_and_place);
	return pairs;
}

static bool goes_on(const struct pair *pairs, size_t i)
{
	return i > 0 && span_equal(pairs[i - 1].name, pairs[i].name);
}

/* "name:value\n" for each name, several values of one with "," between. */
static struct span canonical_fields(const struct pair *pairs, size_t count, struct arena *arena)
{
	size_t room = 1;
	for (size_t i = 0; i < count; i++)
		room += pairs[i].name.length + pairs[i].value.length + 2;
	char *out = arena_alloc(arena, room), *end = out;
	for (size_t i = 0; i < count; i++) {
		if (goes_on(pairs, i))
			end[-1] = ',';
		else
			end = put(put(end, pairs[i].name), SPAN(":"));
		end = put(put(end, pairs[i].value), SPAN("\n"));
	}
	return (struct span){out, (size_t)(end - out)};
}

/* "host;x-amz-date" */
static struct span signed_names(const struct pair *pairs, size_t count, struct arena *arena)
{
	size_t room = 1;
	for (size_t i = 0; i < count; i++)
		room += pairs[i].name.length + 1;
	char *out = arena_alloc(arena, room), *end = out;
	for (size_t i = 0; i < count; i++)
		if (!goes_on(pairs, i))
			end = put(put(end, i ? SPAN(";") : SPAN("")), pairs[i].name);
	return (struct span){out, (size_t)(end - out)};
}

/* --- the whole --- */

struct span sigv4_canonical(const struct sigv4_request *request, const struct sigv4_scope *scope, struct arena *arena)
{
	struct span query = request->target, path = span_split(&query, '?');
	const struct pair *pairs = sorted_fields(request->fields, arena);
	size_t count = request->fields->count;
	const struct span lines[] = {
		request->method,
		canonical_path(path, sigv4_is_s3(scope->service), arena),
		canonical_query(query, arena),
		canonical_fields(pairs, count, arena),
		signed_names(pairs, count, arena),
		request->payload,
	};
	size_t room = 0;
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		room += lines[i].length + 1;
	char *out = arena_alloc(arena, room), *end = out;
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		end = put(put(end, i ? SPAN("\n") : SPAN("")), lines[i]);
	return (struct span){out, (size_t)(end - out)};
}

void sigv4_sign(const struct sigv4_request *request, const struct sigv4_scope *scope,
                const unsigned char key[SHA256_BYTES], struct arena *arena, char signature[SHA256_HEX + 1])
{
	char hash[SHA256_HEX + 1];
	sha256_hex(sigv4_canonical(request, scope, arena), hash);
	const char *text = arena_format(arena, "AWS4-HMAC-SHA256\n%s\n%.*s\n%s", scope->time,
	                                SPAN_ARGS(sigv4_scope_text(scope, arena)), hash);
	hmac_sha256_hex((struct span){(const char *)key, SHA256_BYTES}, span_of(text), signature);
}

struct span sigv4_authorization(const struct sigv4_request *request, const struct sigv4_scope *scope, struct span id,
                                const char *signature, struct arena *arena)
{
	struct span where = sigv4_scope_text(scope, arena);
	struct span names = signed_names(sorted_fields(request->fields, arena), request->fields->count, arena);
	return span_of(arena_format(arena, "AWS4-HMAC-SHA256 Credential=%.*s/%.*s, SignedHeaders=%.*s, Signature=%s",
	                            SPAN_ARGS(id), SPAN_ARGS(where), SPAN_ARGS(names), signature));
}
