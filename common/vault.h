/* The vault: the sealed file with the secrets (SPEC §10).
 *
 * Reading:  vault_open(), vault_get(), vault_close(). Values are spans in guarded, locked, read-only memory, valid until
 *           vault_close(), which zeroes them.
 * Writing:  vault_edit() takes the lock file and opens; change; vault_save() writes the next generation; vault_close().
 *           A reader finds the old file or the new one, whatever happens in between.
 * A wrong key, a flipped bit and a cut file are one fault, FAULT_BROKEN with one text. An older copy than the last one
 * seen is FAULT_DENIED, no file FAULT_MISSING, a writer that does not end within 30 s FAULT_BUSY. */
#ifndef KEYSTILE_VAULT_H
#define KEYSTILE_VAULT_H

#include "keysource.h"
#include "vault_format.h"

struct vault;

/* Where a vault is and how it opens. Borrowed: all of it outlives only the call. */
struct vault_place {
	const char *file;
	const struct source *key;      /* read at every call, unless `held` is given */
	const struct vault_key *held;  /* a key that was read before: a passphrase is asked for once, not at each reload */
	const char *state;             /* config.state; NULL: the default folder */
	keysource_ask *ask;            /* how to ask for a passphrase; NULL: nobody is there */
	void *ask_context;
	bool accept_older;             /* take an older generation, and keep it as the last one seen */
};

/* Is the file there? Else FAULT_MISSING says what to do. Asked before anybody is asked for a key or a secret. */
bool vault_exists(const char *file, struct fault *fault);

struct vault *vault_open(const struct vault_place *place, struct fault *fault);
void vault_close(struct vault *vault); /* NULL is fine; also gives the lock back */

bool vault_get(const struct vault *vault, struct span name, struct span *value);

/* What is in it. Entries are sorted by name; a change moves them. */
size_t vault_count(const struct vault *vault);
const struct vault_entry *vault_entry(const struct vault *vault, size_t index);
const struct vault_entry *vault_find(const struct vault *vault, struct span name); /* or NULL */
uint64_t vault_generation(const struct vault *vault);

/* What the operator should be told, the `index`th line; NULL: no more. */
const char *vault_warning(const struct vault *vault, size_t index);

/* Was the generation kept in the state folder? If not, an older copy would not be noticed: a metric and a warning. */
bool vault_state_kept(const struct vault *vault);

/* Makes a vault with one key, under the lock. FAULT_BUSY where the file exists. `label` names the key in lists. */
struct vault *vault_create(const struct vault_place *place, const char *label, struct fault *fault);

/* Could vault_edit() and vault_save() write that vault now? By trying all but that. Of a vault that is not there: true. */
bool vault_writable(const char *file, struct fault *fault);

struct vault *vault_edit(const struct vault_place *place, struct fault *fault);
bool vault_save(struct vault *vault, struct fault *fault);

/* Sets a value (copied), 1 byte to VAULT_VALUE; `expires` 0: never, VAULT_KEEP_EXPIRY: as before. FAULT_USAGE where name
 * or size will not do. vault_remove() is false where there is no such entry. */
#define VAULT_KEEP_EXPIRY UINT64_MAX
bool vault_put(struct vault *vault, struct span name, struct span value, uint64_t expires, struct fault *fault);
bool vault_remove(struct vault *vault, struct span name);

/* The keys that open it. The one in use is the one that opened this vault. */
struct vault_slot_info {
	char id[17];  /* hex */
	bool passphrase, in_use;
	uint64_t added;
	struct span label;
};

size_t vault_slot_count(const struct vault *vault);
struct vault_slot_info vault_slot_info(const struct vault *vault, size_t index);
bool vault_slot_add(struct vault *vault, const struct vault_key *key, const char *label, struct fault *fault);
bool vault_slot_remove(struct vault *vault, size_t index, struct fault *fault); /* never the one in use */

/* A new data key, so that neither a removed key nor an old copy opens what is written from here on. Each slot needs its
 * key among `keys` to be wrapped again; `drop` removes those that have none, else FAULT_USAGE names the first. */
bool vault_rekey(struct vault *vault, const struct vault_key *keys, size_t count, bool drop, struct fault *fault);

#endif
