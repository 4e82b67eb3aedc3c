/* Answers of token endpoints: which token is taken for how long, and what is said of those that have none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "buffer.h"
#include "json.h"
#include "text.h"
#include "token_answer.h"

#define NOW 1700000000 /* 2023-11-14T22:13:20Z */

static struct named_source refresh_source = {
	.id = (char *)"refresh", .source = {.kind = SOURCE_VAULT, .name = (char *)"strava"}};
static const struct config_credential credential = {.name = (char *)"c", .secrets = &refresh_source, .secret_count = 1};
static const struct token_secrets secrets = {SPAN("my-client"), SPAN("k-secret-key"), SPAN("r-old"), SPAN("signing.key_123")};

static bool read_answer(enum token_grant grant, unsigned status, struct span body, time_t server_now, struct arena *arena,
                        struct token_answer *answer, struct fault *fault)
{
	const struct token_request request = {.form = grant == GRANT_APP ? TOKEN_GITHUB : TOKEN_OAUTH2,
	                                      .grant = grant,
	                                      .authorization = "Basic bXktY2xpZW50Omst",
	                                      .body = SPAN("assertion=eyJh.eyJp.c2ln")};
	const struct token_asked asked = {&credential, &secrets, &request};
	const struct token_reply reply = {status, body, NOW, server_now};
	return token_answer_read(&asked, &reply, arena, answer, fault);
}

#define OK "{\"access_token\":\"t\",\"token_type\":\"Bearer\",\"expires_in\":"
#define GITHUB(time) "{\"token\":\"ghs_x\",\"expires_at\":\"" time "\"}"

static const struct {
	enum token_grant grant;
	const char *body;
	time_t server_now;
	const char *token, *refresh;
	uint64_t life;
	bool told;
} good[] = {
	{GRANT_CLIENT, OK "3600}", 0, "t", "", 3600, true},
	{GRANT_CLIENT, OK "3600.0,\"scope\":\"a\",\"x\":{\"y\":[1]}}", 0, "t", "", 3600, true},
	{GRANT_CLIENT, OK "\"3599\"}", 0, "t", "", 3599, true},
	{GRANT_CLIENT, OK "1}", 0, "t", "", 1, true},
	{GRANT_CLIENT, OK "2592001}", 0, "t", "", 2592000, true},
	{GRANT_CLIENT, OK "99999999999999999999999999}", 0, "t", "", 2592000, true},
	{GRANT_CLIENT, OK "\"99999999999999999999999999\"}", 0, "t", "", 2592000, true},
	{GRANT_CLIENT, OK "null}", 0, "t", "", 300, false},
	{GRANT_CLIENT, "{\"access_token\":\"t\"}", 0, "t", "", 300, false},
	{GRANT_CLIENT, "{\"access_token\":\"t\",\"token_type\":\"bEARER\"}", 0, "t", "", 300, false},
	{GRANT_CLIENT, "{\"access_token\":\"t\",\"token_type\":null,\"error\":\"\"}", 0, "t", "", 300, false},
	{GRANT_CLIENT, "{\"access_token\":\"!\\\"\\\\~\"}", 0, "!\"\\~", "", 300, false},
	{GRANT_ASSERTION, OK "60}", 0, "t", "", 60, true},
	/* Only a refresh token that was used is replaced by another. */
	{GRANT_CLIENT, OK "60,\"refresh_token\":\"r\"}", 0, "t", "", 60, true},
	{GRANT_CLIENT, OK "60,\"refresh_token\":\"\"}", 0, "t", "", 60, true},
	{GRANT_REFRESH, OK "60,\"refresh_token\":\"r-new\"}", 0, "t", "r-new", 60, true},
	{GRANT_REFRESH, OK "60,\"refresh_token\":\"r-old\"}", 0, "t", "", 60, true},
	{GRANT_REFRESH, OK "60,\"refresh_token\":null}", 0, "t", "", 60, true},
	{GRANT_REFRESH, OK "60}", 0, "t", "", 60, true},
	/* By the clock that made it, where that is told. */
	{GRANT_APP, GITHUB("2023-11-14T23:13:20Z"), 0, "ghs_x", "", 3600, true},
	{GRANT_APP, GITHUB("2023-11-14T23:13:20Z"), NOW + 600, "ghs_x", "", 3000, true},
	{GRANT_APP, GITHUB("2023-11-14T22:10:20Z"), NOW - 600, "ghs_x", "", 420, true},
	{GRANT_APP, GITHUB("2023-11-14T22:13:21.999+00:00"), 0, "ghs_x", "", 1, true},
	{GRANT_APP, GITHUB("2033-11-14T22:13:21Z"), 0, "ghs_x", "", 2592000, true},
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		struct arena arena = {0};
		struct token_answer answer;
		struct fault fault = FAULT_INIT;
		unsigned status = good[i].grant == GRANT_APP ? 201 : 200;
		if (!read_answer(good[i].grant, status, span_of(good[i].body), good[i].server_now, &arena, &answer, &fault))
			fail_msg("`%s`: %s", good[i].body, fault.text);
		if (!span_equal(answer.token, span_of(good[i].token)) || !span_equal(answer.refresh, span_of(good[i].refresh)) ||
		    answer.life != good[i].life || answer.life_told != good[i].told)
			fail_msg("`%s`: came `%.*s`, refresh `%.*s`, %llu s, told %d", good[i].body, SPAN_ARGS(answer.token),
			         SPAN_ARGS(answer.refresh), (unsigned long long)answer.life, answer.life_told);
		arena_free(&arena);
	}
}

