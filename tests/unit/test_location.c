/* URLs of an answer: which ones lie under the upstream, and how the client reaches them. */
#include "location.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "memory.h"

static struct origin origin_of(bool tls, const char *host, uint16_t port, const char *path)
{
	struct origin origin = {.tls = tls, .port = port, .path = (char *)(uintptr_t)path};
	struct fault fault = FAULT_INIT;
	if (!host_parse(span_of(host), &origin.host, &fault))
		fail_msg("%s", fault.text);
	return origin;
}

struct row {
	const char *value;
	const char *wanted; /* NULL: passes as it is */
};

struct endpoint {
	bool tls;
	const char *host;
	uint16_t port;
	const char *path;   /* of the upstream */
	const char *target; /* what the client asked for */
	const char *sent;   /* what went up */
};

typedef bool rewriter(struct span value, const struct location_base *base, struct arena *arena, struct span *out);

static void check(const struct endpoint *endpoint, struct config_credential *credential, rewriter *rewrite,
                  const struct span *values, size_t prefix, const struct row *row)
{
	struct arena arena = {0};
	struct location_base base;
	struct span out;
	credential->upstream = origin_of(endpoint->tls, endpoint->host, endpoint->port, endpoint->path);
	struct location_request request = {credential, values, span_of(endpoint->target), span_of(endpoint->sent), prefix};
	location_base_make(&base, &request, &arena);
	/* On the heap and without a NUL, so that a read beyond it is found. */
	size_t length = strlen(row->value);
	AUTO_FREE char *copy = memory_resize(NULL, length + !length, 1);
	memcpy(copy, row->value, length);
	bool changed = rewrite((struct span){copy, length}, &base, &arena, &out);
	const char *wanted = row->wanted ? row->wanted : row->value;
	if (changed != (row->wanted != NULL) || !span_equal(out, span_of(wanted)))
		fail_msg("upstream %s:%u%s asked for %s\nsent  \"%s\"\ncame  %s \"%.*s\"\nwanted %s \"%s\"", endpoint->host,
		         endpoint->port, endpoint->path, endpoint->sent, row->value, changed ? "new" : "old", SPAN_ARGS(out),
		         row->wanted ? "new" : "old", wanted);
	arena_free(&arena);
}

#define CHECK_ALL(endpoint, credential, rewrite, values, prefix, rows)                          \
	for (size_t row_index = 0; row_index < sizeof(rows) / sizeof *(rows); row_index++)            \
	check(endpoint, credential, rewrite, values, prefix, &(rows)[row_index])

/* ---- a plain upstream with a path ---- */

static const struct endpoint plain = {
	false, "up.example", 8080, "/base", "/api/dir/x?a=b%2f&c", "/base/dir/x?a=b%2f&c",
};

