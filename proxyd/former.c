#include "former.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "memory.h"
#include "snapshot.h"

struct entry {
	const struct secrets *secrets; /* NULL: none. A reference */
	uint64_t until;
};

struct former {
	atomic_uint references;
	size_t count;
	struct entry *entries;   /* by the credential's number */
	atomic_bool *preferred;  /* the same */
	struct inject_table *table;
	uint64_t until;
};

static bool has_overlap(const struct config_credential *credential, const struct secrets *secrets)
{
	const char *why;
	if (credential->rotation != ROTATION_OVERLAP || config_minting(credential) || !secrets_ready(secrets, credential, &why))
		return false;
	for (size_t i = 0; i < credential->secret_count; i++)
		if (secrets_get(secrets, credential, i)->number)
			return false;
	return true;
}

/* ---- what was there ---- */

/* The credential in the older configuration, where it is still the same for its upstream. */
static const struct config_credential *credential_before(const struct config_credential *credential, const struct snapshot *old)
{
	const struct config_credential *before = config_credential(old->config, span_of(credential->name));
	bool same = before && origin_equal(&before->upstream, &credential->upstream);
	return same ? before : NULL;
}

/* The older set as the configuration numbers it. A reference. */
static struct secrets *numbered(const struct config *config, const struct snapshot *old, const struct secrets *set)
{
	return config == old->config ? secrets_ref((struct secrets *)(uintptr_t)set) : secrets_renumbered(config, set);
}

/* Puts in what goes on of what the older one had. */
static void keep(struct former *former, size_t i, const struct config *config, const struct snapshot *old,
                 const struct config_credential *before, uint64_t now)
{
	const struct former *last = old->former;
	if (!last || last->entries[before->number].until <= now)
		return;
	struct secrets *set = numbered(config, old, last->entries[before->number].secrets);
	/* Another configuration may want of it what was never read. */
	if (!has_overlap(&config->credentials[i], set)) {
		secrets_free(set);
		return;
	}
	former->entries[i] = (struct entry){set, last->entries[before->number].until};
	atomic_init(&former->preferred[i], atomic_load(&last->preferred[before->number]));
}

static void find(struct former *former, size_t i, const struct config *config, const struct snapshot *old,
                 const struct secrets *old_secrets, const struct secrets *fresh, uint64_t now)
{
	const struct config_credential *credential = &config->credentials[i], *before = credential_before(credential, old);
	if (!before || !has_overlap(credential, fresh))
		return;
	if (has_overlap(credential, old_secrets) && secrets_differ(old_secrets, fresh, credential))
		former->entries[i] = (struct entry){secrets_ref((struct secrets *)(uintptr_t)old_secrets), now + FORMER_TIME * 1000};
	else
		keep(former, i, config, old, before, now);
	if (former->entries[i].until > former->until)
		former->until = former->entries[i].until;
}

static struct inject_table *render(const struct config *config, const struct former *former)
{
	const struct secrets **list = memory_array(former->count + 1, sizeof *list);
	for (size_t i = 0; i < former->count; i++)
		list[i] = former->entries[i].secrets;
	struct inject_table *table = inject_table_of(config, list);
	free(list);
	return table;
}

struct former *former_new(const struct config *config, const struct snapshot *old, const struct secrets *fresh, uint64_t now)
{
	struct secrets *old_secrets = numbered(config, old, old->secrets);
	struct former *former = memory_alloc(sizeof *former);
	atomic_init(&former->references, 1);
	former->count = config->credential_count;
	former->entries = memory_array(former->count + 1, sizeof *former->entries);
	former->preferred = memory_array(former->count + 1, sizeof *former->preferred);
	for (size_t i = 0; i < former->count; i++)
		find(former, i, config, old, old_secrets, fresh, now);
	secrets_free(old_secrets);
	if (former->until) {
		former->table = render(config, former);
		return former;
	}
	former_unref(former);
	return NULL;
}

struct former *former_ref(struct former *former)
{
	if (former)
		atomic_fetch_add_explicit(&former->references, 1, memory_order_relaxed);
	return former;
}

void former_unref(struct former *former)
{
	if (!former || atomic_fetch_sub(&former->references, 1) != 1)
		return;
	for (size_t i = 0; i < former->count; i++)
		secrets_free((struct secrets *)(uintptr_t)former->entries[i].secrets);
	inject_table_free(former->table);
	free(former->entries);
	free(former->preferred);
	free(former);
}

uint64_t former_until(const struct former *former)
{
	return former ? former->until : UINT64_MAX;
}

bool former_has(const struct former *former, const struct config_credential *credential, uint64_t now)
{
	return former && now < former->entries[credential->number].until;
}

const struct inject_table *former_table(const struct former *former)
{
	return former->table;
}

void former_prefer(const struct former *former, const struct config_credential *credential, bool preferred)
{
	if (former && former->entries[credential->number].secrets)
		atomic_store(&former->preferred[credential->number], preferred);
}

bool former_preferred(const struct former *former, const struct config_credential *credential)
{
	return former && atomic_load(&former->preferred[credential->number]);
}
