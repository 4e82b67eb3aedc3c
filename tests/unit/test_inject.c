/* Injection: for each request the whole head that goes up, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base64.h"
#include "buffer.h"
#include "codec_h1.h"
#include "inject.h"
#include "memory.h"
#include "path.h"
#include "percent.h"
#include "secret.h"
#include "sign.h"

static const char yaml[] =
	"version: 1\n"
	"listen: 127.0.0.1:8180\n"
	"session: { key: \"file:session.key\" }\n"
	"credentials:\n"
	"  bearer:\n"
	"    upstream: https://api.example.com\n"
	"    secret: env:TEST_PLAIN\n"
	"    inject: { header: Authorization, value: \"Bearer {secret}\" }\n"
	"    env: { token_prefix: sk- }\n"
	"  header:\n"
	"    upstream: http://10.0.0.1:8080/v1\n"
	"    secret: env:TEST_PLAIN\n"
	"    inject: { header: X-Api-Key, value: \"{secret}\" }\n"
	"    env: { token_prefix: \"a:b-\" }\n"
	"  passing:\n"
	"    upstream: https://api.example.com\n"
	"    secret: env:TEST_PLAIN\n"
	"    inject: { header: X-Api-Key, value: \"{secret}\" }\n"
	"    pass: [AUTHORIZATION, X-Other]\n"
	"  basic:\n"
	"    upstream: https://[2001:db8::1]:8443\n"
	"    secret: env:TEST_PLAIN\n"
	"    inject: { basic: x-access-token }\n"
	"  query:\n"
	"    upstream: https://[2001:db8::1]\n"
	"    secret: env:TEST_ODD\n"
	"    inject: { query: key }\n"
	"  spaced:\n"
	"    upstream: http://h.example\n"
	"    secret: env:TEST_PLAIN\n"
	"    inject: [ { query: api key }, { query: k2 } ]\n"
	"  path:\n"
	"    upstream: https://bot.example/say\n"
	"    secret: env:TEST_ODD\n"
	"    inject: { path: [ '/bot{secret}', '/file/bot{secret}/x' ] }\n"
	"  paths:\n"
	"    upstream: https://bot.example\n"
	"    secrets: { id: env:TEST_SHORT, key: env:TEST_PLAIN }\n"
	"    inject: { path: '/a{id}/b{key}' }\n"
	"  cookie:\n"
	"    upstream: https://c.example\n"
	"    secret: env:TEST_PLAIN\n"
	"    inject: { cookie: sid }\n"
	"  cookies:\n"
	"    upstream: https://c.example\n"
	"    secret: env:TEST_PLAIN\n"
	"    inject: [ { cookie: sid }, { cookie: tid } ]\n"
	"  several:\n"
	"    upstream: https://s.example\n"
	"    secret: env:TEST_PLAIN\n"
	"    inject:\n"
	"      - { header: Authorization, value: \"Token {secret}\" }\n"
	"      - { query: key }\n"
	"      - { header: X-Api-Key, value: \"{secret}\" }\n"
	"      - { cookie: sid }\n"
	"  two:\n"
	"    upstream: https://t.example\n"
	"    secrets: { id: env:TEST_SHORT, key: env:TEST_PLAIN }\n"
	"    inject: [ { header: X-Pair, value: \"{id}:{key}!{id}\" }, { header: X-Version, value: \"7\" } ]\n"
	"  crumbs:\n"
	"    upstream: https://t.example\n"
	"    secret: env:TEST_PLAIN\n"
	"    inject: { header: Cookie, value: \"sid={secret}\" }\n"
	"  signs:\n"
	"    upstream: https://t.example\n"
	"    secrets: { id: env:TEST_ID, key: env:TEST_PLAIN, session: env:TEST_PLAIN }\n"
	"    inject: { aws_sigv4: { region: eu-central-1, service: s3 } }\n"
	"  bad_id:\n"
	"    upstream: https://m.example\n"
	"    secrets: { id: env:TEST_ODD, key: env:TEST_PLAIN }\n"
	"    inject: { aws_sigv4: { region: eu-central-1, service: s3 } }\n"
	"  missing:\n"
	"    upstream: https://m.example\n"
	"    secret: env:TEST_MISSING\n"
	"    inject: { header: X-Api-Key, value: \"{secret}\" }\n"
	"  bad_cookie:\n"
	"    upstream: https://m.example\n"
	"    secret: env:TEST_ODD\n"
	"    inject: { cookie: sid }\n"
	"  bad_path:\n"
	"    upstream: https://m.example\n"
	"    secret: env:TEST_DOTS\n"
	"    inject: { path: '/{secret}' }\n"
	"profiles:\n"
	"  agent:\n"
	"    hosts: [allowed.example]\n"
	"    credentials: [bearer, header, passing, basic, query, spaced, path, paths, cookie, cookies,\n"
	"                  several, two, crumbs, signs, bad_id, missing, bad_cookie, bad_path]\n";

#define PLAIN "s3cret.value"
#define ODD "q&=%+ /:;~"
#define ODD_QUERY "q%26%3D%25%2B%20%2F%3A%3B~"
#define ODD_PATH "q%26%3D%25%2B%20%2F:%3B~"

static struct config *config;
static struct shared_config shared;
static struct snapshot snapshot;
static struct token_table *tokens;

static char *token, *sk_token, *colon_token, *proxy_token, *admin_token, *basic_token, *basic_user;

static void set_tokens(void)
{
	struct token_key key = {"0123456789abcdef0123456789abcdef"};
	const struct config_profile *profile = &config->profiles[0];
	char text[400];
	tokens = token_table_new(&key, config);
	token = token_for_credential(&key, profile, config_credential(config, SPAN("query")));
	sk_token = token_for_credential(&key, profile, config_credential(config, SPAN("bearer")));
	colon_token = token_for_credential(&key, profile, config_credential(config, SPAN("header")));
	proxy_token = token_for_proxy(&key, profile);
	admin_token = token_for_admin(&key);
	AUTO_FREE char *password = memory_format("user:%s", sk_token);
	base64_encode(span_of(password), text);
	basic_token = memory_string(text);
	AUTO_FREE char *user = memory_format("%s:", token);
	base64_encode(span_of(user), text);
	basic_user = memory_string(text);
}

static int set_up(void **state)
{
	struct config_messages errors = {0}, warnings = {0};
	struct fault fault = FAULT_INIT;
	(void)state;
	if (!secret_start(&fault))
		fail_msg("%s", fault.text);
	setenv("TEST_PLAIN", PLAIN, 1);
	setenv("TEST_ODD", ODD, 1);
	setenv("TEST_SHORT", "me", 1);
	setenv("TEST_ID", "AKIDEXAMPLE", 1);
	setenv("TEST_DOTS", "a/../b", 1);
	config = config_parse(SPAN(yaml), "/tmp/keystile.yaml", false, &errors, &warnings);
	if (!config)
		fail_msg("%s", errors.list[0]);
	config_messages_free(&errors);
	config_messages_free(&warnings);
	set_tokens();
	shared.config = config;
	shared.tokens = tokens;
	snapshot.shared = &shared;
	snapshot.config = config;
	snapshot.secrets = secrets_load(config, NULL, NULL);
	snapshot.injections = inject_table_new(config, snapshot.secrets, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	inject_table_free(snapshot.injections);
	secrets_free(snapshot.secrets);
	token_table_free(tokens);
	config_free(config);
	char *const made[] = {token, sk_token, colon_token, proxy_token, admin_token, basic_token, basic_user};
	for (size_t i = 0; i < sizeof made / sizeof *made; i++)
		free(made[i]);
	return 0;
}

/* Writes the tokens in the places of <token>, <sk>, <colon>, <proxy>, <admin>, <basic> and <user>. */
static char *expand(const char *text)
{
	const struct {
		const char *name, *value;
	} words[] = {{"<token>", token}, {"<sk>", sk_token},       {"<colon>", colon_token}, {"<proxy>", proxy_token},
	             {"<admin>", admin_token}, {"<basic>", basic_token}, {"<user>", basic_user}};
	struct buffer out = {0};
	buffer_append(&out, "", 0);
	while (*text) {
		size_t i = 0;
		while (i < sizeof words / sizeof *words && strncmp(text, words[i].name, strlen(words[i].name)) != 0)
			i++;
		bool word = i < sizeof words / sizeof *words;
		buffer_span(&out, word ? span_of(words[i].value) : (struct span){text, 1});
		text += word ? strlen(words[i].name) : 1;
	}
	return out.data;
}

