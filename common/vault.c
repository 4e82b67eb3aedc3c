#include "vault.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "file.h"
#include "memory.h"
#include "state.h"
#include "vault_private.h"

struct vault *vault_new(const struct vault_place *place)
{
	struct vault *vault = memory_alloc(sizeof *vault);
	vault->name = memory_string(place->file);
	vault->path = realpath(place->file, NULL);
	if (!vault->path)
		vault->path = memory_string(place->file);
	vault->state = state_folder(place->state);
	vault->arena = secret_arena_new(VAULT_DATA_KEY + 1 + VAULT_PADDING + 1);
	vault->data_key = (unsigned char *)secret_arena_room(vault->arena, VAULT_DATA_KEY);
	vault->lock = -1;
	return vault;
}

const struct vault_key *vault_place_key(const struct vault_place *place, struct vault_key *own, struct fault *fault)
{
	*own = (struct vault_key){0};
	if (place->held)
		return place->held;
	struct fault why = FAULT_INIT;
	AUTO_FREE char *prompt = memory_format("passphrase of %s", place->file);
	if (keysource_read(place->key, place->ask, place->ask_context, prompt, own, &why))
		return own;
	fault_set(fault, why.code, "%s: its key: %s%s", place->file, why.text,
	          why.code == FAULT_MISSING ? "; put it back, or name the key that opens the vault" : "");
	return NULL;
}

static void warn(struct vault *vault, char *line)
{
	size_t at = 0;
	while (vault->warnings[at])
		at++;
	if (at + 1 < sizeof vault->warnings / sizeof *vault->warnings)
		vault->warnings[at] = line;
	else
		free(line);
}

/* One text for whatever keeps it shut: what is wrong inside is nobody's business who has not got the key. */
static bool shut(const struct vault *vault, const struct vault_key *key, struct fault *fault)
{
	const char *what = key->passphrase ? "passphrase" : "key";
	return fault_set(fault, FAULT_BROKEN,
	                 "%s: does not open: this is not its %s, or the file is damaged; check the %s, or put a backup back",
	                 vault->name, what, what);
}

static bool open_slots(struct vault *vault, const struct vault_key *key, struct fault *fault)
{
	for (size_t i = 0; i < vault->header.slot_count; i++) {
		enum vault_opened opened = vault_slot_unwrap(&vault->header.slots[i], &vault->header, key, vault->data_key);
		vault->slot_in_use = i;
		if (opened == VAULT_OPENED)
			return true;
		if (opened == VAULT_NO_MEMORY)
			return fault_set(fault, FAULT_IO, "%s: a passphrase takes 256 MiB of memory to check, and there is less",
			                 vault->name);
	}
	return shut(vault, key, fault);
}

static bool open_text(struct vault *vault, const struct vault_key *key, struct span file, struct fault *fault)
{
	size_t length = vault->header.payload_length - VAULT_TAG;
	char *text = secret_arena_room(vault->arena, length);
	if (!vault_unseal(&vault->header, vault->data_key, file, (unsigned char *)text))
		return shut(vault, key, fault);
	return vault_text_decode((struct span){text, length}, &vault->text) || shut(vault, key, fault);
}

void vault_keep_generation(struct vault *vault, bool lower)
{
	struct fault why = FAULT_INIT;
	if (!vault->state)
		fault_set(&why, FAULT_MISSING, "no HOME and no STATE_DIRECTORY; set `state:`");
	vault->state_kept = vault->state && state_keep_generation(vault->state, vault->header.uuid,
	                                                          vault->header.generation, lower, &why);
	if (!vault->state_kept)
		warn(vault, memory_format("%s: an older copy put in its place would not be noticed, since its generation "
		                          "cannot be kept: %s", vault->name, why.text));
}

static bool judge_generation(struct vault *vault, bool accept_older, struct fault *fault)
{
	struct fault why = FAULT_INIT;
	if (!accept_older && !vault->seen && vault->state &&
	    !state_generation(vault->state, vault->header.uuid, &vault->seen, &why) && why.code == FAULT_BROKEN)
		return fault_set(fault, FAULT_BROKEN, "%s: %s; if this vault is the one it should be, do: creds accept-older",
		                 vault->name, why.text);
	if (vault->header.generation < vault->seen)
		return fault_set(fault, FAULT_DENIED,
		                 "%s: generation %" PRIu64 " is older than %" PRIu64 ", the last one seen: an older copy was put "
		                 "in its place; if that is meant, do: creds accept-older",
		                 vault->name, vault->header.generation, vault->seen);
	vault_keep_generation(vault, accept_older);
	return true;
}

