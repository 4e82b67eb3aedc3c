/* The judge: who asks, for what, and may they. Each row is a request; what comes out is a destination or a refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "judge_world.h"

/* "a plain https api.example.com:443 /v1/x": profile, credential or host entry, destination, path; or "403 no_rule". */
static const char *outcome(struct arena *arena, struct world *world, const char *row, struct problem *problem)
{
	static const struct way way = {.kind = WAY_REVERSE, .client = "192.0.2.1:1"};
	struct request request = request_of(arena, row);
	struct judgement judgement = {0};
	if (!judge_request(&world->snapshot, &world->own, &way, &request, arena, &judgement, problem)) {
		assert_non_null(problem->detail);
		return arena_format(arena, "%u %s", problem->status, problem->reason);
	}
	return arena_format(arena, "%s %s %s://%s:%u %.*s%s%s%s", judgement.profile->name,
	                    judgement.credential ? judgement.credential->name : judgement.entry->text,
	                    judgement.tls ? "https" : "http", judgement.host.name, judgement.port, SPAN_ARGS(judgement.path),
	                    judgement.private_allowed ? " private" : "", judgement.loopback_allowed ? " loopback" : "",
	                    judgement.literal_allowed ? " literal" : "");
}

struct row {
	const char *request, *outcome;
};

static void hold(struct world *world, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct arena arena = {0};
		struct problem problem = {0};
		const char *came = outcome(&arena, world, rows[i].request, &problem);
		if (strcmp(came, rows[i].outcome) != 0)
			fail_msg("%s\n  came: %s (%s)\n  want: %s", rows[i].request, came, problem.detail ? problem.detail : "",
			         rows[i].outcome);
		arena_free(&arena);
	}
}
#define HOLD(world, rows) hold(world, rows, sizeof(rows) / sizeof *(rows))

static void test_reverse(void **state)
{
	static const struct row rows[] = {
		{"GET /plain/x?y|X-Api-Key: {plain}", "a plain https://api.example.com:443 /x private"},
		{"GET /plain|X-Api-Key: {plain}", "a plain https://api.example.com:443 / private"},
		{"GET /plain/|X-Api-Key: {plain}", "a plain https://api.example.com:443 / private"},
		{"GET /plain/%41%2e|X-Api-Key: {plain}", "a plain https://api.example.com:443 /A. private"},
		{"GET /plain//x|X-Api-Key: {plain}", "a plain https://api.example.com:443 //x private"},
		{"GET /plain/{}|X-Api-Key: {plain}", "a plain https://api.example.com:443 /%7B%7D private"},
		{"GET /ruled/x|Authorization: Basic {basic ruled}", "a ruled https://api.example.com:443 /v1/x private"},
		{"POST /ruled|Authorization: Basic {basic ruled}", "a ruled https://api.example.com:443 /v1 private"},
		{"GET /mixed/a%2fb|Authorization: Bearer {mixed}", "a mixed http://mixed.example:80 /a%2Fb private"},
		{"GET http://127.0.0.1:8180/plain/x|X-Api-Key: {plain}", "a plain https://api.example.com:443 /x private"},
		{"GET http://[::1]:8181/plain/x|X-Api-Key: {plain}", "a plain https://api.example.com:443 /x private"},
		{"GET http://localhost:8180/plain/x|X-Api-Key: {plain}", "a plain https://api.example.com:443 /x private"},
		{"GET HTTP://Keystile.Test:9000/plain/x|X-Api-Key: {plain}", "a plain https://api.example.com:443 /x private"},
	};
	(void)state;
	HOLD(&sessions, rows);
}

