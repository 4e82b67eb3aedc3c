/* Whose budget it is, and what is told of one that is over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rates.h"

#define SECOND UINT64_C(1000000)

static const char yaml[] = "version: 1\n"
                           "credentials:\n"
                           "  free: { preset: openai, secret: env:A }\n"
                           "  slow: { preset: anthropic, secret: env:A, rate: 2/m }\n"
                           "profiles:\n"
                           "  any: { credentials: [free, slow] }\n"
                           "  few: { extends: any, rate: 3/h }\n"
                           "  child: { extends: few }\n"
                           "  odd: { extends: any, rate: 7/m }\n"
                           "  quick: { extends: any, rate: 100/s }\n";

static struct config *config;

static int set_up(void **state)
{
	(void)state;
	struct config_messages errors = {0}, warnings = {0};
	config = config_parse(SPAN(yaml), "/nonexistent/keystile.yaml", false, &errors, &warnings);
	if (!config)
		fail_msg("%s", errors.list[0]);
	config_messages_free(&errors);
	config_messages_free(&warnings);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	config_free(config);
	return 0;
}

struct step {
	uint64_t at; /* seconds */
	const char *profile, *credential;
	const char *detail; /* NULL: let through */
	unsigned retry_after;
};

#define OVER_FEW "profile few is over its rate of 3/h"
#define OVER_SLOW "credential slow is over its rate of 2/m"
#define OVER_ODD "profile odd is over its rate of 7/m"
#define OVER_QUICK "profile quick is over its rate of 100/s"

static const struct step steps_of_credential[] = {
	{0, "any", "slow", NULL, 0},      {0, "few", "slow", NULL, 0}, /* one budget for all profiles */
	{0, "any", "slow", OVER_SLOW, 30}, {1, "any", "slow", OVER_SLOW, 29}, {0, "any", "free", NULL, 0},
	{0, "any", NULL, NULL, 0},        {30, "any", "slow", NULL, 0},     {30, "few", "slow", OVER_SLOW, 30},
}, steps_of_profile[] = {
	{0, "few", NULL, NULL, 0},     {0, "few", "free", NULL, 0},         {0, "few", "slow", NULL, 0},
	{0, "few", NULL, OVER_FEW, 1200}, {1199, "few", "free", OVER_FEW, 1},
	{0, "child", NULL, NULL, 0}, /* inherits the rate, not the budget */
	{0, "any", NULL, NULL, 0},     {1200, "few", NULL, NULL, 0},
}, steps_of_part[] = { /* one comes back in 8.57 s */
	{0, "odd", NULL, NULL, 0},     {0, "odd", NULL, NULL, 0},           {0, "odd", NULL, NULL, 0},
	{0, "odd", NULL, NULL, 0},     {0, "odd", NULL, NULL, 0},           {0, "odd", NULL, NULL, 0},
	{0, "odd", NULL, NULL, 0},     {0, "odd", NULL, OVER_ODD, 9},       {8, "odd", NULL, OVER_ODD, 1},
	{9, "odd", NULL, NULL, 0},     {9, "odd", NULL, OVER_ODD, 9},
}, steps_of_both[] = {
	{0, "few", "slow", NULL, 0},         {0, "few", "slow", NULL, 0},
	{0, "few", "slow", OVER_SLOW, 30}, /* and it costs few nothing */
	{0, "few", "free", NULL, 0},         {0, "few", "slow", OVER_FEW, 1200}, /* the one that takes longer */
	{30, "few", "slow", OVER_FEW, 1170}, {30, "any", "slow", NULL, 0}, /* which cost slow nothing */
	{30, "any", "slow", OVER_SLOW, 30},
};

static void run(const struct step *steps, size_t count)
{
	const uint64_t start = 123456789;
	struct rates *rates = rates_new(config, NULL, start);
	struct arena arena = {0};
	for (size_t i = 0; i < count; i++) {
		const struct step *step = &steps[i];
		struct problem problem = {0};
		bool through = rates_take(rates, config_profile(config, span_of(step->profile)),
		                          step->credential ? config_credential(config, span_of(step->credential)) : NULL,
		                          start + step->at * SECOND, &arena, &problem);
		if (through != !step->detail || problem.retry_after != step->retry_after ||
		    (!through && strcmp(problem.detail, step->detail) != 0))
			fail_msg("step %zu: came `%s` and %u, should be `%s` and %u", i,
			         problem.detail ? problem.detail : "through", problem.retry_after,
			         step->detail ? step->detail : "through", step->retry_after);
	}
	arena_free(&arena);
	rates_free(rates);
}

#define RUN(steps) run(steps, sizeof(steps) / sizeof *(steps))

static void test_credential(void **state)
{
	(void)state;
	RUN(steps_of_credential);
}

static void test_profile(void **state)
{
	(void)state;
	RUN(steps_of_profile);
	RUN(steps_of_part);
}

static void test_both(void **state)
{
	(void)state;
	RUN(steps_of_both);
}

/* However short the wait, the client is told a second. */
static void test_problem(void **state)
{
	(void)state;
	struct rates *rates = rates_new(config, NULL, 0);
	struct arena arena = {0};
	struct problem problem = {0};
	unsigned through = 0;
	while (rates_take(rates, config_profile(config, SPAN("quick")), NULL, 0, &arena, &problem))
		through++;
	assert_int_equal(through, 100);
	assert_int_equal(problem.status, 429);
	assert_string_equal(problem.reason, "rate");
	assert_string_equal(problem.detail, OVER_QUICK);
	assert_non_null(strstr(problem.hint, "`rate` of profile quick"));
	assert_int_equal(problem.retry_after, 1);
	assert_false(problem.close);
	arena_free(&arena);
	rates_free(rates);
	rates_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_credential), cmocka_unit_test(test_profile), cmocka_unit_test(test_both),
		cmocka_unit_test(test_problem),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