/* "a|b" as head lines, with the empty one behind. */
static char *head_of(const char *lines)
{
	struct buffer out = {0};
	AUTO_FREE char *text = expand(lines);
	for (const char *at = text; *at; at++)
		if (*at == '|')
			buffer_string(&out, "\r\n");
		else
			buffer_char(&out, *at);
	buffer_string(&out, "\r\n\r\n");
	return out.data;
}

/* One request and what became of it. */
struct trial {
	struct arena arena;
	struct request request, out;
	struct judgement judgement;
	struct problem problem;
	bool injected, done;
	char *head; /* as it came; the request's spans point into it */
};

static void judge(struct trial *trial, const char *name, size_t prefix)
{
	struct judgement *judgement = &trial->judgement;
	struct fault fault = FAULT_INIT;
	judgement->credential = *name ? config_credential(config, span_of(name)) : NULL;
	judgement->path = path_split_query(trial->request.target, &judgement->query);
	judgement->prefix = prefix;
	judgement->profile = &config->profiles[0];
	judgement->tls = !judgement->credential || judgement->credential->upstream.tls;
	judgement->port = judgement->credential ? judgement->credential->upstream.port : 443;
	if (judgement->credential)
		judgement->host = judgement->credential->upstream.host;
	else
		assert_true(host_parse(SPAN("allowed.example"), &judgement->host, &fault));
}

static void parse(struct trial *trial, const char *lines)
{
	struct codec_limits limits = {65536, 200};
	const char *why = "";
	size_t used;
	trial->head = head_of(lines);
	if (codec_request_head(span_of(trial->head), limits, &trial->arena, &trial->request, &used, &why) != CODEC_DONE)
		fail_msg("`%s`: %s", lines, why);
}

