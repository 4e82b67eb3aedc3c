/* What is asked of token endpoints, byte for byte, JWTs as what stands in them; and which secrets are told to be unfit. */
#include "config_rows.h"

#include "base64.h"
#include "jose_keys.h"
#include "text.h"
#include "token_request.h"

#define NOW 1700000000
#define TIMES(end) "\"iat\":1699999940,\"exp\":" #end "}"
#define JTI "\"jti\":\"000102030405060708090a0b0c0d0eff\","
#define HMAC "0123456789abcdef0123456789abcdef"
#define HS256 "[{\"alg\":\"HS256\",\"typ\":\"JWT\"}|"
#define RS256 "[{\"alg\":\"RS256\",\"typ\":\"JWT\"}|"
#define ACCOUNT                                                                                                        \
	"{\"client_email\":\"me@p.iam\",\"private_key_id\":\"k1\",\"token_uri\":\"https://oauth2.googleapis.com/token\"," \
	"\"private_key\":"

static const unsigned char jti[TOKEN_JTI] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255};

/* The YAML of a credential: secrets do not come from it, only their ids. */
#define HEAD "version: 1\nprofiles: { p: {} }\nvault: { file: v, key: \"file:k\" }\ncredentials:\n  c:\n"
#define CLIENT(inject) HEAD "    upstream: https://a.com\n    secrets: { id: env:A, key: env:B }\n    inject: " inject
#define REFRESH(inject) HEAD "    upstream: https://a.com\n    secrets: { id: env:A, refresh: vault:r }\n    inject: " inject
#define SIGNED(inject) HEAD "    upstream: https://a.com\n    secret: env:A\n    inject: " inject
#define OF(upstream, inject) HEAD "    upstream: " upstream "\n    secret: env:A\n    inject: " inject

