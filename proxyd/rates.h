/* The budgets of a configuration: one for each credential and each profile that says `rate:` (SPEC §2), for all
 * workers.
 *
 * A profile's is for what it asks for, whatever the credential, tunnels too; a credential's is shared by all profiles
 * that have it. Profiles that inherit a rate have a budget each.
 *
 * The table lives with the configuration, in the part of it that snapshots share. A later one takes over, by kind and name, each
 * budget whose rate has stayed the same, so that a reload fills none; one whose rate has changed starts anew. */
#ifndef KEYSTILE_RATES_H
#define KEYSTILE_RATES_H

#include "arena.h"
#include "config.h"
#include "problem.h"

struct rates;

/* All of them full, but for those that `before` (may be NULL) has. `now`: monotonic_us(). */
struct rates *rates_new(const struct config *config, const struct rates *before, uint64_t now);
void rates_free(struct rates *rates); /* NULL is fine */

/* One request of the profile for the credential (NULL: for an allowed host, or a tunnel): takes from both budgets, or
 * from none. False with a 429 that names the one that is over (of two, the one that takes longer) and when to come
 * again; the detail is in `arena`. Any thread. */
bool rates_take(const struct rates *rates, const struct config_profile *profile,
                const struct config_credential *credential, uint64_t now, struct arena *arena, struct problem *problem);

#endif
