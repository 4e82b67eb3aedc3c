#include "message.h"

#include <stdlib.h>

#define FIRST_FIELDS 32

void fields_add(struct fields *fields, struct arena *arena, struct span name, struct span value)
{
	if (fields->count == fields->capacity) {
		size_t capacity = fields->capacity ? fields->capacity * 2 : FIRST_FIELDS;
		struct field *list = arena_alloc(arena, capacity * sizeof *list);
		if (fields->count)
			memcpy(list, fields->list, fields->count * sizeof *list);
		fields->list = list;
		fields->capacity = capacity;
	}
	fields->list[fields->count++] = (struct field){.name = name, .value = value};
}

void fields_add_like(struct fields *fields, struct arena *arena, const struct field *like, struct span value)
{
	fields_add(fields, arena, like->name, value);
	fields->list[fields->count - 1].sensitive = like->sensitive;
}

void fields_add_copy(struct fields *fields, struct arena *arena, const struct field *field)
{
	const struct field copy = {arena_span(arena, field->name), field->value, field->sensitive};
	fields_add_like(fields, arena, &copy, arena_span(arena, field->value));
}

const struct field *fields_find(const struct fields *fields, struct span name)
{
	for (size_t i = 0; i < fields->count; i++)
		if (span_equal_nocase(fields->list[i].name, name))
			return &fields->list[i];
	return NULL;
}

size_t fields_count(const struct fields *fields, struct span name)
{
	size_t count = 0;
	for (size_t i = 0; i < fields->count; i++)
		count += span_equal_nocase(fields->list[i].name, name);
	return count;
}

void fields_remove(struct fields *fields, struct span name)
{
	size_t kept = 0;
	for (size_t i = 0; i < fields->count; i++) {
		if (span_equal_nocase(fields->list[i].name, name))
			continue;
		if (kept != i)
			fields->list[kept] = fields->list[i];
		kept++;
	}
	fields->count = kept;
}

static bool list_has(struct span list, struct span token)
{
	while (list.data)
		if (span_equal_nocase(span_trim(span_split(&list, ',')), token))
			return true;
	return false;
}

bool fields_list_has(const struct fields *fields, struct span name, struct span token)
{
	for (size_t i = 0; i < fields->count; i++)
		if (span_equal_nocase(fields->list[i].name, name) && list_has(fields->list[i].value, token))
			return true;
	return false;
}

bool method_is_idempotent(struct span method)
{
	static const struct span idempotent[] = {
		{"GET", 3}, {"HEAD", 4}, {"PUT", 3}, {"DELETE", 6}, {"OPTIONS", 7}, {"TRACE", 5},
	};
	for (size_t i = 0; i < sizeof idempotent / sizeof *idempotent; i++)
		if (span_equal(method, idempotent[i]))
			return true;
	return false;
}

bool text_is_token(struct span text)
{
	static const bool token[256] = {
		['!'] = true, ['#'] = true, ['$'] = true, ['%'] = true, ['&'] = true, ['\''] = true, ['*'] = true,
		['+'] = true, ['-'] = true, ['.'] = true, ['^'] = true, ['_'] = true, ['`'] = true,  ['|'] = true,
		['~'] = true, ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
	};
	for (size_t i = 0; i < text.length; i++)
		if (!token[(unsigned char)text.data[i]])
			return false;
	return text.length > 0;
}

static char *put(char *out, struct span text)
{
	return mempcpy(out, text.data, text.length);
}

struct span host_field(const struct host *host, uint16_t port, bool tls, struct arena *arena)
{
	bool brackets = host->kind == HOST_IPV6;
	char *start = arena_alloc(arena, host->length + sizeof "[]:65535"), *end = start, digits[5];
	size_t count = 0;
	if (brackets)
		end = put(end, SPAN("["));
	end = put(end, host_span(host));
	if (brackets)
		end = put(end, SPAN("]"));
	if (port != authority_usual_port(tls)) {
		*end++ = ':';
		for (unsigned rest = port; rest > 0; rest /= 10)
			digits[count++] = (char)('0' + rest % 10);
		while (count > 0)
			*end++ = digits[--count];
	}
	return (struct span){start, (size_t)(end - start)};
}