static const struct {
	const char *config;
	const char *id, *key, *refresh, *secret;
	const char *asked; /* url, authorization, accept, body; or the token and its life */
} rows[] = {
	/* Client credentials: RFC 6749 §4.4.2. */
	{CLIENT("{ oauth2: { token_url: https://t.com/token } }"), "me", "pass", NULL, NULL,
	 "https://t.com/token\nBasic bWU6cGFzcw==\napplication/json\ngrant_type=client_credentials\n"},
	{CLIENT("{ oauth2: { token_url: \"https://t.com:8443/o/?p=x\", scope: \"read write\" } }"), "m e:\xc3\xa4~", "a+b&c=%", NULL, NULL,
	 "https://t.com:8443/o/?p=x\nBasic bStlJTNBJUMzJUE0JTdFOmElMkJiJTI2YyUzRCUyNQ==\napplication/json\n"
	 "grant_type=client_credentials&scope=read+write\n"},
	{CLIENT("{ oauth2: { token_url: https://t.com/token, auth: body } }"), "m e", "a+b&c=%*-._", NULL, NULL,
	 "https://t.com/token\nnone\napplication/json\n"
	 "grant_type=client_credentials&client_id=m+e&client_secret=a%2Bb%26c%3D%25*-._\n"},
	/* A refresh token: §6. */
	{REFRESH("{ oauth2: { token_url: https://t.com/token } }"), "me", NULL, "r/1", NULL,
	 "https://t.com/token\nnone\napplication/json\ngrant_type=refresh_token&refresh_token=r%2F1&client_id=me\n"},
	{REFRESH("{ oauth2: { token_url: https://t.com/token, scope: s } }"), "me", "pass", "r1", NULL,
	 "https://t.com/token\nBasic bWU6cGFzcw==\napplication/json\ngrant_type=refresh_token&refresh_token=r1&scope=s\n"},
	{REFRESH("{ oauth2: { token_url: https://t.com/token, auth: body } }"), "me", "pass", "r1", NULL,
	 "https://t.com/token\nnone\napplication/json\n"
	 "grant_type=refresh_token&refresh_token=r1&client_id=me&client_secret=pass\n"},
	/* A JWT itself. */
	{SIGNED("{ jwt: { alg: HS256, claims: { iss: \"a\\\"b\", \"x\\\"y\": \"1\", admin: true, root: false } } }"), NULL, NULL, NULL, HMAC,
	 HS256 "{\"iss\":\"a\\\"b\",\"x\\\"y\":\"1\",\"admin\":true,\"root\":false," TIMES(1700000300) "]\n300 s\n"},
	{SIGNED("{ jwt: { alg: HS256 } }\n    ttl: 1500ms"), NULL, NULL, NULL, HMAC, HS256 "{" TIMES(1700000002) "]\n2 s\n"},
	{SIGNED("{ jwt: { alg: EdDSA, claims: { sub: \"5\" } } }\n    ttl: 1h"), NULL, NULL, NULL, KEY_ED25519,
	 "[{\"alg\":\"EdDSA\",\"typ\":\"JWT\"}|{\"sub\":\"5\"," TIMES(1700003600) "]\n3600 s\n"},
	/* A JWT as a grant: RFC 7523 §2.1. */
	{SIGNED("{ jwt: { alg: ES256, claims: { iss: me }, token_url: https://t.com/t/ } }"), NULL, NULL, NULL, KEY_P256,
	 "https://t.com/t/\nnone\napplication/json\ngrant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion="
	 "[{\"alg\":\"ES256\",\"typ\":\"JWT\"}|{\"iss\":\"me\",\"aud\":\"https://t.com/t/\"," JTI TIMES(1700000300) "]\n"},
	{SIGNED("{ jwt: { alg: HS256, claims: { aud: them }, token_url: https://t.com/t } }"), NULL, NULL, NULL, HMAC,
	 "https://t.com/t\nnone\napplication/json\ngrant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion="
	 HS256 "{\"aud\":\"them\"," JTI TIMES(1700000300) "]\n"},
	/* GitHub Apps. */
	{OF("https://api.github.com", "{ jwt: { github_app: 12, installation: 34 } }"), NULL, NULL, NULL, KEY_RSA,
	 "https://api.github.com/app/installations/34/access_tokens\nBearer " RS256 "{\"iss\":\"12\"," TIMES(1700000540)
	 "]\napplication/vnd.github+json\n\n"},
	{OF("https://github.com/me", "{ jwt: { github_app: Iv1.x, installation: 34 } }"), NULL, NULL, NULL, KEY_RSA,
	 "https://api.github.com/app/installations/34/access_tokens\nBearer " RS256 "{\"iss\":\"Iv1.x\"," TIMES(1700000540)
	 "]\napplication/vnd.github+json\n\n"},
	{OF("https://api.github.com/repos/a/b", "{ jwt: { github_app: 12, installation: 34 } }"), NULL, NULL, NULL, KEY_RSA,
	 "https://api.github.com/app/installations/34/access_tokens\nBearer " RS256 "{\"iss\":\"12\"," TIMES(1700000540)
	 "]\napplication/vnd.github+json\n\n"},
	{OF("http://127.0.0.1:8080/api/v3/", "{ jwt: { github_app: 12, installation: 34 } }"), NULL, NULL, NULL, KEY_RSA,
	 "http://127.0.0.1:8080/api/v3/app/installations/34/access_tokens\nBearer " RS256 "{\"iss\":\"12\"," TIMES(1700000540)
	 "]\napplication/vnd.github+json\n\n"},
	{OF("https://api.github.com", "{ jwt: { github_app: 12 } }"), NULL, NULL, NULL, KEY_RSA,
	 RS256 "{\"iss\":\"12\"," TIMES(1700000540) "]\n540 s\n"},
	/* Google: the JSON is made in run(). */
	{SIGNED("{ jwt: { google: \"https://www.googleapis.com/auth/drive a\" } }"), NULL, NULL, NULL, ACCOUNT,
	 "https://oauth2.googleapis.com/token\nnone\napplication/json\n"
	 "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion="
	 "[{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"k1\"}|{\"iss\":\"me@p.iam\",\"scope\":\"https://www.googleapis.com/auth/drive a\","
	 "\"aud\":\"https://oauth2.googleapis.com/token\"," TIMES(1700003540) "]\n"},
};

static void decode(struct span text, struct buffer *out)
{
	char plain[4096];
	size_t length = 0;
	assert_true(text.length < sizeof plain);
	for (size_t i = 0; i < text.length; i++)
		plain[i] = text.data[i] == '-' ? '+' : text.data[i] == '_' ? '/' : text.data[i];
	assert_true(base64_decode((struct span){plain, text.length}, buffer_room(out, text.length), &length));
	out->length += length;
}