static void run(struct trial *trial)
{
	trial->done = inject_request(&snapshot, &trial->judgement, &trial->request, &trial->arena, &trial->out,
	                             &trial->injected, &trial->problem);
}

static void end(struct trial *trial)
{
	arena_free(&trial->arena);
	free(trial->head);
}

struct row {
	const char *credential; /* "": an allowed host */
	const char *request, *expected;
	size_t prefix;
};

/* HTTP/2 is told which fields hold a secret. Nobody else writes this one. */
static void check_marks(const struct trial *trial, const struct row *row)
{
	for (size_t i = 0; i < trial->out.fields.count; i++) {
		const struct field *field = &trial->out.fields.list[i];
		bool holds = memmem(field->value.data, field->value.length, PLAIN, strlen(PLAIN)) != NULL;
		if (holds && !field->sensitive)
			fail_msg("%s: `%s`: %.*s is not marked as secret", row->credential, row->request, SPAN_ARGS(field->name));
		if (field->sensitive && !*row->credential)
			fail_msg("`%s`: %.*s is marked as secret", row->request, SPAN_ARGS(field->name));
	}
}

static void check_row(const struct row *row)
{
	struct trial trial = {0};
	struct buffer out = {0};
	AUTO_FREE char *expected = head_of(row->expected);
	parse(&trial, row->request);
	judge(&trial, row->credential, row->prefix);
	run(&trial);
	if (!trial.done)
		fail_msg("%s: `%s`: refused: %s", row->credential, row->request, trial.problem.detail);
	codec_write_request(&trial.out, &out);
	if (strcmp(out.data, expected) != 0)
		fail_msg("%s: sent\n%s\ncame\n%s\nshould be\n%s", row->credential, trial.head, out.data, expected);
	check_marks(&trial, row);
	if (trial.injected != (*row->credential != 0))
		fail_msg("%s: `%s`: injected is %d", row->credential, row->request, trial.injected);
	buffer_wipe(&out);
	end(&trial);
}

#define CHECK_ROWS(rows)                                                                                               \
	for (size_t row_ = 0; row_ < sizeof(rows) / sizeof *(rows); row_++)                                            \
	check_row(&(rows)[row_])

/* Request lines, and what every head begins with. */
#define GET "GET /v1/x HTTP/1.1|Host: proxy"
#define API "GET /v1/x HTTP/1.1|Host: api.example.com"
#define KEY "GET /v1/x HTTP/1.1|Host: 10.0.0.1:8080"
#define OPEN "GET /v1/x HTTP/1.1|Host: allowed.example"
#define SENT_KEY "|X-Api-Key: " PLAIN

static const struct row header_rows[] = {
	{"bearer", GET "|Authorization: Bearer <sk>", API "|Authorization: Bearer " PLAIN, 0},
	{"bearer", GET, API "|Authorization: Bearer " PLAIN, 0},
	{"bearer", GET "|authorization: Digest a|AUTHORIZATION: x|A: 1|B: 2",
	 API "|A: 1|B: 2|Authorization: Bearer " PLAIN, 0},
	{"header", GET "|X-Api-Key: <colon>", KEY SENT_KEY, 0},
	{"header", GET "|X_API_KEY: a|x-api-key: b|X-Other: c|X_API_KEY: d|X-api_KEY: e|X.Api.Key: f",
	 KEY "|X-Other: c" SENT_KEY, 0},
	{"header", GET "|X-Api-Keys: a|X-Api-Ke: b|XApiKey: c|X-Api-Kez: d",
	 KEY "|X-Api-Keys: a|X-Api-Ke: b|XApiKey: c|X-Api-Kez: d" SENT_KEY, 0},
	{"header", GET "|Connection: x-api-key|X-Api-Key: a", KEY SENT_KEY, 0},
	{"header", GET "|Authorization: mine|User-Agent: u", KEY "|User-Agent: u" SENT_KEY, 0},
	{"basic", GET "|Authorization: Basic <basic>",
	 "GET /v1/x HTTP/1.1|Host: [2001:db8::1]:8443|Authorization: Basic eC1hY2Nlc3MtdG9rZW46czNjcmV0LnZhbHVl", 0},
	{"basic", GET "|Authorization: Digest mine",
	 "GET /v1/x HTTP/1.1|Host: [2001:db8::1]:8443|Authorization: Basic eC1hY2Nlc3MtdG9rZW46czNjcmV0LnZhbHVl", 0},
	{"two", GET "|x-pair: a|X-VERSION: 8",
	 "GET /v1/x HTTP/1.1|Host: t.example|X-Pair: me:" PLAIN "!me|X-Version: 7", 0},
	{"crumbs", GET "|Cookie: a=b", "GET /v1/x HTTP/1.1|Host: t.example|Cookie: sid=" PLAIN, 0},
	{"several", "GET /x?a=1 HTTP/1.1|Host: p|Cookie: a=b; sid=1|X-Api-Key: 1|B: 2",
	 "GET /x?a=1&key=" PLAIN " HTTP/1.1|Host: s.example|Cookie: a=b; sid=" PLAIN "|B: 2|Authorization: Token " PLAIN
	 "|X-Api-Key: " PLAIN, 0},
	{"several", "GET /x HTTP/1.1|Host: p",
	 "GET /x?key=" PLAIN " HTTP/1.1|Host: s.example|Authorization: Token " PLAIN "|X-Api-Key: " PLAIN
	 "|Cookie: sid=" PLAIN, 0},
};