static void test_own_life(void **state)
{
	struct config_credential own = credential;
	struct token_request request = {.form = TOKEN_OAUTH2};
	struct token_asked asked = {&own, &secrets, &request};
	struct token_reply reply = {200, SPAN("{\"access_token\":\"t\"}"), NOW, 0};
	struct arena arena = {0};
	struct token_answer answer;
	(void)state;
	own.ttl = 3600000;
	assert_true(token_answer_read(&asked, &reply, &arena, &answer, NULL) && answer.life == 3600);
	own.ttl = 3650ull * 86400000;
	assert_true(token_answer_read(&asked, &reply, &arena, &answer, NULL) && answer.life == TOKEN_MOST_LIFE);
	arena_free(&arena);
}

#define ANSWERED(status) "the token endpoint answered " #status
#define ITS "the token endpoint's answer: its "
#define NO_TOKEN "the token endpoint's answer: it has no \"access_token\"; look at the address"
#define UNFIT(name) ITS "\"" name "\" is empty, not text, too long, or has characters that no field can carry"
#define TYPE ITS "\"token_type\" is not Bearer, and no other kind of token can be sent"
#define EXPIRES ITS "\"expires_in\" is no whole number of seconds above 0"
#define NOT_AS_ONE(status, why) ANSWERED(status) ", but not as one: " why "; look at the address"
#define LOOK_ID "look at the secrets id and key; some servers want \"auth: body\""
#define LOOK_JWT "look at the claims, the key, and this machine's clock"
#define AGAIN "it will be asked again"
#define CODE(code) "{\"error\":\"" code "\",\"error_description\":\"k-secret-key\"}"
#define HTML "<html>k-secret-key</html>"

