/* A bump allocator: many small pieces with one end.
 *
 * The pieces live until arena_reset() or arena_free(); none is freed alone. One thread at a time. Not for secrets that
 * outlive a request: arena_wipe() zeroes what was used before it is given back. */
#ifndef KEYSTILE_ARENA_H
#define KEYSTILE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "span.h"

struct arena_block;

struct arena {
	struct arena_block *blocks; /* newest first; the oldest one is kept over a reset */
	size_t used, size;          /* of the newest */
	size_t total;               /* bytes handed out since the last reset, for limits */
};

void *arena_alloc(struct arena *arena, size_t size); /* aligned to 16, not zeroed; memory out ends the process */
void *arena_zero(struct arena *arena, size_t size);
char *arena_copy(struct arena *arena, const void *bytes, size_t size); /* with a NUL behind it */
struct span arena_span(struct arena *arena, struct span span);
char *arena_format(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Empties it. The first block stays for the next use, so a reset arena serves a request like the last without malloc. */
void arena_reset(struct arena *arena);
void arena_wipe(struct arena *arena); /* arena_reset, with the used bytes zeroed first */
void arena_free(struct arena *arena); /* zeroes and frees everything */

#endif