static void test_headers(void **state)
{
	(void)state;
	CHECK_ROWS(header_rows);
}

static const struct row pass_rows[] = {
	{"passing", GET "|Authorization: Digest mine|X-Other: 1",
	 API "|Authorization: Digest mine|X-Other: 1" SENT_KEY, 0},
	{"passing", GET "|Authorization: Bearer <sk>|X-Other: <token>", API SENT_KEY, 0},
	{"passing", GET "|Authorization: Basic <basic>|x_api_key: 1", API SENT_KEY, 0},
	{"passing", GET "|Authorization: Basic dXNlcjpwYXNz", API "|Authorization: Basic dXNlcjpwYXNz" SENT_KEY, 0},
	{"passing", GET "|Authorization: Basic dXNlcjpwYXNz|Connection: authorization", API SENT_KEY, 0},
};

static void test_pass(void **state)
{
	(void)state;
	CHECK_ROWS(pass_rows);
}

static const struct row hop_rows[] = {
	{"", GET "|A: 1|Connection: keep-alive|Keep-Alive: 5|Proxy-Connection: x|TE: trailers|Upgrade: websocket|"
	     "HTTP2-Settings: x|Proxy-Authorization: y|Proxy-Anything: z|PROXY_AUTHORIZATION: y|B: 2",
	 OPEN "|A: 1|B: 2", 0},
	{"", GET "|Connection: close, X-Gone,, x-gone-too , Y|X-Gone: 1|X-GONE-TOO: 2|Y: 3|X-Stays: 4|"
	     "Connection: Z|Z: 1",
	 OPEN "|X-Stays: 4", 0},
	{"", GET "|Connection: keep-alive, Upgrade, X-Gone|A: 1|Upgrade: websocket|X-Gone: 2|B: 2",
	 OPEN "|A: 1|Upgrade: websocket|B: 2|Connection: Upgrade", 0},
	{"bearer", GET "|Upgrade: a|Connection: Upgrade|UPGRADE: b/1|Authorization: Bearer <sk>",
	 API "|Upgrade: a|UPGRADE: b/1|Authorization: Bearer " PLAIN "|Connection: Upgrade", 0},
	{"", GET "|Connection: Upgrade|Upgrade: <token>|Upgrade: a", OPEN "|Upgrade: a|Connection: Upgrade", 0},
	{"", GET "|Connection: Upgrade|Upgrade: <token>|A: 1", OPEN "|A: 1", 0},
	{"", GET "|Connection: Upgrade, HTTP2-Settings|Upgrade: h2c|HTTP2-Settings: x|A: 1", OPEN "|A: 1", 0},
	{"", "POST /x HTTP/1.1|Host: p|Connection: Upgrade|Upgrade: websocket", "POST /x HTTP/1.1|Host: allowed.example", 0},
	{"", GET "|Connection: host, content-type|Content-Type: a", OPEN, 0},
	{"", GET "|Trailer: X-Sum|Proxy: 1|Via: 1.1 x|Content_Length: 5|Transfer_Encoding: chunked|Forwarded: for=1",
	 OPEN "|Trailer: X-Sum|Proxy: 1|Via: 1.1 x|Forwarded: for=1", 0},
	{"", "POST /x HTTP/1.1|Host: p|Content-Length: 5|A: 1",
	 "POST /x HTTP/1.1|Host: allowed.example|A: 1|Content-Length: 5", 0},
	{"", "POST /x HTTP/1.1|Transfer-Encoding: Chunked|Host: p|A: 1",
	 "POST /x HTTP/1.1|Host: allowed.example|A: 1|Transfer-Encoding: chunked", 0},
	{"", "GET /x HTTP/1.0|A: 1", "GET /x HTTP/1.1|Host: allowed.example|A: 1", 0},
};

static void test_hop_by_hop(void **state)
{
	(void)state;
	CHECK_ROWS(hop_rows);
}

#define PUT "PUT /x HTTP/1.1|Host: p"
#define PUT_UP "PUT /x HTTP/1.1|Host: allowed.example"

static const struct row expect_rows[] = {
	{"", PUT "|Expect: 100-continue|Content-Length: 4", PUT_UP "|Expect: 100-continue|Content-Length: 4", 0},
	{"", PUT "|Expect: 100-Continue|Transfer-Encoding: chunked",
	 PUT_UP "|Expect: 100-Continue|Transfer-Encoding: chunked", 0},
	{"", PUT "|Expect: 100-continue|Connection: expect|Content-Length: 4",
	 PUT_UP "|Expect: 100-continue|Content-Length: 4", 0},
	{"", PUT "|Expect: 100-continue|Content-Length: 0", PUT_UP "|Content-Length: 0", 0},
	{"", PUT "|Expect: 100-continue", PUT_UP, 0},
	{"", PUT "|Expect: else", PUT_UP "|Expect: else", 0},
	{"", PUT "|Expect: 100-continue, <token>|Content-Length: 4", PUT_UP "|Content-Length: 4", 0},
	{"", "PUT /x HTTP/1.0|Expect: 100-continue|Content-Length: 4", PUT_UP "|Content-Length: 4", 0},
};

