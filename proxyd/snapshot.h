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
#include "session.h"
#include "tally.h"
#include "token.h"
#include "trusts.h"

struct route_table;  /* route.h */
struct inject_table; /* inject.h */
struct rates;        /* rates.h */
struct dial_parent;  /* dial_parent.h */
struct former;       /* former.h */

/* Client connections of one profile, counted for all workers; shared by the configurations that have a profile of that
 * name. */
struct headcount {
	atomic_uint references;
	atomic_size_t connections;
	char *profile;
};
struct headcount *headcount_ref(struct headcount *count);
void headcount_unref(struct headcount *count); /* NULL is fine */

/* A configuration and what is loaded with it, which several snapshots share when only secrets have changed. */
struct shared_config {
	atomic_uint references;
	struct shared_config *owner; /* whose configuration it is, where only what is loaded has changed; NULL: its own */
	struct config *config;
	struct session *session;    /* NULL: session: none; so are the tokens */
	struct token_table *tokens;
	struct route_table *routes;
	struct trusts *trusts;
	struct mint *mint; /* NULL: nothing is intercepted */
	struct mint *idle_mint; /* then: that of the configuration before, which clients trust still, should it be needed again */
	char *mint_stale;  /* why the last good CA is still in use; NULL: it is not */
	struct rates *rates;
	struct headcount **headcounts; /* by the profile's number */
	struct tally_map *tallies; /* where its credentials and profiles are counted, from its publication on (server_publish()) */
};

struct snapshot {
	atomic_uint references;
	struct shared_config *shared;
	const struct config *config; /* shared->config, close at hand */
	struct secrets *secrets;
	struct identities *identities;   /* made anew with the secrets */
	struct minted *minted;           /* tokens that end, and are made anew (minter.h) */
	struct inject_table *injections; /* what each credential sends, rendered once, in guarded memory */
	const struct inject_table *former_injections; /* former's; NULL: none */
	struct former *former;           /* values that were replaced a short while ago; NULL: none */
	struct dial_parent *parent;      /* NULL: none */
};

/* Takes `config` over (also on failure); `commands` as in secrets.h. Loads session key (made where absent), trust,
 * interception's CA and secrets, and client certificates. NULL with a fault where the session key, the default trust or the
 * CA cannot be had. */
struct snapshot *snapshot_new(struct config *config, struct commands *commands, struct fault *fault);

/* What files and other sources have now. */
struct snapshot_look {
	struct shared_config *shared; /* the old one's own where nothing that is loaded with a configuration has changed */
	struct secrets *secrets;
	struct identities *identities;
	bool unsettled; /* some of it is to be looked at once more (secrets_unsettled()) */
};

/* Looks again at all that the configuration names, and takes what commands gave. What is none any more leaves the last good
 * one, with a reason. Secrets in files as secrets_look() has `still`. False: all is as it was, and of `look` only
 * `unsettled` is set. Blocks (secrets.h). */
bool snapshot_look(const struct snapshot *old, struct commands *commands, unsigned still, struct snapshot_look *look);
/* The same of what commands gave alone; it reads nothing but client certificates. */
bool snapshot_look_at_commands(const struct snapshot *old, struct commands *commands, struct snapshot_look *look);
/* The same for another configuration, which is taken over, also on failure. False with a fault where snapshot_new() would
 * fail. */
bool snapshot_look_anew(const struct snapshot *old, struct config *config, struct commands *commands, unsigned still,
                        struct snapshot_look *look, struct fault *fault);
/* What snapshot_look() found goes on with the CA of `old`, for this reason. False: all else is as it was, as in
 * snapshot_look(). */
bool snapshot_look_keep_ca(const struct snapshot *old, struct snapshot_look *look, const char *why);
void snapshot_look_free(struct snapshot_look *look);

/* What was found (taken over) in the place of what was there, or other tokens (taken over). */
struct snapshot *snapshot_with_look(const struct snapshot *old, struct snapshot_look *look);
struct snapshot *snapshot_with_minted(const struct snapshot *old, struct minted *minted);
/* The same without former values whose time is over. */
struct snapshot *snapshot_without_former(const struct snapshot *old);

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
	uint64_t firm;   /* steady_now() until which it stays though upstreams answer 401 */
};
struct perishable snapshot_perishable(const struct snapshot *snapshot, const struct config_credential *credential);
/* Has those of the credential made anew: an upstream does not take them. */
void snapshot_spend(const struct snapshot *snapshot, const struct config_credential *credential, struct spent *spent);

/* Is something of it being made that is worth waiting for: a minted token, or what a command prints? */
bool snapshot_pending(const struct snapshot *snapshot, const struct config_credential *credential);

/* Where it is counted; NULL: nowhere. `credential` and `profile` may be NULL, and are of this snapshot's configuration. */
static inline struct tally_entry *snapshot_credential_tally(const struct snapshot *snapshot,
                                                            const struct config_credential *credential)
{
	return credential && snapshot->shared->tallies ? snapshot->shared->tallies->credentials[credential->number] : NULL;
}

static inline struct tally_entry *snapshot_profile_tally(const struct snapshot *snapshot, const struct config_profile *profile)
{
	return profile && snapshot->shared->tallies ? snapshot->shared->tallies->profiles[profile->number] : NULL;
}

/* Why a credential works with what it had, and its sources have no more. NULL where that is not so. */
const char *snapshot_stale(const struct snapshot *snapshot, const struct config_credential *credential);
/* The same of the parent proxy's `auth`. */
const char *snapshot_stale_parent(const struct snapshot *snapshot);

/* What belongs to no credential and can be stale, too. */
enum snapshot_part { SNAPSHOT_SESSION_KEY, SNAPSHOT_CA, SNAPSHOT_PARTS };
const char *snapshot_part_name(enum snapshot_part part); /* "session_key"; static */
const char *snapshot_stale_part(const struct snapshot *snapshot, enum snapshot_part part);

/* Is any of all these stale? */
bool snapshot_any_stale(const struct snapshot *snapshot);

/* Has the token by which a client reached this profile been taken away since? `session` is snapshot_session() of then, or
 * WAY_NO_TOKEN (way.h), `version` the profile's token_version of then. */
bool snapshot_revokes(const struct snapshot *snapshot, const struct config_profile *profile, unsigned session, uint32_t version);
unsigned snapshot_session(const struct snapshot *snapshot); /* which session key; 0: no tokens are asked for */

#endif
