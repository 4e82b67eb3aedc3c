#include "snapshot.h"

#include <stdlib.h>

#include "audit.h"
#include "dial_parent.h"
#include "former.h"
#include "inject.h"
#include "memory.h"
#include "monotonic.h"
#include "rates.h"
#include "route.h"
#include "text.h"
#include "way.h"

/* ---- what is loaded with a configuration ---- */

static struct headcount *headcount_of(const struct shared_config *before, const char *profile)
{
	const struct config_profile *known = before ? config_profile(before->config, span_of(profile)) : NULL;
	if (known)
		return headcount_ref(before->headcounts[known->number]);
	struct headcount *count = memory_alloc(sizeof *count);
	atomic_init(&count->references, 1);
	count->profile = memory_string(profile);
	return count;
}

struct headcount *headcount_ref(struct headcount *count)
{
	atomic_fetch_add_explicit(&count->references, 1, memory_order_relaxed);
	return count;
}

void headcount_unref(struct headcount *count)
{
	if (!count || atomic_fetch_sub(&count->references, 1) != 1)
		return;
	free(count->profile);
	free(count);
}

static bool load_mint(struct shared_config *shared, const struct shared_config *before, struct fault *fault)
{
	struct mint *last = before ? before->mint ? before->mint : before->idle_mint : NULL;
	if (!config_intercepts_any(shared->config)) {
		shared->idle_mint = last ? mint_ref(last) : NULL;
		return true;
	}
	shared->mint = mint_follow(shared->config, last, &shared->mint_stale, fault);
	return shared->mint != NULL;
}

static void add_tables(struct shared_config *shared, const struct shared_config *before)
{
	const struct config *config = shared->config;
	shared->tokens = session_tokens(shared->session, config);
	shared->routes = route_table_new(config, before ? before->routes : NULL);
	shared->rates = rates_new(config, before ? before->rates : NULL, monotonic_us());
	shared->headcounts = memory_array(config->profile_count, sizeof *shared->headcounts);
	for (size_t i = 0; i < config->profile_count; i++)
		shared->headcounts[i] = headcount_of(before, config->profiles[i].name);
}

static void shared_unref(struct shared_config *shared)
{
	if (!shared || atomic_fetch_sub(&shared->references, 1) != 1)
		return;
	for (size_t i = 0; shared->headcounts && i < shared->config->profile_count; i++)
		headcount_unref(shared->headcounts[i]);
	free(shared->headcounts);
	tally_map_free(shared->tallies);
	rates_free(shared->rates);
	mint_free(shared->mint);
	mint_free(shared->idle_mint);
	free(shared->mint_stale);
	trusts_unref(shared->trusts);
	if (shared->routes)
		route_table_free(shared->routes);
	token_table_free(shared->tokens);
	session_unref(shared->session);
	if (!shared->owner)
		config_free(shared->config);
	shared_unref(shared->owner);
	free(shared);
}

static struct shared_config *shared_ref(struct shared_config *shared)
{
	atomic_fetch_add_explicit(&shared->references, 1, memory_order_relaxed);
	return shared;
}

/* The tables are added once it is known that it will be used. */
static struct shared_config *load(struct config *config, struct shared_config *owner, const struct shared_config *before,
                                  struct fault *fault)
{
	struct shared_config *shared = memory_alloc(sizeof *shared);
	atomic_init(&shared->references, 1);
	shared->config = config;
	shared->owner = owner;
	shared->session = session_load(config, before ? before->session : NULL, fault);
	if ((shared->session || config->session.none) &&
	    (shared->trusts = trusts_load(config, before ? before->trusts : NULL, fault)) &&
	    load_mint(shared, before, fault))
		return shared;
	shared_unref(shared);
	return NULL;
}

static bool same_loaded(const struct shared_config *a, const struct shared_config *b)
{
	return a->session == b->session && a->trusts == b->trusts && a->mint == b->mint && text_same(a->mint_stale, b->mint_stale);
}

/* Looks at it again: the old one, with a further reference, where all is as it was. What cannot be had now is as it was, too. */
static struct shared_config *load_again(struct shared_config *old)
{
	struct fault fault = FAULT_INIT;
	struct shared_config *owner = old->owner ? old->owner : old;
	struct shared_config *fresh = load(old->config, shared_ref(owner), old, &fault);
	if (!fresh)
		return shared_ref(old);
	if (!same_loaded(fresh, old)) {
		add_tables(fresh, old);
		return fresh;
	}
	shared_unref(fresh);
	return shared_ref(old);
}

