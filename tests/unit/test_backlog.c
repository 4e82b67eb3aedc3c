/* Bytes that wait: what comes out is what went in, and the memory is what waits, however much has passed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backlog.h"

#define MOST 65535

static unsigned char pattern(size_t index)
{
	return (unsigned char)(index * 7 + index / 256);
}

static void put(struct backlog *backlog, size_t *at, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		unsigned char byte = pattern((*at)++);
		backlog_add(backlog, &byte, 1);
	}
}

static void get(struct backlog *backlog, size_t *at, size_t size)
{
	unsigned char bytes[4096];
	while (size > 0) {
		size_t count = backlog_take(backlog, bytes, size < sizeof bytes ? size : sizeof bytes);
		assert_true(count > 0);
		for (size_t i = 0; i < count; i++)
			assert_int_equal(bytes[i], pattern((*at)++));
		size -= count;
	}
}

/* It is never empty, and holds no more than one window. */
static void test_always_behind(void **state)
{
	(void)state;
	struct backlog backlog = {0};
	size_t in = 0, out = 0;
	put(&backlog, &in, MOST);
	for (size_t i = 0; i < 200; i++) {
		size_t size = 1 + i * 331 % MOST;
		get(&backlog, &out, size);
		put(&backlog, &in, size);
		assert_int_equal(backlog_size(&backlog), MOST);
	}
	assert_int_equal(backlog.bytes.capacity, MOST + 1);
	get(&backlog, &out, MOST);
	assert_int_equal(backlog_size(&backlog), 0);
	backlog_free(&backlog);
}

static void test_pieces(void **state)
{
	(void)state;
	struct backlog backlog = {0};
	char bytes[8];
	assert_int_equal(backlog_take(&backlog, bytes, sizeof bytes), 0);
	assert_int_equal(backlog_view(&backlog).length, 0);
	backlog_add(&backlog, "hello", 5);
	backlog_drop(&backlog, 2);
	assert_true(span_equal(backlog_view(&backlog), SPAN("llo")));
	backlog_add(&backlog, " you", 4);
	assert_true(span_equal(backlog_view(&backlog), SPAN("llo you")));
	assert_int_equal(backlog_take(&backlog, bytes, 3), 3);
	assert_int_equal(backlog_take(&backlog, bytes, sizeof bytes), 4);
	assert_memory_equal(bytes, " you", 4);
	assert_int_equal(backlog_size(&backlog), 0);
	backlog_free(&backlog);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_always_behind), cmocka_unit_test(test_pieces)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
