#include "rates.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "memory.h"
#include "rate.h"

#define NANOSECONDS 1000u /* in a microsecond */
#define SECOND 1000000000u

/* Shared by the tables of successive configurations. */
struct budget {
	atomic_uint references;
	struct rate rate;
	char *name; /* whose it is */
	struct rate_bucket bucket;
};

/* By number; NULL where no rate is said. */
struct budgets {
	struct budget **list;
	size_t count;
};

struct rates {
	struct budgets profiles, credentials;
};

static struct budget *budget_before(const struct budgets *before, const char *name, struct rate rate)
{
	for (size_t i = 0; before && i < before->count; i++) {
		struct budget *budget = before->list[i];
		if (budget && !strcmp(budget->name, name) && budget->rate.count == rate.count && budget->rate.seconds == rate.seconds)
			return budget;
	}
	return NULL;
}

static void add(struct budgets *budgets, const struct budgets *before, const char *name, struct rate rate, uint64_t now)
{
	struct budget **place = &budgets->list[budgets->count++];
	if (rate.count == 0)
		return;
	*place = budget_before(before, name, rate);
	if (*place) {
		atomic_fetch_add_explicit(&(*place)->references, 1, memory_order_relaxed);
		return;
	}
	*place = memory_alloc(sizeof **place);
	atomic_init(&(*place)->references, 1);
	(*place)->rate = rate;
	(*place)->name = memory_string(name);
	rate_start(&(*place)->bucket, rate, now * NANOSECONDS);
}

struct rates *rates_new(const struct config *config, const struct rates *before, uint64_t now)
{
	struct rates *rates = memory_alloc(sizeof *rates);
	rates->profiles.list = memory_array(config->profile_count, sizeof *rates->profiles.list);
	for (size_t i = 0; i < config->profile_count; i++)
		add(&rates->profiles, before ? &before->profiles : NULL, config->profiles[i].name, config->profiles[i].rate, now);
	rates->credentials.list = memory_array(config->credential_count, sizeof *rates->credentials.list);
	for (size_t i = 0; i < config->credential_count; i++)
		add(&rates->credentials, before ? &before->credentials : NULL, config->credentials[i].name,
		    config->credentials[i].rate, now);
	return rates;
}

static void free_budgets(struct budgets *budgets)
{
	for (size_t i = 0; i < budgets->count; i++) {
		struct budget *budget = budgets->list[i];
		if (!budget || atomic_fetch_sub(&budget->references, 1) != 1)
			continue;
		free(budget->name);
		free(budget);
	}
	free(budgets->list);
}

static struct rate_bucket *bucket_of(const struct budgets *budgets, unsigned number)
{
	return budgets->list[number] ? &budgets->list[number]->bucket : NULL;
}

void rates_free(struct rates *rates)
{
	if (!rates)
		return;
	free_budgets(&rates->profiles);
	free_budgets(&rates->credentials);
	free(rates);
}

static bool refuse(const char *kind, const char *name, struct rate rate, uint64_t wait, struct arena *arena,
                   struct problem *problem)
{
	uint64_t seconds = (wait + SECOND - 1) / SECOND;
	problem->retry_after = seconds > 0 ? (unsigned)seconds : 1; /* 0: meanwhile somebody gave back */
	return problem_set(problem, 429, "rate",
	                   arena_format(arena, "%s %s is over its rate of %u%s", kind, name, rate.count,
	                                quantity_rate_unit(rate)),
	                   arena_format(arena, "come again after the seconds of Retry-After, or raise `rate` of %s %s",
	                                kind, name));
}

bool rates_take(const struct rates *rates, const struct config_profile *profile,
                const struct config_credential *credential, uint64_t now, struct arena *arena, struct problem *problem)
{
	struct rate_bucket *own = bucket_of(&rates->profiles, profile->number);
	struct rate_bucket *shared = credential ? bucket_of(&rates->credentials, credential->number) : NULL;
	if (rate_take(own, shared, now * NANOSECONDS))
		return true;
	uint64_t of_own = rate_wait(own, now * NANOSECONDS);
	uint64_t of_shared = rate_wait(shared, now * NANOSECONDS);
	return of_shared > of_own ? refuse("credential", credential->name, credential->rate, of_shared, arena, problem)
	                          : refuse("profile", profile->name, profile->rate, of_own, arena, problem);
}
