/* When a value is made anew, how long it stays, and the pauses between tries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "renewal.h"

#define LIFE UINT64_C(100000)

/* What gives the middle of a range of `amount`, `percent` to either side. */
static uint32_t middle_of(uint64_t amount, unsigned percent)
{
	return (uint32_t)(amount * percent / 100);
}

static void expect(const struct renewal *renewal, uint64_t now, bool good, bool pends, uint64_t next, int line)
{
	if (renewal_good(renewal, now) != good || renewal_pends(renewal, now) != pends || renewal_next(renewal, now) != next)
		fail_msg("line %d: good %d pends %d next %llu, should be %d %d %llu", line, renewal_good(renewal, now),
		         renewal_pends(renewal, now), (unsigned long long)renewal_next(renewal, now), good, pends,
		         (unsigned long long)next);
}

#define EXPECT(now, good, pends, next) expect(&renewal, now, good, pends, next, __LINE__)

static struct renewal taken(uint64_t life, uint64_t began, uint64_t now, uint32_t random)
{
	struct renewal renewal = {.life = life};
	renewal_begin(&renewal, began);
	assert_true(renewal_take(&renewal, now, random));
	return renewal;
}

/* From nothing to a value, to the next one; each step says what holds then. */
static void test_life(void **state)
{
	(void)state;
	struct renewal renewal = {.life = LIFE};
	uint32_t middle = middle_of(80000, 5);
	EXPECT(1000, false, true, 0);
	renewal_begin(&renewal, 1000);
	EXPECT(1500, false, true, RENEWAL_NEVER);
	assert_true(renewal_take(&renewal, 2000, middle)); /* it is as old as its beginning */
	EXPECT(2000, true, false, 81000);
	EXPECT(80999, true, false, 81000);
	EXPECT(81000, true, true, 81000);
	renewal_begin(&renewal, 81000);
	EXPECT(90000, true, true, 101000); /* the last one stays, until it ends */
	EXPECT(101000, false, true, RENEWAL_NEVER);
	assert_true(renewal_take(&renewal, 101500, middle));
	EXPECT(101500, true, false, 161000);
}

static void test_without_end(void **state)
{
	(void)state;
	struct renewal renewal = taken(0, 1000, 2000, 7);
	EXPECT(2000, true, false, RENEWAL_NEVER);
	EXPECT(UINT64_C(1) << 50, true, false, RENEWAL_NEVER);
	renewal_hurry(&renewal);
	EXPECT(3000, true, true, 0);
	renewal_begin(&renewal, 3000);
	renewal_fail(&renewal, 3500, middle_of(1000, 10));
	EXPECT(3500, true, false, 4500);
}

/* Never earlier than 76 %, never later than 84 %, and all over between. */
static void test_spread(void **state)
{
	(void)state;
	uint64_t least = UINT64_MAX, most = 0;
	for (uint32_t random = 0; random < 20000; random += 7) {
		uint64_t renew = taken(LIFE, 0, 10, random).renew;
		least = renew < least ? renew : least;
		most = renew > most ? renew : most;
	}
	assert_in_range(least, 76000, 76010);
	assert_in_range(most, 83990, 84000);
	assert_in_range(taken(LIFE, 0, 10, UINT32_MAX).renew, 76000, 84000);
}

static void test_slow(void **state)
{
	(void)state;
	struct renewal renewal = {.life = 10000};
	renewal_begin(&renewal, 0);
	assert_false(renewal_take(&renewal, 10000, 0)); /* its life was over when it came */
	EXPECT(10000, false, true, RENEWAL_NEVER);
	renewal_fail(&renewal, 10000, middle_of(1000, 10));
	EXPECT(10000, false, false, 11000);
	renewal_begin(&renewal, 11000);
	assert_true(renewal_take(&renewal, 19800, 0)); /* due already: not at once, all the same */
	assert_int_equal(renewal_due(&renewal), 20800);
	EXPECT(19800, true, false, 20800);
}

