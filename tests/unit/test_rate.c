/* How often: exact counts at exact times, also by many threads at once, and of two budgets both or none. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rate.h"

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define YEAR (365 * 24 * HOUR)

/* How many of `asked` are let through. */
static uint64_t let_through(struct rate_bucket *bucket, uint64_t now, uint64_t asked)
{
	uint64_t count = 0;
	for (uint64_t i = 0; i < asked; i++)
		count += rate_take(bucket, NULL, now);
	return count;
}

/* At these times, from the start, so many are asked for and so many let through; then one waits so long. */
struct step {
	uint64_t at, asked, through, wait;
};

static const struct row {
	const char *what;
	struct rate rate;
	struct step steps[8]; /* up to the first without `asked` */
} rows[] = {
	{"a full budget at the start", {600, 60}, {{0, 1000, 600, 100 * MS}}},
	{"comes back evenly",
	 {600, 60},
	 {{0, 600, 600, 100 * MS},
	  {99 * MS, 5, 0, MS},
	  {100 * MS - 1, 5, 0, 1},
	  {100 * MS, 5, 1, 100 * MS},
	  {1000 * MS, 50, 9, 100 * MS},
	  {1050 * MS, 50, 0, 50 * MS},
	  {MINUTE, 1000, 590, 100 * MS}}},
	{"no more than twice in its time", {600, 60}, {{0, 600, 600, 100 * MS}, {MINUTE, 1000, 600, 100 * MS}}},
	{"what was not used is not saved up", {5, 1}, {{0, 5, 5, 200 * MS}, {10 * SECOND, 50, 5, 200 * MS}}},
	{"half used, then idle for less than that", {10, 1}, {{0, 5, 5, 0}, {200 * MS, 50, 7, 100 * MS}}},
	{"half used, then idle for more", {10, 1}, {{0, 5, 5, 0}, {900 * MS, 50, 10, 100 * MS}}},
	{"idle for a hundred years", {600, 60}, {{0, 601, 600, 100 * MS}, {100 * YEAR, 1000, 600, 100 * MS}}},
	{"one", {1, 3600}, {{0, 2, 1, HOUR}, {HOUR - 1, 2, 0, 1}, {HOUR, 2, 1, HOUR}}},
	{"an odd part is rounded up", {7, 1}, {{0, 8, 7, 142857143}, {142857142, 1, 0, 1}, {142857143, 2, 1, 142857143}}},
	{"much", {4294967295, 1}, {{0, 1000000, 1000000, 0}}},
	{"much in an hour", {4294967295, 3600}, {{0, 1000000, 1000000, 0}, {YEAR, 1000000, 1000000, 0}}},
};

/* Where a clock may start, so that some tables run over its end. */
static const uint64_t starts[] = {
	0, 1, 123456789, UINT64_MAX, UINT64_MAX - 50 * MS, UINT64_MAX - 30 * SECOND, UINT64_MAX / 2,
	UINT64_MAX / 2 - 50 * MS,
};

static void check(const struct row *row, uint64_t start)
{
	struct rate_bucket bucket;
	rate_start(&bucket, row->rate, start);
	for (const struct step *step = row->steps; step->asked; step++) {
		uint64_t through = let_through(&bucket, start + step->at, step->asked);
		uint64_t wait = rate_wait(&bucket, start + step->at);
		if (through != step->through || wait != step->wait)
			fail_msg("%s, from %#llx, at %llu: came %llu and wait %llu, should be %llu and %llu", row->what,
			         (unsigned long long)start, (unsigned long long)step->at, (unsigned long long)through,
			         (unsigned long long)wait, (unsigned long long)step->through, (unsigned long long)step->wait);
	}
}

static void test_tables(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (size_t j = 0; j < sizeof starts / sizeof *starts; j++)
			check(&rows[i], starts[j]);
}

/* In each window that begins with a request there is no more than the header says. */
static void test_every_window(void **state)
{
	(void)state;
	enum { STEPS = 3000 };
	static uint64_t sum[STEPS + 1]; /* let through before each millisecond */
	struct rate_bucket bucket;
	rate_start(&bucket, (struct rate){20, 1}, 0);
	for (unsigned at = 0; at < STEPS; at++)
		sum[at + 1] = sum[at] + let_through(&bucket, at * MS, at * 7919 % 97 < 30 ? at * 31 % 40 : 0);
	for (unsigned from = 0; from < STEPS; from++)
		for (unsigned to = from; to < STEPS; to++)
			assert_true(sum[to + 1] - sum[from] <= 20 + (to - from) / 50);
	assert_true(sum[STEPS] > 50);
}

static void test_no_bucket(void **state)
{
	(void)state;
	assert_true(rate_take(NULL, NULL, 0));
	assert_int_equal(rate_wait(NULL, 0), 0);
}

/* Who looked at the clock before another did, and comes later: no budget grows by that. */
static void test_late_comer(void **state)
{
	(void)state;
	struct rate_bucket bucket;
	rate_start(&bucket, (struct rate){10, 1}, 0);
	assert_int_equal(let_through(&bucket, SECOND, 20), 10);
	assert_int_equal(let_through(&bucket, SECOND - 10 * MS, 20), 0);
	assert_int_equal(rate_wait(&bucket, SECOND - 10 * MS), 110 * MS);
	assert_int_equal(let_through(&bucket, 0, 20), 0);
	assert_int_equal(let_through(&bucket, SECOND + 100 * MS, 20), 1);
}

