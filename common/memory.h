/* Memory that is there or the program is not: all but the last two end the process with a message when memory is out.
 *
 * What is returned belongs to the caller, who frees it with free(). Nothing here is for secrets: see secret.h. */
#ifndef KEYSTILE_MEMORY_H
#define KEYSTILE_MEMORY_H

#include <stddef.h>
#include <stdlib.h>

#include "span.h"

void *memory_alloc(size_t size);                                   /* zeroed */
void *memory_array(size_t count, size_t size);                     /* zeroed; an overflow ends the process */
void *memory_resize(void *old, size_t count, size_t size);         /* what is new is not zeroed */
char *memory_string(const char *string);                           /* NULL stays NULL */
char *memory_span(struct span span);                               /* NUL-terminated copy */
char *memory_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Grows an array that has `count` items so that one more fits; doubles `*capacity` as needed. */
void *memory_grow(void *list, size_t count, size_t *capacity, size_t size);

/* free() and realloc() for libraries whose memory may hold a secret (SPEC §10): it is zeroed before it is given back. */
void memory_wipe_free(void *memory);
void *memory_wipe_resize(void *old, size_t size);

static inline void memory_cleanup(void *pointer)
{
	free(*(void **)pointer);
}

/* A pointer that is freed when it goes out of scope. */
#define AUTO_FREE __attribute__((cleanup(memory_cleanup)))

#endif