/* Text with a JWT at its end as "[HEADER|CLAIMS]". */
static void write_opened(struct span text, struct buffer *out)
{
	const char *token = text.length ? memmem(text.data, text.length, "eyJ", 3) : NULL;
	if (!token) {
		buffer_span(out, text);
		return;
	}
	struct span before = span_head(text, (size_t)(token - text.data)), rest = span_from(text, before.length);
	buffer_span(out, before);
	buffer_char(out, '[');
	decode(span_split(&rest, '.'), out);
	buffer_char(out, '|');
	decode(span_split(&rest, '.'), out);
	buffer_char(out, ']');
	assert_true(rest.length > 40 && !memchr(rest.data, '.', rest.length));
}

static void write_request(const struct token_request *request, struct buffer *out)
{
	if (!request->asks) {
		write_opened(request->token, out);
		buffer_format(out, "\n%llu s\n", (unsigned long long)request->life);
		return;
	}
	buffer_format(out, "%s\n", request->url);
	write_opened(span_of(request->authorization ? request->authorization : "none"), out);
	buffer_format(out, "\n%s\n", request->accept);
	write_opened(request->body, out);
	buffer_char(out, '\n');
}

/* What the row says, and for a service account the JSON with a key in it. */
static struct token_secrets secrets_of(size_t row, struct buffer *account)
{
	struct token_secrets secrets = {span_of(rows[row].id), span_of(rows[row].key), span_of(rows[row].refresh),
	                                span_of(rows[row].secret)};
	if (!span_equal(secrets.secret, SPAN(ACCOUNT)))
		return secrets;
	buffer_string(account, ACCOUNT "\"");
	buffer_json(account, SPAN(KEY_RSA));
	buffer_string(account, "\"}");
	secrets.secret = buffer_view(account);
	return secrets;
}

static void test_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		AUTO_BUFFER struct buffer came = {0}, account = {0};
		struct config *config = good(rows[i].config);
		struct token_secrets secrets = secrets_of(i, &account);
		struct arena arena = {0};
		struct token_request request;
		struct fault fault = FAULT_INIT;
		assert_true(token_request_applies(&config->credentials[0]));
		if (!token_request_fits(&config->credentials[0], &secrets, &fault) ||
		    !token_request_make(&config->credentials[0], &secrets, NOW, jti, &arena, &request, &fault))
			fail_msg("`%s`: %s", rows[i].config, fault.text);
		write_request(&request, &came);
		compare(rows[i].config, "request", came.data, rows[i].asked);
		arena_free(&arena);
		config_free(config);
	}
	settle();
}

static const struct {
	const char *config, *secret, *fault;
} unfit[] = {
	{SIGNED("{ jwt: { alg: RS256 } }"), "no key", "secret: there is no PEM private key in it; one begins with -----BEGIN PRIVATE KEY-----"},
	{SIGNED("{ jwt: { alg: RS256 } }"), KEY_P256,
	 "secret: RS256 wants an RSA key of 2048 bits or more; this one is EC on SECP256R1, 256 bits"},
	{SIGNED("{ jwt: { alg: HS256 } }"), "short", "secret: HS256 wants 32 bytes or more; this has 5"},
	{OF("https://api.github.com", "{ jwt: { github_app: 12, installation: 34 } }"), KEY_ED25519,
	 "secret: RS256 wants an RSA key of 2048 bits or more; this one is EdDSA (Ed25519), 256 bits"},
	{SIGNED("{ jwt: { google: s } }"), KEY_RSA, "secret: not the JSON key of a service account: it is no JSON"},
	{SIGNED("{ jwt: { google: s } }"), "{\"client_email\":\"a\",\"private_key_id\":\"b\"}",
	 "secret: it has no \"private_key\"; is it the whole JSON key of a service account?"},
	{SIGNED("{ jwt: { google: s } }"), ACCOUNT "\"x\"}", "secret: private_key: there is no PEM private key in it; one begins with -----BEGIN PRIVATE KEY-----"},
};

