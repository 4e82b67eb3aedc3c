#include "snapshot.h"

#include <stdlib.h>

#include "inject.h"
#include "log.h"
#include "memory.h"
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

/* Is there an upstream that the default trust has to verify, whatever an agent asks for? */
static bool needs_default(const struct config *config)
{
	for (size_t i = 0; i < config->credential_count; i++)
		if (config->credentials[i].upstream.tls && !config->credentials[i].ca)
			return true;
	return false;
}

/* A `ca:` that does not load is the fault of its credential alone. Without any roots on this machine, upstreams that need
 * none still work: allowed hosts over https are then refused, with the reason. */
static bool load_trust(struct shared_config *shared, struct fault *fault)
{
	const struct config *config = shared->config;
	size_t count = config->credential_count;
	struct fault why = FAULT_INIT;
	shared->trusts = memory_array(count + 1, sizeof(struct tls_trust *));
	shared->trust_faults = memory_array(count + 1, sizeof(char *));
	struct tls_trust *standard = shared->trusts[count] = tls_trust_load(NULL, &why);
	if (!standard && needs_default(config))
		return fault_set(fault, why.code, "%s", why.text);
	if (!standard) {
		log_warning("%s", why.text);
		shared->trust_faults[count] = memory_string(why.text);
	}
	for (size_t i = 0; i < count; i++) {
		const struct config_credential *credential = &config->credentials[i];
		if (!credential->ca) {
			shared->trusts[i] = standard ? tls_trust_ref(standard) : NULL;
			continue;
		}
		shared->trusts[i] = tls_trust_load(credential->ca, &why);
		if (!shared->trusts[i])
			shared->trust_faults[i] = memory_string(why.text);
	}
	return true;
}

static void shared_unref(struct shared_config *shared)
{
	if (atomic_fetch_sub(&shared->references, 1) != 1)
		return;
	for (size_t i = 0; shared->trusts && i <= shared->config->credential_count; i++) {
		if (shared->trusts[i])
			tls_trust_free(shared->trusts[i]);
		free(shared->trust_faults[i]);
	}
	free(shared->trusts);
	free(shared->trust_faults);
	if (shared->routes)
		route_table_free(shared->routes);
	token_table_free(shared->tokens);
	config_free(shared->config);
	free(shared);
}

static struct snapshot *make(struct shared_config *shared, struct secrets *secrets)
{
	struct snapshot *snapshot = memory_alloc(sizeof *snapshot);
	snapshot->shared = shared;
	snapshot->config = shared->config;
	snapshot->secrets = secrets;
	snapshot->injections = inject_table_new(shared->config, secrets);
	atomic_init(&snapshot->references, 1);
	return snapshot;
}

struct snapshot *snapshot_new(struct config *config, struct fault *fault)
{
	struct shared_config *shared = memory_alloc(sizeof *shared);
	atomic_init(&shared->references, 1);
	shared->config = config;
	if (!load_tokens(shared, fault) || !load_trust(shared, fault)) {
		shared_unref(shared);
		return NULL;
	}
	shared->routes = route_table_new(config);
	return make(shared, secrets_load(config, NULL));
}

struct snapshot *snapshot_with_secrets(const struct snapshot *old, struct secrets *secrets)
{
	atomic_fetch_add(&old->shared->references, 1);
	return make(old->shared, secrets);
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
	secrets_free(snapshot->secrets);
	shared_unref(snapshot->shared);
	free(snapshot);
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

struct tls_trust *snapshot_trust(const struct snapshot *snapshot, const struct config_credential *credential,
                                 const char **why)
{
	const struct shared_config *shared = snapshot->shared;
	size_t last = shared->config->credential_count, index = credential ? credential->number : last;
	*why = shared->trust_faults[index] ? shared->trust_faults[index] : shared->trust_faults[last];
	return shared->trusts[index];
}
