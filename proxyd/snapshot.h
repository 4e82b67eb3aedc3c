/* Configuration plus secrets at one moment: immutable, reference-counted, shared by all workers (DESIGN: snapshot).
 *
 * An exchange holds the snapshot that it began with. A reload builds a new one beside it and swaps the pointer. */
#ifndef KEYSTILE_SNAPSHOT_H
#define KEYSTILE_SNAPSHOT_H

#include <stdatomic.h>

#include "config.h"
#include "mint_leaf.h"
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
	struct inject_table *injections; /* what each credential sends, rendered once, in guarded memory */
	struct dial_parent *parent;      /* NULL: none */
};

/* Takes `config` over (also on failure). Loads session key (made where absent), trust, interception's CA
 * and secrets. NULL with a fault where the session key, the default trust or the CA cannot be had. */
struct snapshot *snapshot_new(struct config *config, struct fault *fault);

/* The same configuration with `secrets` (taken over). */
struct snapshot *snapshot_with_secrets(const struct snapshot *old, struct secrets *secrets);

struct snapshot *snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot *snapshot); /* NULL is fine; the last one frees */

/* Why a credential cannot be used now: a secret that is not there or does not fit, a `ca:` that did not load. NULL where
 * it can. Valid as long as the snapshot. */
const char *snapshot_waits(const struct snapshot *snapshot, const struct config_credential *credential);

#endif
