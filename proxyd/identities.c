#include "identities.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "memory.h"
#include "secret_use.h"
#include "steady.h"
#include "text.h"

struct entry {
	char *name;  /* the credential's; NULL: it has no `client:` */
	char *pair;  /* the files, or what else, that certificate and key come from */
	struct tls_trust *trust; /* NULL: `why` says what is wrong */
	char *why, *stale;
	char *unfit; /* what upstreams may have against it */
	uint64_t until; /* of the key that the trust was made with: it must not be used from then on (secrets.h) */
};

struct identities {
	atomic_uint references;
	size_t count;
	struct entry *entries; /* one per credential; those without `client:` stay empty */
};

static void note_unfit(struct entry *entry)
{
	struct fault fault = FAULT_INIT;
	if (!tls_identity_fits(tls_trust_identity(entry->trust), time(NULL), &fault))
		entry->unfit = memory_string(fault.text);
}

/* Takes `identity` over. */
static void take_new(struct entry *entry, struct trusts *trusts, const struct config_credential *credential,
                     struct tls_identity *identity)
{
	const char *why;
	struct tls_trust *verifier = trusts_get(trusts, credential, &why);
	if (verifier) {
		entry->trust = tls_trust_with(verifier, identity);
		return;
	}
	tls_identity_free(identity);
	entry->why = memory_format("the upstream's certificate cannot be verified: %s", why);
}

static bool is_over(const struct entry *entry)
{
	return entry->until && entry->until <= steady_now();
}

/* Takes `identity` over. Whoever shows the same by the same trust in the upstream, which may have another `ca:` now, goes on. */
static void take(struct entry *entry, struct trusts *trusts, const struct config_credential *credential, struct tls_identity *identity,
                 const struct entry *last)
{
	const char *why;
	if (!last || !last->trust || tls_trust_verifier(last->trust) != trusts_get(trusts, credential, &why) ||
	    !tls_identity_equal(identity, tls_trust_identity(last->trust))) {
		take_new(entry, trusts, credential, identity);
		return;
	}
	entry->trust = tls_trust_ref(last->trust);
	tls_identity_free(identity);
}

/* The pair is none: the last good one stays, if there is one, and no longer than its key is good. */
static void keep_last(struct entry *entry, struct trusts *trusts, const struct config_credential *credential,
                      const struct entry *last, const char *why)
{
	if (!last || !last->trust || is_over(last)) {
		entry->why = memory_string(why);
		return;
	}
	entry->stale = memory_string(why);
	entry->until = last->until;
	take(entry, trusts, credential, tls_identity_ref(tls_trust_identity(last->trust)), last);
}

/* `last`: of the look before; NULL: there was none. */
static void load_entry(struct entry *entry, struct trusts *trusts, const struct config_credential *credential,
                       const struct secret_value *key, const struct entry *last)
{
	struct fault fault = FAULT_INIT;
	if (!key->ready) {
		entry->why = memory_string(key->why);
		return;
	}
	struct tls_identity *identity = tls_identity_load(credential->client_cert, key->bytes, &fault);
	entry->until = key->until;
	if (identity)
		take(entry, trusts, credential, identity, last);
	else
		keep_last(entry, trusts, credential, last, fault.text);
	if (entry->trust)
		note_unfit(entry);
}

static const struct entry *entry_before(const struct identities *previous, const struct entry *entry)
{
	for (size_t i = 0; previous && i < previous->count; i++)
		if (text_same(previous->entries[i].name, entry->name) && text_same(previous->entries[i].pair, entry->pair))
			return &previous->entries[i];
	return NULL;
}

static void name_entry(struct entry *entry, const struct config_credential *credential)
{
	AUTO_FREE char *key = secret_use_key(secret_use_of(credential, credential->secret_count));
	entry->name = memory_string(credential->name);
	entry->pair = memory_format("%s %s", credential->client_cert, key);
}

struct identities *identities_load(const struct config *config, struct trusts *trusts, const struct secrets *secrets,
                                   const struct identities *previous)
{
	struct identities *identities = memory_alloc(sizeof *identities);
	atomic_init(&identities->references, 1);
	identities->count = config->credential_count;
	identities->entries = memory_array(config->credential_count + 1, sizeof *identities->entries);
	for (size_t i = 0; i < config->credential_count; i++) {
		const struct config_credential *credential = &config->credentials[i];
		struct entry *entry = &identities->entries[i];
		if (!credential->client_cert)
			continue;
		name_entry(entry, credential);
		load_entry(entry, trusts, credential, secrets_get(secrets, credential, credential->secret_count),
		           entry_before(previous, entry));
	}
	return identities;
}

struct identities *identities_ref(struct identities *identities)
{
	atomic_fetch_add_explicit(&identities->references, 1, memory_order_relaxed);
	return identities;
}

void identities_free(struct identities *identities)
{
	if (!identities || atomic_fetch_sub(&identities->references, 1) != 1)
		return;
	for (size_t i = 0; i < identities->count; i++) {
		struct entry *entry = &identities->entries[i];
		tls_trust_free(entry->trust);
		free(entry->name);
		free(entry->pair);
		free(entry->why);
		free(entry->stale);
		free(entry->unfit);
	}
	free(identities->entries);
	free(identities);
}

struct tls_trust *identities_get(const struct identities *identities, const struct config_credential *credential,
                                 const char **why)
{
	const struct entry *entry = &identities->entries[credential->number];
	*why = entry->why;
	if (!entry->trust || !is_over(entry))
		return entry->trust;
	*why = entry->stale ? entry->stale : "client.key: it has expired";
	return NULL;
}

const char *identities_stale(const struct identities *identities, const struct config_credential *credential)
{
	return identities->entries[credential->number].stale;
}

bool identities_same(const struct identities *a, const struct identities *b)
{
	for (size_t i = 0; i < a->count; i++) {
		const struct entry *one = &a->entries[i], *other = &b->entries[i];
		if (one->trust != other->trust || !text_same(one->why, other->why) || !text_same(one->stale, other->stale) ||
		    !text_same(one->unfit, other->unfit))
			return false;
	}
	return true;
}

void identities_warnings(const struct config *config, const struct identities *identities,
                         void (*tell)(void *context, const char *line), void *context)
{
	for (size_t i = 0; i < identities->count; i++) {
		const struct config_credential *credential = &config->credentials[i];
		const struct entry *entry = &identities->entries[i];
		const struct mark *mark = &credential->client_mark;
		AUTO_FREE char *unfit = memory_format("%s:%u:%u: upstreams may refuse the client certificate of %s: %s", mark->file,
		                                      mark->line, mark->column, credential->name, entry->unfit ? entry->unfit : "");
		AUTO_FREE char *stale = memory_format("%s:%u:%u: %s goes on with its last good client certificate: %s", mark->file,
		                                      mark->line, mark->column, credential->name, entry->stale ? entry->stale : "");
		if (entry->unfit)
			tell(context, unfit);
		if (entry->stale)
			tell(context, stale);
	}
}
