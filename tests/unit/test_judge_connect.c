/* CONNECT, and the requests inside a tunnel. Each row is a request; what comes out is where it may go, or a refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec_h1.h"
#include "judge_again.h"
#include "judge_world.h"

/* "a allowed.example allowed.example:443": profile, host entry, destination; or "403 host_not_allowed". */
static const char *outcome(struct arena *arena, struct world *world, const char *row, struct problem *problem)
{
	struct request request = request_of(arena, row);
	struct judgement judgement = {0};
	const char *why;
	assert_true(codec_request_check(&request, &why) == CODEC_DONE);
	if (!judge_connect(&world->snapshot, &request, arena, &judgement, problem))
		return arena_format(arena, "%u %s", problem->status, problem->reason);
	assert_int_equal(judgement.way, WAY_CONNECT);
	return arena_format(arena, "%s %s %s:%u%s%s%s", judgement.profile->name, judgement.entry->text, judgement.host.name,
	                    judgement.port, judgement.private_allowed ? " private" : "",
	                    judgement.loopback_allowed ? " loopback" : "", judgement.literal_allowed ? " literal" : "");
}

struct row {
	const char *request, *outcome;
	const char *told; /* what detail and hint must have; NULL: nothing */
};

static void hold(struct world *world, const char *token, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct arena arena = {0};
		struct problem problem = {0};
		const char *request = arena_format(&arena, "CONNECT %s|Host: x%s", rows[i].request, token);
		const char *came = outcome(&arena, world, request, &problem);
		const char *told = arena_format(&arena, "%s; %s", problem.detail, problem.hint);
		if (strcmp(came, rows[i].outcome) != 0 || (rows[i].told && !strstr(told, rows[i].told)))
			fail_msg("%s\n  came: %s (%s)\n  want: %s (%s)", request, came, told, rows[i].outcome,
			         rows[i].told ? rows[i].told : "");
		arena_free(&arena);
	}
}
#define HOLD(world, token, rows) hold(world, token, rows, sizeof(rows) / sizeof *(rows))
#define PROXY "|Proxy-Authorization: Basic {basic proxy}"

static void test_allowed(void **state)
{
	static const struct row rows[] = {
		{"allowed.example:443", "a allowed.example allowed.example:443 private", NULL},
		{"ALLOWED.example.:80", "a allowed.example allowed.example:80 private", NULL},
		{"x.y.deep.example:443", "a *.deep.example x.y.deep.example:443", NULL},
		{"port.example:8080", "a port.example:8080 port.example:8080 private", NULL},
		{"10.1.2.3:443", "a 10.0.0.0/8 10.1.2.3:443 literal", NULL},
		{"192.0.2.7:443", "a 192.0.2.7 192.0.2.7:443 private literal", NULL},
		{"[::ffff:192.0.2.7]:443", "a 192.0.2.7 192.0.2.7:443 private literal", NULL},
		{"allowed.example:443|Content-Length: 0", "a allowed.example allowed.example:443 private", NULL},
		{"api.example.com:8443", "403 host_not_allowed", "profile a does not allow api.example.com:8443"},
	};
	(void)state;
	HOLD(&sessions, PROXY, rows);
}

static void test_refused(void **state)
{
	static const struct row rows[] = {
		{"api.example.com:443", "403 credential_host",
		 "use the endpoint of credential ruled, http://keystile.test:9000/ruled/"},
		{"API.Example.com.:443", "403 credential_host", "endpoint of credential ruled"},
		{"api.example.com:80", "403 credential_host", "endpoint of credential ruled"},
		{"127.0.0.1:8080", "403 credential_host", "endpoint of credential bot"},
		{"[::ffff:127.0.0.1]:8080", "403 credential_host", "endpoint of credential bot"},
		{"x.wild.example:443", "403 credential_host", "send the request itself to the proxy"},
		{"other.example:80", "403 host_not_allowed", "profile a does not allow other.example:80"},
		{"wild.example:443", "403 host_not_allowed", NULL},
		{"allowed.example:8443", "403 host_not_allowed", "NO_PROXY has allowed.example: the client did not honour it"},
		{"port.example:8443", "403 host_not_allowed", "\"port.example:8443\" to `hosts:` of profile a"},
		{"deep.example:443", "403 host_not_allowed", NULL},
		{"no.deep.example:443", "403 host_denied", "`!no.deep.example`"},
		{"203.0.113.9:443", "403 host_not_allowed", "the client may have resolved a name by itself"},
		{"[2001:db8::1]:443", "403 host_not_allowed", "the client may have resolved a name by itself"},
		{"allowed.example:443|Content-Length: 1", "400 connect_content", NULL},
		{"allowed.example:443|Transfer-Encoding: chunked", "400 connect_content", NULL},
		{"allowed.example", "400 malformed_target", "has no port"},
		{"allowed.example:0", "400 malformed_target", NULL},
		{"allowed.example:65536", "400 malformed_target", NULL},
		{"allowed.example:0443", "400 malformed_target", NULL},
		{"allowed.example:", "400 malformed_target", NULL},
		{":443", "400 malformed_target", NULL},
		{"u@allowed.example:443", "400 malformed_target", NULL},
		{"2001:db8::1:443", "400 malformed_target", NULL},
		{"[fe80::1%25eth0]:443", "400 malformed_target", NULL},
		{"2130706433:443", "400 malformed_target", NULL},
		{"0x7f.1:443", "400 malformed_target", NULL},
		{"127.1:443", "400 malformed_target", NULL},
		{"0177.0.0.1:443", "400 malformed_target", NULL},
		{"a%2ecom:443", "400 malformed_target", NULL},
		{"http://allowed.example:443", "400 malformed_target", NULL},
		{"allowed.example:443/", "400 malformed_target", NULL},
	};
	(void)state;
	HOLD(&sessions, PROXY, rows);
}

