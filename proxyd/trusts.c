#include "trusts.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "content.h"
#include "memory.h"
#include "text.h"

#define CA_LIMIT ((size_t)8 << 20)

/* One trust, once it was asked for. */
struct late {
	struct tls_trust *trust; /* NULL: `why` says what is wrong; both NULL: not asked for yet */
	char *why;
};

/* Of one credential. */
struct entry {
	char *name; /* the credential's; each has a trust of its own, by which connections and tickets are kept apart */
	char *path; /* of its `ca:`; NULL: it has none, and all else is empty */
	struct content content;
	struct late own, beside; /* the second is with the roots */
	char *stale;
};

struct trusts {
	atomic_uint references;
	pthread_mutex_t lock; /* of the roots and of every `beside` */
	struct late roots;
	struct entry *entries; /* by the credential's number */
	size_t count;
};

static void keep(struct late *late, struct tls_trust *trust, const struct fault *fault)
{
	late->trust = trust;
	if (!trust)
		late->why = memory_string(fault->text);
}

static bool is_asked(const struct late *late)
{
	return late->trust || late->why;
}

static struct late *roots(struct trusts *trusts, struct fault *fault)
{
	pthread_mutex_lock(&trusts->lock);
	if (!is_asked(&trusts->roots))
		keep(&trusts->roots, tls_trust_load(NULL, fault), fault);
	pthread_mutex_unlock(&trusts->lock);
	return &trusts->roots;
}

/* ---- what was there before ---- */

static const struct entry *entry_before(const struct trusts *before, const struct entry *entry)
{
	for (size_t i = 0; before && i < before->count; i++)
		if (before->entries[i].own.trust && text_same(before->entries[i].path, entry->path) &&
		    text_same(before->entries[i].name, entry->name))
			return &before->entries[i];
	return NULL;
}

/* True where it was asked for before, and could not be had. */
static bool take_late(struct late *late, const struct late *last, struct trusts *before)
{
	pthread_mutex_lock(&before->lock);
	late->trust = tls_trust_ref(last->trust);
	bool failed = last->why;
	pthread_mutex_unlock(&before->lock);
	return failed;
}

/* Is it what it was, as far as it was asked for again? */
static bool same_late(const struct late *late, const struct late *last, struct trusts *before)
{
	pthread_mutex_lock(&before->lock);
	bool same = !last->why || !is_asked(late) || text_same(late->why, last->why);
	pthread_mutex_unlock(&before->lock);
	return same;
}

static void take_roots(struct trusts *trusts, struct trusts *before)
{
	if (!before)
		return;
	struct fault fault = FAULT_INIT;
	if (take_late(&trusts->roots, &before->roots, before))
		roots(trusts, &fault);
}

/* True where its trust beside the roots is to be loaded again. */
static bool take_over(struct entry *entry, const struct entry *last, struct trusts *before)
{
	entry->content = last->content;
	entry->own.trust = tls_trust_ref(last->own.trust);
	return take_late(&entry->beside, &last->beside, before);
}

/* ---- loading ---- */

static void load_entry(struct entry *entry, const struct config_credential *credential, struct trusts *before)
{
	struct fault fault = FAULT_INIT;
	entry->name = memory_string(credential->name);
	entry->path = memory_string(credential->ca);
	const struct entry *last = entry_before(before, entry);
	bool read = content_read(entry->path, CA_LIMIT, &entry->content, NULL);
	if (read && last && content_same(&entry->content, &last->content)) {
		if (take_over(entry, last, before))
			keep(&entry->beside, tls_trust_load_beside(entry->path, &fault), &fault);
		return;
	}
	struct tls_trust *trust = tls_trust_load(entry->path, &fault);
	if (!trust && last) {
		take_over(entry, last, before);
		entry->stale = memory_string(fault.text);
	} else {
		keep(&entry->own, trust, &fault);
	}
}

static bool same_entry(const struct entry *a, const struct entry *b)
{
	return text_same(a->path, b->path) && a->own.trust == b->own.trust && text_same(a->own.why, b->own.why) &&
	       text_same(a->stale, b->stale);
}

static bool is_same(const struct trusts *trusts, struct trusts *before)
{
	bool same = trusts->count == before->count && same_late(&trusts->roots, &before->roots, before);
	for (size_t i = 0; same && i < trusts->count; i++)
		same = same_entry(&trusts->entries[i], &before->entries[i]) &&
		       same_late(&trusts->entries[i].beside, &before->entries[i].beside, before);
	return same;
}

/* Loads them into a table that is still empty; do the upstreams need the roots? */
static bool load_entries(struct trusts *trusts, const struct config *config, struct trusts *before)
{
	bool needs_roots = false;
	for (size_t i = 0; i < config->credential_count; i++) {
		const struct config_credential *credential = &config->credentials[i];
		if (credential->ca)
			load_entry(&trusts->entries[i], credential, before);
		else
			needs_roots |= credential->upstream.tls;
	}
	return needs_roots;
}

struct trusts *trusts_load(const struct config *config, struct trusts *before, struct fault *fault)
{
	struct trusts *trusts = memory_alloc(sizeof *trusts);
	atomic_init(&trusts->references, 1);
	trusts->count = config->credential_count;
	trusts->entries = memory_array(trusts->count + 1, sizeof *trusts->entries);
	pthread_mutex_init(&trusts->lock, NULL);
	take_roots(trusts, before);
	if (load_entries(trusts, config, before) && !roots(trusts, fault)->trust) {
		trusts_unref(trusts);
		return NULL;
	}
	if (!before || !is_same(trusts, before))
		return trusts;
	trusts_unref(trusts);
	return trusts_ref(before);
}

static void late_end(struct late *late)
{
	tls_trust_free(late->trust);
	free(late->why);
}

struct trusts *trusts_ref(struct trusts *trusts)
{
	atomic_fetch_add_explicit(&trusts->references, 1, memory_order_relaxed);
	return trusts;
}

void trusts_unref(struct trusts *trusts)
{
	if (!trusts || atomic_fetch_sub(&trusts->references, 1) != 1)
		return;
	for (size_t i = 0; i < trusts->count; i++) {
		struct entry *entry = &trusts->entries[i];
		late_end(&entry->own);
		late_end(&entry->beside);
		free(entry->name);
		free(entry->path);
		free(entry->stale);
	}
	late_end(&trusts->roots);
	pthread_mutex_destroy(&trusts->lock);
	free(trusts->entries);
	free(trusts);
}

struct tls_trust *trusts_get(struct trusts *trusts, const struct config_credential *credential, const char **why)
{
	struct fault fault = FAULT_INIT;
	const struct late *late = credential && credential->ca ? &trusts->entries[credential->number].own : roots(trusts, &fault);
	*why = late->why;
	return late->trust;
}

const char *trusts_stale(const struct trusts *trusts, const struct config_credential *credential)
{
	return trusts->entries[credential->number].stale;
}

struct tls_trust *trusts_beside(struct trusts *trusts, const struct config_credential *credential, const char **why)
{
	if (!credential->ca)
		return trusts_get(trusts, NULL, why);
	struct late *late = &trusts->entries[credential->number].beside;
	struct fault fault = FAULT_INIT;
	pthread_mutex_lock(&trusts->lock);
	if (!is_asked(late))
		keep(late, tls_trust_load_beside(credential->ca, &fault), &fault);
	pthread_mutex_unlock(&trusts->lock);
	*why = late->why;
	return late->trust;
}