static void test_tokens(void **state)
{
	static const struct row rows[] = {
		{"GET /plain/x", "401 no_token"},
		{"GET /plain/x|X-Api-Key: nonsense", "401 bad_token"},
		{"GET /plain/x|X-Api-Key: nonsense|Authorization: Bearer {plain}", "a plain https://api.example.com:443 /x private"},
		{"GET /plain/x|Authorization: bearer  {plain}", "a plain https://api.example.com:443 /x private"},
		{"GET /plain/x|Authorization: Basic {user plain}", "a plain https://api.example.com:443 /x private"},
		{"GET /plain/x|Authorization: {plain}", "401 bad_token"},
		{"GET /plain/x|Authorization: Digest {plain}", "401 bad_token"},
		{"GET /plain/x|Authorization: Basic !!!", "401 no_token"},
		{"GET /plain/x|X-Other: {plain}", "401 bad_token"},
		{"GET /plain/x|X-Api-Key: {ruled}", "401 bad_token"},
		{"GET /plain/x|X-Api-Key: {proxy}", "401 bad_token"},
		{"GET /plain/x|Proxy-Authorization: Bearer {proxy}", "401 bad_token"},
		{"GET /plain/x|X-Api-Key: {other}", "401 bad_token"},
		{"GET /plain/x|X-Api-Key:  {plain}x", "401 bad_token"},
		{"GET /plain/x|Sec-WebSocket-Protocol: chat, {plain}", "a plain https://api.example.com:443 /x private"},
		{"GET /plain/x|Sec-WebSocket-Protocol: chat", "401 no_token"},
		{"GET /mixed/x?key={mixed}", "a mixed http://mixed.example:80 /x private"},
		{"GET /mixed/x?a&k%65y={mixed}", "a mixed http://mixed.example:80 /x private"},
		{"GET /mixed/x?key={mixed escaped}&a", "a mixed http://mixed.example:80 /x private"},
		{"GET /mixed/x?key={mixed}%", "401 bad_token"},
		{"GET /mixed/x?keys={mixed}", "401 no_token"},
		{"GET /mixed/x|Cookie: a=b; sid={mixed}", "a mixed http://mixed.example:80 /x private"},
		{"GET /mixed/x|Cookie: a=b; SID={mixed}", "401 no_token"},
		{"GET /bot/bot{bot}/getMe", "a bot http://127.0.0.1:8080 /say/bot{secret}/getMe private literal"},
		{"GET /bot/bot{bot escaped}/getMe", "a bot http://127.0.0.1:8080 /say/bot{secret}/getMe private literal"},
		{"GET /bot/bot{bot}//getMe", "400 malformed_path"},
		{"GET /bot/file/bot{bot}/a/b", "a bot http://127.0.0.1:8080 /say/file/bot{secret}/a/b private literal"},
		{"GET /bot/getMe|Authorization: Bearer {bot}", "a bot http://127.0.0.1:8080 /say/bot{secret}/getMe private literal"},
		{"GET /bot/botmine/getMe|Authorization: Bearer {bot}",
		 "a bot http://127.0.0.1:8080 /say/bot{secret}/getMe private literal"},
		{"GET /bot/bot/getMe|Authorization: Bearer {bot}", "403 no_rule"},
		{"GET /bot/botx/sendMessage|Authorization: Bearer {bot}", "403 no_rule"},
		{"POST /hook/services/{hook}/xy/z", "a hook http://hook.example:80 /services/{secret}/x{secret}/z private"},
		{"POST /hook/z|Authorization: Bearer {hook}", "a hook http://hook.example:80 /services/{secret}/x{secret}/z private"},
		{"POST /hook/services/a/x{hook}/z", "401 bad_token"},
		{"GET /aws/b/k|Authorization: AWS4-HMAC-SHA256 Credential={aws}/20150830/x/y/aws4_request, SignedHeaders=host, "
		 "Signature=00", "a aws https://s3.example:443 /b/k private"},
		{"GET /aws/b/k|Authorization: AWS4-HMAC-SHA256 SignedHeaders=host,Credential={aws}/", "a aws https://s3.example:443 "
		 "/b/k private"},
		{"GET /aws/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={aws}%2F20150830%2Fx%2Fy%2Faws4_request",
		 "a aws https://s3.example:443 /b/k private"},
		{"GET /aws/b/k?X-Amz-Credential={aws}/x", "a aws https://s3.example:443 /b/k private"},
		{"PUT /aws/b/k|Authorization: Bearer {aws}|X-Amz-Copy-Source: o/k", "a aws https://s3.example:443 /b/k private"},
		{"PUT /aws_ruled/b/k|Authorization: Bearer {aws_ruled}", "a aws_ruled https://s3.example:443 /b/k private"},
		{"PUT /aws_ruled/b/k|Authorization: Bearer {aws_ruled}|x-amz-copy-source: o/k", "403 copy_source"},
		{"PUT /aws_ruled/b/k|Authorization: Bearer {aws_ruled}|X_Amz_Copy-Source: o/k", "403 copy_source"},
		{"PUT /aws_ruled/b/k|Authorization: Bearer {aws_ruled}|X-Amz-Rename-Source: o/k", "403 copy_source"},
		{"PUT /aws_copies/b/k|Authorization: Bearer {aws_copies}|X-Amz-Copy-Source: o/k",
		 "a aws_copies https://s3.example:443 /b/k private"},
		{"PUT /aws_copies/b/k|Authorization: Bearer {aws_copies}|X-Amz-Rename-Source: o/k", "403 copy_source"},
		{"GET /aws/b/k|Authorization: Bearer {aws}", "a aws https://s3.example:443 /b/k private"},
		{"GET /aws/b/k|Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/x/y/aws4_request", "401 bad_token"},
		{"GET /aws/b/k|Authorization: AWS4-HMAC-SHA256 Credential={plain}/20150830/x/y/aws4_request", "401 bad_token"},
		{"GET /aws/b/k|Authorization: AWS4-HMAC-SHA256 Credential={aws}x/20150830/x/y/aws4_request", "401 bad_token"},
		{"GET /aws/b/k|Authorization: AWS4-HMAC-SHA256 Credential=x/{aws}/", "401 bad_token"},
		{"GET /aws/b/k|Authorization: AWS4-HMAC-SHA256 Credential={aws}", "401 no_token"},
		{"GET /aws/b/k?X-Amz-Signature={aws}", "401 no_token"},
		{"GET /plain/x|Authorization: AWS4-HMAC-SHA256 Credential={plain}/20150830/x/y/aws4_request", "401 no_token"},
		{"GET /other/x|X-Key: {other}", "b other http://other.example:80 /x private"},
		{"GET /plain/x|X-Api-Key: {b.plain}", "403 host_denied"},
		{"GET /plain/{ruled}/x|X-Api-Key: {plain}", "400 token_in_path"},
		{"GET /plain/x{ruled}|X-Api-Key: {plain}", "400 token_in_path"},
		{"GET /plain/a={plain};b|X-Api-Key: {plain}", "400 token_in_path"},
		{"GET /plain/x/{bot escaped}|X-Api-Key: {plain}", "400 token_in_path"},
	};
	(void)state;
	HOLD(&sessions, rows);
}

