/* The values behind the configuration's secrets: every source read once, into one guarded arena. Immutable,
 * counted: who loads has one reference.
 *
 * A secret that is not there, or not fit, makes its credential not ready, with a reason for people; it never fails the
 * whole. A new set is loaded beside the old one; where a source has gone since, the last good value is kept. */
#ifndef KEYSTILE_SECRETS_H
#define KEYSTILE_SECRETS_H

#include <time.h>

#include "commands.h"
#include "config.h"

struct held_key;
struct secrets;

struct secret_value {
	bool ready;
	struct span bytes;  /* in guarded memory; empty while not ready */
	const char *why;    /* not ready: "file:/vault/secrets/github: No such file or directory"; never the value */
	const char *stale;  /* ready, but the last look failed: why; else NULL */
	bool pending;       /* not ready: a command gives it, and is being run, which is worth waiting for */
	bool failed;        /* not ready: a command gives it, and its last run that ended failed */
	time_t changed;     /* when this value was first seen */
	uint64_t until;     /* exec: it must not be used from then on, in steady_now() time; 0: without end */
	uint64_t again;     /* exec, neither ready nor pending: when it is run again, in steady_now() time */
	uint64_t looked;    /* of the vault: it is what stood there at that time or later, in steady_now() time; else 0 */
	uint64_t number;    /* exec: which one it is (spent.h); 0: of another source */
	uint64_t firm;      /* exec: until then, in steady_now() time, it stays though upstreams answer 401 */
};

/* Reads every source. `previous` (may be NULL) gives last good values. Of `exec:` it takes what `commands` has (NULL: nothing).
 * Never fails as a whole: what is wrong with a vault is the reason of each secret in it. One that is as it was is not opened again,
 * but for a secret that was not looked for before. Without `previous` a vault's
 * passphrase is asked for on the terminal, where there is one. Blocks: a passphrase takes half a second. Not on a worker's
 * thread. */
struct secrets *secrets_load(const struct config *config, const struct secrets *previous, struct commands *commands);

/* The same at a later look, at files that may be half written: one that changed within the last `still` ms stays what it was at the
 * look before, and with it the other secrets of its credential; but not for ever. So do files of one
 * credential of which one was replaced while they were read. */
struct secrets *secrets_look(const struct config *config, const struct secrets *previous, struct commands *commands,
                             unsigned still);
/* Did one stay so? Then another look is to follow. */
bool secrets_unsettled(const struct secrets *secrets);
/* Where that look had nothing that is new, and the set before it stays: that counts the looks on. Who looks alone reads the count. */
void secrets_count_looks(struct secrets *kept, const struct secrets *dropped);

/* The values of another set, and nothing that is not in it, as this configuration numbers them. */
struct secrets *secrets_renumbered(const struct config *config, const struct secrets *set);

/* Has another set the same value of the same source? */
bool secrets_have(const struct secrets *secrets, const struct secret_value *value);

/* The same set of this configuration, with what `commands` has now. Reads nothing. */
struct secrets *secrets_with_commands(const struct config *config, const struct secrets *previous, struct commands *commands);

/* May the value be used at that moment, in steady_now() time? */
bool secrets_good(const struct secret_value *value, uint64_t now);
/* Is there one that was good, and is no more? */
bool secrets_any_over(const struct secrets *secrets, uint64_t now);

/* When the first command is run again, in steady_now() time, whose value the credential lacks; 0: none is. */
uint64_t secrets_again(const struct secrets *secrets, const struct config_credential *credential);

/* Does one of a credential's sources that is not there come from a command that is being run? */
bool secrets_pending(const struct secrets *secrets, const struct config_credential *credential);
/* Is one of them not there since a command failed, whether or not it is being run again? */
bool secrets_failed(const struct secrets *secrets, const struct config_credential *credential);

/* How many sources a credential has: its secrets, and the key of its `client:`. */
size_t secrets_count(const struct config_credential *credential);

/* The value of credential->secrets[index]; behind the last of them, of the key of `client:`. */
const struct secret_value *secrets_get(const struct secrets *secrets, const struct config_credential *credential,
                                       size_t index);

/* The same by its id: "secret" for `secret:`. NULL: the credential has none of that id. */
const struct secret_value *secrets_by_id(const struct secrets *secrets, const struct config_credential *credential,
                                         struct span id);

/* Are all of a credential's sources ready? Else `*why` is the first reason (valid as long as `secrets`). */
bool secrets_ready(const struct secrets *secrets, const struct config_credential *credential, const char **why);

/* Has the credential another value in one of two sets of one configuration? */
bool secrets_differ(const struct secrets *a, const struct secrets *b, const struct config_credential *credential);

/* Do the two sets hold the same values, readiness, reasons, and times, of one opening of the vault? */
bool secrets_same(const struct secrets *a, const struct secrets *b);

/* What `auth:` of `parent:` gives; NULL where nothing is said there. */
const struct secret_value *secrets_parent(const struct secrets *secrets);

/* The passphrase that opened the vault (secrets_vault.h); NULL: none is held. Borrowed. */
const struct held_key *secrets_held_key(const struct secrets *secrets);

/* What the vault had to tell when it was opened, the `index`th line; NULL: no more. */
const char *secrets_vault_warning(const struct secrets *secrets, size_t index);

/* Could the generation of the vault be kept (SPEC §10)? True where none was opened. */
bool secrets_state_kept(const struct secrets *secrets);

/* What the vault had to tell; outer blanks, or a prefix that the template adds again ("Bearer " in the secret): one line
 * each, for a warning (SPEC §2: warned of, never mended). Calls `tell` for each. With `others` only of values that these have, too. */
void secrets_warnings(const struct config *config, const struct secrets *secrets, const struct secrets *others,
                      void (*tell)(void *context, const char *line), void *context);

struct secrets *secrets_ref(struct secrets *secrets);
void secrets_free(struct secrets *secrets); /* gives a reference back; the last one zeroes; NULL is fine */

#endif