static const struct {
	enum token_grant grant;
	unsigned status;
	const char *body;
	enum fault_code code;
	bool final;
	const char *fault;
} bad[] = {
	/* 200, and no token. */
	{GRANT_CLIENT, 200, HTML, FAULT_BROKEN, false, NOT_AS_ONE(200, "it is no JSON")},
	{GRANT_CLIENT, 200, "", FAULT_BROKEN, false, NOT_AS_ONE(200, "it is no JSON")},
	{GRANT_CLIENT, 200, "access_token=k-secret-key", FAULT_BROKEN, false, NOT_AS_ONE(200, "it is no JSON")},
	{GRANT_CLIENT, 200, "[\"t\"]", FAULT_BROKEN, false, NOT_AS_ONE(200, "it is JSON, but no object")},
	{GRANT_CLIENT, 200, "{\"access_token\":\"t\",\"access_token\":\"u\"}", FAULT_BROKEN, false,
	 NOT_AS_ONE(200, "it has a member twice")},
	{GRANT_CLIENT, 200, "{}", FAULT_BROKEN, false, NO_TOKEN},
	{GRANT_CLIENT, 200, "{\"access_token\":null}", FAULT_BROKEN, false, NO_TOKEN},
	{GRANT_CLIENT, 200, "{\"access_token\":\"\"}", FAULT_BROKEN, false, UNFIT("access_token")},
	{GRANT_CLIENT, 200, "{\"access_token\":7}", FAULT_BROKEN, false, UNFIT("access_token")},
	{GRANT_CLIENT, 200, "{\"access_token\":\"a b\"}", FAULT_BROKEN, false, UNFIT("access_token")},
	{GRANT_CLIENT, 200, "{\"access_token\":\"a\\r\\nX: y\"}", FAULT_BROKEN, false, UNFIT("access_token")},
	{GRANT_CLIENT, 200, "{\"access_token\":\"\\u00e4\"}", FAULT_BROKEN, false, UNFIT("access_token")},
	{GRANT_CLIENT, 200, "{\"access_token\":\"t\",\"token_type\":\"mac\"}", FAULT_BROKEN, false, TYPE},
	{GRANT_CLIENT, 200, "{\"access_token\":\"t\",\"token_type\":\"\"}", FAULT_BROKEN, false, TYPE},
	{GRANT_CLIENT, 200, "{\"access_token\":\"t\",\"token_type\":[]}", FAULT_BROKEN, false, TYPE},
	{GRANT_CLIENT, 200, OK "0}", FAULT_BROKEN, false, EXPIRES},
	{GRANT_CLIENT, 200, OK "-1}", FAULT_BROKEN, false, EXPIRES},
	{GRANT_CLIENT, 200, OK "3599.5}", FAULT_BROKEN, false, EXPIRES},
	{GRANT_CLIENT, 200, OK "\"\"}", FAULT_BROKEN, false, EXPIRES},
	{GRANT_CLIENT, 200, OK "\"0\"}", FAULT_BROKEN, false, EXPIRES},
	{GRANT_CLIENT, 200, OK "\"1h\"}", FAULT_BROKEN, false, EXPIRES},
	{GRANT_CLIENT, 200, OK "\"+5\"}", FAULT_BROKEN, false, EXPIRES},
	{GRANT_CLIENT, 200, OK "true}", FAULT_BROKEN, false, EXPIRES},
	{GRANT_REFRESH, 200, OK "60,\"refresh_token\":\"\"}", FAULT_BROKEN, false, UNFIT("refresh_token")},
	{GRANT_REFRESH, 200, OK "60,\"refresh_token\":\"a b\"}", FAULT_BROKEN, false, UNFIT("refresh_token")},
	{GRANT_REFRESH, 200, OK "60,\"refresh_token\":[]}", FAULT_BROKEN, false, UNFIT("refresh_token")},
	{GRANT_CLIENT, 201, OK "60}", FAULT_BROKEN, false, ANSWERED(201) "; look at the address"},
	{GRANT_CLIENT, 204, "", FAULT_BROKEN, false, ANSWERED(204) "; look at the address"},
	/* What RFC 6749 §5.2 has. */
	{GRANT_CLIENT, 401, CODE("invalid_client"), FAULT_DENIED, true, ANSWERED(401) ": invalid_client; " LOOK_ID},
	{GRANT_CLIENT, 400, CODE("invalid_client"), FAULT_DENIED, true, ANSWERED(400) ": invalid_client; " LOOK_ID},
	{GRANT_CLIENT, 200, CODE("invalid_client"), FAULT_DENIED, true, ANSWERED(200) ": invalid_client; " LOOK_ID},
	{GRANT_ASSERTION, 401, CODE("invalid_client"), FAULT_DENIED, true,
	 ANSWERED(401) ": invalid_client; the server does not know who signed; look at the claims and the key"},
	{GRANT_REFRESH, 400, CODE("invalid_grant"), FAULT_DENIED, true,
	 ANSWERED(400) ": invalid_grant; the refresh token is used up, revoked, or another client's; get a new one: creds set strava"},
	{GRANT_CLIENT, 400, CODE("invalid_grant"), FAULT_DENIED, true,
	 ANSWERED(400) ": invalid_grant; look at the client's settings at the server"},
	{GRANT_ASSERTION, 400, CODE("invalid_grant"), FAULT_DENIED, false,
	 ANSWERED(400) ": invalid_grant; the JWT is not taken; " LOOK_JWT},
	{GRANT_CLIENT, 400, CODE("unauthorized_client"), FAULT_DENIED, true,
	 ANSWERED(400) ": unauthorized_client; the server does not let this client have tokens in this way; allow it there"},
	{GRANT_CLIENT, 400, CODE("invalid_scope"), FAULT_DENIED, true, ANSWERED(400) ": invalid_scope; look at the scope"},
	{GRANT_CLIENT, 400, CODE("unsupported_grant_type"), FAULT_DENIED, true,
	 ANSWERED(400) ": unsupported_grant_type; the server gives no tokens in this way; look at the address"},
	{GRANT_CLIENT, 400, CODE("invalid_request"), FAULT_DENIED, false,
	 ANSWERED(400) ": invalid_request; look at the address and the scope; some servers want \"auth: body\""},
	{GRANT_ASSERTION, 400, CODE("invalid_request"), FAULT_DENIED, false,
	 ANSWERED(400) ": invalid_request; look at the address and the claims"},
	{GRANT_CLIENT, 400, CODE("temporarily_unavailable"), FAULT_DENIED, false,
	 ANSWERED(400) ": temporarily_unavailable; " AGAIN},
	{GRANT_CLIENT, 400, CODE("AADSTS7000215.x-y"), FAULT_DENIED, false,
	 ANSWERED(400) ": AADSTS7000215.x-y; look that up at the server"},
	/* Errors that might be, or hold, a secret, or are none. */
	{GRANT_CLIENT, 400, CODE("k-secret-key"), FAULT_DENIED, false, ANSWERED(400) ": an error; look that up at the server"},
	{GRANT_CLIENT, 400, CODE("bad_k-secret-key.x"), FAULT_DENIED, false, ANSWERED(400) ": an error; look that up at the server"},
	{GRANT_CLIENT, 400, CODE("secret"), FAULT_DENIED, false, ANSWERED(400) ": an error; look that up at the server"},
	{GRANT_CLIENT, 400, CODE("my-client"), FAULT_DENIED, false, ANSWERED(400) ": an error; look that up at the server"},
	{GRANT_CLIENT, 400, CODE("r-old"), FAULT_DENIED, false, ANSWERED(400) ": an error; look that up at the server"},
	{GRANT_CLIENT, 400, CODE("key_1"), FAULT_DENIED, false, ANSWERED(400) ": an error; look that up at the server"},
	{GRANT_CLIENT, 400, CODE("x_k-secret-kex"), FAULT_DENIED, false, ANSWERED(400) ": an error; look that up at the server"},
	{GRANT_CLIENT, 400, CODE("x_k-secrex"), FAULT_DENIED, false, ANSWERED(400) ": x_k-secrex; look that up at the server"},
	{GRANT_CLIENT, 400, CODE("bXktY2xpZW50Omst"), FAULT_DENIED, false, ANSWERED(400) ": an error; look that up at the server"},
	{GRANT_ASSERTION, 400, CODE("eyJp.c2ln"), FAULT_DENIED, false, ANSWERED(400) ": an error; look that up at the server"},
	{GRANT_CLIENT, 400, CODE("an error: x"), FAULT_DENIED, false, ANSWERED(400) ": an error; look that up at the server"},
	{GRANT_CLIENT, 400, CODE(""), FAULT_DENIED, false, ANSWERED(400) ": an error; look that up at the server"},
	{GRANT_CLIENT, 400, CODE("0123456789012345678901234567890123456789012345678901234567890123x"), FAULT_DENIED, false,
	 ANSWERED(400) ": an error; look that up at the server"},
	/* Statuses alone. */
	{GRANT_CLIENT, 400, "{\"error\":{\"code\":1}}", FAULT_DENIED, false, ANSWERED(400) "; look at the address and the secrets"},
	{GRANT_CLIENT, 400, HTML, FAULT_DENIED, false, ANSWERED(400) "; look at the address and the secrets"},
	{GRANT_CLIENT, 401, HTML, FAULT_DENIED, false, ANSWERED(401) "; " LOOK_ID},
	{GRANT_ASSERTION, 401, "", FAULT_DENIED, false, ANSWERED(401) "; " LOOK_JWT},
	{GRANT_CLIENT, 403, "", FAULT_DENIED, false, ANSWERED(403) "; look at what the server lets this client do"},
	{GRANT_CLIENT, 404, HTML, FAULT_DENIED, false, ANSWERED(404) "; there is no token endpoint at the address; look at it"},
	{GRANT_CLIENT, 405, "", FAULT_DENIED, false, ANSWERED(405) "; there is no token endpoint at the address; look at it"},
	{GRANT_CLIENT, 302, CODE("x"), FAULT_DENIED, false,
	 ANSWERED(302) "; redirects are not followed; write the address that it leads to"},
	{GRANT_CLIENT, 429, CODE("invalid_client"), FAULT_BUSY, false, ANSWERED(429) "; " AGAIN},
	{GRANT_CLIENT, 500, "", FAULT_BUSY, false, ANSWERED(500) "; " AGAIN},
	{GRANT_REFRESH, 503, CODE("invalid_grant"), FAULT_BUSY, false, ANSWERED(503) "; " AGAIN},
	{GRANT_CLIENT, 418, "", FAULT_BROKEN, false, ANSWERED(418) "; look at the address"},
	/* GitHub. */
	{GRANT_APP, 200, GITHUB("2023-11-14T23:13:20Z"), FAULT_BROKEN, false, ANSWERED(200) "; look at the address"},
	{GRANT_APP, 201, "{}", FAULT_BROKEN, false, "the token endpoint's answer: it has no \"token\"; look at the address"},
	{GRANT_APP, 201, "{\"token\":\"x\"}", FAULT_BROKEN, false, ITS "\"expires_at\" is no time such as 2026-11-25T03:57:27Z"},
	{GRANT_APP, 201, GITHUB("tomorrow"), FAULT_BROKEN, false, ITS "\"expires_at\" is no time such as 2026-11-25T03:57:27Z"},
	{GRANT_APP, 201, GITHUB("2023-11-14T22:13:20Z"), FAULT_BROKEN, false,
	 ITS "\"expires_at\" has passed; is this machine's clock right?"},
	{GRANT_APP, 401, "{\"message\":\"k-secret-key\"}", FAULT_DENIED, false,
	 ANSWERED(401) "; look at github_app, the key, and this machine's clock"},
	{GRANT_APP, 403, "", FAULT_DENIED, false, ANSWERED(403) "; the App is suspended or may not do so; look at its settings"},
	{GRANT_APP, 404, "{\"message\":\"Not Found\"}", FAULT_DENIED, false,
	 ANSWERED(404) "; the App has no such installation; look at installation and github_app"},
};