static bool absent(const char *name, struct fault *fault)
{
	return fault_set(fault, FAULT_MISSING, "%s: there is no such vault; make it with: creds init", name);
}

static bool read_file(const struct vault *vault, struct buffer *file, struct fault *fault)
{
	struct fault why = FAULT_INIT;
	if (file_read(vault->path, VAULT_FILE_LIMIT, file, &why))
		return true;
	if (why.code == FAULT_MISSING)
		return absent(vault->name, fault);
	return fault_set(fault, why.code, "%s", why.text);
}

bool vault_load(struct vault *vault, const struct vault_place *place, const struct vault_key *key, struct fault *fault)
{
	AUTO_BUFFER struct buffer file = {0};
	if (key->warning)
		warn(vault, memory_string(key->warning));
	if (!read_file(vault, &file, fault))
		return false;
	if (!vault_header_decode(buffer_view(&file), &vault->header))
		return shut(vault, key, fault);
	return open_slots(vault, key, fault) && open_text(vault, key, buffer_view(&file), fault) &&
	       judge_generation(vault, place->accept_older, fault);
}

bool vault_exists(const char *file, struct fault *fault)
{
	return access(file, F_OK) == 0 || errno != ENOENT || absent(file, fault);
}

/* `*seen`: the last generation seen, as of an earlier look; 0: it is looked for, and told. */
static struct vault *load(const struct vault_place *place, const struct vault_key *key, uint64_t *seen, struct fault *fault)
{
	struct vault *vault = vault_new(place);
	vault->seen = *seen;
	if (vault_load(vault, place, key, fault)) {
		secret_arena_seal(vault->arena);
		return vault;
	}
	*seen = vault->seen;
	vault_close(vault);
	return NULL;
}

struct vault *vault_open(const struct vault_place *place, struct fault *fault)
{
	struct vault_key own;
	struct fault why = FAULT_INIT;
	uint64_t seen = 0;
	const struct vault_key *key = vault_exists(place->file, fault) ? vault_place_key(place, &own, fault) : NULL;
	if (!key)
		return NULL;
	struct vault *vault = load(place, key, &seen, &why);
	/* Was it written between the look at the file and the one at the last generation? What was seen then is there now. */
	if (!vault && why.code == FAULT_DENIED && seen)
		vault = load(place, key, &seen, &why);
	if (!vault)
		fault_set(fault, why.code, "%s", why.text);
	vault_key_free(&own);
	return vault;
}

void vault_close(struct vault *vault)
{
	if (!vault)
		return;
	if (vault->lock >= 0)
		close(vault->lock);
	vault_text_free(&vault->text);
	secret_arena_free(vault->arena);
	for (size_t i = 0; vault->warnings[i]; i++)
		free(vault->warnings[i]);
	free(vault->state);
	free(vault->path);
	free(vault->name);
	free(vault);
}

const struct vault_entry *vault_find(const struct vault *vault, struct span name)
{
	bool found;
	size_t place = vault_text_place(&vault->text, name, &found);
	return found ? &vault->text.entries[place] : NULL;
}

bool vault_get(const struct vault *vault, struct span name, struct span *value)
{
	const struct vault_entry *entry = vault_find(vault, name);
	if (entry)
		*value = entry->value;
	return entry != NULL;
}

size_t vault_count(const struct vault *vault)
{
	return vault->text.count;
}

const struct vault_entry *vault_entry(const struct vault *vault, size_t index)
{
	return &vault->text.entries[index];
}

uint64_t vault_generation(const struct vault *vault)
{
	return vault->header.generation;
}

const char *vault_warning(const struct vault *vault, size_t index)
{
	return vault->warnings[index];
}

bool vault_state_kept(const struct vault *vault)
{
	return vault->state_kept;
}