static void test_both_or_none(void **state)
{
	(void)state;
	struct rate_bucket small, large;
	for (int which = 0; which < 2; which++) {
		struct rate_bucket *own = which ? &small : &large, *shared = which ? &large : &small;
		rate_start(&small, (struct rate){3, 60}, 0);
		rate_start(&large, (struct rate){10, 60}, 0);
		for (int i = 0; i < 20; i++)
			assert_int_equal(rate_take(own, shared, 0), i < 3);
		assert_int_equal(let_through(&large, 0, 20), 7);
		assert_int_equal(rate_wait(&small, 0), 20 * SECOND);
		assert_false(rate_take(own, shared, 20 * SECOND - 1));
		assert_true(rate_take(own, shared, 20 * SECOND));
		assert_int_equal(let_through(&large, 20 * SECOND, 20), 2);
	}
}

/* Asked as both at once, one budget has something left at a look, and nothing for the second taking: as where somebody
 * else came in between. The first is given back. */
static void test_gives_back(void **state)
{
	(void)state;
	struct rate_bucket bucket;
	rate_start(&bucket, (struct rate){5, 60}, 0);
	assert_true(rate_take(&bucket, &bucket, 10 * SECOND));
	assert_true(rate_take(&bucket, &bucket, 10 * SECOND));
	assert_false(rate_take(&bucket, &bucket, 10 * SECOND));
	assert_int_equal(let_through(&bucket, 10 * SECOND, 5), 1);
	rate_start(&bucket, (struct rate){1, 60}, 0);
	assert_false(rate_take(&bucket, &bucket, 10 * SECOND));
	assert_int_equal(let_through(&bucket, 10 * SECOND, 5), 1);
}

/* --- many threads --- */

#define THREADS 8

struct hammering {
	struct rate_bucket *own, *shared;
	uint64_t steps, step; /* how often the time goes on, and by how much */
	pthread_barrier_t *begin;
	uint64_t through;
};

/* At each time it asks until it is refused. */
static void *hammer(void *context)
{
	struct hammering *hammering = context;
	pthread_barrier_wait(hammering->begin);
	for (uint64_t i = 0; i <= hammering->steps; i++)
		while (rate_take(hammering->own, hammering->shared, i * hammering->step))
			hammering->through++;
	return NULL;
}

static uint64_t hammer_all(struct rate_bucket *own, struct rate_bucket *shared, uint64_t steps, uint64_t step)
{
	pthread_t threads[THREADS];
	struct hammering all[THREADS];
	pthread_barrier_t begin;
	uint64_t through = 0;
	pthread_barrier_init(&begin, NULL, THREADS);
	for (int i = 0; i < THREADS; i++) {
		all[i] = (struct hammering){own, shared, steps, step, &begin, 0};
		assert_int_equal(pthread_create(&threads[i], NULL, hammer, &all[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		through += all[i].through;
	}
	pthread_barrier_destroy(&begin);
	return through;
}

/* Not one more, and, since they ask at every time, not one less. */
static void test_threads(void **state)
{
	(void)state;
	struct rate_bucket bucket;
	rate_start(&bucket, (struct rate){3000000, 1}, 0);
	assert_int_equal(hammer_all(&bucket, NULL, 0, 0), 3000000);
	rate_start(&bucket, (struct rate){1000, 1}, 0);
	assert_int_equal(hammer_all(&bucket, NULL, 50000, MS / 10), 1000 + 5000);
}

/* All of them race for each one of `own` that comes back: what those who lose asked of `shared` costs it nothing. */
static void test_threads_race(void **state)
{
	(void)state;
	struct rate_bucket own, shared;
	rate_start(&own, (struct rate){1000, 1}, 0);
	rate_start(&shared, (struct rate){1000000, 3600}, 0);
	assert_int_equal(let_through(&shared, 0, 20000), 20000); /* so that it is not full at any time below */
	assert_int_equal(hammer_all(&own, &shared, 20000, MS), 1000 + 20000);
	assert_int_equal(shared.full, (20000 + 1000 + 20000) * shared.each);
}

/* Who asks in vain, however often, touches nothing. */
static void test_threads_in_vain(void **state)
{
	(void)state;
	struct rate_bucket own, shared;
	rate_start(&own, (struct rate){1000, 60}, 0);
	rate_start(&shared, (struct rate){1, 3600}, 0);
	assert_true(rate_take(NULL, &shared, 0));
	assert_int_equal(let_through(&own, 0, 500), 500);
	assert_int_equal(hammer_all(&own, &shared, 50000, 0), 0);
	assert_int_equal(let_through(&own, 0, 1000), 500);
}

/* The shared one lets through just what it may, and loses nothing to who is refused; their own may lose what they held
 * at once. */
static void test_threads_both(void **state)
{
	(void)state;
	struct rate_bucket own, shared;
	for (int i = 0; i < 20; i++) {
		rate_start(&own, (struct rate){30000, 60}, 0);
		rate_start(&shared, (struct rate){20000, 60}, 0);
		assert_int_equal(hammer_all(&own, &shared, 0, 0), 20000);
		uint64_t left = let_through(&own, 0, 30000);
		assert_in_range(left, 10000 - (THREADS - 1), 10000);
		rate_start(&own, (struct rate){10000, 60}, 0);
		rate_start(&shared, (struct rate){20000, 60}, 0);
		assert_int_equal(hammer_all(&own, &shared, 0, 0), 10000);
		assert_int_equal(let_through(&shared, 0, 30000), 10000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables), cmocka_unit_test(test_every_window), cmocka_unit_test(test_no_bucket),
		cmocka_unit_test(test_late_comer), cmocka_unit_test(test_both_or_none), cmocka_unit_test(test_gives_back),
		cmocka_unit_test(test_threads), cmocka_unit_test(test_threads_race), cmocka_unit_test(test_threads_in_vain),
		cmocka_unit_test(test_threads_both),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
