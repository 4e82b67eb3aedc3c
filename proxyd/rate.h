/* How often something may be done: a budget of as many requests as the rate names, full at the start, that fills
 * evenly.
 *
 * `600/m` lets 600 requests through at once, and then one each 100 ms. In a time of length W that makes at most 600 +
 * W / 100 ms, so never more than twice the count in the rate's own time, and the rate over a long one. Nothing is
 * saved up beyond a full budget. One request's part is rounded up to whole nanoseconds: under 1/1000 too slow up to a
 * million in a second, and no more than 10^9 in a second whatever the rate says.
 *
 * It is the generic cell rate algorithm (ITU-T I.371, Annex A): a bucket is one word, the moment at which the budget
 * would be full again. All workers take from it without a lock; `now` may differ between them by what it takes to get
 * here. Pure: the caller knows the time, in nanoseconds of a clock that never goes back. That may wrap around; a
 * bucket that nobody asks for 292 years is wrong. */
#ifndef KEYSTILE_RATE_H
#define KEYSTILE_RATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "quantity.h"

struct rate_bucket {
	atomic_uint_least64_t full; /* when the budget is full again, unless more is taken; in the past where it is full */
	uint64_t each;              /* the time in which one request comes back */
	uint64_t whole;             /* the time in which an empty budget fills */
};

/* A full one. The rate's count is not 0. */
void rate_start(struct rate_bucket *bucket, struct rate rate, uint64_t now);

/* How long until one request would be let through; 0: it would be now, as always where there is no bucket (NULL). */
uint64_t rate_wait(const struct rate_bucket *bucket, uint64_t now);

/* One request, of both budgets or of none: false where either has nothing left. Either may be NULL: no limit.
 *
 * `own` is taken from first and given back where `shared` refuses, so it is the one that bears what may come of two
 * askers at the same moment: who finds the last of `own` held by another that then gives it back is refused, and one
 * is lost to `own` where a third takes in between. `shared` never gives back, and loses nothing. Neither ever lets
 * through more. */
bool rate_take(struct rate_bucket *own, struct rate_bucket *shared, uint64_t now);

#endif
