/* Signers: what is signed, by what the agent said of its body, and which fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "secret.h"
#include "sign.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define OTHER "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"

static const struct signer s3 = {{"AKID", 4}, {"key", 3}, {"session/token==", 15}, {"eu-central-1", 12}, {"s3", 2}};
static const struct signer dynamodb = {{"AKID", 4}, {"key", 3}, {"", 0}, {"eu-central-1", 12}, {"dynamodb", 8}};

#define NONE {BODY_NONE, 0}
#define SOME {BODY_LENGTH, 3}
#define CHUNKED {BODY_CHUNKED, 0}

static const struct {
	const struct signer *signer;
	struct body_framing body;
	const char *said; /* X-Amz-Content-Sha256; NULL: nothing */
	unsigned status;  /* of the refusal; 0: none, and then: */
	enum sign_body how;
	const char *payload;
	bool told, trailers;
} plans[] = {
	{&s3, NONE, NULL, 0, SIGN_AS_SAID, "UNSIGNED-PAYLOAD", true, false},
	{&s3, SOME, NULL, 0, SIGN_AS_SAID, "UNSIGNED-PAYLOAD", true, false},
	{&s3, CHUNKED, NULL, 0, SIGN_AS_SAID, "UNSIGNED-PAYLOAD", true, false},
	{&dynamodb, NONE, NULL, 0, SIGN_AS_SAID, EMPTY, false, false},
	{&dynamodb, {BODY_LENGTH, 0}, NULL, 0, SIGN_AS_SAID, EMPTY, false, false},
	{&dynamodb, SOME, NULL, 0, SIGN_HELD, NULL, false, false},
	{&dynamodb, CHUNKED, NULL, 0, SIGN_HELD, NULL, false, false},
	{&s3, SOME, OTHER, 0, SIGN_CHECKED, OTHER, true, false},
	{&dynamodb, CHUNKED, OTHER, 0, SIGN_CHECKED, OTHER, true, false},
	{&dynamodb, NONE, EMPTY, 0, SIGN_AS_SAID, EMPTY, true, false},
	{&dynamodb, NONE, OTHER, 400, 0, NULL, false, false},
	{&s3, SOME, "UNSIGNED-PAYLOAD", 0, SIGN_AS_SAID, "UNSIGNED-PAYLOAD", true, false},
	{&dynamodb, SOME, "UNSIGNED-PAYLOAD", 0, SIGN_AS_SAID, "UNSIGNED-PAYLOAD", true, false},
	{&s3, SOME, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", 0, SIGN_AS_SAID, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", true, false},
	{&s3, SOME, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", 0, SIGN_CHUNKS, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", true, false},
	{&s3, CHUNKED, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", 0, SIGN_CHUNKS,
	 "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", true, true},
	{&s3, SOME, "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", 501, 0, NULL, false, false},
	{&s3, SOME, "STREAMING-AWS4-HMAC-SHA256-EVENTS", 501, 0, NULL, false, false},
	{&s3, SOME, "unsigned-payload", 400, 0, NULL, false, false},
	{&s3, SOME, "", 400, 0, NULL, false, false},
	{&s3, SOME, OTHER "0", 400, 0, NULL, false, false},
	{&s3, SOME, "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855", 400, 0, NULL, false, false},
};

static void test_plans(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
		struct arena arena = {0};
		struct request request = {.method = SPAN("PUT"), .target = SPAN("/"), .body = plans[i].body};
		struct sign_plan plan;
		struct problem problem = {0};
		if (plans[i].said)
			fields_add(&request.fields, &arena, SPAN("X-AMZ-Content-SHA256"), span_of(plans[i].said));
		bool made = sign_make_plan(plans[i].signer, &request, &arena, &plan, &problem);
		if (made != !plans[i].status || problem.status != plans[i].status)
			fail_msg("row %zu: %u %s", i, problem.status, problem.detail ? problem.detail : "");
		if (made && (plan.body != plans[i].how || plan.told != plans[i].told || plan.trailers != plans[i].trailers))
			fail_msg("row %zu: body %d, told %d, trailers %d", i, plan.body, plan.told, plan.trailers);
		if (made && plans[i].payload && !span_equal(plan.payload, span_of(plans[i].payload)))
			fail_msg("row %zu: %.*s", i, SPAN_ARGS(plan.payload));
		arena_free(&arena);
	}
}

static void test_twice(void **state)
{
	struct arena arena = {0};
	struct request request = {.method = SPAN("GET"), .target = SPAN("/")};
	struct sign_plan plan;
	struct problem problem = {0};
	(void)state;
	fields_add(&request.fields, &arena, SPAN("x-amz-content-sha256"), SPAN("UNSIGNED-PAYLOAD"));
	fields_add(&request.fields, &arena, SPAN("x-amz-content-sha256"), SPAN("UNSIGNED-PAYLOAD"));
	assert_false(sign_make_plan(&s3, &request, &arena, &plan, &problem));
	assert_int_equal(problem.status, 400);
	arena_free(&arena);
}

