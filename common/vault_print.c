#include "vault_print.h"

#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "file.h"
#include "memory.h"
#include "state.h"
#include "vault_private.h"

#define HASH 32

struct vault_print {
	atomic_uint references;
	struct secret_arena *arena;
	struct span salt, hash;
};

/* Each part with its length, so that no two lists of parts are one. */
static void add(crypto_generichash_state *state, struct span part)
{
	uint64_t length = part.length;
	crypto_generichash_update(state, (const unsigned char *)&length, sizeof length);
	crypto_generichash_update(state, (const unsigned char *)part.data, part.length);
}

static void hash_all(struct span salt, struct span file, const struct vault_key *key, unsigned char hash[HASH])
{
	crypto_generichash_state state;
	crypto_generichash_init(&state, (const unsigned char *)salt.data, salt.length, HASH);
	add(&state, file);
	add(&state, (struct span){key->passphrase ? "p" : "k", 1});
	add(&state, key->bytes);
	add(&state, span_of(key->warning ? key->warning : ""));
	crypto_generichash_final(&state, hash, HASH);
	explicit_bzero(&state, sizeof state);
}

static bool is_older(const struct vault *vault)
{
	uint64_t seen = 0;
	return vault->state && (!state_generation(vault->state, vault->header.uuid, &seen, NULL) || vault->header.generation < seen);
}

static bool hash_file(const struct vault_place *place, const struct vault_key *key, struct span salt, unsigned char hash[HASH])
{
	AUTO_BUFFER struct buffer file = {0};
	struct vault *vault = vault_new(place);
	bool good = file_read(vault->path, VAULT_FILE_LIMIT, &file, NULL) &&
	            vault_header_decode(buffer_view(&file), &vault->header) && !is_older(vault);
	if (good)
		hash_all(salt, buffer_view(&file), key, hash);
	vault_close(vault);
	return good;
}

static bool hash_place(const struct vault_place *place, struct span salt, unsigned char hash[HASH])
{
	struct vault_key own;
	const struct vault_key *key = vault_place_key(place, &own, NULL);
	bool good = key && hash_file(place, key, salt, hash);
	vault_key_free(&own);
	return good;
}

struct vault_print *vault_print_take(const struct vault_place *place)
{
	unsigned char salt[HASH], hash[HASH];
	secret_random(salt, sizeof salt);
	struct span salt_span = {(const char *)salt, sizeof salt};
	struct vault_print *print = NULL;
	if (hash_place(place, salt_span, hash)) {
		print = memory_alloc(sizeof *print);
		atomic_init(&print->references, 1);
		print->arena = secret_arena_new(2 * (HASH + 1));
		print->salt = secret_arena_add(print->arena, salt_span);
		print->hash = secret_arena_add(print->arena, (struct span){(const char *)hash, sizeof hash});
		secret_arena_seal(print->arena);
	}
	explicit_bzero(salt, sizeof salt);
	return print;
}

struct vault_print *vault_print_ref(struct vault_print *print)
{
	if (print)
		atomic_fetch_add(&print->references, 1);
	return print;
}

void vault_print_unref(struct vault_print *print)
{
	if (!print || atomic_fetch_sub(&print->references, 1) != 1)
		return;
	secret_arena_free(print->arena);
	free(print);
}

bool vault_print_fits(const struct vault_print *print, const struct vault_place *place)
{
	unsigned char hash[HASH];
	return print && hash_place(place, print->salt, hash) &&
	       secret_equal(print->hash, (struct span){(const char *)hash, sizeof hash});
}
