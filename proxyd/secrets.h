/* The values behind the configuration's secrets: every source read once, into one guarded arena. Immutable,
 * counted: who loads has one reference.
 *
 * A secret that is not there, or not fit, makes its credential not ready, with a reason for people; it never fails the
 * whole. A new set is loaded beside the old one; where a source has gone since, the last good value is kept. */
#ifndef KEYSTILE_SECRETS_H
#define KEYSTILE_SECRETS_H

#include <time.h>

#include "config.h"
#include "spent.h"

struct held_key;
struct secrets;

struct secret_value {
	bool ready;
	struct span bytes;  /* in guarded memory; empty while not ready */
	const char *why;    /* not ready: "file:/vault/secrets/github: No such file or directory"; never the value */
	const char *stale;  /* ready, but the last look failed: why; else NULL */
	time_t changed;     /* when this value was first seen */
	time_t expires;     /* exec with a ttl: when it must not be used any more; 0: never */
	time_t renew;       /* exec with a ttl: when to run it again; 0: never */
	uint64_t looked;    /* of the vault: it is what stood there at that time or later, in minted_now() time; else 0 */
	uint64_t number;    /* exec: which one it is (spent.h); 0: of another source */
	uint64_t firm;      /* exec: until then, in minted_now() time, it stays though upstreams answer 401 */
};

/* Reads every source. `previous` (may be NULL) gives last good values, and exec values whose time has not come and that are
 * not among `spent` (may be NULL), from where they are taken.
 * Never fails as a whole: what is wrong with a vault is the reason of each secret in it. Without `previous` a vault's
 * passphrase is asked for on the terminal, where there is one. Blocks: a passphrase takes half a second, an exec up to
 * 30 s. Not on a worker's thread. */
struct secrets *secrets_load(const struct config *config, const struct secrets *previous, struct spent *spent);

/* Is one of its values spent? */
bool secrets_spent(const struct secrets *secrets, struct spent *spent);

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

/* Do the two sets hold the same values, readiness, reasons, and times of renewal and expiry? */
bool secrets_same(const struct secrets *a, const struct secrets *b);

/* What `auth:` of `parent:` gives; NULL where nothing is said there. */
const struct secret_value *secrets_parent(const struct secrets *secrets);

/* The earliest `renew` of all values; 0: none. */
time_t secrets_next_renewal(const struct secrets *secrets);

/* The passphrase that opened the vault (secrets_vault.h); NULL: none is held. Borrowed. */
const struct held_key *secrets_held_key(const struct secrets *secrets);

/* What the vault had to tell when it was opened, the `index`th line; NULL: no more. */
const char *secrets_vault_warning(const struct secrets *secrets, size_t index);

/* What the vault had to tell; outer blanks, or a prefix that the template adds again ("Bearer " in the secret): one line
 * each, for a warning at start (SPEC §2: warned of, never mended). Calls `tell` for each. */
void secrets_warnings(const struct config *config, const struct secrets *secrets,
                      void (*tell)(void *context, const char *line), void *context);

struct secrets *secrets_ref(struct secrets *secrets);
void secrets_free(struct secrets *secrets); /* gives a reference back; the last one zeroes; NULL is fine */

#endif