static const struct {
	const char *authorization, *id; /* NULL: none */
} shown[] = {
	{"AWS4-HMAC-SHA256 Credential=T0/20150830/r/s/aws4_request, SignedHeaders=host, Signature=00", "T0"},
	{"AWS4-HMAC-SHA256 Credential=T0/20150830/r/s/aws4_request,SignedHeaders=host,Signature=00", "T0"},
	{"aws4-hmac-sha256  SignedHeaders=host,  Credential=T0/, Signature=", "T0"},
	{"AWS4-HMAC-SHA256 Credential=T0", NULL},
	{"AWS4-HMAC-SHA256 xCredential=T0/", NULL},
	{"AWS4-HMAC-SHA256", NULL},
	{"AWS4-HMAC-SHA256-X Credential=T0/", NULL},
	{"Bearer Credential=T0/", NULL},
	{"", NULL},
};

static void test_shown(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
		struct span id = sign_shown_id(span_of(shown[i].authorization));
		if (shown[i].id ? !span_equal(id, span_of(shown[i].id)) : id.data != NULL)
			fail_msg("`%s`: `%.*s`", shown[i].authorization, SPAN_ARGS(id));
	}
}

static const struct field *find(const struct request *request, const char *name)
{
	return fields_find(&request->fields, span_of(name));
}

/* The signature itself is sigv4.h's; here is what it is over, and what the fields with secrets are marked as. */
static void test_request(void **state)
{
	struct arena arena = {0};
	struct request out = {.method = SPAN("PUT"), .target = SPAN("/b/k?x=1")};
	struct signed_head head;
	const struct sign_plan plan = {.payload = SPAN("UNSIGNED-PAYLOAD"), .told = true};
	(void)state;
	fields_add(&out.fields, &arena, SPAN("Host"), SPAN("s3.example"));
	fields_add(&out.fields, &arena, SPAN("User-Agent"), SPAN("u"));
	fields_add(&out.fields, &arena, SPAN("Content-Type"), SPAN("text/plain"));
	fields_add(&out.fields, &arena, SPAN("x-AMZ-meta-a"), SPAN("1"));
	fields_add(&out.fields, &arena, SPAN("Content-MD5"), SPAN("m"));
	sign_request(&s3, &plan, 1440938160, NULL, &arena, &out, &head);
	assert_int_equal(out.fields.count, 9);
	struct span names = find(&out, "authorization")->value;
	assert_true(span_starts(names, SPAN("AWS4-HMAC-SHA256 Credential=AKID/20150830/eu-central-1/s3/aws4_request, "
	                                    "SignedHeaders=content-md5;content-type;host;x-amz-content-sha256;x-amz-date;"
	                                    "x-amz-meta-a;x-amz-security-token, Signature=")));
	assert_true(span_ends(names, span_of(head.signature)));
	assert_true(find(&out, "authorization")->sensitive);
	assert_true(find(&out, "x-amz-security-token")->sensitive);
	assert_false(find(&out, "x-amz-date")->sensitive);
	assert_true(span_equal(find(&out, "x-amz-date")->value, SPAN("20150830T123600Z")));
	assert_true(span_equal(find(&out, "x-amz-content-sha256")->value, SPAN("UNSIGNED-PAYLOAD")));
	arena_free(&arena);
}

static void test_untold(void **state)
{
	struct arena arena = {0};
	struct request out = {.method = SPAN("POST"), .target = SPAN("/")};
	struct signed_head head;
	const struct sign_plan plan = {.payload = SPAN(EMPTY)};
	(void)state;
	fields_add(&out.fields, &arena, SPAN("Host"), SPAN("dynamodb.example"));
	sign_request(&dynamodb, &plan, 1440938160, NULL, &arena, &out, &head);
	assert_int_equal(out.fields.count, 3);
	assert_null(find(&out, "x-amz-security-token"));
	assert_null(find(&out, "x-amz-content-sha256"));
	arena_free(&arena);
}

/* A long query, all of which is escaped to be signed: what is signed does not stay with the request. */
static void test_what_is_kept(void **state)
{
	struct arena arena = {0};
	struct signed_head head;
	char target[20000];
	const struct sign_plan plan = {.payload = SPAN(EMPTY)};
	(void)state;
	memset(target, '!', sizeof target);
	memcpy(target, "/?", 2);
	struct request out = {.method = SPAN("GET"), .target = {target, sizeof target}};
	fields_add(&out.fields, &arena, SPAN("Host"), SPAN("dynamodb.example"));
	sign_request(&dynamodb, &plan, 1440938160, NULL, &arena, &out, &head);
	assert_true(arena.total < 4096);
	arena_free(&arena);
}

static int start(void **state)
{
	(void)state;
	return secret_start(NULL) ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plans), cmocka_unit_test(test_twice),   cmocka_unit_test(test_shown),
		cmocka_unit_test(test_request), cmocka_unit_test(test_untold),
		cmocka_unit_test(test_what_is_kept),
	};
	return cmocka_run_group_tests(tests, start, NULL);
}