static void test_bad(void **state)
{
	unsigned differences = 0;
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct arena arena = {0};
		struct token_answer answer;
		struct fault fault = FAULT_INIT;
		bool taken = read_answer(bad[i].grant, bad[i].status, span_of(bad[i].body), 0, &arena, &answer, &fault);
		arena_free(&arena);
		if (!taken && strcmp(fault.text, bad[i].fault) == 0 && fault.code == bad[i].code && answer.final == bad[i].final &&
		    answer.token.length == 0 && answer.refresh.length == 0)
			continue;
		differences++;
		fprintf(stderr, "%u `%s`: taken %d, code %d, final %d, said\n%s\nshould be\n%s\n", bad[i].status, bad[i].body, taken,
		        fault.code, answer.final, fault.text, bad[i].fault);
	}
	assert_int_equal(differences, 0);
}

/* 16 KiB are a token, and one byte more is none. */
static void test_size(void **state)
{
	(void)state;
	for (size_t over = 0; over < 2; over++) {
		AUTO_BUFFER struct buffer body = {0};
		struct arena arena = {0};
		struct token_answer answer;
		buffer_string(&body, "{\"access_token\":\"");
		memset(buffer_room(&body, TOKEN_MOST + over), 'x', TOKEN_MOST + over);
		body.length += TOKEN_MOST + over;
		buffer_string(&body, "\"}");
		assert_int_equal(read_answer(GRANT_CLIENT, 200, buffer_view(&body), 0, &arena, &answer, NULL), !over);
		arena_free(&arena);
	}
}

