/* Keys derived from a secret, and the last few of them kept. */
#include <stdlib.h>

#include "buffer.h"
#include "memory.h"
#include "secret.h"
#include "sigv4.h"

#define KEYS_KEPT 16
#define TEXT_ROOM 256 /* of what leads to a key; where that is longer, the key is not kept */

/* What a key was made of, day, region, service and secret behind each other, and the key. */
struct kept_key {
	size_t region, service, length; /* bytes; length 0: none is kept here */
	char *text;                     /* TEXT_ROOM bytes in guarded memory, */
	unsigned char *key;             /* and SHA256_BYTES */
};

struct sigv4_cache {
	struct secret_arena *arena;
	struct kept_key keys[KEYS_KEPT];
	size_t next; /* the one that goes next */
};

struct sigv4_cache *sigv4_cache_new(void)
{
	struct sigv4_cache *cache = memory_alloc(sizeof *cache);
	cache->arena = secret_arena_new(KEYS_KEPT * (TEXT_ROOM + SHA256_BYTES + 2));
	for (size_t i = 0; i < KEYS_KEPT; i++) {
		cache->keys[i].text = secret_arena_room(cache->arena, TEXT_ROOM);
		cache->keys[i].key = (unsigned char *)secret_arena_room(cache->arena, SHA256_BYTES);
	}
	return cache;
}

void sigv4_cache_free(struct sigv4_cache *cache)
{
	if (!cache)
		return;
	secret_arena_free(cache->arena);
	free(cache);
}

static struct span key_span(const unsigned char key[SHA256_BYTES])
{
	return (struct span){(const char *)key, SHA256_BYTES};
}

static void derive(struct span secret, const struct sigv4_scope *scope, unsigned char key[SHA256_BYTES])
{
	AUTO_WIPE struct buffer first = {0};
	buffer_string(&first, "AWS4");
	buffer_span(&first, secret);
	hmac_sha256(buffer_view(&first), (struct span){scope->time, SIGV4_DAY}, key);
	hmac_sha256(key_span(key), scope->region, key);
	hmac_sha256(key_span(key), scope->service, key);
	hmac_sha256(key_span(key), SPAN("aws4_request"), key);
}

static size_t text_length(struct span secret, const struct sigv4_scope *scope)
{
	return SIGV4_DAY + scope->region.length + scope->service.length + secret.length;
}

static bool is_made_of(const struct kept_key *kept, struct span secret, const struct sigv4_scope *scope)
{
	if (kept->length != text_length(secret, scope))
		return false;
	struct span rest = {kept->text, kept->length};
	struct span day = span_head(rest, SIGV4_DAY), region = span_head(span_from(rest, SIGV4_DAY), kept->region);
	rest = span_from(rest, SIGV4_DAY + kept->region);
	return span_equal(day, (struct span){scope->time, SIGV4_DAY}) && span_equal(region, scope->region) &&
	       span_equal(span_head(rest, kept->service), scope->service) &&
	       secret_equal(span_from(rest, kept->service), secret);
}

static void keep(struct sigv4_cache *cache, struct span secret, const struct sigv4_scope *scope,
                 const unsigned char key[SHA256_BYTES])
{
	struct kept_key *kept = &cache->keys[cache->next++ % KEYS_KEPT];
	kept->region = scope->region.length;
	kept->service = scope->service.length;
	kept->length = text_length(secret, scope);
	char *end = mempcpy(kept->text, scope->time, SIGV4_DAY);
	end = mempcpy(end, scope->region.data, scope->region.length);
	end = mempcpy(end, scope->service.data, scope->service.length);
	memcpy(end, secret.data, secret.length);
	memcpy(kept->key, key, SHA256_BYTES);
}

void sigv4_derive(struct sigv4_cache *cache, struct span secret, const struct sigv4_scope *scope,
                  unsigned char key[SHA256_BYTES])
{
	for (size_t i = 0; cache && i < KEYS_KEPT; i++) {
		if (!is_made_of(&cache->keys[i], secret, scope))
			continue;
		memcpy(key, cache->keys[i].key, SHA256_BYTES);
		return;
	}
	derive(secret, scope, key);
	if (cache && text_length(secret, scope) <= TEXT_ROOM)
		keep(cache, secret, scope, key);
}