static void test_expect(void **state)
{
	(void)state;
	CHECK_ROWS(expect_rows);
}

static const struct row token_rows[] = {
	{"", GET "|A: <token>|B: Bearer <sk>|C: <proxy>|D: <admin>|E: x <colon> y|G: x<token>|F: 1", OPEN "|F: 1", 0},
	{"", GET "|Authorization: Bearer <sk>", OPEN, 0},
	{"", GET "|Authorization: basic <basic>|X-Auth: Basic  <user>", OPEN, 0},
	{"", GET "|Authorization: Digest username=\"<token>\", realm=x", OPEN, 0},
	{"", GET "|Authorization: Bearer other|X: 0123456789abcdefghijABCDEFGHIJ0123456789abcdefghij0123456789",
	 OPEN "|Authorization: Bearer other|X: 0123456789abcdefghijABCDEFGHIJ0123456789abcdefghij0123456789", 0},
	{"", GET "|Referer: http://x/?k=<token>&b|A: (<token>)|B: 0123456789012345678901234567890123456789012-<token>",
	 OPEN, 0},
	{"", GET "|Sec-WebSocket-Protocol: chat, <sk>, b", OPEN "|Sec-WebSocket-Protocol: chat, b", 0},
	{"", GET "|sec-websocket-protocol: <sk>, a,b|Sec-WebSocket-Protocol: <token>",
	 OPEN "|sec-websocket-protocol: a,b", 0},
	{"", GET "|Sec-WebSocket-Protocol: <token> , <sk>|A: 1", OPEN "|A: 1", 0},
	{"", GET "|Sec-WebSocket-Protocol: a ,b", OPEN "|Sec-WebSocket-Protocol: a ,b", 0},
	{"", GET "|Cookie: a=b; t=<token>; c=d|Cookie: <sk>|Cookie: x=\"<sk>\"; y",
	 OPEN "|Cookie: a=b; c=d|Cookie: y", 0},
	{"", GET "|Cookie: a=%61:b%2D<token>; b=1|Cookie: a=%61%3Ab-c", OPEN "|Cookie: b=1|Cookie: a=%61%3Ab-c", 0},
	{"", "GET /x?a=1&b=<token>&c=2 HTTP/1.1|Host: p", "GET /x?a=1&c=2 HTTP/1.1|Host: allowed.example", 0},
	{"", "GET /x?b=<token> HTTP/1.1|Host: p", "GET /x? HTTP/1.1|Host: allowed.example", 0},
	{"", "GET /x?<proxy>&c HTTP/1.1|Host: p", "GET /x?c HTTP/1.1|Host: allowed.example", 0},
	{"", "GET /x?c&d=https://h/<sk>/y;e HTTP/1.1|Host: p", "GET /x?c;e HTTP/1.1|Host: allowed.example", 0},
	{"bearer", "GET /x?key=<token> HTTP/1.1|Host: p|A: <sk>",
	 "GET /x? HTTP/1.1|Host: api.example.com|Authorization: Bearer " PLAIN, 0},
};

static void test_tokens(void **state)
{
	(void)state;
	CHECK_ROWS(token_rows);
}

static void test_escaped_prefix(void **state)
{
	(void)state;
	const char *body = colon_token + strlen("a:b-");
	AUTO_FREE char *lines = memory_format("GET /x?a=%%61%%3Ab%%2d%s&b=%%61 HTTP/1.1|Host: p", body);
	check_row(&(struct row){"", lines, "GET /x?b=%61 HTTP/1.1|Host: allowed.example", 0});
}

/* session: none: nothing is a token. */
static void test_no_tokens(void **state)
{
	(void)state;
	shared.tokens = NULL;
	check_row(&(struct row){
		"", "GET /x?a=<token> HTTP/1.1|Host: p|A: Bearer <sk>|Cookie: a=<token>|B: Basic <basic>",
		"GET /x?a=<token> HTTP/1.1|Host: allowed.example|A: Bearer <sk>|Cookie: a=<token>|B: Basic <basic>",
		0});
	shared.tokens = tokens;
}

struct query_row {
	const char *credential, *query, *expected; /* with "?" */
};

#define Q "key=" ODD_QUERY