static void test_refusals(void **state)
{
	static const struct row rows[] = {
		{"GET /", "404 no_credential"},
		{"GET /nope/x|Authorization: Bearer {plain}", "404 no_credential"},
		{"GET //plain/x|X-Api-Key: {plain}", "404 no_credential"},
		{"GET /%70lain/x|X-Api-Key: {plain}", "404 no_credential"},
		{"GET /wild/x|X-Key: k {wild}", "404 wildcard_upstream"},
		{"GET /wild/x", "401 no_token"},
		{"GET /absent/x|X-Key: {absent}", "503 secret_not_ready"},
		{"GET /minting/x|Authorization: Bearer {minting}", "503 token_not_ready"},
		{"TRACE /plain/x|X-Api-Key: {plain}", "405 trace"},
		{"CONNECT api.example.com:443", "501 connect"},
		{"CONNECT allowed.example:443|Proxy-Authorization: Bearer {proxy}", "501 connect"},
		{"OPTIONS *", "400 malformed_target"},
		{"GET plain/x", "400 malformed_target"},
		{"GET ftp://h/x", "400 malformed_target"},
		{"GET http://user@allowed.example/", "400 malformed_target"},
		{"GET http://0x7f000001/", "400 malformed_target"},
		{"GET http:///x", "400 malformed_target"},
		{"GET /plain/x#y|X-Api-Key: {plain}", "400 malformed_target"},
		{"GET /plain/a%2fb|X-Api-Key: {plain}", "400 malformed_path"},
		{"GET /plain/a/../b|X-Api-Key: {plain}", "400 malformed_path"},
		{"GET /plain/%2E%2e/b|X-Api-Key: {plain}", "400 malformed_path"},
		{"GET /mixed/a%2f..%2fb|Authorization: Bearer {mixed}", "400 malformed_path"},
		{"GET /plain/a%5Cb|X-Api-Key: {plain}", "400 malformed_path"},
		{"GET /plain/a%00b|X-Api-Key: {plain}", "400 malformed_path"},
		{"GET /plain/a%zz|X-Api-Key: {plain}", "400 malformed_path"},
		{"GET /plain/a%zz", "401 no_token"},
		{"GET /ruled/a//b|Authorization: Basic {basic ruled}", "400 malformed_path"},
		{"GET /ruled/secret/x|Authorization: Basic {basic ruled}", "403 rule"},
		{"GET /ruled/%73ecret/x|Authorization: Basic {basic ruled}", "403 rule"},
		{"DELETE /ruled/x|Authorization: Basic {basic ruled}", "403 no_rule"},
		{"get /ruled/x|Authorization: Basic {basic ruled}", "400 method_case"},
		{"Connect api.example.com:443", "400 method_case"},
		{"POST /ruled/x|Authorization: Basic {basic ruled}|X-HTTP-Method-Override: DELETE", "403 override"},
		{"POST /ruled/x|Authorization: Basic {basic ruled}|x_http_method: dElete", "403 override"},
		{"POST /ruled/x|Authorization: Basic {basic ruled}|X-Method-Override: GET, DELETE", "403 override"},
		{"GET /ruled/x|Authorization: Basic {basic ruled}|X-Original-URL: /secret/x", "403 override"},
		{"GET /ruled/x|Authorization: Basic {basic ruled}|X-Rewrite-URL:", "403 override"},
	};
	(void)state;
	HOLD(&sessions, rows);
}