/* ---- a snapshot ---- */

/* The one before, where it would be no other: idle connections are kept by it. */
static struct dial_parent *find_parent(const struct config *config, const struct secrets *secrets, struct dial_parent *before)
{
	const struct secret_value *auth = secrets_parent(secrets);
	return before && dial_parent_is_current(before, config, auth) ? dial_parent_ref(before) : dial_parent_new(config, auth);
}

/* What a snapshot is made of; all of it is taken over. */
struct parts {
	struct secrets *secrets;
	struct identities *identities;
	struct minted *minted;
	struct former *former;
};

static struct snapshot *make(struct shared_config *shared, struct parts parts, const struct snapshot *before)
{
	struct snapshot *snapshot = memory_alloc(sizeof *snapshot);
	snapshot->shared = shared;
	snapshot->config = shared->config;
	snapshot->secrets = parts.secrets;
	snapshot->identities = parts.identities;
	snapshot->minted = parts.minted;
	snapshot->former = parts.former;
	snapshot->former_injections = parts.former ? former_table(parts.former) : NULL;
	snapshot->injections = inject_table_new(shared->config, parts.secrets, parts.minted);
	snapshot->parent = find_parent(shared->config, parts.secrets, before ? before->parent : NULL);
	atomic_init(&snapshot->references, 1);
	return snapshot;
}

static struct minted *none_minted(const struct config *config)
{
	struct minted *minted = minted_new(config);
	minted_seal(minted);
	return minted;
}

struct snapshot *snapshot_new(struct config *config, struct commands *commands, struct fault *fault)
{
	struct shared_config *shared = load(config, NULL, NULL, fault);
	if (!shared)
		return NULL;
	add_tables(shared, NULL);
	struct secrets *secrets = secrets_load(config, NULL, commands);
	return make(shared, (struct parts){secrets, identities_load(config, shared->trusts, secrets, NULL), none_minted(config), NULL},
	            NULL);
}

static void look_at_secrets(const struct snapshot *old, struct commands *commands, unsigned still, struct snapshot_look *look)
{
	const struct config *config = look->shared->config;
	look->secrets = secrets_look(config, old->secrets, commands, still);
	look->unsettled = secrets_unsettled(look->secrets);
	look->identities = identities_load(config, look->shared->trusts, look->secrets, old->identities);
}

/* Frees one that has nothing new. */
static bool has_news(const struct snapshot *old, struct snapshot_look *look)
{
	bool unsettled = look->unsettled;
	if (!same_loaded(look->shared, old->shared) || !secrets_same(old->secrets, look->secrets) ||
	    !identities_same(old->identities, look->identities))
		return true;
	secrets_count_looks(old->secrets, look->secrets);
	snapshot_look_free(look);
	look->unsettled = unsettled;
	return false;
}

bool snapshot_look(const struct snapshot *old, struct commands *commands, unsigned still, struct snapshot_look *look)
{
	look->shared = load_again(old->shared);
	look_at_secrets(old, commands, still, look);
	return has_news(old, look);
}

/* One with another CA is not shared yet. */
bool snapshot_look_keep_ca(const struct snapshot *old, struct snapshot_look *look, const char *why)
{
	struct shared_config *shared = look->shared;
	mint_free(shared->mint);
	shared->mint = mint_ref(old->shared->mint);
	free(shared->mint_stale);
	shared->mint_stale = memory_string(why);
	return has_news(old, look);
}

bool snapshot_look_at_commands(const struct snapshot *old, struct commands *commands, struct snapshot_look *look)
{
	struct secrets *secrets = secrets_with_commands(old->config, old->secrets, commands);
	if (secrets_same(old->secrets, secrets)) {
		secrets_free(secrets);
		return false;
	}
	*look = (struct snapshot_look){.shared = shared_ref(old->shared), .secrets = secrets,
	                               .identities = identities_load(old->config, old->shared->trusts, secrets, old->identities)};
	return true;
}

