#include "secrets_vault.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "log.h"
#include "memory.h"
#include "prompt.h"

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

struct vault *secrets_vault_open(const struct config *config, bool ask, struct held_key **held, struct fault *fault)
{
	struct vault_place place = {.file = config->vault_file, .key = &config->vault_key, .state = config->state};
	if (!config->vault_file) {
		fault_set(fault, FAULT_MISSING, "the configuration has no `vault:`");
		return NULL;
	}
	if (*held)
		place.held = &(*held)->key;
	else if (ask && config->vault_key.kind == SOURCE_PASSPHRASE && prompt_possible())
		return ask_for_it(&place, held, fault);
	return vault_open(&place, fault);
}