static const struct row plain_rows[] = {
	/* whole URLs */
	{"http://up.example:8080/base/new?x=1#f", "/api/new?x=1#f"},
	{"http://up.example:8080/base/", "/api/"},
	{"http://up.example:8080/base", "/api"},
	{"http://up.example:8080/base?x", "/api?x"},
	{"http://up.example:8080/base#f?x", "/api#f?x"},
	{"HTTP://UP.Example.:8080/base/new", "/api/new"},
	{"http://up.example:8080/base//new", "/api//new"},
	{"http://up.example:8080/base/a%2Fb/%e9%zz", "/api/a%2Fb/%e9%zz"},
	{"http://up.example:8080/base/\xc3\xa9 x", "/api/\xc3\xa9 x"},
	{"http://up.example:8080/base/a?b=http://up.example:8080/base/../../c", "/api/a?b=http://up.example:8080/base/../../c"},
	{"http://up.example:8080/%62as%65/new", "/api/new"},
	/* other origins */
	{"https://up.example:8080/base/new", NULL},
	{"http://up.example/base/new", NULL},
	{"http://up.example:80/base/new", NULL},
	{"http://up.example:08080/base/new", NULL},
	{"http://up.example:8080x/base/new", NULL},
	{"http://evil.example:8080/base/new", NULL},
	{"http://up.example.evil.example:8080/base/new", NULL},
	{"http://up.example..:8080/base/new", NULL},
	{"http://user@up.example:8080/base/new", NULL},
	{"http://up.example:8080@evil.example/base/new", NULL},
	{"http://up.example:8080\\@evil.example/base/new", NULL},
	{"http://[::1]:8080/base/new", NULL},
	{"http://up%2eexample:8080/base/new", NULL},
	{"ftp://up.example:8080/base/new", NULL},
	{"http:/base/new", NULL},
	{"http:base/new", NULL},
	{"http:///base/new", NULL},
	{"http://", NULL},
	{"mailto:someone@up.example", NULL},
	{"urn:x", NULL},
	/* not under the path */
	{"http://up.example:8080/", NULL},
	{"http://up.example:8080", NULL},
	{"http://up.example:8080/based/new", NULL},
	{"http://up.example:8080/BASE/new", NULL},
	{"http://up.example:8080/base%2Fnew", NULL},
	{"http://up.example:8080/base;x/new", NULL},
	{"http://up.example:8080/base/../new", NULL},
	{"http://up.example:8080/base/..", NULL},
	{"http://up.example:8080/base/%2e%2E/new", NULL},
	{"http://up.example:8080/base/x/.%2e/../new", NULL},
	/* dot segments that stay under it */
	{"http://up.example:8080/x/../base/new", "/api/new"},
	{"http://up.example:8080/base/x/../new", "/api/new"},
	{"http://up.example:8080/base/x/%2E./new", "/api/new"},
	{"http://up.example:8080/base/./new/.", "/api/new/"},
	{"http://up.example:8080/base/.../..a/.b", "/api/.../..a/.b"},
	{"http://up.example:8080/../../base/new", "/api/new"},
	/* the same host by reference */
	{"//up.example:8080/base/new", "/api/new"},
	{"//UP.example:8080/base/new?q", "/api/new?q"},
	{"//up.example/base/new", NULL},
	{"//evil.example/base/new", NULL},
	{"//evil.example:8080/base/new", NULL},
	{"///base/new", NULL},
	{"////up.example:8080/base/new", NULL},
	{"//", NULL},
	/* paths */
	{"/base/new", "/api/new"},
	{"/base", "/api"},
	{"/base/", "/api/"},
	{"/base//evil.example/", "/api//evil.example/"},
	{"/base/new?a=%2F&b#c", "/api/new?a=%2F&b#c"},
	{"/base/?", "/api/?"},
	{"/base/#", "/api/#"},
	{"/", NULL},
	{"/elsewhere", NULL},
	{"/based/new", NULL},
	{"/api/new", NULL},
	{"/base/../api/new", NULL},
	/* relative ones */
	{"new", "/api/dir/new"},
	{"./new", "/api/dir/new"},
	{"new/", "/api/dir/new/"},
	{".", "/api/dir/"},
	{"./", "/api/dir/"},
	{"..", "/api/"},
	{"../", "/api/"},
	{"../new", "/api/new"},
	{"../new?x#y", "/api/new?x#y"},
	{"%2e%2e/new", "/api/new"},
	{"..//evil.example/", "/api//evil.example/"},
	{".//x", "/api/dir//x"},
	{"a/b/../../c", "/api/dir/c"},
	{"..;x/new", "/api/dir/..;x/new"},
	{"../..", NULL},
	{"../../new", NULL},
	{"../../base/new", "/api/new"},
	{"../../../../base/new", "/api/new"},
	{"../../api/new", NULL},
	{"?page=2", "/api/dir/x?page=2"},
	{"?", "/api/dir/x?"},
	{"?a=http://other/", "/api/dir/x?a=http://other/"},
	{"#top", "/api/dir/x?a=b%2f&c#top"},
	{"a:b", NULL},
	{"./a:b", "/api/dir/a:b"},
	{"a/b:c", "/api/dir/a/b:c"},
	{"1:2", "/api/dir/1:2"},
	{":x", "/api/dir/:x"},
	/* what clients read in two ways */
	{"", NULL},
	{" /base/new", NULL},
	{"/base/new ", NULL},
	{"/base/.\t./new", NULL},
	{"ht\ttp://evil.example/", NULL},
	{"/\\evil.example/base", NULL},
	{"\\\\evil.example/base", NULL},
	{"/base\\..\\new", NULL},
	{"/base/new?x=\\", "/api/new?x=\\"},
	{"/base/\x01", NULL},
	{"/base/\x7f", NULL},
};

static void test_plain(void **state)
{
	struct config_credential credential = {.name = (char *)"api"};
	(void)state;
	CHECK_ALL(&plain, &credential, location_rewrite, NULL, 0, plain_rows);
}

/* ---- https, its own port, no path ---- */

static const struct endpoint root = {true, "api.example", 443, "", "/n/", "/"};

