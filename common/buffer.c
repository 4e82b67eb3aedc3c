#include "buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "memory.h"
#include "utf8.h"

char *buffer_room(struct buffer *buffer, size_t count)
{
	size_t need = buffer->length + count + 1;
	if (need > buffer->capacity) {
		size_t capacity = buffer->capacity ? buffer->capacity : 64;
		while (capacity < need)
			capacity *= 2;
		/* Not realloc: what moves away could be a secret, and buffer_wipe() must find all of it. */
		char *data = memory_resize(NULL, capacity, 1);
		if (buffer->data) {
			memcpy(data, buffer->data, buffer->length);
			explicit_bzero(buffer->data, buffer->length);
			free(buffer->data);
		}
		buffer->data = data;
		buffer->capacity = capacity;
	}
	return buffer->data + buffer->length;
}

void buffer_append(struct buffer *buffer, const void *bytes, size_t count)
{
	char *room = buffer_room(buffer, count);
	if (count)
		memcpy(room, bytes, count);
	buffer->length += count;
	buffer->data[buffer->length] = 0;
}

void buffer_string(struct buffer *buffer, const char *string)
{
	buffer_append(buffer, string, strlen(string));
}

void buffer_span(struct buffer *buffer, struct span span)
{
	buffer_append(buffer, span.data, span.length);
}

void buffer_char(struct buffer *buffer, char c)
{
	buffer_append(buffer, &c, 1);
}

/* Into the room that is there; what does not fit is wiped before the bytes move away, since it could be a secret. */
void buffer_format(struct buffer *buffer, const char *format, ...)
{
	va_list arguments, again;
	va_start(arguments, format);
	va_copy(again, arguments);
	char *end = buffer_room(buffer, 0);
	size_t room = buffer->capacity - buffer->length;
	size_t need = (size_t)vsnprintf(end, room, format, arguments) + 1;
	va_end(arguments);
	if (need > room) {
		explicit_bzero(end, room);
		vsnprintf(buffer_room(buffer, need - 1), need, format, again);
	}
	va_end(again);
	buffer->length += need - 1;
}

static void json_control(struct buffer *buffer, int c)
{
	static const char names[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
	if ((size_t)c < sizeof names && names[(size_t)c])
		buffer_format(buffer, "\\%c", names[(size_t)c]);
	else
		buffer_format(buffer, "\\u%04x", (unsigned)c);
}

void buffer_json(struct buffer *buffer, struct span text)
{
	while (text.length > 0) {
		char c = text.data[0];
		int control = utf8_control(text);
		size_t size = utf8_length(text);
		if (size == 0) {
			buffer_string(buffer, "\\ufffd");
			size = 1;
		} else if (control >= 0) {
			json_control(buffer, control);
		} else {
			if (c == '"' || c == '\\')
				buffer_char(buffer, '\\');
			buffer_append(buffer, text.data, size);
		}
		text = span_from(text, size);
	}
}

void buffer_clear(struct buffer *buffer)
{
	buffer->length = 0;
}

void buffer_free(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){0};
}

void buffer_wipe(struct buffer *buffer)
{
	if (buffer->data)
		explicit_bzero(buffer->data, buffer->capacity);
	buffer_free(buffer);
}