/* The same is said before anything is asked, and where somebody asks all the same. */
static void test_unfit(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof unfit / sizeof *unfit; i++) {
		struct config *config = good(unfit[i].config);
		struct token_secrets secrets = {.secret = span_of(unfit[i].secret)};
		struct arena arena = {0};
		struct token_request request;
		struct fault fault = FAULT_INIT, later = FAULT_INIT;
		assert_false(token_request_fits(&config->credentials[0], &secrets, &fault));
		assert_false(token_request_make(&config->credentials[0], &secrets, NOW, jti, &arena, &request, &later));
		compare(unfit[i].config, "fault", fault.text, unfit[i].fault);
		compare(unfit[i].config, "fault of the request", later.text, unfit[i].fault);
		assert_int_equal(fault.code, FAULT_BROKEN);
		arena_free(&arena);
		config_free(config);
	}
	settle();
}

/* Where it goes, as who judges addresses sees it; how it is read; and what was shown. */
static void test_endpoints(void **state)
{
	static const struct {
		const char *config, *host, *path;
		uint16_t port;
		bool tls;
		enum token_form form;
		enum token_grant grant;
	} ends[] = {
		{CLIENT("{ oauth2: { token_url: \"http://127.0.0.1:81/a/b/?c\" } }"), "127.0.0.1", "/a/b", 81, false, TOKEN_OAUTH2, GRANT_CLIENT},
		{SIGNED("{ jwt: { alg: RS256, token_url: https://t.com } }"), "t.com", "", 443, true, TOKEN_OAUTH2, GRANT_ASSERTION},
		{OF("https://github.com", "{ jwt: { github_app: 1, installation: 2 } }"), "api.github.com",
		 "/app/installations/2/access_tokens", 443, true, TOKEN_GITHUB, GRANT_APP},
	};
	(void)state;
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		struct config *config = good(ends[i].config);
		struct token_secrets secrets = {SPAN("id"), SPAN("key"), {0}, SPAN(KEY_RSA)};
		struct arena arena = {0};
		struct token_request request;
		assert_true(token_request_make(&config->credentials[0], &secrets, NOW, jti, &arena, &request, NULL));
		assert_string_equal(request.endpoint.host.name, ends[i].host);
		assert_string_equal(request.endpoint.path, ends[i].path);
		assert_int_equal(request.endpoint.port, ends[i].port);
		assert_true(request.asks && request.endpoint.tls == ends[i].tls);
		assert_true(request.form == ends[i].form && request.grant == ends[i].grant);
		arena_free(&arena);
		config_free(config);
	}
}

/* A clock that is 30 s off, either way, on either side: no JWT is of the future, or over what GitHub and Google take. */
static void test_clocks(void **state)
{
	static const uint64_t most[] = {600, 3600};
	static const char *const configs[] = {OF("https://api.github.com", "{ jwt: { github_app: 1 } }"),
	                                      SIGNED("{ jwt: { google: s } }")};
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		AUTO_BUFFER struct buffer account = {0}, came = {0};
		struct config *config = good(configs[i]);
		struct token_secrets secrets = secrets_of(sizeof rows / sizeof *rows - 1, &account);
		if (i == 0)
			secrets.secret = SPAN(KEY_RSA);
		struct arena arena = {0};
		struct token_request request;
		assert_true(token_request_make(&config->credentials[0], &secrets, NOW, jti, &arena, &request, NULL));
		write_request(&request, &came);
		unsigned long long iat = 0, exp = 0;
		assert_int_equal(sscanf(strstr(came.data, "\"iat\""), "\"iat\":%llu,\"exp\":%llu", &iat, &exp), 2);
		assert_true(iat <= NOW - 30);
		assert_true(i == 0 ? exp <= NOW - 30 + most[i] : exp - iat <= most[i]);
		arena_free(&arena);
		config_free(config);
	}
}

static void test_others(void **state)
{
	struct config *config = good(SIGNED("{ basic: x }"));
	struct token_secrets secrets = {0};
	struct arena arena = {0};
	struct token_request request;
	(void)state;
	assert_false(token_request_applies(&config->credentials[0]));
	assert_true(token_request_fits(&config->credentials[0], &secrets, NULL));
	assert_false(token_request_make(&config->credentials[0], &secrets, NOW, jti, &arena, &request, NULL));
	arena_free(&arena);
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests), cmocka_unit_test(test_unfit),  cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_clocks),   cmocka_unit_test(test_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