static const struct row root_rows[] = {
	{"https://api.example/x", "/n/x"},
	{"https://api.example", "/n/"},
	{"https://api.example?q", "/n/?q"},
	{"https://api.example#f", "/n/#f"},
	{"https://api.example/", "/n/"},
	{"https://api.example:443/x", "/n/x"},
	{"https://api.example:/x", "/n/x"},
	{"https://api.example.:443/x", "/n/x"},
	{"https://api.example//x", "/n//x"},
	{"https://api.example/..//x", "/n//x"},
	{"//api.example", "/n/"},
	{"/x", "/n/x"},
	{"/", "/n/"},
	{"x", "/n/x"},
	{"../../x", "/n/x"},
	{".//evil.example", "/n//evil.example"},
	{"#f", "/n/#f"},
	{"http://api.example/x", NULL},
	{"http://api.example:443/x", NULL},
	{"https://api.example:80/x", NULL},
	{"https://api.example:8443/x", NULL},
	{"//api.example:80/x", NULL},
	{"//evil.example/", NULL},
};

static void test_root(void **state)
{
	struct config_credential credential = {.name = (char *)"n"};
	(void)state;
	CHECK_ALL(&root, &credential, location_rewrite, NULL, 0, root_rows);
}

static const struct endpoint address = {false, "::1", 80, "/a%2Fb/c", "/v6/x", "/a%2Fb/c/x"};

static const struct row address_rows[] = {
	{"http://[::1]/a%2Fb/c/new", "/v6/new"},
	{"http://[0:0::1]:80/a%2fb/c/new", "/v6/new"},
	{"http://[::1]/a/b/c/new", NULL},
	{"http://[::2]/a%2Fb/c/new", NULL},
	{"y", "/v6/y"},
};

static void test_address(void **state)
{
	struct config_credential credential = {.name = (char *)"v6"};
	(void)state;
	CHECK_ALL(&address, &credential, location_rewrite, NULL, 0, address_rows);
}

static const struct endpoint absolute = {
	false, "up.example", 80, "/base", "http://127.0.0.1:8180/api?q=http://x/y", "/base?q=http://x/y",
};

static const struct row absolute_rows[] = {
	{"#f", "/api?q=http://x/y#f"},
	{"x", NULL},
	{"base/x", "/api/x"},
};

static void test_absolute_target(void **state)
{
	struct config_credential credential = {.name = (char *)"api"};
	(void)state;
	CHECK_ALL(&absolute, &credential, location_rewrite, NULL, 0, absolute_rows);
}

/* ---- a secret in the path ---- */

#define SECRET "123456:AA/b c%"
#define SENT_SECRET "123456%3AAA%2Fb%20c%25"

static char *templates[] = {(char *)"/bot{secret}", (char *)"/file/bot{secret}", (char *)"/{secret}/x{secret}",
                            (char *)"/k/{secret}.json"};
static const struct span values[] = {{SECRET, sizeof SECRET - 1}};

static void give_templates(struct config_credential *credential, struct named_source *secret, struct injection *injection)
{
	*secret = (struct named_source){.id = (char *)"secret"};
	*injection = (struct injection){.kind = INJECT_PATH, .paths = {templates, 4}};
	*credential = (struct config_credential){
		.name = (char *)"tg",
		.secrets = secret,
		.secret_count = 1,
		.injections = injection,
		.injection_count = 1,
	};
}

/* The client wrote its token where the secret goes. */
static const struct endpoint in_place = {
	true, "tg.example", 443, "/say", "/tg/bottoken/getMe?x", "/say/bot" SENT_SECRET "/getMe?x",
};

static const struct row in_place_rows[] = {
	{"https://tg.example/say/bot" SENT_SECRET "/x?y", "/tg/bottoken/x?y"},
	{"/say/bot" SENT_SECRET "/x", "/tg/bottoken/x"},
	{"/say/bot123456:AA%2fb%20c%/x", "/tg/bottoken/x"},
	{"/say/bot%31%32%33456%3aAA/b c%25/x", "/tg/bottoken/x"},
	{"/say/bot" SENT_SECRET, "/tg/bottoken"},
	{"next", "/tg/bottoken/next"},
	{"?page=2", "/tg/bottoken/getMe?page=2"},
	{"#f", "/tg/bottoken/getMe?x#f"},
	{"/say/file/bot" SENT_SECRET "/doc", "/tg/file/bottoken/doc"},
	{"/say/k/" SENT_SECRET ".json", "/tg/k/token.json"},
	/* under the upstream, but no template leads there */
	{"/say/other", NULL},
	{"../other", NULL},
	{"/say/botother/x", NULL},
	{"/say/bot/x", NULL},
	/* never the secret */
	{"/say/bot" SENT_SECRET "x/y", "/say/bot[secret]x/y"},
	{"https://other.example/bot" SENT_SECRET "/x", "https://other.example/bot[secret]/x"},
	{"https://other.example/?key=123456%3aAA%2fb+c%25&x=123456:AA/b%20c%", "https://other.example/?key=[secret]&x=[secret]"},
	/* A URL within a URL is escaped once more. */
	{"https://other.example/?u=%2Fx%3Fkey%3D123456%253AAA%252Fb%2520c%2525%26a", "https://other.example/?u=%2Fx%3Fkey%3D[secret]%26a"},
	{"/login?u=123456%25253aAA%25252fb%252520c%252525", "/login?u=[secret]"},
	{"/say/bot" SENT_SECRET "/x?again=" SENT_SECRET "#" SECRET, "/tg/bottoken/x?again=[secret]#[secret]"},
	{"/say/" SENT_SECRET "/x" SENT_SECRET, "/say/[secret]/x[secret]"},
	{"/say/bot123456%3AAA%2Fb%20c%26/x", NULL},
	{" /say/bot" SENT_SECRET "/x", " /say/bot[secret]/x"},
	{"/say\\bot" SENT_SECRET, "/say\\bot[secret]"},
};

