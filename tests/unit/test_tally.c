/* What is counted: by whom, by which name, in which bucket; how it is written down; and who may see it. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "account.h"
#include "config.h"
#include "exposition.h"
#include "gate.h"

/* A configuration as far as counting looks at it. */
static struct config_credential credentials[2];
static struct config_profile profiles[1];
static struct config config = {.credentials = credentials, .profiles = profiles};

static void name_them(const char *first, const char *second, const char *profile)
{
	credentials[0] = (struct config_credential){.name = (char *)(uintptr_t)first};
	credentials[1] = (struct config_credential){.name = (char *)(uintptr_t)second, .number = 1};
	profiles[0] = (struct config_profile){.name = (char *)(uintptr_t)profile};
	config.credential_count = second ? 2 : 1;
	config.profile_count = 1;
}

/* A name keeps its cells, whatever its number is now, and whether it was away meanwhile. */
static void test_names(void **state)
{
	(void)state;
	struct tallies *tallies = tallies_new(2);
	name_them("a", "b", "p");
	struct tally_map *first = tallies_map(tallies, &config);
	tally_add(&first->credentials[1]->cells[0].verdicts[AUDIT_DENY], 2);
	tally_add(&first->credentials[1]->cells[1].verdicts[AUDIT_DENY], 3);
	struct tally_entry *b = first->credentials[1];
	tally_map_free(first);
	name_them("c", NULL, "p");
	tally_map_free(tallies_map(tallies, &config));
	name_them("b", "c", "q");
	struct tally_map *last = tallies_map(tallies, &config);
	assert_ptr_equal(last->credentials[0], b);
	assert_int_equal(tallies_verdicts(tallies, b, AUDIT_DENY), 5);
	const char *const names[] = {"", "a", "b", "c"};
	const struct tally_entry *entry = tallies_first(tallies, TALLY_CREDENTIAL);
	for (size_t i = 0; i < 4; i++, entry = entry->next)
		assert_string_equal(entry->name, names[i]);
	assert_null(entry);
	tally_map_free(last);
	tallies_free(tallies);
}

static void test_histogram(void **state)
{
	(void)state;
	static const struct {
		uint64_t microseconds;
		size_t bucket;
	} rows[] = {{0, 0}, {1000, 0}, {1001, 1}, {2500, 1}, {1000000, 9}, {300000000, 16}, {300000001, 17}, {UINT64_MAX / 2, 17}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct tally_histogram histogram = {0};
		tally_observe(&histogram, rows[i].microseconds);
		for (size_t j = 0; j <= TALLY_BOUNDS; j++)
			assert_int_equal(tally_read(&histogram.buckets[j]), j == rows[i].bucket);
		assert_int_equal(tally_read(&histogram.microseconds), rows[i].microseconds);
	}
}

