#include "secrets_vault.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "log.h"
#include "memory.h"
#include "prompt.h"
#include "secret.h"

#define TRIES 3

struct held_key {
	atomic_uint references;
	struct vault_key key;
};

struct held_key *held_key_ref(struct held_key *held)
{
	if (held)
		atomic_fetch_add(&held->references, 1);
	return held;
}

void held_key_unref(struct held_key *held)
{
	if (!held || atomic_fetch_sub(&held->references, 1) != 1)
		return;
	vault_key_free(&held->key);
	free(held);
}

/* One passphrase, tried at once: whoever types it is still there. */
static struct vault *ask_once(struct vault_place *place, struct held_key **held, struct fault *fault)
{
	AUTO_FREE char *prompt = memory_format("passphrase of %s", place->file);
	struct held_key *asked = memory_alloc(sizeof *asked);
	atomic_init(&asked->references, 1);
	if (!keysource_read(place->key, prompt_secret, NULL, prompt, &asked->key, fault)) {
		free(asked);
		return NULL;
	}
	place->held = &asked->key;
	struct vault *vault = vault_open(place, fault);
	if (vault)
		*held = asked;
	else
		held_key_unref(asked);
	return vault;
}

static struct vault *ask_for_it(struct vault_place *place, struct held_key **held, struct fault *fault)
{
	struct vault *vault = NULL;
	if (!vault_exists(place->file, fault))
		return NULL;
	for (int i = 0; i < TRIES && !vault; i++) {
		vault = ask_once(place, held, fault);
		if (!vault && fault->code != FAULT_BROKEN)
			break;
		if (!vault && i + 1 < TRIES)
			log_error("%s", fault->text);
	}
	return vault;
}

static struct vault_place place_of(const struct config *config, const struct held_key *held)
{
	return (struct vault_place){
		.file = config->vault_file,
		.key = &config->vault_key,
		.held = held ? &held->key : NULL,
		.state = config->state,
	};
}

struct vault *secrets_vault_open(const struct config *config, bool ask, struct held_key **held, struct fault *fault)
{
	struct vault_place place = place_of(config, *held);
	if (!config->vault_file) {
		fault_set(fault, FAULT_MISSING, "the configuration has no `vault:`");
		return NULL;
	}
	if (!*held && ask && config->vault_key.kind == SOURCE_PASSPHRASE && prompt_possible())
		return ask_for_it(&place, held, fault);
	return vault_open(&place, fault);
}

struct vault_print *secrets_vault_print(const struct config *config, const struct held_key *held)
{
	struct vault_place place = place_of(config, held);
	return config->vault_file ? vault_print_take(&place) : NULL;
}

bool secrets_vault_fits(const struct config *config, const struct held_key *held, const struct vault_print *print)
{
	struct vault_place place = place_of(config, held);
	return config->vault_file && vault_print_fits(print, &place);
}

static enum vault_replaced replace(struct vault *vault, const char *name, struct span old, struct span fresh,
                                   struct secret_arena *memory, struct span *found, struct fault *fault)
{
	struct span there;
	if (!vault_get(vault, span_of(name), &there)) {
		fault_set(fault, FAULT_MISSING, "vault:%s was taken out of the vault", name);
		return VAULT_NOT_WRITTEN;
	}
	secret_clean(&there, true);
	*found = secret_arena_add(memory, there);
	if (secret_equal(there, fresh))
		return VAULT_REPLACED;
	if (!secret_equal(there, old))
		return VAULT_HAS_ANOTHER;
	bool done = vault_put(vault, span_of(name), fresh, VAULT_KEEP_EXPIRY, fault) && vault_save(vault, fault);
	return done ? VAULT_REPLACED : VAULT_NOT_WRITTEN;
}

enum vault_replaced secrets_vault_replace(const struct config *config, const struct held_key *held, const char *name,
                                          struct span old, struct span fresh, struct secret_arena *memory,
                                          struct span *found, struct fault *fault)
{
	struct vault_place place = place_of(config, held);
	struct vault *vault = vault_edit(&place, fault);
	if (!vault)
		return VAULT_NOT_WRITTEN;
	enum vault_replaced outcome = replace(vault, name, old, fresh, memory, found, fault);
	vault_close(vault);
	return outcome;
}
