#include "secret.h"

#include <malloc.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "memory.h"

/* One sodium_malloc() each: what was handed out must not move, so an arena grows by whole blocks. */
struct block {
	struct block *older;
	char *bytes;
	size_t used, size;
};

struct secret_arena {
	struct block *blocks; /* newest first */
};

static atomic_bool lock_failed;

bool secret_start(struct fault *fault)
{
	struct rlimit none = {0, 0};
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0)
		return fault_errno(fault, "cannot turn off core dumps");
	if (sodium_init() < 0)
		return fault_set(fault, FAULT_IO, "libsodium does not start: the system gives no random numbers");
	return true;
}

bool secret_locked(void)
{
	return !atomic_load(&lock_failed);
}

/* sodium_malloc() goes on without a word where mlock() fails, so it is asked for once more here, and the answer kept. */
static char *locked_bytes(size_t size)
{
	char *bytes = sodium_malloc(size);
	if (!bytes)
		return memory_alloc(SIZE_MAX / 2); /* ends the process, with the message for memory that is out */
	if (mlock(bytes, size) != 0)
		atomic_store(&lock_failed, true);
	return bytes;
}

static void add_block(struct secret_arena *arena, size_t size)
{
	struct block *block = memory_alloc(sizeof *block);
	*block = (struct block){.older = arena->blocks, .bytes = locked_bytes(size), .size = size};
	arena->blocks = block;
}

struct secret_arena *secret_arena_new(size_t size)
{
	struct secret_arena *arena = memory_alloc(sizeof *arena);
	add_block(arena, size ? size : 1);
	return arena;
}

char *secret_arena_room(struct secret_arena *arena, size_t size)
{
	struct block *block = arena->blocks;
	if (block->size - block->used <= size) {
		add_block(arena, size + 1 > block->size ? size + 1 : block->size);
		block = arena->blocks;
	}
	char *room = block->bytes + block->used;
	room[size] = 0;
	block->used += size + 1;
	return room;
}

struct span secret_arena_add(struct secret_arena *arena, struct span bytes)
{
	char *copy = secret_arena_room(arena, bytes.length);
	if (bytes.length)
		memcpy(copy, bytes.data, bytes.length);
	return (struct span){copy, bytes.length};
}

void secret_arena_seal(struct secret_arena *arena)
{
	for (struct block *block = arena->blocks; block; block = block->older)
		sodium_mprotect_readonly(block->bytes);
}

void secret_arena_free(struct secret_arena *arena)
{
	if (!arena)
		return;
	while (arena->blocks) {
		struct block *block = arena->blocks;
		arena->blocks = block->older;
		sodium_free(block->bytes); /* zeroes, whatever the protection was */
		free(block);
	}
	free(arena);
}

static bool is_control(char c, bool lines)
{
	if (lines && (c == '\n' || c == '\r' || c == '\t'))
		return false;
	return (unsigned char)c < 0x20 || c == 0x7f;
}

const char *secret_clean(struct span *value, bool lines)
{
	static const char no_value[] = "<no value>"; /* what Go templates, so Vault Agent's, write for a missing key */
	if (span_starts(*value, SPAN("\xef\xbb\xbf")))
		*value = span_from(*value, 3);
	if (span_ends(*value, SPAN("\r\n")))
		value->length -= 2;
	else if (span_ends(*value, SPAN("\n")))
		value->length--;
	if (span_trim(*value).length == 0)
		return "is empty";
	if (memmem(value->data, value->length, no_value, sizeof no_value - 1))
		return "is <no value>";
	for (size_t i = 0; i < value->length; i++)
		if (is_control(value->data[i], lines))
			return value->data[i] == '\n' || value->data[i] == '\r' ? "has a line break in it" : "has a control character";
	return NULL;
}

bool secret_equal(struct span a, struct span b)
{
	return a.length == b.length && sodium_memcmp(a.data, b.data, a.length) == 0;
}

void secret_free(void *pointer)
{
	if (pointer)
		explicit_bzero(pointer, malloc_usable_size(pointer));
	free(pointer);
}

void *secret_realloc(void *pointer, size_t size)
{
	if (!pointer)
		return malloc(size);
	void *moved = malloc(size);
	if (!moved)
		return NULL;
	size_t old = malloc_usable_size(pointer);
	memcpy(moved, pointer, old < size ? old : size);
	secret_free(pointer);
	return moved;
}

void secret_random(void *bytes, size_t size)
{
	randombytes_buf(bytes, size);
}