static void test_tokens(void **state)
{
	static const struct row none[] = {{"allowed.example:443", "407 no_token", NULL},
	                                  {"api.example.com:443", "407 no_token", NULL},
	                                  {"allowed.example:443|Content-Length: 1", "400 connect_content", NULL}};
	static const struct row bad[] = {{"allowed.example:443", "407 bad_token", NULL}};
	(void)state;
	HOLD(&sessions, "", none);
	HOLD(&sessions, "|Proxy-Authorization: Bearer {plain}", bad);
	HOLD(&sessions, "|Authorization: Bearer {proxy}", bad);
	HOLD(&sessions, "|Proxy-Authorization: Basic Zm9vOmJhcg==", bad);
}

/* A profile without the credential is told nothing of it. */
static void test_other_profile(void **state)
{
	struct arena arena = {0};
	struct problem problem = {0};
	AUTO_FREE char *token = token_for_proxy(&key, profile_of(&sessions, "b"));
	const char *row = arena_format(&arena, "CONNECT mixed.example:80|Host: x|Proxy-Authorization: Bearer %s", token);
	(void)state;
	assert_string_equal(outcome(&arena, &sessions, row, &problem), "403 host_not_allowed");
	assert_null(strstr(problem.detail, "credential"));
	assert_null(strstr(problem.hint, "credential"));
	arena_free(&arena);
}

static void test_open(void **state)
{
	static const struct row rows[] = {
		{"allowed.example:443", "only allowed.example allowed.example:443 private", NULL},
		{"127.0.0.1:8080", "403 credential_host", "http://127.0.0.1:8180/plain/"},
		{"allowed.example:8443", "403 host_not_allowed", "NO_PROXY has allowed.example: the client did not honour it"},
		{"allowed.example:443|Origin: http://evil.example", "403 browser", NULL},
		{"allowed.example:443|Sec-Fetch-Site: cross-site", "403 browser", NULL},
	};
	(void)state;
	HOLD(&open_world, "", rows);
}

/* --- interception, and what is redirected --- */

/* "credential seen, opened"; "entry allowed.example"; or a refusal. */
static const char *passage(struct arena *arena, bool judged, const struct judgement *judgement, const struct problem *problem)
{
	if (!judged)
		return arena_format(arena, "%u %s", problem->status, problem->reason);
	return arena_format(arena, "%s %s%s%s", judgement->credential ? "credential" : "entry",
	                    judgement->credential ? judgement->credential->name : judgement->entry->text,
	                    judgement->intercept ? ", opened" : "", judgement->http2 == HTTP2_OFF ? ", without h2" : "");
}

