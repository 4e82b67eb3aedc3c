#include "arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "memory.h"

#define FIRST_BLOCK 4096
#define ALIGN 16

struct arena_block {
	struct arena_block *older;
	size_t size;
	size_t filled; /* of an older block, when a newer one came */
	char bytes[] __attribute__((aligned(ALIGN)));
};

static void add_block(struct arena *arena, size_t least)
{
	size_t size = arena->blocks ? arena->size * 2 : FIRST_BLOCK;
	if (size < least)
		size = least;
	struct arena_block *block = memory_resize(NULL, 1, sizeof *block + size);
	block->older = arena->blocks;
	block->size = size;
	block->filled = 0;
	if (arena->blocks)
		arena->blocks->filled = arena->used;
	arena->blocks = block;
	arena->used = 0;
	arena->size = size;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (!arena->blocks || arena->size - arena->used < size)
		add_block(arena, size);
	void *piece = arena->blocks->bytes + arena->used;
	arena->used += size;
	arena->total += size;
	return piece;
}

void *arena_zero(struct arena *arena, size_t size)
{
	return memset(arena_alloc(arena, size), 0, size);
}

char *arena_copy(struct arena *arena, const void *bytes, size_t size)
{
	char *copy = arena_alloc(arena, size + 1);
	if (size)
		memcpy(copy, bytes, size);
	copy[size] = 0;
	return copy;
}

struct span arena_span(struct arena *arena, struct span span)
{
	return (struct span){arena_copy(arena, span.data, span.length), span.length};
}

/* Into the room that is there; what does not fit is wiped, as arena_wipe() looks no further than what was handed out. */
char *arena_format(struct arena *arena, const char *format, ...)
{
	va_list arguments, again;
	va_start(arguments, format);
	va_copy(again, arguments);
	if (!arena->blocks)
		add_block(arena, 0);
	char *text = arena->blocks->bytes + arena->used;
	size_t room = arena->size - arena->used;
	size_t need = (size_t)vsnprintf(text, room, format, arguments) + 1;
	va_end(arguments);
	if (need > room) {
		explicit_bzero(text, room);
		text = arena_alloc(arena, need);
		vsnprintf(text, need, format, again);
	} else {
		arena_alloc(arena, need);
	}
	va_end(again);
	return text;
}

static void reset(struct arena *arena, bool wipe)
{
	struct arena_block *block = arena->blocks;
	if (!block)
		return;
	block->filled = arena->used;
	while (block->older) {
		struct arena_block *older = block->older;
		if (wipe)
			explicit_bzero(block->bytes, block->filled);
		free(block);
		block = older;
	}
	if (wipe)
		explicit_bzero(block->bytes, block->filled);
	arena->blocks = block;
	arena->size = block->size;
	arena->used = 0;
	arena->total = 0;
}

void arena_reset(struct arena *arena)
{
	reset(arena, false);
}

void arena_wipe(struct arena *arena)
{
	reset(arena, true);
}

void arena_free(struct arena *arena)
{
	arena_wipe(arena);
	free(arena->blocks);
	*arena = (struct arena){0};
}
