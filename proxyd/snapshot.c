#include "snapshot.h"

#include <stdlib.h>

#include "audit.h"
#include "dial_parent.h"
#include "inject.h"
#include "memory.h"
#include "rates.h"
#include "route.h"

static bool load_tokens(struct shared_config *shared, struct fault *fault)
{
	struct token_key key;
	if (shared->config->session.none)
		return true;
	bool done = token_key_load(&shared->config->session.key, &key, fault);
	if (done)
		shared->tokens = token_table_new(&key, shared->config);
	explicit_bzero(&key, sizeof key);
	return done;
}

static bool load_mint(struct shared_config *shared, struct fault *fault)
{
	if (!config_intercepts_any(shared->config))
		return true;
	shared->mint = mint_new(shared->config, fault);
	return shared->mint != NULL;
}

static void shared_unref(struct shared_config *shared)
{
	if (atomic_fetch_sub(&shared->references, 1) != 1)
		return;
	rates_free(shared->rates);
	mint_free(shared->mint);
	trusts_free(shared->trusts);
	if (shared->routes)
		route_table_free(shared->routes);
	token_table_free(shared->tokens);
	config_free(shared->config);
	free(shared);
}

/* The one before, where it would be no other: idle connections are kept by it. */
static struct dial_parent *find_parent(const struct config *config, const struct secrets *secrets, struct dial_parent *before)
{
	const struct secret_value *auth = secrets_parent(secrets);
	return before && dial_parent_is_current(before, auth) ? dial_parent_ref(before) : dial_parent_new(config, auth);
}

/* What a snapshot is made of; all of it is taken over. */
struct parts {
	struct secrets *secrets;
	struct identities *identities;
	struct minted *minted;
};

/* `before`: an older snapshot of the same configuration, or NULL. */
static struct snapshot *make(struct shared_config *shared, struct parts parts, const struct snapshot *before)
{
	struct snapshot *snapshot = memory_alloc(sizeof *snapshot);
	snapshot->shared = shared;
	snapshot->config = shared->config;
	snapshot->secrets = parts.secrets;
	snapshot->identities = parts.identities;
	snapshot->minted = parts.minted;
	snapshot->injections = inject_table_new(shared->config, parts.secrets, parts.minted);
	snapshot->parent = find_parent(shared->config, parts.secrets, before ? before->parent : NULL);
	atomic_init(&snapshot->references, 1);
	return snapshot;
}

struct snapshot *snapshot_new(struct config *config, struct fault *fault)
{
	struct shared_config *shared = memory_alloc(sizeof *shared);
	atomic_init(&shared->references, 1);
	shared->config = config;
	if (!load_tokens(shared, fault) || !(shared->trusts = trusts_load(config, fault)) || !load_mint(shared, fault)) {
		shared_unref(shared);
		return NULL;
	}
	shared->routes = route_table_new(config);
	shared->rates = rates_new(config, audit_clock());
	struct secrets *secrets = secrets_load(config, NULL, NULL);
	struct parts parts = {secrets, identities_load(config, shared->trusts, secrets, NULL), minted_new(config)};
	minted_seal(parts.minted);
	return make(shared, parts, NULL);
}

bool snapshot_look(const struct snapshot *old, struct spent *spent, struct snapshot_look *look)
{
	look->secrets = secrets_load(old->config, old->secrets, spent);
	look->identities = identities_load(old->config, old->shared->trusts, look->secrets, old->identities);
	if (!secrets_same(old->secrets, look->secrets) || !identities_same(old->identities, look->identities))
		return true;
	identities_free(look->identities);
	secrets_free(look->secrets);
	return false;
}

static struct shared_config *share(const struct snapshot *snapshot)
{
	atomic_fetch_add(&snapshot->shared->references, 1);
	return snapshot->shared;
}

struct snapshot *snapshot_with_look(const struct snapshot *old, const struct snapshot_look *look)
{
	return make(share(old), (struct parts){look->secrets, look->identities, minted_ref(old->minted)}, old);
}

struct snapshot *snapshot_with_minted(const struct snapshot *old, struct minted *minted)
{
	return make(share(old), (struct parts){secrets_ref(old->secrets), identities_ref(old->identities), minted}, old);
}

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
	atomic_fetch_add_explicit(&snapshot->references, 1, memory_order_relaxed);
	return snapshot;
}

void snapshot_unref(struct snapshot *snapshot)
{
	if (!snapshot || atomic_fetch_sub(&snapshot->references, 1) != 1)
		return;
	inject_table_free(snapshot->injections);
	dial_parent_unref(snapshot->parent);
	minted_unref(snapshot->minted);
	identities_free(snapshot->identities);
	secrets_free(snapshot->secrets);
	shared_unref(snapshot->shared);
	free(snapshot);
}

struct tls_trust *snapshot_trust(const struct snapshot *snapshot, const struct config_credential *credential,
                                 const char **why)
{
	if (credential && credential->client_cert)
		return identities_get(snapshot->identities, credential, why);
	return trusts_get(snapshot->shared->trusts, credential, why);
}

const char *snapshot_waits(const struct snapshot *snapshot, const struct config_credential *credential)
{
	const char *why = NULL;
	if (!secrets_ready(snapshot->secrets, credential, &why))
		return why;
	if (credential->upstream.tls && !snapshot_trust(snapshot, credential, &why))
		return why;
	const struct minted_token *token = minted_get(snapshot->minted, credential);
	if (token->mints && !minted_ready(token, minted_now()))
		return token->why ? token->why : "its token is being asked for";
	return inject_unfit(snapshot->injections, credential);
}

const char *snapshot_stale(const struct snapshot *snapshot, const struct config_credential *credential)
{
	for (size_t i = 0; i < secrets_count(credential); i++) {
		const char *stale = secrets_get(snapshot->secrets, credential, i)->stale;
		if (stale)
			return stale;
	}
	const struct minted_token *token = minted_get(snapshot->minted, credential);
	if (token->mints && token->why && minted_ready(token, minted_now()))
		return token->why;
	return identities_stale(snapshot->identities, credential);
}

struct perishable snapshot_perishable(const struct snapshot *snapshot, const struct config_credential *credential)
{
	const struct minted_token *token = minted_get(snapshot->minted, credential);
	if (token->mints)
		return (struct perishable){token->number, token->firm};
	for (size_t i = 0; i < credential->secret_count; i++) {
		const struct secret_value *value = secrets_get(snapshot->secrets, credential, i);
		if (value->number)
			return (struct perishable){value->number, value->firm};
	}
	return (struct perishable){0};
}

void snapshot_spend(const struct snapshot *snapshot, const struct config_credential *credential, struct spent *spent)
{
	const struct minted_token *token = minted_get(snapshot->minted, credential);
	if (token->mints)
		spent_add(spent, token->number);
	for (size_t i = 0; i < credential->secret_count; i++) {
		const struct secret_value *value = secrets_get(snapshot->secrets, credential, i);
		if (value->number)
			spent_add(spent, value->number);
	}
}