static void test_secret_in_place(void **state)
{
	struct config_credential credential;
	struct named_source secret;
	struct injection injection;
	(void)state;
	give_templates(&credential, &secret, &injection);
	CHECK_ALL(&in_place, &credential, location_rewrite, values, 0, in_place_rows);
}

/* The client wrote nothing there, and the template's place was added. */
static const struct endpoint added = {
	true, "tg.example", 443, "/say", "/tg/a/getMe", "/say/bot" SENT_SECRET "/a/getMe",
};

static const struct row added_rows[] = {
	{"/say/bot" SENT_SECRET "/x", "/tg/x"},
	{"/say/bot" SENT_SECRET, "/tg"},
	{"next", "/tg/a/next"},
	{"..", "/tg/"},
	{"../..", NULL},
	{"/say/x", NULL},
	{"/say/file/bot" SENT_SECRET "/doc", "/say/file/bot[secret]/doc"},
	/* Asked for at the endpoint, these would be read as a token in its place. */
	{"/say/bot" SENT_SECRET "/bottle/x", "/say/bot[secret]/bottle/x"},
	{"/say/bot" SENT_SECRET "/%62ottle/x", "/say/bot[secret]/%62ottle/x"},
	{"/say/bot" SENT_SECRET "/file/bots", "/say/bot[secret]/file/bots"},
	{"/say/bot" SENT_SECRET "/bot/x", "/tg/bot/x"},
};

static void test_secret_added(void **state)
{
	struct config_credential credential;
	struct named_source secret;
	struct injection injection;
	(void)state;
	give_templates(&credential, &secret, &injection);
	CHECK_ALL(&added, &credential, location_rewrite, values, 0, added_rows);
}

static const struct endpoint second = {
	true, "tg.example", 443, "", "/tg/file/%62ottoken/doc", "/file/bot" SENT_SECRET "/doc",
};

static const struct row second_rows[] = {
	{"new", "/tg/file/%62ottoken/new"},
	{"/file/bot" SENT_SECRET "/new", "/tg/file/%62ottoken/new"},
	/* The client's own spelling hides which part is its token. */
	{"/bot" SENT_SECRET "/new", "/bot[secret]/new"},
};

static void test_second_template(void **state)
{
	struct config_credential credential;
	struct named_source secret;
	struct injection injection;
	(void)state;
	give_templates(&credential, &secret, &injection);
	CHECK_ALL(&second, &credential, location_rewrite, values, 1, second_rows);
}

/* ---- a secret in the query ---- */

static const struct endpoint queried = {
	true, "q.example", 443, "", "/q/list?key=token&a=1", "/list?a=1&key=" SENT_SECRET,
};

static const struct row queried_rows[] = {
	{"/list/?a=1&key=" SENT_SECRET, "/q/list/?a=1&key=[secret]"},
	{"https://other.example/?k=" SENT_SECRET, "https://other.example/?k=[secret]"},
	{"#f", "/q/list?key=token&a=1#f"},
	{"/new", "/q/new"},
};

static void test_secret_in_query(void **state)
{
	struct named_source secret = {.id = (char *)"secret"};
	struct injection injection = {.kind = INJECT_QUERY, .name = (char *)"key"};
	struct config_credential credential = {
		.name = (char *)"q", .secrets = &secret, .secret_count = 1, .injections = &injection, .injection_count = 1,
	};
	(void)state;
	CHECK_ALL(&queried, &credential, location_rewrite, values, 0, queried_rows);
	static const struct span shorter[] = {{"1234567", 7}};
	check(&queried, &credential, location_rewrite, shorter, 0, &(struct row){"https://o/1234567", NULL});
}

