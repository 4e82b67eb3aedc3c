#include "trusts.h"

#include <pthread.h>
#include <stdlib.h>

#include "memory.h"

struct entry {
	struct tls_trust *trust; /* NULL: `why` says what is wrong */
	char *why;
};

struct trusts {
	const struct config *config;
	pthread_mutex_t lock; /* of `roots` and `besides` */
	bool roots_loaded;
	struct entry roots;
	struct entry *entries; /* one per credential; those without `ca:` stay empty */
	struct entry *besides; /* the same, with the roots; loaded late */
};

static void keep(struct entry *entry, struct tls_trust *trust, const struct fault *fault)
{
	entry->trust = trust;
	if (!trust)
		entry->why = memory_string(fault->text);
}

static void load(struct entry *entry, const char *file, struct fault *fault)
{
	keep(entry, tls_trust_load(file, fault), fault);
}

static const struct entry *roots(struct trusts *trusts, struct fault *fault)
{
	pthread_mutex_lock(&trusts->lock);
	if (!trusts->roots_loaded)
		load(&trusts->roots, NULL, fault);
	trusts->roots_loaded = true;
	pthread_mutex_unlock(&trusts->lock);
	return &trusts->roots;
}

struct trusts *trusts_load(const struct config *config, struct fault *fault)
{
	struct trusts *trusts = memory_alloc(sizeof *trusts);
	bool needs_roots = false;
	trusts->config = config;
	trusts->entries = memory_array(config->credential_count + 1, sizeof *trusts->entries);
	trusts->besides = memory_array(config->credential_count + 1, sizeof *trusts->besides);
	pthread_mutex_init(&trusts->lock, NULL);
	for (size_t i = 0; i < config->credential_count; i++) {
		const struct config_credential *credential = &config->credentials[i];
		struct fault why = FAULT_INIT;
		if (credential->ca)
			load(&trusts->entries[i], credential->ca, &why);
		else
			needs_roots |= credential->upstream.tls;
	}
	if (!needs_roots || roots(trusts, fault)->trust)
		return trusts;
	trusts_free(trusts);
	return NULL;
}

static void entry_end(struct entry *entry)
{
	tls_trust_free(entry->trust);
	free(entry->why);
}

void trusts_free(struct trusts *trusts)
{
	if (!trusts)
		return;
	for (size_t i = 0; i < trusts->config->credential_count; i++) {
		entry_end(&trusts->entries[i]);
		entry_end(&trusts->besides[i]);
	}
	entry_end(&trusts->roots);
	pthread_mutex_destroy(&trusts->lock);
	free(trusts->entries);
	free(trusts->besides);
	free(trusts);
}

struct tls_trust *trusts_get(struct trusts *trusts, const struct config_credential *credential, const char **why)
{
	struct fault fault = FAULT_INIT;
	const struct entry *entry =
		credential && credential->ca ? &trusts->entries[credential->number] : roots(trusts, &fault);
	*why = entry->why;
	return entry->trust;
}

struct tls_trust *trusts_beside(struct trusts *trusts, const struct config_credential *credential, const char **why)
{
	if (!credential->ca)
		return trusts_get(trusts, NULL, why);
	struct entry *entry = &trusts->besides[credential->number];
	struct fault fault = FAULT_INIT;
	pthread_mutex_lock(&trusts->lock);
	if (!entry->trust && !entry->why)
		keep(entry, tls_trust_load_beside(credential->ca, &fault), &fault);
	pthread_mutex_unlock(&trusts->lock);
	*why = entry->why;
	return entry->trust;
}