bool snapshot_look_anew(const struct snapshot *old, struct config *config, struct commands *commands, unsigned still,
                        struct snapshot_look *look, struct fault *fault)
{
	look->shared = load(config, NULL, old->shared, fault);
	if (!look->shared)
		return false;
	add_tables(look->shared, old->shared);
	look_at_secrets(old, commands, still, look);
	return true;
}

void snapshot_look_free(struct snapshot_look *look)
{
	identities_free(look->identities);
	secrets_free(look->secrets);
	shared_unref(look->shared);
	*look = (struct snapshot_look){0};
}

/* Tokens go by the credential's number: for another configuration who mints publishes them anew. */
struct snapshot *snapshot_with_look(const struct snapshot *old, struct snapshot_look *look)
{
	bool same = look->shared->config == old->config;
	struct parts parts = {look->secrets, look->identities, same ? minted_ref(old->minted) : none_minted(look->shared->config),
	                      former_new(look->shared->config, old, look->secrets, steady_now())};
	return make(look->shared, parts, old);
}

struct snapshot *snapshot_with_minted(const struct snapshot *old, struct minted *minted)
{
	return make(shared_ref(old->shared), (struct parts){secrets_ref(old->secrets), identities_ref(old->identities), minted,
	                                                    former_ref(old->former)}, old);
}

struct snapshot *snapshot_without_former(const struct snapshot *old)
{
	return make(shared_ref(old->shared), (struct parts){secrets_ref(old->secrets), identities_ref(old->identities),
	                                                    minted_ref(old->minted),
	                                                    former_new(old->config, old, old->secrets, steady_now())}, old);
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
	former_unref(snapshot->former);
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
	if (token->mints && !minted_ready(token, steady_now()))
		return token->why ? token->why : "its token is being asked for";
	return inject_unfit(snapshot->injections, credential);
}

bool snapshot_pending(const struct snapshot *snapshot, const struct config_credential *credential)
{
	const struct minted_token *token = minted_get(snapshot->minted, credential);
	if (secrets_pending(snapshot->secrets, credential))
		return true;
	return token->mints && token->pending && !minted_ready(token, steady_now());
}

const char *snapshot_stale(const struct snapshot *snapshot, const struct config_credential *credential)
{
	for (size_t i = 0; i < secrets_count(credential); i++) {
		const char *stale = secrets_get(snapshot->secrets, credential, i)->stale;
		if (stale)
			return stale;
	}
	const struct minted_token *token = minted_get(snapshot->minted, credential);
	if (token->mints && token->why && minted_ready(token, steady_now()))
		return token->why;
	const char *stale = trusts_stale(snapshot->shared->trusts, credential);
	return stale ? stale : identities_stale(snapshot->identities, credential);
}

const char *snapshot_stale_parent(const struct snapshot *snapshot)
{
	const struct secret_value *auth = snapshot->parent ? secrets_parent(snapshot->secrets) : NULL;
	return auth ? auth->stale : NULL;
}

const char *snapshot_part_name(enum snapshot_part part)
{
	static const char *const names[SNAPSHOT_PARTS] = {[SNAPSHOT_SESSION_KEY] = "session_key", [SNAPSHOT_CA] = "ca"};
	return names[part];
}

const char *snapshot_stale_part(const struct snapshot *snapshot, enum snapshot_part part)
{
	return part == SNAPSHOT_CA ? snapshot->shared->mint_stale : session_stale(snapshot->shared->session);
}

bool snapshot_any_stale(const struct snapshot *snapshot)
{
	bool any = snapshot_stale_parent(snapshot) != NULL;
	for (size_t i = 0; !any && i < snapshot->config->credential_count; i++)
		any = snapshot_stale(snapshot, &snapshot->config->credentials[i]) != NULL;
	for (size_t i = 0; !any && i < SNAPSHOT_PARTS; i++)
		any = snapshot_stale_part(snapshot, (enum snapshot_part)i) != NULL;
	return any;
}

unsigned snapshot_session(const struct snapshot *snapshot)
{
	return session_number(snapshot->shared->session);
}

bool snapshot_revokes(const struct snapshot *snapshot, const struct config_profile *profile, unsigned session, uint32_t version)
{
	return session != WAY_NO_TOKEN && snapshot_session(snapshot) &&
	       (snapshot_session(snapshot) != session || profile->token_version != version);
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
