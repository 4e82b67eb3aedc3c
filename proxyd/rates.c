#include "rates.h"

#include <stdlib.h>

#include "memory.h"
#include "rate.h"

#define NANOSECONDS 1000u /* in a microsecond */
#define SECOND 1000000000u

/* By number; NULL where no rate is said. */
struct rates {
	struct rate_bucket **profiles, **credentials;
	size_t profile_count, credential_count;
};

static struct rate_bucket *bucket_of(struct rate rate, uint64_t now)
{
	if (rate.count == 0)
		return NULL;
	struct rate_bucket *bucket = memory_alloc(sizeof *bucket);
	rate_start(bucket, rate, now * NANOSECONDS);
	return bucket;
}

struct rates *rates_new(const struct config *config, uint64_t now)
{
	struct rates *rates = memory_alloc(sizeof *rates);
	rates->profile_count = config->profile_count;
	rates->profiles = memory_array(config->profile_count, sizeof *rates->profiles);
	for (size_t i = 0; i < config->profile_count; i++)
		rates->profiles[i] = bucket_of(config->profiles[i].rate, now);
	rates->credential_count = config->credential_count;
	rates->credentials = memory_array(config->credential_count, sizeof *rates->credentials);
	for (size_t i = 0; i < config->credential_count; i++)
		rates->credentials[i] = bucket_of(config->credentials[i].rate, now);
	return rates;
}

static void free_buckets(struct rate_bucket **buckets, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(buckets[i]);
	free(buckets);
}

void rates_free(struct rates *rates)
{
	if (!rates)
		return;
	free_buckets(rates->profiles, rates->profile_count);
	free_buckets(rates->credentials, rates->credential_count);
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
	struct rate_bucket *own = rates->profiles[profile->number];
	struct rate_bucket *shared = credential ? rates->credentials[credential->number] : NULL;
	if (rate_take(own, shared, now * NANOSECONDS))
		return true;
	uint64_t of_own = rate_wait(own, now * NANOSECONDS);
	uint64_t of_shared = rate_wait(shared, now * NANOSECONDS);
	return of_shared > of_own ? refuse("credential", credential->name, credential->rate, of_shared, arena, problem)
	                          : refuse("profile", profile->name, profile->rate, of_own, arena, problem);
}
