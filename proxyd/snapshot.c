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

/* `before`: an older snapshot of the same configuration, or NULL. */
static struct snapshot *make(struct shared_config *shared, struct secrets *secrets, struct identities *identities,
                             const struct snapshot *before)
{
	struct snapshot *snapshot = memory_alloc(sizeof *snapshot);
	snapshot->shared = shared;
	snapshot->config = shared->config;
	snapshot->secrets = secrets;
	snapshot->identities = identities;
	snapshot->injections = inject_table_new(shared->config, secrets);
	snapshot->parent = find_parent(shared->config, secrets, before ? before->parent : NULL);
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
	struct secrets *secrets = secrets_load(config, NULL);
	return make(shared, secrets, identities_load(config, shared->trusts, secrets, NULL), NULL);
}

struct snapshot *snapshot_refresh(const struct snapshot *old)
{
	struct secrets *secrets = secrets_load(old->config, old->secrets);
	struct identities *identities = identities_load(old->config, old->shared->trusts, secrets, old->identities);
	if (secrets_same(old->secrets, secrets) && identities_same(old->identities, identities)) {
		identities_free(identities);
		secrets_free(secrets);
		return NULL;
	}
	atomic_fetch_add(&old->shared->references, 1);
	return make(old->shared, secrets, identities, old);
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
	return inject_unfit(snapshot->injections, credential);
}

const char *snapshot_stale(const struct snapshot *snapshot, const struct config_credential *credential)
{
	for (size_t i = 0; i < secrets_count(credential); i++) {
		const char *stale = secrets_get(snapshot->secrets, credential, i)->stale;
		if (stale)
			return stale;
	}
	return identities_stale(snapshot->identities, credential);
}
