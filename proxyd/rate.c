#include "rate.h"

#define SECOND 1000000000u

void rate_start(struct rate_bucket *bucket, struct rate rate, uint64_t now)
{
	uint64_t time = (uint64_t)rate.seconds * SECOND;
	bucket->each = (time + rate.count - 1) / rate.count;
	bucket->whole = bucket->each * rate.count;
	atomic_init(&bucket->full, now);
}

/* What the budget lacks, and one request more, as the time in which that comes back. As a difference it outlives a
 * wrap. */
static uint64_t lacks_with_one(const struct rate_bucket *bucket, uint64_t full, uint64_t now)
{
	int64_t ahead = (int64_t)(full - now);
	return (ahead > 0 ? (uint64_t)ahead : 0) + bucket->each;
}

uint64_t rate_wait(const struct rate_bucket *bucket, uint64_t now)
{
	if (!bucket)
		return 0;
	uint64_t lacks = lacks_with_one(bucket, atomic_load_explicit(&bucket->full, memory_order_relaxed), now);
	return lacks > bucket->whole ? lacks - bucket->whole : 0;
}

/* The word before and behind one taking, for who gives it back. */
struct taking {
	uint64_t before, behind;
};

static bool take(struct rate_bucket *bucket, uint64_t now, struct taking *taking)
{
	if (!bucket)
		return true;
	taking->before = atomic_load_explicit(&bucket->full, memory_order_relaxed);
	do {
		uint64_t lacks = lacks_with_one(bucket, taking->before, now);
		if (lacks > bucket->whole)
			return false;
		taking->behind = now + lacks;
	} while (!atomic_compare_exchange_weak_explicit(&bucket->full, &taking->before, taking->behind,
	                                                memory_order_relaxed, memory_order_relaxed));
	return true;
}

/* Only where nobody else took in between: how much of ours had come back by then, and was lost for being over a full
 * budget, nobody knows any more, and what is given back twice would be let through beyond the rate. */
static void give_back(struct rate_bucket *bucket, struct taking taking)
{
	if (bucket)
		atomic_compare_exchange_strong_explicit(&bucket->full, &taking.behind, taking.before,
		                                        memory_order_relaxed, memory_order_relaxed);
}

bool rate_take(struct rate_bucket *own, struct rate_bucket *shared, uint64_t now)
{
	struct taking of_own, of_shared;
	/* Who asks in vain again and again touches neither. */
	if (rate_wait(own, now) > 0 || rate_wait(shared, now) > 0 || !take(own, now, &of_own))
		return false;
	if (take(shared, now, &of_shared))
		return true;
	give_back(own, of_own);
	return false;
}
