/* When a value that ends by itself, or that upstreams refuse, is made anew (SPEC §2: at 80 % of its life, never used after it).
 *
 * Pure: the caller tells the time, which is milliseconds of a clock that nobody sets (steady_now()), and gives random numbers,
 * so that many who were started together do not renew together. */
#ifndef KEYSTILE_RENEWAL_H
#define KEYSTILE_RENEWAL_H

#include <stdbool.h>
#include <stdint.h>

#define RENEWAL_NEVER UINT64_MAX

enum renewal_state {
	RENEWAL_RESTS, /* until it is due */
	RENEWAL_RUNS,  /* a value is being made */
};

/* Zeroed, with its `life`, it is one that has no value yet, and is due. */
struct renewal {
	uint64_t life;     /* of each value; 0: without end */
	enum renewal_state state;
	bool has;          /* there is a value, which may have ended since: see renewal_good() */
	bool refused;      /* upstreams do not take the last one */
	bool outdated;     /* somebody asked for a newer value than the one that is being made */
	uint64_t began;    /* the making of the next value, or of the last one */
	uint64_t made;     /* when the value came */
	uint64_t until;    /* it must not be used from then on */
	uint64_t firm;     /* until then it stays though upstreams answer 401 (spent_patience()) */
	uint64_t renew;    /* when the next one is wanted */
	uint64_t again;    /* after a failure: not before */
	unsigned failures; /* one after another */
	unsigned spent;    /* values one after another that upstreams did not take */
};

/* When a value is to be made; RENEWAL_NEVER: not by itself, or one is being made. */
uint64_t renewal_due(const struct renewal *renewal);
/* When renewal_due() or renewal_good() may say something else than now; RENEWAL_NEVER: not by itself. */
uint64_t renewal_next(const struct renewal *renewal, uint64_t now);
/* May the value be used? */
bool renewal_good(const struct renewal *renewal, uint64_t now);
/* Is a value being made, or about to be, that is worth waiting for? Not after a failure: who asks is told of that at once. */
bool renewal_pends(const struct renewal *renewal, uint64_t now);

void renewal_begin(struct renewal *renewal, uint64_t now);
/* What was begun has come. Its life counts from the beginning. False: that is over already, and nothing has changed; it failed. */
bool renewal_take(struct renewal *renewal, uint64_t now, uint32_t random);
/* It has not. The value that there is stays for as long as it is good; the next try comes after a pause that doubles. */
void renewal_fail(struct renewal *renewal, uint64_t now, uint32_t random);

/* Somebody asks for a new value at once: what was wrong, or what the value is made from, may be another thing now. */
void renewal_hurry(struct renewal *renewal);
/* Upstreams do not take the value: it is made anew, and goes at once, unless it `stays` until then. */
void renewal_refuse(struct renewal *renewal, uint64_t now, bool stays);

#endif
