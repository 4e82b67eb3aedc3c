/* AWS Signature Version 4, held against the suite that AWS published for it, and against S3's own examples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "secret.h"
#include "sigv4.h"

#define SUITE_SECRET SPAN("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
#define S3_SECRET SPAN("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define LETTERS "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define SESSION \
	"AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwth" \
	"Ax7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAki" \
	"Y9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="

/* "METHOD target|Name: value|…", the time and Host left out; the body, and what comes of them. */
struct row {
	const char *name, *request, *body, *names, *signature;
};

static const struct row suite[] = {
	{"get-vanilla", "GET /", "", "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"get-vanilla-query", "GET /?", "", "host;x-amz-date",
	 "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"get-vanilla-empty-query-key", "GET /?Param1=value1", "", "host;x-amz-date",
	 "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
	{"get-vanilla-query-order-key-case", "GET /?Param2=value2&Param1=value1", "", "host;x-amz-date",
	 "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
	{"get-vanilla-query-unreserved", "GET /?" LETTERS "=" LETTERS, "", "host;x-amz-date",
	 "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
	{"get-vanilla-utf8-query", "GET /?\xe1\x88\xb4=bar", "", "host;x-amz-date",
	 "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
	{"get-unreserved", "GET /" LETTERS, "", "host;x-amz-date",
	 "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
	{"get-utf8", "GET /\xe1\x88\xb4", "", "host;x-amz-date",
	 "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
	{"get-slash", "GET //", "", "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"get-relative", "GET /example/..", "", "host;x-amz-date",
	 "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"get-relative-relative", "GET /example1/example2/../..", "", "host;x-amz-date",
	 "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"get-slash-dot-slash", "GET /./", "", "host;x-amz-date",
	 "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"get-header-key-duplicate", "GET /|My-Header1: value2|My-Header1: value2|My-Header1: value1", "",
	 "host;my-header1;x-amz-date", "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
	{"get-header-value-multiline", "GET /|My-Header1: value1|My-Header1: value2|My-Header1: value3", "",
	 "host;my-header1;x-amz-date", "ba17b383a53190154eb5fa66a1b836cc297cc0a3d70a5d00705980573d8ff790"},
	{"get-header-value-order", "GET /|My-Header1: value4|My-Header1: value1|My-Header1: value3|My-Header1: value2", "",
	 "host;my-header1;x-amz-date", "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
	{"get-header-value-trim", "GET /|My-Header1:  value1|My-Header2:  \"a   b   c\"", "",
	 "host;my-header1;my-header2;x-amz-date", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
	{"post-vanilla", "POST /", "", "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
	{"post-header-key-sort", "POST /|My-Header1: value1", "", "host;my-header1;x-amz-date",
	 "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
	{"post-header-value-case", "POST /|My-Header1: VALUE1", "", "host;my-header1;x-amz-date",
	 "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
	{"post-sts-header-before", "POST /|X-Amz-Security-Token: " SESSION, "", "host;x-amz-date;x-amz-security-token",
	 "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
	{"post-vanilla-query", "POST /?Param1=value1", "", "host;x-amz-date",
	 "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
	{"post-vanilla-query-nonunreserved",
	 "POST /?%40%23%24%25%5E=&%2B=%2F%2C%3F%3E%3C%60%22%3B%3A%5C%7C%5D%5B%7B%7D", "", "host;x-amz-date",
	 "66c82657c86e26fb25238d0e69f011edc4c6df5ae71119d7cb98ed9b87393c1e"},
	{"post-vanilla-query-space", "POST /?p=", "", "host;x-amz-date",
	 "e71688addb58a26418614085fb730ba3faa623b461c17f48f2fbdb9361b94a9b"},
	{"post-x-www-form-urlencoded", "POST /|Content-Type: application/x-www-form-urlencoded", "Param1=value1",
	 "content-type;host;x-amz-date", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
	{"post-x-www-form-urlencoded-parameters", "POST /|Content-Type: application/x-www-form-urlencoded; charset=utf8",
	 "Param1=value1", "content-type;host;x-amz-date",
	 "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"},
};

#define S3_NAMES "host;range;x-amz-content-sha256;x-amz-date"
#define HASHED "|x-amz-content-sha256: " EMPTY

/* The examples of "Authenticating Requests: Using the Authorization Header". */
static const struct row examples[] = {
	{"get-object", "GET /test.txt|Range: bytes=0-9" HASHED, "", S3_NAMES,
	 "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
	{"put-object",
	 "PUT /test%24file.text|Date: Fri, 24 May 2013 00:00:00 GMT|x-amz-storage-class: REDUCED_REDUNDANCY|"
	 "x-amz-content-sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
	 "Welcome to Amazon S3.", "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
	 "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
	{"put-object, not escaped",
	 "PUT /test$file.text|Date: Fri, 24 May 2013 00:00:00 GMT|x-amz-storage-class: REDUCED_REDUNDANCY|"
	 "x-amz-content-sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
	 "Welcome to Amazon S3.", "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
	 "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
	{"get-lifecycle", "GET /?lifecycle" HASHED, "", "host;x-amz-content-sha256;x-amz-date",
	 "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
	{"list-objects", "GET /?prefix=J&max-keys=2" HASHED, "", "host;x-amz-content-sha256;x-amz-date",
	 "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
};

/* Where a suite plays: which time, host and secret. */
struct stage {
	time_t now;
	const char *host, *id;
	struct span secret, region, service;
};

static const struct stage general = {1440938160, "example.amazonaws.com", "AKIDEXAMPLE", {NULL, 0}, {"us-east-1", 9},
                                     {"service", 7}};
static const struct stage storage = {1369353600, "examplebucket.s3.amazonaws.com", "AKIAIOSFODNN7EXAMPLE", {NULL, 0},
                                     {"us-east-1", 9}, {"s3", 2}};

static void read_fields(const char *text, struct arena *arena, struct span *line, struct fields *fields)
{
	struct span rest = span_of(text);
	*line = span_split(&rest, '|');
	while (rest.data) {
		struct span value = span_split(&rest, '|');
		struct span name = span_split(&value, ':');
		fields_add(fields, arena, name, span_trim(value));
	}
}

static void check_row(const struct stage *stage, struct span secret, const struct row *row)
{
	struct arena arena = {0};
	struct fields fields = {0};
	struct sigv4_scope scope = {.region = stage->region, .service = stage->service};
	struct sigv4_request request = {.fields = &fields};
	unsigned char key[SHA256_BYTES];
	char hash[SHA256_HEX + 1], signature[SHA256_HEX + 1], expected[400];
	sigv4_time(stage->now, scope.time);
	read_fields(row->request, &arena, &request.target, &fields);
	request.method = span_split(&request.target, ' ');
	fields_add(&fields, &arena, SPAN("X-Amz-Date"), span_of(scope.time));
	fields_add(&fields, &arena, SPAN("Host"), span_of(stage->host));
	sha256_hex(span_of(row->body), hash);
	request.payload = span_of(hash);
	sigv4_derive(NULL, secret, &scope, key);
	sigv4_sign(&request, &scope, key, &arena, signature);
	if (strcmp(signature, row->signature) != 0)
		fail_msg("%s: %s\n%.*s", row->name, signature, SPAN_ARGS(sigv4_canonical(&request, &scope, &arena)));
	snprintf(expected, sizeof expected, "AWS4-HMAC-SHA256 Credential=%s/%.8s/us-east-1/%.*s/aws4_request, SignedHeaders=%s, "
	         "Signature=%s", stage->id, scope.time, SPAN_ARGS(stage->service), row->names, row->signature);
	struct span authorization = sigv4_authorization(&request, &scope, span_of(stage->id), signature, &arena);
	assert_string_equal(authorization.data, expected);
	arena_free(&arena);
}

static void test_suite(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof suite / sizeof *suite; i++)
		check_row(&general, SUITE_SECRET, &suite[i]);
}

static void test_examples(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
		check_row(&storage, S3_SECRET, &examples[i]);
}

/* What the suite has no row for: the canonical path and query of a target. */
static const struct {
	const char *service, *target, *path, *query;
} targets[] = {
	{"s3", "/a%20b/c//d/%2F?x", "/a%20b/c//d//", "x="},
	{"s3", "/a!b*c'd(e)~+%2B", "/a%21b%2Ac%27d%28e%29~%2B%2B", ""},
	{"s3", "/%E2%82%AC/\xe2\x82\xac", "/%E2%82%AC/%E2%82%AC", ""},
	{"s3", "/a/./b", "/a/./b", ""},
	{"dynamodb", "/a%20b//c/?b&a&b=1", "/a%2520b/c/", "a=&b=&b=1"},
	{"dynamodb", "/a/b/../c/.", "/a/c/", ""},
	{"dynamodb", "/../../a", "/a", ""},
	{"dynamodb", "/a/..", "/", ""},
	{"execute-api", "/a:b@c", "/a%3Ab%40c", ""},
	{"s3", "/?a=b+c&&a=%2b&=v&A=%zz", "/", "=v&A=%25zz&a=%2B&a=b%20c"},
	{"s3", "/?a+b=c", "/", "a%20b=c"},
	{"s3", "/?a-b=1&a=2&a%3D=3&aa=4", "/", "a=2&a%3D=3&a-b=1&aa=4"},
	{"s3", "/?x=1=2&y=a;b", "/", "x=1%3D2&y=a%3Bb"},
};

static void test_targets(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
		struct arena arena = {0};
		struct fields fields = {0};
		struct sigv4_scope scope = {.region = SPAN("r"), .service = span_of(targets[i].service)};
		struct sigv4_request request = {SPAN("GET"), span_of(targets[i].target), &fields, SPAN("-")};
		struct span text = sigv4_canonical(&request, &scope, &arena);
		span_split(&text, '\n');
		struct span path = span_split(&text, '\n'), query = span_split(&text, '\n');
		if (!span_equal(path, span_of(targets[i].path)) || !span_equal(query, span_of(targets[i].query)))
			fail_msg("%s: %.*s ? %.*s", targets[i].target, SPAN_ARGS(path), SPAN_ARGS(query));
		arena_free(&arena);
	}
}

static void derive(struct sigv4_cache *cache, const char *secret, const char *day, const char *region,
                   unsigned char key[SHA256_BYTES])
{
	struct sigv4_scope scope = {.region = span_of(region), .service = SPAN("s3")};
	snprintf(scope.time, sizeof scope.time, "%sT000000Z", day);
	sigv4_derive(cache, span_of(secret), &scope, key);
}

/* Nothing that was kept may be given for anything else, also where the parts run together alike. */
static void test_cache(void **state)
{
	static const char *const ways[][3] = {
		{"secret", "20150830", "us-east-1"}, {"secret", "20150831", "us-east-1"}, {"secret", "20150830", "us-east-12"},
		{"2secret", "20150830", "us-east-1"}, {"secrex", "20150830", "us-east-1"},
	};
	(void)state;
	struct sigv4_cache *cache = sigv4_cache_new();
	char longer[300];
	memset(longer, 'x', sizeof longer);
	longer[sizeof longer - 1] = 0;
	for (size_t round = 0; round < 100; round++) {
		size_t which = round % (sizeof ways / sizeof *ways);
		char region[24];
		unsigned char expected[SHA256_BYTES], found[SHA256_BYTES];
		snprintf(region, sizeof region, "%s%.0zu", ways[which][2], round > 50 ? round % 7 : 0);
		derive(NULL, ways[which][0], ways[which][1], region, expected);
		derive(cache, ways[which][0], ways[which][1], region, found);
		assert_memory_equal(found, expected, SHA256_BYTES);
		derive(NULL, longer, ways[which][1], region, expected);
		derive(cache, longer, ways[which][1], region, found);
		assert_memory_equal(found, expected, SHA256_BYTES);
	}
	sigv4_cache_free(cache);
	sigv4_cache_free(NULL);
}

static int start(void **state)
{
	(void)state;
	return secret_start(NULL) ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_suite),
		cmocka_unit_test(test_examples),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_cache),
	};
	return cmocka_run_group_tests(tests, start, NULL);
}