static void test_forward(void **state)
{
#define PROXY "|Proxy-Authorization: Basic {basic proxy}"
	static const struct row rows[] = {
		{"GET http://allowed.example/x", "407 no_token"},
		{"GET http://allowed.example/x|Authorization: Basic {basic proxy}", "407 no_token"},
		{"GET http://allowed.example/x|Proxy-Authorization: Bearer {plain}", "407 bad_token"},
		{"GET http://allowed.example/x|Proxy-Authorization: Bearer {proxy}", "a allowed.example http://allowed.example:80 /x private"},
		{"GET http://allowed.example" PROXY, "a allowed.example http://allowed.example:80 / private"},
		{"GET http://allowed.example?q" PROXY, "a allowed.example http://allowed.example:80 / private"},
		{"GET https://Allowed.Example./x" PROXY, "a allowed.example https://allowed.example:443 /x private"},
		{"GET http://allowed.example:8080/x" PROXY, "403 host_not_allowed"},
		{"GET http://port.example:8080/x" PROXY, "a port.example:8080 http://port.example:8080 /x private"},
		{"GET http://port.example/x" PROXY, "403 host_not_allowed"},
		{"GET http://a.b.deep.example/x" PROXY, "a *.deep.example http://a.b.deep.example:80 /x"},
		{"GET http://deep.example/x" PROXY, "403 host_not_allowed"},
		{"GET http://no.deep.example/x" PROXY, "403 host_denied"},
		{"GET http://10.1.2.3/x" PROXY, "a 10.0.0.0/8 http://10.1.2.3:80 /x literal"},
		{"GET http://192.0.2.7/x" PROXY, "a 192.0.2.7 http://192.0.2.7:80 /x private literal"},
		{"GET http://[::ffff:192.0.2.7]/x" PROXY, "a 192.0.2.7 http://192.0.2.7:80 /x private literal"},
		{"GET http://192.0.2.8/x" PROXY, "403 host_not_allowed"},
		{"GET http://ruled.example/docs/a" PROXY, "a ruled.example http://ruled.example:80 /docs/a private"},
		{"GET http://ruled.example/x" PROXY, "403 no_rule"},
		{"GET http://ruled.example/docs//a" PROXY, "400 malformed_path"},
		{"GET http://allowed.example/a%2fb" PROXY, "400 malformed_path"},
		{"GET http://slash.example/a%2fb" PROXY, "a slash.example http://slash.example:80 /a%2Fb private"},
		{"GET http://allowed.example/{plain}" PROXY, "400 token_in_path"},
		{"TRACE http://allowed.example/" PROXY, "405 trace"},
	};
	(void)state;
	HOLD(&sessions, rows);
}

