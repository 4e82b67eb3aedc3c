/* Values that upstreams do not take any more, and how often they are made anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "spent.h"

static void test_numbers(void **state)
{
	(void)state;
	struct spent *spent = spent_new();
	uint64_t first = spent_next_number(), second = spent_next_number();
	assert_true(first > 0 && second > first);
	assert_false(spent_has(spent, 0));
	assert_false(spent_has(spent, first));
	spent_add(spent, first);
	spent_add(spent, second);
	spent_add(spent, first);
	assert_true(spent_has(spent, first) && spent_has(spent, second));
	spent_remove(spent, first);
	assert_false(spent_has(spent, first));
	assert_true(spent_has(spent, second));
	spent_remove(spent, first);
	assert_true(spent_has(spent, second));
	for (uint64_t number = 100; number < 200; number++)
		spent_add(spent, number);
	for (uint64_t number = 100; number < 200; number++)
		assert_true(spent_has(spent, number));
	spent_free(spent);
	spent_free(NULL);
}

/* A late 401 may add one again whose value is gone, and nobody takes that out: such make room. */
static void test_bounds(void **state)
{
	(void)state;
	struct spent *spent = spent_new();
	uint64_t last = 100000;
	size_t left = 0;
	for (uint64_t number = 1; number <= last; number++)
		spent_add(spent, number);
	for (uint64_t number = 1; number <= last; number++)
		left += spent_has(spent, number);
	assert_int_equal(left, SPENT_MOST);
	assert_true(spent_has(spent, last) && spent_has(spent, last - SPENT_MOST + 1));
	spent_free(spent);
}

/* A few at once, then with pauses that double up to a minute. */
static void test_patience(void **state)
{
	(void)state;
	static const struct {
		unsigned before;
		uint64_t patience;
	} rows[] = {{0, 0}, {1, 0}, {4, 0}, {5, 1000}, {6, 2000}, {9, 16000}, {10, 32000}, {11, 60000}, {12, 60000},
	            {80, 60000}, {UINT32_MAX, 60000}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_int_equal(spent_patience(rows[i].before), rows[i].patience);
}

static void test_count(void **state)
{
	(void)state;
	assert_int_equal(spent_count(0, 0), 1);
	assert_int_equal(spent_count(7, 599999), 8);
	assert_int_equal(spent_count(7, 600000), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_patience),
		cmocka_unit_test(test_count),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