static void test_closed_sets(void **state)
{
	(void)state;
	assert_string_equal(tally_reasons[tally_reason("no_rule")].name, "no_rule");
	assert_string_equal(tally_reasons[tally_reason("first_byte_0x7f")].name, "first_byte");
	assert_string_equal(tally_reasons[tally_reason("made up")].name, "other");
	assert_string_equal(tally_reasons[tally_reason(NULL)].name, "other");
	for (size_t i = 1; i < TALLY_REASONS && tally_reasons[i].name; i++)
		assert_int_equal(tally_reason(tally_reasons[i].name), i);
	static const struct {
		unsigned status;
		const char *name;
	} rows[] = {{0, "none"}, {200, "200"}, {101, "101"}, {299, "2xx"}, {599, "5xx"}, {529, "529"}, {99, "other"}, {600, "other"}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_string_equal(tally_status_name(tally_status(rows[i].status)), rows[i].name);
}

static void *add_many(void *context)
{
	for (int i = 0; i < 100000; i++)
		tally_count(context, TALLY_BYTES_UP);
	return NULL;
}

/* Each thread has its own cells, so none is lost; who reads meanwhile never sees less than before. */
static void test_threads(void **state)
{
	(void)state;
	struct tallies *tallies = tallies_new(4);
	pthread_t threads[4];
	for (unsigned i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, add_many, tallies_worker(tallies, i));
	for (uint64_t seen = 0, now; seen < 400000; seen = now) {
		now = tallies_sum(tallies, TALLY_BYTES_UP);
		assert_true(now >= seen);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(tallies_sum(tallies, TALLY_BYTES_UP), 400000);
	tallies_free(tallies);
}

/* What goes up and down never shows less than none. */
static void test_now(void **state)
{
	(void)state;
	struct tallies *tallies = tallies_new(2);
	tally_count(tallies_worker(tallies, 0), TALLY_TUNNELS_NOW);
	tally_count(tallies_worker(tallies, 1), TALLY_TUNNELS_NOW);
	tally_uncount(tallies_worker(tallies, 0), TALLY_TUNNELS_NOW);
	assert_int_equal(tallies_sum(tallies, TALLY_TUNNELS_NOW), 1);
	tally_count(NULL, TALLY_TUNNELS_NOW);
	tally_uncount(NULL, TALLY_TUNNELS_NOW);
	tallies_free(tallies);
}

/* One record of each kind. */
static void test_account(void **state)
{
	(void)state;
	struct tallies *tallies = tallies_new(1);
	struct account account;
	account_begin(&account, tallies, 0);
	name_them("a", NULL, "p");
	struct tally_map *map = tallies_map(tallies, &config);
	struct audit_record record = {.event = "start", .status = 200, .credential_tally = map->credentials[0],
	                              .profile_tally = map->profiles[0], .bytes_up = 7, .total_us = 5, .first_us = 3};
	account_note(&account, &record);
	const struct tally_cells *cells = &map->credentials[0]->cells[0];
	assert_int_equal(tally_read(&cells->verdicts[AUDIT_ALLOW]), 0);
	record.event = "end";
	account_note(&account, &record);
	assert_int_equal(tally_read(&cells->verdicts[AUDIT_ALLOW]), 1);
	assert_int_equal(tally_read(&cells->statuses[tally_status(200)]), 1);
	assert_int_equal(tally_read(&cells->duration.buckets[0]), 1);
	assert_int_equal(tally_read(&map->profiles[0]->cells[0].verdicts[AUDIT_ALLOW]), 1);
	assert_int_equal(tallies_sum(tallies, TALLY_BYTES_UP), 7);
	/* A refusal takes no time, is kept, and may have hit a limit. */
	record.verdict = AUDIT_DENY;
	record.reason = "body_too_large";
	account_note(&account, &record);
	assert_int_equal(tally_read(&cells->duration.buckets[0]), 1);
	assert_int_equal(tally_read(&account.tally->limits[TALLY_BODY]), 1);
	assert_int_equal(tally_read(&account.tally->reasons[tally_reason("body_too_large")][AUDIT_DENY]), 1);
	assert_string_equal(account.refusals.traces[0]->reason, "body_too_large");
	/* A tunnel is no request. */
	record.kind = AUDIT_TUNNEL;
	record.verdict = AUDIT_ALLOW;
	account_note(&account, &record);
	assert_int_equal(tally_read(&account.tally->tunnels[AUDIT_ALLOW]), 1);
	assert_int_equal(tally_read(&cells->verdicts[AUDIT_ALLOW]), 1);
	account_end(&account);
	tally_map_free(map);
	tallies_free(tallies);
}

/* The ring keeps the last ones; a trace holds copies, cut as the audit cuts, and what was not there stays so. */
static void test_ring(void **state)
{
	(void)state;
	static char path[5000];
	memset(path, 'x', sizeof path);
	struct trace_ring ring = {0};
	for (unsigned i = 0; i < TRACE_RING + 5; i++) {
		struct audit_record record = {.event = "end", .status = i, .path = {path, i == 104 ? sizeof path : 3}, .method = SPAN("")};
		trace_ring_add(&ring, trace_new(&record, 1000 + i, NULL));
	}
	assert_int_equal(ring.traces[4]->status, 104);
	assert_int_equal(strlen(ring.traces[4]->path), 2048);
	assert_int_equal(ring.traces[5]->status, 5);
	assert_string_equal(ring.traces[5]->method, "");
	assert_null(ring.traces[5]->host);
	struct trace *copy = trace_copy(ring.traces[5]);
	trace_ring_free(&ring);
	assert_string_equal(copy->path, "xxx");
	assert_null(copy->reason);
	free(copy);
}

static void test_exposition(void **state)
{
	(void)state;
	static const uint64_t bounds[] = {2500, 1000000}, counts[] = {1, 2, 4};
	static const struct {
		bool openmetrics;
		const char *text;
	} rows[] = {
		{false, "# HELP a_total Help.\n# TYPE a_total counter\na_total{b=\"x\\\\y\\\"z\\n\",c=\"\"} 5\na_total 0.25\n"
		        "# HELP h H.\n# TYPE h histogram\nh_bucket{k=\"v\",le=\"0.0025\"} 1\nh_bucket{k=\"v\",le=\"1\"} 3\n"
		        "h_bucket{k=\"v\",le=\"+Inf\"} 7\nh_sum{k=\"v\"} 300\nh_count{k=\"v\"} 7\nh_bucket{le=\"0.0025\"} 1\n"
		        "h_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 7\nh_sum 0\nh_count 7\n"},
		{true, "# HELP a Help.\n# TYPE a counter\na_total{b=\"x\\\\y\\\"z\\n\",c=\"\"} 5\na_total 0.25\n"
		       "# HELP h H.\n# TYPE h histogram\nh_bucket{k=\"v\",le=\"0.0025\"} 1\nh_bucket{k=\"v\",le=\"1.0\"} 3\n"
		       "h_bucket{k=\"v\",le=\"+Inf\"} 7\nh_sum{k=\"v\"} 300\nh_count{k=\"v\"} 7\nh_bucket{le=\"0.0025\"} 1\n"
		       "h_bucket{le=\"1.0\"} 3\nh_bucket{le=\"+Inf\"} 7\nh_sum 0\nh_count 7\n# EOF\n"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		AUTO_BUFFER struct buffer out = {0};
		struct exposition exposition = {.out = &out, .openmetrics = rows[i].openmetrics};
		exposition_family(&exposition, EXPOSITION_COUNTER, "a_total", "Help.");
		exposition_sample(&exposition, (const struct exposition_label[]){{"b", "x\\y\"z\n"}, {"c", ""}, {0}}, 5);
		exposition_seconds(&exposition, NULL, 250000);
		exposition_family(&exposition, EXPOSITION_HISTOGRAM, "h", "H.");
		exposition_histogram(&exposition, (const struct exposition_label[]){{"k", "v"}, {0}}, bounds, counts, 2, 300000000);
		exposition_histogram(&exposition, NULL, bounds, counts, 2, 0);
		exposition_end(&exposition);
		assert_string_equal(out.data, rows[i].text);
	}
}

/* `%` stands for the admin token. */
static void test_gate(void **state)
{
	(void)state;
	static const struct token_key key = {"0123456789abcdef0123456789abcde"};
	static const struct {
		const char *text;
		bool bearer, cookie;
	} rows[] = {
		{"", false, false},
		{"%", false, false},
		{"Bearer %", true, false},
		{"bearer  % ", true, false},
		{"Bearer%", false, false},
		{"Bearer", false, false},
		{"Bearer ", false, false},
		{"Basic %", false, false},
		{"Bearer % %", false, false},
		{"keystile_admin=%", false, true},
		{" keystile_admin = % ", false, true},
		{"a=b; keystile_admin=%;c", false, true},
		{"keystile_admin=x;keystile_admin=%", false, true},
		{"xkeystile_admin=%", false, false},
		{"keystile_admin", false, false},
		{"keystile_admin=", false, false},
		{"keystile_admin=\"%\"", false, false},
		{";;=;", false, false},
	};
	name_them("a", NULL, "p");
	char *token = token_for_admin(&key), *other = token_for_proxy(&key, &profiles[0]);
	struct token_table *table = token_table_new(&key, &config);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		AUTO_BUFFER struct buffer text = {0};
		for (const char *at = rows[i].text; *at; at++)
			buffer_format(&text, *at == '%' ? "%s" : "%.1s", *at == '%' ? token : at);
		assert_int_equal(gate_takes_bearer(table, buffer_view(&text)), rows[i].bearer);
		assert_int_equal(gate_takes_cookie(table, buffer_view(&text)), rows[i].cookie);
		assert_false(gate_takes_bearer(NULL, buffer_view(&text)));
	}
	assert_true(gate_takes(table, span_of(token)));
	assert_false(gate_takes(table, span_of(other)));
	assert_false(gate_takes(NULL, span_of(token)));
	token_table_free(table);
	free(token);
	free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),   cmocka_unit_test(test_histogram), cmocka_unit_test(test_closed_sets),
		cmocka_unit_test(test_threads), cmocka_unit_test(test_now),       cmocka_unit_test(test_account),
		cmocka_unit_test(test_ring),    cmocka_unit_test(test_exposition), cmocka_unit_test(test_gate),
	};
	return cmocka_run_group_tests_name("tally", tests, NULL, NULL);
}