static void test_forward_to_credentials(void **state)
{
	static const struct row rows[] = {
		/* the longest upstream path first, if its rules allow; else the next one */
		{"GET https://api.example.com/v1/x" PROXY, "a ruled https://api.example.com:443 /v1/x private"},
		{"GET https://api.example.com/v1/secret/x" PROXY, "a plain https://api.example.com:443 /v1/secret/x private"},
		{"GET https://api.example.com/v12" PROXY, "a plain https://api.example.com:443 /v12 private"},
		/* an upstream on 443 also owns port 80, and is reached as it says */
		{"GET http://api.example.com/v1/x" PROXY, "a ruled https://api.example.com:443 /v1/x private"},
		{"GET https://api.example.com:8443/" PROXY, "403 host_not_allowed"},
		{"GET http://127.0.0.1:8080/say/botme/getMe" PROXY, "a bot http://127.0.0.1:8080 /say/bot{secret}/getMe private literal"},
		{"GET http://127.0.0.1:8080/other" PROXY, "403 no_prefix"},
		{"GET http://127.0.0.1:8080/say/botme/send" PROXY, "403 no_rule"},
		{"GET https://x.y.wild.example/z" PROXY, "a wild https://x.y.wild.example:443 /z"},
		{"GET https://wild.example/z" PROXY, "403 host_not_allowed"},
		/* a credential host is never an allowed host: not for a profile without that credential */
		{"GET http://other.example/z" PROXY, "403 host_not_allowed"},
		{"GET http://localhost:81/z" PROXY, "503 secret_not_ready"},
		{"GET https://api.example.com/{ruled}/x" PROXY, "400 token_in_path"},
	};
	(void)state;
	HOLD(&sessions, rows);
}

static void test_session_none(void **state)
{
	static const struct row rows[] = {
		{"GET /plain/x|Host: 127.0.0.1:8180", "only plain http://127.0.0.1:8080 /x private literal"},
		{"GET /plain/x|Host: localhost:1", "only plain http://127.0.0.1:8080 /x private literal"},
		{"GET /plain/x|Host: 127.0.0.1", "only plain http://127.0.0.1:8080 /x private literal"},
		{"GET /plain/x|Host: 127.0.0.1:81", "403 browser"},
		{"GET /plain/x|Host: evil.example:8180", "403 browser"},
		{"GET /plain/x", "403 browser"},
		{"GET /plain/x|Host: localhost|Origin: null", "403 browser"},
		{"GET /plain/x|Host: localhost|Sec-Fetch-Site: same-origin", "403 browser"},
		{"GET /plain/x|Host: localhost|Sec-Fetch-Site: none", "only plain http://127.0.0.1:8080 /x private literal"},
		{"GET /plain/x|Host: localhost|Sec-Fetch-Site: none|Sec-Fetch-Site: cross-site", "403 browser"},
		{"GET /nope/x|Host: localhost", "404 no_credential"},
		{"GET http://allowed.example/x|Host: evil.example", "only allowed.example http://allowed.example:80 /x private"},
		{"GET http://allowed.example/x|Origin: http://h", "403 browser"},
	};
	(void)state;
	HOLD(&open_world, rows);
}

static void test_words(void **state)
{
	static const struct words_row {
		const char *request, *detail, *hint; /* a part of each */
	} rows[] = {
		{"GET /plain/x", "no session token came", "`X-Api-Key: {secret}`"},
		{"GET /plain/x|X-Other: {plain}", "in the field X-Other", "Authorization: Bearer"},
		{"GET /plain/x|X-Api-Key: {other}", "the token of credential other in profile b", "X-Api-Key"},
		{"GET /plain/x|X-Api-Key: nonsense", "not a token of credential plain", "session.key"},
		{"GET /nope/x|Authorization: Bearer {plain}", "`nope`", "/plain/, /ruled/"},
		{"GET /nope/x", "`nope`", "/NAME/path"},
		{"GET /ruled/secret/x|Authorization: Basic {basic ruled}", "`deny * /v1/secret/**` of credential ruled",
		 "`allow GET /v1/secret/x`, in front of that one"},
		{"GET /absent/x|X-Key: {absent}", "env:JUDGE_ABSENT", "/readyz"},
		{"GET http://new.example/x" PROXY, "profile a does not allow new.example:80", "add \"new.example\" to `hosts:`"},
		{"GET http://new.example:8080/x" PROXY, "new.example:8080", "add \"new.example:8080\""},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct arena arena = {0};
		struct problem problem = {0};
		outcome(&arena, &sessions, rows[i].request, &problem);
		if (!strstr(problem.detail, rows[i].detail) || !problem.hint || !strstr(problem.hint, rows[i].hint))
			fail_msg("%s\n  detail: %s (want %s)\n  hint: %s (want %s)", rows[i].request, problem.detail, rows[i].detail,
			         problem.hint, rows[i].hint);
		arena_free(&arena);
	}
}