/* ---- Link ---- */

static const struct row link_rows[] = {
	{"<http://up.example:8080/base/p?page=2>; rel=\"next\", <http://o.example/>; rel=\"last\"",
	 "</api/p?page=2>; rel=\"next\", <http://o.example/>; rel=\"last\""},
	{"<new>", "</api/dir/new>"},
	{"<a>,<b>", "</api/dir/a>,</api/dir/b>"},
	{" ,, <a> ;\trel=x ,\t, <b> ,", " ,, </api/dir/a> ;\trel=x ,\t, </api/dir/b> ,"},
	{"<a>; title=\"x, <b>; y\", <c>", "</api/dir/a>; title=\"x, <b>; y\", </api/dir/c>"},
	{"<a>; title=\"x\\\", <b>; y\", <c>", "</api/dir/a>; title=\"x\\\", <b>; y\", </api/dir/c>"},
	{"<a>; title=\"x\\\\\", <b>; y", "</api/dir/a>; title=\"x\\\\\", </api/dir/b>; y"},
	{"<a>; anchor=\"http://up.example:8080/base/x\"", "</api/dir/a>; anchor=\"http://up.example:8080/base/x\""},
	{"</base/a,b;c>; rel=n", "</api/a,b;c>; rel=n"},
	{"<a>; x=\"open, <b>", "</api/dir/a>; x=\"open, <b>"},
	{"<a>; x=\"open\\", "</api/dir/a>; x=\"open\\"},
	{"<>; rel=self", NULL},
	{"<#x>; rel=self", "</api/dir/x?a=b%2f&c#x>; rel=self"},
	{"<//evil.example/base/x>, </elsewhere>", NULL},
	{"< /base/x>", NULL},
	{"<a", NULL},
	{"a>; rel=x", NULL},
	{"", NULL},
	{",", NULL},
	{"<a>, b, <c>", "</api/dir/a>, b, <c>"},
	{"<a>, <b", "</api/dir/a>, <b"},
};

static void test_link(void **state)
{
	struct config_credential credential = {.name = (char *)"api"};
	(void)state;
	CHECK_ALL(&plain, &credential, location_rewrite_link, NULL, 0, link_rows);
}

static const struct row secret_link_rows[] = {
	{"<next>; rel=next, <https://o/" SENT_SECRET ">; title=\"" SECRET "\"",
	 "</tg/bottoken/next>; rel=next, <https://o/[secret]>; title=\"[secret]\""},
	{"nothing " SECRET, "nothing [secret]"},
};

static void test_link_with_secret(void **state)
{
	struct config_credential credential;
	struct named_source secret;
	struct injection injection;
	(void)state;
	give_templates(&credential, &secret, &injection);
	CHECK_ALL(&in_place, &credential, location_rewrite_link, values, 0, secret_link_rows);
}

/* A short reference costs as much as the path that it is resolved against: a field of many does not eat the memory. */
static void test_link_of_thousands(void **state)
{
	struct config_credential credential = {.name = (char *)"api"};
	struct arena arena = {0};
	struct location_base base;
	static char sent[8000], value[24000];
	struct span out;
	(void)state;
	memset(sent, 'x', sizeof sent - 1);
	memcpy(sent, "/base/", 6);
	for (size_t i = 0; i < sizeof value - 4; i += 4)
		memcpy(value + i, "<?>,", 4);
	credential.upstream = origin_of(false, "up.example", 80, "/base");
	struct location_request request = {&credential, NULL, SPAN("/api/"), span_of(sent), 0};
	location_base_make(&base, &request, &arena);
	assert_true(location_rewrite_link(span_of(value), &base, &arena, &out));
	assert_true(span_starts(out, SPAN("</api/xxx")));
	assert_true(span_ends(out, SPAN("<?>,<?>,")));
	assert_true(arena.total < 512 * 1024);
	arena_free(&arena);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_root),
		cmocka_unit_test(test_address),
		cmocka_unit_test(test_absolute_target),
		cmocka_unit_test(test_secret_in_place),
		cmocka_unit_test(test_secret_added),
		cmocka_unit_test(test_second_template),
		cmocka_unit_test(test_secret_in_query),
		cmocka_unit_test(test_link),
		cmocka_unit_test(test_link_with_secret),
		cmocka_unit_test(test_link_of_thousands),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
