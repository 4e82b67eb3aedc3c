/* Memory for secrets: one guarded, locked arena for many values (SPEC §10).
 *
 * sodium_malloc costs three pages and more for each call, so all secrets of one set share one allocation: locked into
 * RAM, left out of core dumps, guard pages around, zeroed when freed. Filled once, then made read-only. */
#ifndef KEYSTILE_SECRET_H
#define KEYSTILE_SECRET_H

#include "fault.h"
#include "span.h"

/* Turns off core dumps and ptrace of this process and starts libsodium. Call first in main, before any thread. */
bool secret_start(struct fault *fault);

/* Did every lock so far hold? False once mlock failed anywhere (RLIMIT_MEMLOCK); a metric and a warning say so. */
bool secret_locked(void);
#define SECRET_NOT_LOCKED \
	"secrets cannot be locked into memory and may be swapped out: raise the limit (LimitMEMLOCK, ulimit -l)"

struct secret_arena;

struct secret_arena *secret_arena_new(size_t size);
/* Copies `bytes` in and returns where they are, with a NUL behind. The arena grows as needed until it is sealed. */
struct span secret_arena_add(struct secret_arena *arena, struct span bytes);
char *secret_arena_room(struct secret_arena *arena, size_t size); /* the same, for the caller to fill */
void secret_arena_seal(struct secret_arena *arena); /* read-only from here on */
void secret_arena_free(struct secret_arena *arena); /* zeroes; NULL is fine */

/* What SPEC §2 does to a value as it was read: a leading byte-order mark and one trailing LF or CRLF go. NULL where the
 * rest is a secret; else why it is not ready: "is empty", "is <no value>", "has a control character". `lines` allows
 * line breaks inside (the key of jwt). `*value` stays within the bytes that it was given. */
const char *secret_clean(struct span *value, bool lines);

/* free() and realloc() that zero what they give back, for libraries that take such functions (curl_global_init_mem). */
void secret_free(void *pointer);
void *secret_realloc(void *pointer, size_t size);

void secret_random(void *bytes, size_t size); /* from the system's generator */

/* Are the two equal? In time that depends on the lengths alone. */
bool secret_equal(struct span a, struct span b);

#endif