/* A token never shows in the path that the audit gets. */
static void test_audit_path(void **state)
{
	static const char *const rows[] = {
		"GET /bot/bot{mixed}/getMe", "GET /plain/{ruled}/x|X-Api-Key: {plain}",
		"GET http://allowed.example/{plain}/y" PROXY, "GET http://allowed.example/{plain}" PROXY,
		/* refused for something else */
		"GET /plain/x/{ruled}/y", "GET /plain/bot{bot}/{plain},{ruled};a/b", "GET /plain/z{bot escaped}/{plain}/%41",
		"DELETE /ruled/{plain}|Authorization: Basic {basic ruled}", "POST http://ruled.example/a/{other}" PROXY,
		"GET /plain/x/{ruled}{wild}/y", "GET /plain/x/{ruled}{plain}-a{plain}",
	};
	static const char *const paths[] = {"/say/bot{secret}/getMe", "/{secret}/x", "/{secret}/y", "/{secret}",
	                                    "/x/{secret}/y", "/bot{secret}/{secret},{secret};a/b", "/{secret}/{secret}/A",
	                                    "/v1/{secret}", "/a/{secret}", "/x/{secret}/y", "/x/{secret}-a{secret}"};
	static const struct way way = {.kind = WAY_REVERSE};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct arena arena = {0};
		struct problem problem = {0};
		struct judgement judgement = {0};
		struct request request = request_of(&arena, rows[i]);
		assert_false(judge_request(&sessions.snapshot, &sessions.own, &way, &request, &arena, &judgement, &problem));
		AUTO_FREE char *path = memory_span(judgement.path);
		assert_string_equal(path, paths[i]);
		arena_free(&arena);
	}
}

/* SPEC §3: an exchange's memory is bounded, whatever the path and however many credentials serve its host. */
static void test_long_paths(void **state)
{
	static const struct {
		const char *before, *behind;
		char filler;
		bool allowed;
	} rows[] = {
		{"GET /plain/", "|X-Api-Key: {plain}", 'a', true},
		{"GET /plain/", "|X-Api-Key: {plain}", '{', false},
		{"GET http://api.example.com/", "|Proxy-Authorization: Basic {basic proxy}", 'a', true},
	};
	(void)state;
	char filler[20000 + 1] = {0};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct arena arena = {0}, own = {0};
		struct problem problem = {0};
		struct judgement judgement = {0};
		static const struct way way = {.kind = WAY_REVERSE};
		struct request request = request_of(&own, arena_format(&own, "%s%s", rows[i].before, rows[i].behind));
		memset(filler, rows[i].filler, sizeof filler - 1);
		request.target = span_of(arena_format(&own, "%.*s%s", SPAN_ARGS(request.target), filler));
		bool allowed = judge_request(&sessions.snapshot, &sessions.own, &way, &request, &arena, &judgement, &problem);
		if (allowed != rows[i].allowed || (!allowed && strcmp(problem.reason, "malformed_path") != 0))
			fail_msg("%s: came %d %s", rows[i].before, allowed, problem.reason ? problem.reason : "");
		if (arena.total > 2 * sizeof filler + 1000)
			fail_msg("%s: %zu bytes for a path of %zu", rows[i].before, arena.total, sizeof filler);
		arena_free(&arena);
		arena_free(&own);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reverse),      cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_refusals),     cmocka_unit_test(test_forward),
		cmocka_unit_test(test_forward_to_credentials), cmocka_unit_test(test_session_none),
		cmocka_unit_test(test_words),        cmocka_unit_test(test_audit_path),
		cmocka_unit_test(test_long_paths),
	};
	return cmocka_run_group_tests_name("judge", tests, start, stop);
}
