/* Refresh tokens: which one is to be used, and how the next one gets into the vault before it is (SPEC §2 Signers). */
#include "minter_internal.h"

#include <signal.h>

#include "memory.h"
#include "secrets_vault.h"
#include "written.h"

struct store {
	pthread_t thread;
	struct minter *minter;
	struct chain *chain;
	struct job *job;
	void (*done)(struct job *job, const struct store_result *result);
	struct snapshot *snapshot;   /* whose configuration names the vault */
	struct secret_arena *memory; /* of the two values, and of what was found */
	struct span old, fresh;
	atomic_bool over;
	/* What the thread found. */
	enum vault_replaced outcome;
	struct span found;
	struct fault fault;
};

struct chain *chain_find(struct minter *minter, const char *name)
{
	for (struct chain *chain = minter->chains; chain; chain = chain->next)
		if (!strcmp(chain->name, name))
			return chain;
	struct chain *chain = memory_alloc(sizeof *chain);
	*chain = (struct chain){.next = minter->chains, .name = memory_string(name), .memory = secret_arena_new(1)};
	chain->storable = vault_writable(minter->snapshot->config->vault_file, NULL);
	minter->chains = chain;
	return chain;
}

/* Both are copied before the memory that they may lie in goes. */
static void keep(struct chain *chain, struct span current, struct span seen)
{
	struct secret_arena *memory = secret_arena_new(current.length + seen.length + 2);
	chain->current = secret_arena_add(memory, current);
	chain->seen = secret_arena_add(memory, seen);
	secret_arena_seal(memory);
	secret_arena_free(chain->memory);
	chain->memory = memory;
}

static void replace(struct chain *chain, struct span value)
{
	keep(chain, value, value);
	chain->replacements++;
}

void chain_take(struct chain *chain, const struct secret_value *value)
{
	if (value->looked <= chain->stored || secret_equal(value->bytes, chain->seen))
		return;
	if (secret_equal(value->bytes, chain->current))
		keep(chain, chain->current, value->bytes);
	else
		replace(chain, value->bytes);
}

void chain_free_all(struct minter *minter)
{
	while (minter->chains) {
		struct chain *chain = minter->chains;
		minter->chains = chain->next;
		secret_arena_free(chain->memory);
		free(chain->name);
		free(chain);
	}
}

/* ---- storing ---- */

/* What proxyd gave up is told as that. Once there is a token that is nowhere else, a restart would lose it. */
static void explain(const struct minter *minter, const struct snapshot *snapshot, const char *advice, struct fault *fault)
{
	isolation_explain(&minter->server->isolation, snapshot->config->vault_file, WRITTEN_REPLACED, advice, fault);
}

bool chain_stores(const struct job *job, struct fault *fault)
{
	struct chain *chain = job->chain;
	if (vault_writable(job->snapshot->config->vault_file, fault)) {
		chain->storable = true;
		return true;
	}
	if (!chain->storable)
		return true;
	explain(job->minter, job->snapshot, ISOLATION_RESTART, fault);
	return fault_wrap(fault, "the endpoint is not asked, since another refresh token could not be stored, as it could be before");
}

static void *run(void *context)
{
	struct store *store = context;
	store->outcome = secrets_vault_replace(store->snapshot->config, secrets_held_key(store->snapshot->secrets),
	                                       store->chain->name, store->old, store->fresh, store->memory, &store->found,
	                                       &store->fault);
	atomic_store(&store->over, true);
	loop_wake(store->minter->loop);
	return NULL;
}

static void store_free(struct store *store)
{
	secret_arena_free(store->memory);
	snapshot_unref(store->snapshot);
	free(store);
}

struct store *store_start(struct job *job, struct span old, struct span fresh,
                          void (*done)(struct job *job, const struct store_result *result))
{
	struct store *store = memory_alloc(sizeof *store);
	*store = (struct store){.minter = job->minter, .chain = job->chain, .job = job, .done = done,
	                        .snapshot = snapshot_ref(job->snapshot), .memory = secret_arena_new(2 * fresh.length + 2)};
	store->old = secret_arena_add(store->memory, old);
	store->fresh = secret_arena_add(store->memory, fresh);
	int error = pthread_create(&store->thread, NULL, run, store);
	if (!error)
		return store;
	store_free(store);
	return NULL;
}

bool store_look(struct store *store)
{
	if (!atomic_load(&store->over))
		return false;
	struct job *job = store->job;
	void (*done)(struct job *job, const struct store_result *result) = store->done;
	struct store_result result = {
		.stored = store->outcome == VAULT_REPLACED,
		.replaced = store->outcome == VAULT_HAS_ANOTHER,
		.fault = store->fault,
	};
	pthread_join(store->thread, NULL);
	if (store->outcome == VAULT_NOT_WRITTEN)
		explain(store->minter, store->snapshot, "put the former folder back under its name, which lets it be stored; a restart loses it",
		        &result.fault);
	if (result.stored || result.replaced)
		store->chain->stored = steady_now();
	if (result.stored)
		keep(store->chain, store->fresh, store->chain->seen);
	else if (result.replaced)
		replace(store->chain, store->found);
	store_free(store);
	done(job, &result);
	return true;
}

void store_join(struct store *store)
{
	pthread_join(store->thread, NULL);
	store_free(store);
}