static void test_pauses(void **state)
{
	(void)state;
	static const uint64_t pauses[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000, 60000, 60000, 60000};
	struct renewal renewal = {.life = LIFE};
	uint64_t now = 5000;
	for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++) {
		renewal_begin(&renewal, now);
		renewal_fail(&renewal, now, middle_of(pauses[i], 10));
		if (renewal_due(&renewal) != now + pauses[i])
			fail_msg("failure %zu: a pause of %llu", i + 1, (unsigned long long)(renewal_due(&renewal) - now));
		now += pauses[i];
	}
	renewal_begin(&renewal, now);
	renewal_fail(&renewal, now, 0);
	assert_int_equal(renewal_due(&renewal), now + 54000);
	renewal_hurry(&renewal); /* who mended it does not wait */
	EXPECT(now, false, true, 0);
	renewal_begin(&renewal, now);
	assert_true(renewal_take(&renewal, now, 0));
	renewal.renew = 0;
	renewal_begin(&renewal, now);
	renewal_fail(&renewal, now, middle_of(1000, 10)); /* from the first pause again */
	assert_int_equal(renewal_due(&renewal), now + 1000);
}

/* The value stays through failures, until its end and no longer. */
static void test_failures_keep_it(void **state)
{
	(void)state;
	struct renewal renewal = taken(LIFE, 0, 10, middle_of(80000, 5));
	renewal_begin(&renewal, 80000);
	renewal_fail(&renewal, 99500, middle_of(1000, 10));
	EXPECT(99500, true, false, 100000);
	EXPECT(100000, false, false, 100500);
	EXPECT(100500, false, false, 100500); /* that may well fail, too: nobody waits for it */
	renewal_begin(&renewal, 100500);
	EXPECT(100500, false, false, RENEWAL_NEVER);
	renewal_fail(&renewal, 100600, middle_of(2000, 10));
	assert_false(renewal.has);
}

/* Who asks while one is being made gets the one after it. */
static void test_hurry_while_it_runs(void **state)
{
	(void)state;
	struct renewal renewal = {.life = LIFE};
	renewal_begin(&renewal, 1000);
	renewal_hurry(&renewal);
	EXPECT(1000, false, true, RENEWAL_NEVER);
	assert_true(renewal_take(&renewal, 2000, 0));
	EXPECT(2000, true, true, 0);
	renewal_begin(&renewal, 2000);
	renewal_hurry(&renewal);
	renewal_fail(&renewal, 3000, 0);
	EXPECT(3000, true, true, 0);
	renewal_begin(&renewal, 3000);
	assert_true(renewal_take(&renewal, 4000, middle_of(80000, 5)));
	EXPECT(4000, true, false, 83000);
}

/* A refused value goes at once; of many one after the other each stays for longer. */
static void test_refused(void **state)
{
	(void)state;
	static const uint64_t patience[] = {0, 0, 0, 0, 1000, 2000, 4000};
	struct renewal renewal = taken(LIFE, 0, 0, 0);
	uint64_t now = 10;
	for (size_t i = 0; i < sizeof patience / sizeof *patience; i++) {
		renewal_refuse(&renewal, now, false);
		EXPECT(now, false, true, 0);
		renewal_begin(&renewal, now);
		assert_true(renewal_take(&renewal, now, 0));
		if (renewal.firm != now + patience[i])
			fail_msg("refused %zu times: firm for %llu", i + 1, (unsigned long long)(renewal.firm - now));
	}
	renewal_begin(&renewal, now + 80000);
	assert_true(renewal_take(&renewal, now + 80000, 0));
	assert_int_equal(renewal.spent, 0); /* that one lived until it was due */
}

static void test_refused_and_stays(void **state)
{
	(void)state;
	struct renewal renewal = taken(LIFE, 0, 0, 0);
	renewal_refuse(&renewal, 10, true);
	EXPECT(10, true, true, 0);
	renewal_begin(&renewal, 10);
	renewal_fail(&renewal, 20, middle_of(1000, 10));
	EXPECT(20, true, false, 1020);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),       cmocka_unit_test(test_without_end),
		cmocka_unit_test(test_spread),     cmocka_unit_test(test_slow),
		cmocka_unit_test(test_pauses),     cmocka_unit_test(test_failures_keep_it),
		cmocka_unit_test(test_refused),    cmocka_unit_test(test_hurry_while_it_runs),
		cmocka_unit_test(test_refused_and_stays),
	};
	return cmocka_run_group_tests_name("renewal", tests, NULL, NULL);
}
