/* The agent's fields on their way up: which stay, and what is left of them. */
#include "codec_h1_line.h"
#include "inject_internal.h"

#define LENGTHS 64

/* The names that the request nominates in Connection: they end here (RFC 9110 §7.6.1). */
struct nominated {
	struct name_list names;
	size_t capacity;
	uint64_t lengths; /* a bit for each length, modulo 64 */
};

static void nominate(struct nominated *nominated, struct arena *arena, struct span list)
{
	size_t most = 1;
	for (size_t i = 0; i < list.length; i++)
		most += list.data[i] == ',';
	struct span *names = arena_alloc(arena, (nominated->names.count + most) * sizeof *names);
	if (nominated->names.count)
		memcpy(names, nominated->names.list, nominated->names.count * sizeof *names);
	nominated->names.list = names;
	while (list.data) {
		struct span name = span_trim(span_split(&list, ','));
		if (name.length == 0)
			continue;
		names[nominated->names.count++] = name;
		nominated->lengths |= UINT64_C(1) << name.length % LENGTHS;
	}
}

static void read_connection(struct nominated *nominated, const struct strip *strip, const struct fields *fields)
{
	static const struct span connection = {"connection", 10}, close = {"close", 5}, keep = {"keep-alive", 10};
	for (size_t i = 0; i < fields->count; i++) {
		const struct field *field = &fields->list[i];
		if (field->name.length == connection.length && span_equal_nocase(field->name, connection) &&
		    !span_equal_nocase(field->value, keep) && !span_equal_nocase(field->value, close))
			nominate(nominated, strip->arena, field->value);
	}
}

static bool is_nominated(const struct nominated *nominated, struct span name)
{
	if (!(nominated->lengths >> name.length % LENGTHS & 1))
		return false;
	for (size_t i = 0; i < nominated->names.count; i++)
		if (span_equal_nocase(nominated->names.list[i], name))
			return true;
	return false;
}

static bool has_body(const struct request *request)
{
	return request->body.kind == BODY_CHUNKED || (request->body.kind == BODY_LENGTH && request->body.length > 0);
}

/* Without a body, or from a client of HTTP/1.0, nobody waits for a 100. Else the front does, nominated or not. */
static bool expect_stays(const struct strip *strip, struct span value)
{
	bool waits = has_body(strip->request) && strip->request->minor > 0;
	return waits || !span_equal_nocase(value, SPAN("100-continue"));
}

/* In HTTP/2 it is no field of the hop; gRPC asks for it. */
static bool te_stays(const struct strip *strip)
{
	const struct request *request = strip->request;
	return request->h2 && fields_list_has(&request->fields, SPAN("te"), SPAN("trailers"));
}

/* The first line that is not blank takes the secret's cookie along: many servers read one Cookie line only. */
static struct span join_cookie(const struct strip *strip, struct span left, struct span added)
{
	struct span between = left.data[left.length - 1] == ';' ? SPAN(" ") : SPAN("; ");
	char *text = arena_alloc(strip->arena, left.length + between.length + added.length), *end = text;
	end = mempcpy(end, left.data, left.length);
	end = mempcpy(end, between.data, between.length);
	end = mempcpy(end, added.data, added.length);
	return (struct span){text, (size_t)(end - text)};
}

/* What is left of a list; data NULL where that is nothing but separators. */
static struct span unless_blank(struct span text)
{
	for (size_t i = 0; i < text.length; i++)
		if (!memchr(" \t;,", text.data[i], 4))
			return text;
	return (struct span){NULL, 0};
}

/* What is left of a field's value; data NULL: the field goes. */
static struct span strip_value(const struct strip *strip, enum name_rule rule, struct span value)
{
	static const struct span gone = {NULL, 0};
	struct span left;
	bool joined;
	switch (rule) {
	case NAME_DROPPED:
		return gone;
	case NAME_EXPECT:
		if (!expect_stays(strip, value))
			return gone;
		break;
	case NAME_UPGRADE:
		if (!strip->upgrade)
			return gone;
		break;
	case NAME_TE:
		return te_stays(strip) ? SPAN("trailers") : gone;
	case NAME_COOKIE: /* a blank line that the agent sent stays as it is, unless the secret would join it */
		left = inject_strip_cookie(strip, value);
		joined = strip->rendering && strip->rendering->cookie.length > 0;
		return joined || left.data != value.data ? unless_blank(left) : left;
	case NAME_PROTOCOLS:
		left = inject_strip_protocols(strip, value);
		return left.data != value.data ? unless_blank(left) : left;
	case NAME_CODINGS:
	case NAME_KEPT:
		break;
	}
	if (inject_field_holds_token(strip, value))
		return gone;
	return rule == NAME_CODINGS && strip->rendering->needles.count ? inject_strip_codings(strip, value) : value;
}

/* What the agent's fields are held against. */
struct sieve {
	const struct strip *strip;
	const struct name_table *names;
	struct nominated nominated;
	struct span cookie; /* what the first Cookie line takes along; empty: nothing, or it is taken */
};

static void sieve_start(struct sieve *sieve, const struct strip *strip)
{
	const struct rendering *rendering = strip->rendering;
	*sieve = (struct sieve){.strip = strip, .names = rendering ? &rendering->names : &strip->table->open};
	read_connection(&sieve->nominated, strip, &strip->request->fields);
}

static void sieve_field(struct sieve *sieve, const struct field *field, struct fields *out)
{
	const struct strip *strip = sieve->strip;
	enum name_rule rule = inject_name_rule(sieve->names, field->name);
	/* Two that Connection may name, or must. */
	bool outlives = rule == NAME_EXPECT || rule == NAME_UPGRADE;
	if (!outlives && is_nominated(&sieve->nominated, field->name))
		return;
	struct span value = strip_value(strip, rule, field->value);
	if (!value.data)
		return;
	bool joins = rule == NAME_COOKIE && sieve->cookie.length > 0;
	if (joins) {
		value = join_cookie(strip, value, sieve->cookie);
		sieve->cookie.length = 0;
	}
	fields_add_like(out, strip->arena, field, value);
	out->list[out->count - 1].sensitive |= joins;
}

static void add_secret(const struct strip *strip, struct fields *out, struct span name, struct span value)
{
	fields_add(out, strip->arena, name, value);
	out->list[out->count - 1].sensitive = true;
}

void inject_fields(const struct strip *strip, struct fields *out)
{
	const struct fields *fields = &strip->request->fields;
	struct sieve sieve;
	sieve_start(&sieve, strip);
	if (strip->rendering)
		sieve.cookie = strip->rendering->cookie;
	for (size_t i = 0; i < fields->count; i++)
		sieve_field(&sieve, &fields->list[i], out);
	for (size_t i = 0; strip->rendering && i < strip->rendering->headers.count; i++) {
		const struct field *header = &strip->rendering->headers.list[i];
		add_secret(strip, out, header->name, header->value);
	}
	if (sieve.cookie.length > 0)
		add_secret(strip, out, SPAN("Cookie"), sieve.cookie);
}

void inject_trailing_fields(const struct strip *strip, const struct fields *trailers, struct fields *out)
{
	struct sieve sieve;
	sieve_start(&sieve, strip);
	for (size_t i = 0; i < trailers->count; i++) {
		const struct field *field = &trailers->list[i];
		if (text_is_token(field->name) && !codec_line_fault(field->value))
			sieve_field(&sieve, field, out);
	}
}
