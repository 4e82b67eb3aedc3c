#include "renewal.h"

#include <stdlib.h>

#include "spent.h"

#define RENEW_PERCENT 80
#define RENEW_SPREAD 5   /* % to either side */
#define PAUSE_SPREAD 10
#define FIRST_PAUSE 1000 /* ms; each failure doubles it */
#define MOST_PAUSE 60000

/* The one place where the state changes. */
static void become(struct renewal *renewal, enum renewal_state state)
{
	if (renewal->state == state)
		abort();
	renewal->state = state;
}

static uint64_t percent_of(uint64_t amount, unsigned percent)
{
	return amount / 100 * percent + amount % 100 * percent / 100;
}

/* `amount`, and up to so many percent more or less. */
static uint64_t spread(uint64_t amount, unsigned percent, uint32_t random)
{
	uint64_t part = percent_of(amount, percent);
	return amount - part + random % (2 * part + 1);
}

uint64_t renewal_due(const struct renewal *renewal)
{
	if (renewal->state == RENEWAL_RUNS)
		return RENEWAL_NEVER;
	return renewal->renew > renewal->again ? renewal->renew : renewal->again;
}

bool renewal_good(const struct renewal *renewal, uint64_t now)
{
	return renewal->has && now < renewal->until;
}

uint64_t renewal_next(const struct renewal *renewal, uint64_t now)
{
	uint64_t due = renewal_due(renewal);
	bool ends = renewal_good(renewal, now) && renewal->until < due;
	return ends ? renewal->until : due;
}

bool renewal_pends(const struct renewal *renewal, uint64_t now)
{
	return renewal->failures == 0 && (renewal->state == RENEWAL_RUNS || renewal_due(renewal) <= now);
}

void renewal_begin(struct renewal *renewal, uint64_t now)
{
	become(renewal, RENEWAL_RUNS);
	renewal->began = now;
	renewal->outdated = false;
}

static uint64_t when_to_renew(const struct renewal *renewal, uint64_t now, uint32_t random)
{
	if (renewal->outdated)
		return 0;
	if (!renewal->life)
		return RENEWAL_NEVER;
	uint64_t renew = renewal->began + spread(percent_of(renewal->life, RENEW_PERCENT), RENEW_SPREAD, random);
	uint64_t least = now + FIRST_PAUSE; /* a command that is slow, or a life that is short, has no other one run without a pause */
	return renew > least || least >= renewal->until ? renew : least;
}

bool renewal_take(struct renewal *renewal, uint64_t now, uint32_t random)
{
	uint64_t until = renewal->life ? renewal->began + renewal->life : RENEWAL_NEVER;
	if (until <= now)
		return false;
	become(renewal, RENEWAL_RESTS);
	if (!renewal->refused)
		renewal->spent = 0; /* the one before lived until it was due */
	renewal->has = true;
	renewal->refused = false;
	renewal->made = now;
	renewal->until = until;
	renewal->firm = now + spent_patience(renewal->spent);
	renewal->renew = when_to_renew(renewal, now, random);
	renewal->failures = 0;
	renewal->again = 0;
	return true;
}

void renewal_fail(struct renewal *renewal, uint64_t now, uint32_t random)
{
	uint64_t pause = renewal->failures < 10 ? (uint64_t)FIRST_PAUSE << renewal->failures : MOST_PAUSE;
	become(renewal, RENEWAL_RESTS);
	renewal->failures = renewal->outdated ? 0 : renewal->failures + 1;
	renewal->renew = 0;
	renewal->again = renewal->outdated ? 0 : now + spread(pause < MOST_PAUSE ? pause : MOST_PAUSE, PAUSE_SPREAD, random);
	renewal->has = renewal_good(renewal, now);
}

void renewal_hurry(struct renewal *renewal)
{
	renewal->renew = 0;
	renewal->again = 0;
	renewal->failures = 0;
	renewal->outdated = renewal->state == RENEWAL_RUNS;
}

void renewal_refuse(struct renewal *renewal, uint64_t now, bool stays)
{
	renewal->spent = spent_count(renewal->spent, now - renewal->made);
	renewal->refused = true;
	renewal->has &= stays;
	renewal->renew = 0;
}
