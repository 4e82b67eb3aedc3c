/* A growable run of bytes with one owner.
 *
 * `data` always has a NUL behind `length` once anything was appended, so it serves as a string too. */
#ifndef KEYSTILE_BUFFER_H
#define KEYSTILE_BUFFER_H

#include <stddef.h>

#include "span.h"

struct buffer {
	char *data; /* NULL while nothing was ever appended */
	size_t length, capacity;
};

void buffer_append(struct buffer *buffer, const void *bytes, size_t count);
void buffer_string(struct buffer *buffer, const char *string);
void buffer_span(struct buffer *buffer, struct span span);
void buffer_char(struct buffer *buffer, char c);
void buffer_format(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends `text` as the inside of a JSON string (RFC 8259 §7), quotes not included. Bytes that are not UTF-8 become
 * U+FFFD, so that what is written is JSON whatever an agent sends; control characters, those of C1 too, are escaped. */
void buffer_json(struct buffer *buffer, struct span text);

/* Makes room for `count` more bytes and returns where they go; the caller adds to `length` what it wrote. */
char *buffer_room(struct buffer *buffer, size_t count);

void buffer_clear(struct buffer *buffer); /* length 0, memory kept */
void buffer_free(struct buffer *buffer);
void buffer_wipe(struct buffer *buffer); /* zeroed, then freed: for what may hold a secret */

static inline struct span buffer_view(const struct buffer *buffer)
{
	return (struct span){buffer->data ? buffer->data : "", buffer->length};
}

#define AUTO_BUFFER __attribute__((cleanup(buffer_free)))
#define AUTO_WIPE __attribute__((cleanup(buffer_wipe)))

#endif