static const struct {
	const char *text;
	uint64_t seconds; /* 0: no time */
} times[] = {
	{"2026-11-25T03:57:27Z", 1795579047},
	{"2026-11-25t03:57:27z", 1795579047},
	{"2026-11-25T03:57:27.5Z", 1795579047},
	{"2026-11-25T03:57:27.123456+00:00", 1795579047},
	{"2024-02-29T00:00:00Z", 1709164800},
	{"1970-01-01T00:00:01Z", 1},
	{"1970-01-01T00:00:00Z", 0},
	{"1969-12-31T23:59:59Z", 0},
	{"2023-02-29T00:00:00Z", 0},
	{"2026-13-01T00:00:00Z", 0},
	{"2026-00-01T00:00:00Z", 0},
	{"2026-01-01T24:00:00Z", 0},
	{"2026-01-01T00:60:00Z", 0},
	{"2026-11-25T03:57:27", 0},
	{"2026-11-25T03:57:27.Z", 0},
	{"2026-11-25T03:57:27+01:00", 0},
	{"2026-11-25 03:57:27Z", 0},
	{"2026-11-25T03:57:27Zx", 0},
	{"2026-11-25T03:57:2", 0},
	{"2026-11-25T03:57:+7Z", 0},
	{"2026-11-25", 0},
	{"", 0},
};

static void test_times(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
		uint64_t seconds = 0;
		bool is_time = text_parse_time(span_of(times[i].text), &seconds);
		if (is_time != (times[i].seconds > 0) || (is_time && seconds != times[i].seconds))
			fail_msg("`%s`: a time %d, %llu", times[i].text, is_time, (unsigned long long)seconds);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good), cmocka_unit_test(test_own_life), cmocka_unit_test(test_bad),
		cmocka_unit_test(test_size), cmocka_unit_test(test_times),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
