/* Configuration plus secrets at one moment: immutable, reference-counted, shared by all workers (DESIGN: snapshot).
 *
 * An exchange holds the snapshot that it began with. A reload builds a new one beside it and swaps the pointer. */
#ifndef KEYSTILE_SNAPSHOT_H
#define KEYSTILE_SNAPSHOT_H

#include <stdatomic.h>

#include "config.h"
#include "identities.h"
#include "mint_leaf.h"
#include "minted.h"
#include "secrets.h"
#include "token.h"
#include "trusts.h"

struct route_table;  /* route.h */
struct inject_table; /* inject.h */
struct rates;        /* rates.h */
struct dial_parent;  /* dial_parent.h */

/* A configuration that several snapshots share, when only secrets have changed. */
struct shared_config {
	atomic_uint references;
	struct config *config;
	struct token_table *tokens; /* NULL: session: none */
	struct route_table *routes;
	struct trusts *trusts;
	struct mint *mint; /* NULL: nothing is intercepted */
	struct rates *rates;
};

struct snapshot {
	atomic_uint references;
	struct shared_config *shared;
	const struct config *config; /* shared->config, close at hand */
	struct secrets *secrets;
	struct identities *identities;   /* made anew with the secrets */
	struct minted *minted;           /* tokens that end, and are made anew (minter.h) */
	struct inject_table *injections; /* what each credential sends, rendered once, in guarded memory */
	struct dial_parent *parent;      /* NULL: none */
};

/* Takes `config` over (also on failure). Loads session key (made where absent), trust, interception's CA
 * and secrets, and client certificates. NULL with a fault where the session key, the default trust or the CA cannot be had. */
struct snapshot *snapshot_new(struct config *config, struct fault *fault);

/* Secrets and client certificates as they are now. */
struct snapshot_look {
	struct secrets *secrets;
	struct identities *identities;
};

/* Looks at them again, and runs commands whose values are `spent`. False: all is as it was. Blocks (secrets.h). */
bool snapshot_look(const struct snapshot *old, struct spent *spent, struct snapshot_look *look);

/* The same configuration with what was found (taken over), or with other tokens (taken over). */
struct snapshot *snapshot_with_look(const struct snapshot *old, const struct snapshot_look *look);
struct snapshot *snapshot_with_minted(const struct snapshot *old, struct minted *minted);

struct snapshot *snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot *snapshot); /* NULL is fine; the last one frees */

/* By which trust a credential's upstream is reached, or (credential NULL) an allowed host (trusts.h). Borrowed. NULL with a
 * reason, valid as long as the snapshot. */
struct tls_trust *snapshot_trust(const struct snapshot *snapshot, const struct config_credential *credential,
                                 const char **why);

/* Why a credential cannot be used now: a secret that is not there or does not fit, a `ca:` that did not load, a client
 * certificate and a key that are none. NULL where it can. Valid as long as the snapshot. */
const char *snapshot_waits(const struct snapshot *snapshot, const struct config_credential *credential);

/* A value that ends by itself and can be made anew: a minted token, or what a command printed. */
struct perishable {
	uint64_t number; /* 0: the credential has none */
	uint64_t firm;   /* minted_now() until which it stays though upstreams answer 401 */
};
struct perishable snapshot_perishable(const struct snapshot *snapshot, const struct config_credential *credential);
/* Has those of the credential made anew: an upstream does not take them. */
void snapshot_spend(const struct snapshot *snapshot, const struct config_credential *credential, struct spent *spent);

/* Why a credential works with what it had, and its sources have no more. NULL where that is not so. */
const char *snapshot_stale(const struct snapshot *snapshot, const struct config_credential *credential);

#endif
