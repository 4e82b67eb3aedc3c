/* Sizes, times, rates and numbers as the configuration writes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "quantity.h"

#define REFUSED UINT64_MAX

struct row {
	const char *text;
	uint64_t value;
};

static const struct row sizes[] = {
	{"0", 0},           {"1", 1},           {"24KiB", 24576},    {"4MiB", 4194304}, {"2GiB", 2147483648},
	{"5B", 5},          {"10KB", 10000},    {"3MB", 3000000},    {"1GB", 1000000000},
	{"17179869183GiB", 17179869183ULL << 30},
	{"17179869184GiB", REFUSED},            {"", REFUSED},       {"KiB", REFUSED},  {"-1", REFUSED},
	{"+1", REFUSED},    {"1 KiB", REFUSED}, {"1kib", REFUSED},   {"1K", REFUSED},   {"1.5MiB", REFUSED},
	{"010", REFUSED},   {" 1", REFUSED},    {"1KiBs", REFUSED},  {"99999999999999999999", REFUSED},
};

static const struct row times[] = {
	{"0s", 0},       {"250ms", 250},   {"300s", 300000}, {"5m", 300000}, {"2h", 7200000}, {"1d", 86400000},
	{"10", REFUSED}, {"s", REFUSED},   {"1.5s", REFUSED}, {"1S", REFUSED}, {"1min", REFUSED}, {"-1s", REFUSED},
	{"01s", REFUSED}, {"213503982335d", REFUSED},
};

struct rate_row {
	const char *text;
	struct rate rate; /* all zero: refused */
};

static const struct rate_row rates[] = {
	{"10/s", {10, 1}},  {"600/m", {600, 60}}, {"5000/h", {5000, 3600}}, {"4294967295/s", {4294967295, 1}},
	{"0/s", {0, 0}},    {"4294967296/s", {0, 0}}, {"600", {0, 0}}, {"600/d", {0, 0}}, {"/m", {0, 0}},
	{"6e2/m", {0, 0}},  {"600 / m", {0, 0}},      {"", {0, 0}},
};

static void check(const struct row *rows, size_t count, bool (*parse)(struct span, uint64_t *, struct fault *))
{
	for (size_t i = 0; i < count; i++) {
		struct fault fault = FAULT_INIT;
		uint64_t value = 0;
		bool parsed = parse(span_of(rows[i].text), &value, &fault);
		if (parsed != (rows[i].value != REFUSED) || (parsed && value != rows[i].value))
			fail_msg("`%s`: came %d %llu `%s`, should be %llu", rows[i].text, parsed, (unsigned long long)value,
			         fault.text, (unsigned long long)rows[i].value);
		if (!parsed && (fault.code != FAULT_USAGE || !strstr(fault.text, rows[i].text) || !strstr(fault.text, "like")))
			fail_msg("`%s`: the message `%s` should name it and the forms", rows[i].text, fault.text);
	}
}

static void test_bytes(void **state)
{
	(void)state;
	check(sizes, sizeof sizes / sizeof *sizes, quantity_bytes);
}

static void test_duration(void **state)
{
	(void)state;
	check(times, sizeof times / sizeof *times, quantity_duration);
}

static void test_rate(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
		struct fault fault = FAULT_INIT;
		struct rate rate = {0, 0};
		const struct rate_row *row = &rates[i];
		bool parsed = quantity_rate(span_of(row->text), &rate, &fault);
		if (parsed != (row->rate.count != 0) || rate.count != row->rate.count || rate.seconds != row->rate.seconds)
			fail_msg("`%s`: came %d %u/%u `%s`, should be %u/%u", row->text, parsed, rate.count, rate.seconds,
			         fault.text, row->rate.count, row->rate.seconds);
		if (parsed)
			assert_string_equal(quantity_rate_unit(rate), strchr(row->text, '/'));
	}
}

static void test_number(void **state)
{
	(void)state;
	uint64_t number;
	struct fault fault = FAULT_INIT;
	assert_true(quantity_number(SPAN("1"), 1, 5, &number, &fault) && number == 1);
	assert_true(quantity_number(SPAN("5"), 1, 5, &number, &fault) && number == 5);
	assert_true(quantity_number(SPAN("18446744073709551615"), 0, UINT64_MAX, &number, &fault) && number == UINT64_MAX);
	static const char *const refused[] = {"", "0", "6", "1x", "0x1", "01", "-1", "18446744073709551616", "1 "};
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
		if (quantity_number(span_of(refused[i]), 1, 5, &number, &fault) || !strstr(fault.text, "from 1 to 5"))
			fail_msg("`%s`: came %llu, should be refused", refused[i], (unsigned long long)number);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_duration),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_number),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
