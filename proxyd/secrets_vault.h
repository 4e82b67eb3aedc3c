/* The vault as proxyd opens it: by a key that is read at each look, or a passphrase that is asked for once, at start. */
#ifndef KEYSTILE_SECRETS_VAULT_H
#define KEYSTILE_SECRETS_VAULT_H

#include "config.h"
#include "secret.h"
#include "vault.h"
#include "vault_print.h"

/* A passphrase that opened the vault, shared by the sets of secrets that came from it. In guarded memory. */
struct held_key;

struct held_key *held_key_ref(struct held_key *held); /* NULL is fine, for both */
void held_key_unref(struct held_key *held);

/* Opens the configuration's vault. `*held` is used where it is there. With `ask` a passphrase is asked for on the
 * controlling terminal, where there is one, three times at most, and then held. The caller closes what is returned; NULL
 * with a fault. */
struct vault *secrets_vault_open(const struct config *config, bool ask, struct held_key **held, struct fault *fault);

/* What the vault and its key are now; NULL where that cannot be said, or a passphrase would have to be asked for. The caller's. */
struct vault_print *secrets_vault_print(const struct config *config, const struct held_key *held);
/* Would opening it give what it gave then? */
bool secrets_vault_fits(const struct config *config, const struct held_key *held, const struct vault_print *print);

enum vault_replaced {
	VAULT_REPLACED,
	VAULT_HAS_ANOTHER, /* the entry is neither: the operator has put another value there since */
	VAULT_NOT_WRITTEN, /* with a fault */
};

/* Puts `fresh` into the vault entry `name`, where that is `old`, or `fresh` already: what a server has just replaced. `*found` is
 * then, in `memory`, what the entry is. With the key of secrets_vault_open(). Blocks; for 30 s where the vault is being written by
 * somebody else. FAULT_MISSING where the entry was taken out. */
enum vault_replaced secrets_vault_replace(const struct config *config, const struct held_key *held, const char *name,
                                          struct span old, struct span fresh, struct secret_arena *memory,
                                          struct span *found, struct fault *fault);

#endif