static void test_intercepted(void **state)
{
	static const struct {
		const char *place, *connect, *redirected;
	} rows[] = {
		/* Beside it at that host is one without HTTP/2. */
		{"seen.example:443", "credential seen, opened, without h2", "credential seen, opened, without h2"},
		{"seen.example:80", "credential seen, opened, without h2", "credential seen, opened, without h2"},
		{"seen.example:8443", "403 host_not_allowed", "403 host_not_allowed"},
		{"opened.example:443", "entry opened.example, opened, without h2", "entry opened.example, opened, without h2"},
		{"allowed.example:443", "entry allowed.example", "entry allowed.example"},
		{"api.example.com:443", "403 credential_host", "403 credential_host"},
		{"other.example:80", "403 host_not_allowed", "403 host_not_allowed"},
		{"no.deep.example:443", "403 host_denied", "403 host_denied"},
		{"192.0.2.7:443", "entry 192.0.2.7", "entry 192.0.2.7"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct arena arena = {0};
		struct problem problem = {0};
		struct judgement judgement = {0};
		struct authority place;
		struct request request =
			request_of(&arena, arena_format(&arena, "CONNECT %s|Host: x|Proxy-Authorization: Basic {basic proxy}", rows[i].place));
		assert_true(authority_parse(span_of(rows[i].place), &place, NULL));
		bool judged = judge_connect(&sessions.snapshot, &request, &arena, &judgement, &problem);
		assert_string_equal(passage(&arena, judged, &judgement, &problem), rows[i].connect);
		judgement = (struct judgement){0};
		judged = judge_redirected(&sessions.snapshot, SPAN("a"), &place, &arena, &judgement, &problem);
		assert_string_equal(passage(&arena, judged, &judgement, &problem), rows[i].redirected);
		assert_int_equal(judgement.way, WAY_TRANSPARENT);
		assert_false(judge_redirected(&sessions.snapshot, SPAN("gone"), &place, &arena, &judgement, &problem));
		arena_free(&arena);
	}
}

/* Requests behind TLS that was ended here, and redirected plain ones: which credential takes them, or what refuses them. */
static void test_inside_of_credentials(void **state)
{
	static const struct {
		enum way_kind way;
		bool tls;
		const char *place, *request, *outcome;
	} rows[] = {
		{WAY_INTERCEPT, true, "seen.example:443", "GET /v1/x|Host: seen.example", "credential seen"},
		{WAY_INTERCEPT, true, "seen.example:443", "GET /other/x|Host: seen.example", "credential beside"},
		{WAY_INTERCEPT, true, "seen.example:443", "POST /v1/x|Host: seen.example", "403 no_rule"},
		{WAY_INTERCEPT, true, "seen.example:443", "GET /v1/x|Host: api.example.com", "421 misdirected"},
		{WAY_INTERCEPT, true, "seen.example:443", "GET https://seen.example/v1/x|Host: seen.example", "credential seen"},
		{WAY_INTERCEPT, true, "seen.example:443", "GET http://seen.example/v1/x|Host: seen.example", "421 misdirected"},
		{WAY_INTERCEPT, true, "opened.example:443", "GET /docs/x|Host: opened.example", "entry opened.example"},
		{WAY_INTERCEPT, true, "api.example.com:443", "GET /x|Host: api.example.com", "403 credential_host"},
		{WAY_CONNECT, false, "seen.example:80", "GET /v1/x|Host: seen.example", "credential seen"},
		{WAY_CONNECT, false, "api.example.com:80", "GET /x|Host: api.example.com", "403 credential_host"},
		{WAY_TRANSPARENT, false, "api.example.com:80", "GET /x|Host: api.example.com", "credential plain"},
		{WAY_TRANSPARENT, false, "other.example:80", "GET /x|Host: other.example", "403 host_not_allowed"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct arena arena = {0};
		struct problem problem = {0};
		struct judgement judgement = {0};
		struct way_place settled = {.profile = "a"};
		struct way way = {.kind = rows[i].way, .tls = rows[i].tls, .place = &settled, .profile = settled.profile};
		struct request request = request_of(&arena, rows[i].request);
		assert_true(authority_parse(span_of(rows[i].place), &settled.target, NULL));
		bool judged = judge_request(&sessions.snapshot, &sessions.own, &way, &request, &arena, &judgement, &problem);
		judgement.intercept = false;
		judgement.http2 = HTTP2_ON;
		const char *came = passage(&arena, judged, &judgement, &problem);
		if (strcmp(came, rows[i].outcome) != 0)
			fail_msg("row %zu, %s: came %s, want %s", i, rows[i].request, came, rows[i].outcome);
		arena_free(&arena);
	}
}

/* --- inside --- */

/* "allowed.example allowed.example:80 /x": entry, destination, path; or a refusal. */
static const char *inside(struct arena *arena, const char *place, const char *row, struct problem *problem)
{
	struct way_place settled = {.profile = "a"};
	struct way way = {.kind = WAY_CONNECT, .client = "192.0.2.1:1", .place = &settled, .profile = settled.profile};
	struct request request = request_of(arena, row);
	struct judgement judgement = {0};
	assert_true(authority_parse(span_of(place), &settled.target, NULL));
	if (!judge_request(&sessions.snapshot, &sessions.own, &way, &request, arena, &judgement, problem))
		return arena_format(arena, "%u %s", problem->status, problem->reason);
	assert_string_equal(judgement.profile->name, "a");
	assert_null(judgement.credential);
	assert_false(judgement.tls);
	return arena_format(arena, "%s %s:%u %.*s", judgement.entry->text, judgement.host.name, judgement.port,
	                    SPAN_ARGS(judgement.path));
}

static void test_inside(void **state)
{
	static const struct {
		const char *place, *request, *outcome;
	} rows[] = {
		{"allowed.example:80", "GET /x|Host: allowed.example", "allowed.example allowed.example:80 /x"},
		{"allowed.example:80", "GET /x|Host: ALLOWED.example.:80", "allowed.example allowed.example:80 /x"},
		{"allowed.example:80", "GET /x", "allowed.example allowed.example:80 /x"}, /* HTTP/1.0 */
		{"allowed.example:80", "GET http://allowed.example/x|Host: allowed.example", "allowed.example allowed.example:80 /x"},
		{"port.example:8080", "GET /x|Host: port.example:8080", "port.example:8080 port.example:8080 /x"},
		{"ruled.example:80", "GET /docs/x|Host: ruled.example", "ruled.example ruled.example:80 /docs/x"},
		{"ruled.example:80", "GET /x|Host: ruled.example", "403 no_rule"},
		{"ruled.example:80", "GET /docs/../x|Host: ruled.example", "400 malformed_path"},
		{"allowed.example:80", "GET /x|Host: other.example", "421 misdirected"},
		{"allowed.example:80", "GET /x|Host: api.example.com", "421 misdirected"},
		{"allowed.example:80", "GET /x|Host: allowed.example:81", "421 misdirected"},
		{"port.example:8080", "GET /x|Host: port.example", "421 misdirected"},
		{"allowed.example:80", "GET /x|Host: ", "421 misdirected"},
		{"allowed.example:80", "GET /x|Host: a b", "421 misdirected"},
		{"allowed.example:80", "GET http://api.example.com/x|Host: allowed.example", "421 misdirected"},
		{"allowed.example:80", "GET https://allowed.example/x|Host: allowed.example", "421 misdirected"},
		{"allowed.example:80", "GET http://keystile.test:9000/plain/x|Host: allowed.example|X-Api-Key: {plain}", "421 misdirected"},
		{"allowed.example:80", "GET /plain/x|Host: allowed.example|X-Api-Key: {plain}", "allowed.example allowed.example:80 /plain/x"},
		{"allowed.example:80", "CONNECT allowed.example:80|Host: allowed.example", "501 connect"},
		{"allowed.example:80", "TRACE /x|Host: allowed.example", "405 trace"},
		{"api.example.com:80", "GET /x|Host: api.example.com", "403 credential_host"}, /* since a later configuration */
		{"gone.example:80", "GET /x|Host: gone.example", "403 host_not_allowed"},
		{"no.deep.example:80", "GET /x|Host: no.deep.example", "403 host_denied"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct arena arena = {0};
		struct problem problem = {0};
		const char *came = inside(&arena, rows[i].place, rows[i].request, &problem);
		if (strcmp(came, rows[i].outcome) != 0)
			fail_msg("%s: %s\n  came: %s (%s)\n  want: %s", rows[i].place, rows[i].request, came,
			         problem.detail ? problem.detail : "", rows[i].outcome);
		arena_free(&arena);
	}
}

static void test_profile_that_is_gone(void **state)
{
	struct arena arena = {0};
	struct problem problem = {0};
	struct way_place settled = {.profile = "gone"};
	struct way way = {.kind = WAY_CONNECT, .place = &settled, .profile = settled.profile};
	struct request request = request_of(&arena, "GET /x|Host: allowed.example");
	struct judgement judgement = {0};
	(void)state;
	assert_true(authority_parse(SPAN("allowed.example:80"), &settled.target, NULL));
	assert_false(judge_request(&sessions.snapshot, &sessions.own, &way, &request, &arena, &judgement, &problem));
	assert_string_equal(problem.reason, "no_profile");
	arena_free(&arena);
}

/* Inside interception, too, a redirected client has no token that could be taken away. */
static void test_token_of_what_stands(void **state)
{
	const struct way_place redirected = {.session = WAY_NO_TOKEN}, settled = {.session = 3, .token_version = 5};
	const struct judgement judgement = {.way = WAY_INTERCEPT, .profile = profile_of(&sessions, "a")};
	const struct snapshot *snapshot = &sessions.snapshot;
	(void)state;
	assert_int_equal(judge_standing(snapshot, &judgement, &redirected).session, WAY_NO_TOKEN);
	assert_int_equal(judge_standing(snapshot, &judgement, &settled).session, 3);
	assert_int_equal(judge_standing(snapshot, &judgement, &settled).token_version, 5);
	assert_int_equal(judge_standing(snapshot, &judgement, NULL).session, snapshot_session(snapshot));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_allowed),       cmocka_unit_test(test_refused), cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_other_profile), cmocka_unit_test(test_open),    cmocka_unit_test(test_inside),
		cmocka_unit_test(test_profile_that_is_gone), cmocka_unit_test(test_intercepted),
		cmocka_unit_test(test_inside_of_credentials), cmocka_unit_test(test_token_of_what_stands),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