static const struct query_row query_rows[] = {
	{"query", "", "?" Q},
	{"query", "?", "?" Q},
	{"query", "?&&", "?&&&" Q},
	{"query", "?key", "?" Q},
	{"query", "?key=", "?" Q},
	{"query", "?k%65y=", "?" Q},
	{"query", "?%6B%65%79=x&a", "?a&" Q},
	{"query", "?key=a&key=b", "?" Q},
	{"query", "?&key=1&b=2", "?&b=2&" Q},
	{"query", "?&&key=1&", "?&&&" Q},
	{"query", "?a=1&key=<token>&b=%2F&k%65y=other", "?a=1&b=%2F&" Q},
	{"query", "?Key=1&KEY=2&keys=3&ke=4&key2&+key=5&k%zzy=6&k%6=7&%6", "?keys=3&ke=4&key2&k%zzy=6&k%6=7&%6&" Q},
	{"query", "?key[]=1&key%5Bx%5D=2&%20key=3&key%00z=4&key+=5&[key]=6&a[key]=7", "?[key]=6&a[key]=7&" Q},
	{"query", "?a=key&b=key=1&a%26key=1", "?a=key&b=key=1&a%26key=1&" Q},
	{"query", "?a=1;key=2;b=3", "?a=1;b=3&" Q},
	{"query", "?a=1;b=3", "?a=1;b=3&" Q},
	{"query", "?a=~%7e%7E\"<>{}|`^", "?a=~%7e%7E\"<>{}|`^&" Q},
	{"query", "?key=1?&x", "?x&" Q},
	{"spaced", "?api+key=1&api%20key=2&apikey=3&k2&a", "?apikey=3&a&api%20key=" PLAIN "&k2=" PLAIN},
	{"bearer", "?", "?"},
	{"bearer", "", ""},
	{"bearer", "?&&", "?&&"},
	{"bearer", "?key=1", "?key=1"},
	{"", "?a;b&&=;", "?a;b&&=;"},
	{"", "?", "?"},
};

static void test_queries(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof query_rows / sizeof *query_rows; i++) {
		const struct query_row *row = &query_rows[i];
		struct trial trial = {0};
		AUTO_FREE char *query = expand(row->query), *target = memory_format("/p%s", query);
		AUTO_FREE char *expected = memory_format("/p%s", row->expected);
		trial.request = (struct request){.method = SPAN("GET"), .target = span_of(target), .minor = 1};
		judge(&trial, row->credential, 0);
		run(&trial);
		if (!trial.done || !span_equal(trial.out.target, span_of(expected)))
			fail_msg("%s: `%s`: came `%.*s`, should be `%s`", row->credential, target,
			         SPAN_ARGS(trial.out.target), expected);
		end(&trial);
	}
}

struct path_row {
	const char *credential;
	size_t prefix;
	const char *path, *expected; /* NULL: refused */
};

static const struct path_row path_rows[] = {
	{"path", 0, "/say/bot{secret}/getMe", "/say/bot" ODD_PATH "/getMe"},
	{"path", 0, "/say/bot{secret}/a?b={secret}", "/say/bot" ODD_PATH "/a?b={secret}"},
	{"path", 0, "/say/bot{secret}", "/say/bot" ODD_PATH},
	{"path", 0, "/say/bot{secret}/", "/say/bot" ODD_PATH "/"},
	{"path", 1, "/say/file/bot{secret}/x/y", "/say/file/bot" ODD_PATH "/x/y"},
	{"path", 0, "/say/bot{secret}/{secret}", "/say/bot" ODD_PATH "/{secret}"},
	{"path", 0, "/say/bot{secret}x", NULL},
	{"path", 0, "/say/bot%7Bsecret%7D/x", NULL},
	{"path", 0, "/say/other/{secret}", NULL},
	{"path", 0, "/bot{secret}/x", NULL},
	{"path", 1, "/say/bot{secret}/x", NULL},
	{"path", 2, "/say/bot{secret}/x", NULL},
	{"path", 0, "/say/bot{other}/x", NULL},
	{"path", 0, "/say/bot{secret", NULL},
	{"path", 0, "/say/bot", NULL},
	{"path", 0, "/yas/bot{secret}/x", NULL},
	{"path", 0, "/say/bit{secret}/x", NULL},
	{"paths", 0, "/a{id}/b{key}/c", "/ame/b" PLAIN "/c"},
	{"paths", 0, "/a{key}/b{id}/c", NULL},
};

static void test_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof path_rows / sizeof *path_rows; i++) {
		const struct path_row *row = &path_rows[i];
		struct trial trial = {0};
		trial.request = (struct request){.method = SPAN("GET"), .target = span_of(row->path), .minor = 1};
		judge(&trial, row->credential, row->prefix);
		run(&trial);
		if (trial.done != (row->expected != NULL) ||
		    (trial.done && !span_equal(trial.out.target, span_of(row->expected))))
			fail_msg("%s: `%s`: came `%.*s`, should be `%s`", row->credential, row->path,
			         SPAN_ARGS(trial.out.target), row->expected ? row->expected : "refused");
		if (!trial.done && (trial.injected || trial.problem.status != 403))
			fail_msg("`%s`: refused with %u", row->path, trial.problem.status);
		end(&trial);
	}
}

#define C_GET "GET /x HTTP/1.1|Host: p"
#define C_UP "GET /x HTTP/1.1|Host: c.example"
#define SID "sid=" PLAIN

