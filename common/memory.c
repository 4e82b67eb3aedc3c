#include "memory.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void *there_or_end(void *pointer)
{
	if (!pointer) {
		fputs("keystile: out of memory\n", stderr);
		abort();
	}
	return pointer;
}

void *memory_alloc(size_t size)
{
	return there_or_end(calloc(1, size ? size : 1));
}

void *memory_array(size_t count, size_t size)
{
	return there_or_end(calloc(count ? count : 1, size ? size : 1));
}

void *memory_resize(void *old, size_t count, size_t size)
{
	return there_or_end(reallocarray(old, count ? count : 1, size ? size : 1));
}

char *memory_string(const char *string)
{
	return string ? there_or_end(strdup(string)) : NULL;
}

char *memory_span(struct span span)
{
	char *copy = memory_alloc(span.length + 1);
	if (span.length)
		memcpy(copy, span.data, span.length);
	return copy;
}

char *memory_format(const char *format, ...)
{
	char *text = NULL;
	va_list arguments;
	va_start(arguments, format);
	int length = vasprintf(&text, format, arguments);
	va_end(arguments);
	return there_or_end(length < 0 ? NULL : text);
}

void *memory_grow(void *list, size_t count, size_t *capacity, size_t size)
{
	if (count < *capacity)
		return list;
	*capacity = *capacity ? *capacity * 2 : 8;
	return memory_resize(list, *capacity, size);
}

void memory_wipe_free(void *memory)
{
	if (memory)
		explicit_bzero(memory, malloc_usable_size(memory));
	free(memory);
}

void *memory_wipe_resize(void *old, size_t size)
{
	void *memory = malloc(size);
	if (memory && old) {
		size_t had = malloc_usable_size(old);
		memcpy(memory, old, had < size ? had : size);
		memory_wipe_free(old);
	}
	return memory;
}
