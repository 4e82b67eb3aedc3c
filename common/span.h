/* A borrowed run of bytes: what parsers hand around instead of copies.
 *
 * A span owns nothing and need not end in NUL. It is valid as long as the memory that it points into; the function that
 * returns one says which memory that is. */
#ifndef KEYSTILE_SPAN_H
#define KEYSTILE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct span {
	const char *data;
	size_t length;
};

/* A span over a string literal, and the two printf arguments for "%.*s". */
#define SPAN(literal) ((struct span){(literal), sizeof(literal) - 1})
#define SPAN_ARGS(span) (int)(span).length, (span).data

static inline struct span span_of(const char *string)
{
	return (struct span){string, string ? strlen(string) : 0};
}

static inline bool span_equal(struct span a, struct span b)
{
	return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

/* ASCII lower case; locale plays no part in protocols. */
static inline char span_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static inline bool span_equal_nocase(struct span a, struct span b)
{
	if (a.length != b.length)
		return false;
	for (size_t i = 0; i < a.length; i++)
		if (span_lower(a.data[i]) != span_lower(b.data[i]))
			return false;
	return true;
}

static inline bool span_starts(struct span text, struct span prefix)
{
	return text.length >= prefix.length && (prefix.length == 0 || memcmp(text.data, prefix.data, prefix.length) == 0);
}

static inline bool span_ends(struct span text, struct span suffix)
{
	return text.length >= suffix.length &&
	       (suffix.length == 0 || memcmp(text.data + text.length - suffix.length, suffix.data, suffix.length) == 0);
}

/* What is behind the first `count` bytes; empty when there are fewer. */
static inline struct span span_from(struct span text, size_t count)
{
	if (count > text.length)
		count = text.length;
	return (struct span){text.data + count, text.length - count};
}

static inline struct span span_head(struct span text, size_t count)
{
	return (struct span){text.data, count < text.length ? count : text.length};
}

/* Without leading and trailing SP and HTAB (RFC 9110 §5.5 OWS). */
static inline struct span span_trim(struct span text)
{
	while (text.length > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
		text.data++;
		text.length--;
	}
	while (text.length > 0 && (text.data[text.length - 1] == ' ' || text.data[text.length - 1] == '\t'))
		text.length--;
	return text;
}

/* Takes what stands before the first `separator` off `*rest` (and the separator too) and returns it.
 * Without a separator: returns all of it and leaves `*rest` with data NULL, so `while (rest.data)` walks a list. */
static inline struct span span_split(struct span *rest, char separator)
{
	const char *found = rest->length ? memchr(rest->data, separator, rest->length) : NULL;
	if (!found) {
		struct span whole = *rest;
		*rest = (struct span){NULL, 0};
		return whole;
	}
	struct span part = {rest->data, (size_t)(found - rest->data)};
	*rest = span_from(*rest, part.length + 1);
	return part;
}

#endif