static const struct row cookie_rows[] = {
	{"cookie", C_GET, C_UP "|Cookie: " SID, 0},
	{"cookie", C_GET "|Cookie: a=b; sid=<token>; c=d; sid=again", C_UP "|Cookie: a=b; c=d; " SID, 0},
	{"cookie", C_GET "|Cookie: sid=1|A: 1|cookie: a=b;  c", C_UP "|A: 1|cookie: a=b;  c; " SID, 0},
	{"cookie", C_GET "|Cookie: sid=1; sid=2|Cookie: ;|A: 1", C_UP "|A: 1|Cookie: " SID, 0},
	{"cookie", C_GET "|Cookie: sid=1;|A: 1", C_UP "|A: 1|Cookie: " SID, 0},
	{"cookie", C_GET "|Cookie: sid|Cookie: a=1;|Cookie: sid =2;b|Cookie: s%69d=3",
	 C_UP "|Cookie: a=1; " SID "|Cookie: b", 0},
	{"cookie", C_GET "|Cookie: a=1,sid=2; b=3,4; SID=5; sids=6",
	 C_UP "|Cookie: a=1; b=3,4; sids=6; " SID, 0},
	{"cookie", C_GET "|Cookie: a=sid; sid=\"1\"; b=\"x\"", C_UP "|Cookie: a=sid; b=\"x\"; " SID, 0},
	{"cookie", C_GET "|Connection: cookie|Cookie: a=1", C_UP "|Cookie: " SID, 0},
	{"cookie", C_GET "|Cookie:|A: 1", C_UP "|A: 1|Cookie: " SID, 0},
	{"cookies", C_GET "|Cookie: tid=1; a=2", C_UP "|Cookie: a=2; " SID "; tid=" PLAIN, 0},
	{"bearer", C_GET "|Cookie: sid=1; a=2|Cookie:",
	 "GET /x HTTP/1.1|Host: api.example.com|Cookie: sid=1; a=2|Cookie: |"
	 "Authorization: Bearer " PLAIN, 0},
};

static void test_cookies(void **state)
{
	(void)state;
	CHECK_ROWS(cookie_rows);
}

#define S_UP "|Host: t.example"

/* What the agent signed with goes; what we sign with is added later (sign.h). */
static const struct row signed_rows[] = {
	{"signs", "GET /b/k HTTP/1.1|Host: p|Authorization: AWS4-HMAC-SHA256 Credential=<token>/20150830/r/s3/aws4_request, "
	          "SignedHeaders=host, Signature=00|X-Amz-Date: 20150830T123600Z|x_amz_security_token: a|X-Amz-Security-Token: b|"
	          "X-Amz-Content-SHA256: UNSIGNED-PAYLOAD|x-amz-s3session-token: c|X-Amz-Meta-A: 1|X-Amz-Region-Set: *|Date: d",
	 "GET /b/k HTTP/1.1" S_UP "|X-Amz-Meta-A: 1|Date: d", 0},
	{"signs", "GET /b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=<token>%2F20150830%2Fr%2Fs3%2Faws4_request&"
	          "X-Amz-Date=20150830T123600Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&x-id=GetObject&X-Amz-Signature=00&"
	          "X-Amz-Security-Token=t&x%2Damz%2Ddate=1&x-amz-copy-source=o%2Fk&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD&versionId=v HTTP/1.1|Host: p",
	 "GET /b/k?x-id=GetObject&versionId=v HTTP/1.1" S_UP, 0},
	{"bearer", GET "|X-Amz-Date: d|X-Amz-Content-Sha256: s", API "|X-Amz-Date: d|X-Amz-Content-Sha256: s|Authorization: "
	 "Bearer " PLAIN, 0},
};

static void test_signed(void **state)
{
	(void)state;
	CHECK_ROWS(signed_rows);
	const struct config_credential *credential = config_credential(config, SPAN("signs"));
	const struct signer *signer = inject_signer(snapshot.injections, credential);
	assert_true(span_equal(signer->id, SPAN("AKIDEXAMPLE")) && span_equal(signer->key, SPAN(PLAIN)) &&
	            span_equal(signer->session, SPAN(PLAIN)) && span_equal(signer->region, SPAN("eu-central-1")) &&
	            span_equal(signer->service, SPAN("s3")));
	assert_null(inject_signer(snapshot.injections, config_credential(config, SPAN("bearer"))));
	/* A response may tell the id, and nothing else. */
	size_t at, end;
	const struct needle_set *needles = inject_needles(snapshot.injections, credential);
	assert_false(needle_find(needles, SPAN("AKIDEXAMPLE"), 0, &at, &end));
	assert_true(needle_find(needles, SPAN(PLAIN), 0, &at, &end));
}

struct refusal_row {
	const char *credential, *path, *reason, *detail; /* a part of it */
};

static const struct refusal_row refusal_rows[] = {
	{"missing", "/", "secret_not_ready", "credential missing is not ready: env:TEST_MISSING: not set"},
	{"bad_cookie", "/", "secret_unfit", "credential bad_cookie cannot go into the cookie sid: it has a blank"},
	{"bad_id", "/", "secret_unfit", "credential bad_id cannot go into the header Authorization: the access key id has"},
	{"bad_path", "/{secret}",
	 "secret_unfit", "credential bad_path cannot go into the path: with it the path has a dot segment"},
};

static void test_refusals(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof refusal_rows / sizeof *refusal_rows; i++) {
		const struct refusal_row *row = &refusal_rows[i];
		struct trial trial = {0};
		trial.request = (struct request){.method = SPAN("GET"), .target = span_of(row->path), .minor = 1};
		judge(&trial, row->credential, 0);
		run(&trial);
		if (trial.done || trial.injected || trial.problem.status != 503 || trial.problem.retry_after == 0 ||
		    strcmp(trial.problem.reason, row->reason) != 0)
			fail_msg("%s: not refused with 503 %s", row->credential, row->reason);
		if (!strstr(trial.problem.detail, row->detail))
			fail_msg("%s: told `%s`, should tell `%s`", row->credential, trial.problem.detail, row->detail);
		const char *unfit = inject_unfit(snapshot.injections, trial.judgement.credential);
		assert_int_equal(unfit != NULL, strcmp(row->reason, "secret_unfit") == 0);
		assert_null(strstr(trial.problem.detail, ODD));
		assert_null(strstr(trial.problem.detail, "a/../b"));
		end(&trial);
	}
}

/* By HTTP/2 "TE: trailers" goes on; gRPC needs it. */
static void test_te(void **state)
{
	(void)state;
	for (int h2 = 0; h2 < 2; h2++) {
		struct trial trial = {0};
		parse(&trial, GET "|te: gzip, trailers");
		trial.request.h2 = h2;
		judge(&trial, "", 0);
		run(&trial);
		const struct field *te = fields_find(&trial.out.fields, SPAN("te"));
		assert_true(h2 ? te && span_equal(te->value, SPAN("trailers")) : !te);
		assert_int_equal(trial.out.h2, h2);
		end(&trial);
	}
}

static void test_trailers(void **state)
{
	static const char *const rows[][2] = {
		{"cookie", "A: 1|x_api_key: a|Cookie: b|X-Sum: 2"},
		{"header", "A: 1|Cookie: sid=1; b|X-Sum: 2"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct trial trial = {0};
		struct fields out = {0}, trailers;
		struct buffer text = {0};
		parse(&trial, GET "|A: 1|x_api_key: a|Content-Length: 5|B: <token>|Authorization: x|Proxy-A: 1|"
		                  "Connection: c|C: 1|Cookie: sid=1; b|X-Sum: 2");
		trailers = trial.request.fields;
		fields_add(&trailers, &trial.arena, SPAN("D"), SPAN("a\rb"));
		fields_add(&trailers, &trial.arena, SPAN("E:"), SPAN("a"));
		judge(&trial, rows[i][0], 0);
		inject_trailers(&snapshot, &trial.judgement, &trial.request, &trailers, &trial.arena, &out);
		for (size_t k = 0; k < out.count; k++)
			buffer_format(&text, "%s%.*s: %.*s", k ? "|" : "", SPAN_ARGS(out.list[k].name),
			              SPAN_ARGS(out.list[k].value));
		if (strcmp(text.data, rows[i][1]) != 0)
			fail_msg("%s: came `%s`, should be `%s`", rows[i][0], text.data, rows[i][1]);
		buffer_wipe(&text);
		end(&trial);
	}
}

static void test_ports(void **state)
{
	static const struct {
		bool tls;
		uint16_t port;
		const char *expected;
	} rows[] = {
		{true, 443, "allowed.example"},      {true, 80, "allowed.example:80"},
		{false, 80, "allowed.example"},      {false, 443, "allowed.example:443"},
		{true, 65535, "allowed.example:65535"}, {false, 1, "allowed.example:1"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct trial trial = {0};
		parse(&trial, GET);
		judge(&trial, "", 0);
		trial.judgement.tls = rows[i].tls;
		trial.judgement.port = rows[i].port;
		run(&trial);
		struct span host = trial.out.fields.list[0].value;
		if (!span_equal(host, span_of(rows[i].expected)))
			fail_msg("came `%.*s`, should be `%s`", SPAN_ARGS(host), rows[i].expected);
		end(&trial);
	}
}

static void test_percent(void **state)
{
	char out[64];
	(void)state;
	size_t length = percent_encode((struct span){"aZ0-._~ /%\0\xff:", 13}, ":", out);
	assert_true(span_equal((struct span){out, length}, SPAN("aZ0-._~%20%2F%25%00%FF:")));
	length = percent_decode(SPAN("%41+%4%zz%00%"), true, out);
	assert_true(span_equal((struct span){out, length}, (struct span){"A %4%zz\0%", 9}));
	length = percent_decode(SPAN("a+%2b"), false, out);
	assert_true(span_equal((struct span){out, length}, SPAN("a++")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_percent),       cmocka_unit_test(test_headers),   cmocka_unit_test(test_pass),
		cmocka_unit_test(test_hop_by_hop),    cmocka_unit_test(test_expect),    cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_escaped_prefix), cmocka_unit_test(test_no_tokens), cmocka_unit_test(test_queries),
		cmocka_unit_test(test_paths),         cmocka_unit_test(test_cookies),   cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_te),            cmocka_unit_test(test_signed),
		cmocka_unit_test(test_trailers),  cmocka_unit_test(test_ports),
	};
	return cmocka_run_group_tests_name("inject", tests, set_up, tear_down);
}
