/* Credentials: upstreams, secrets, presets and options, and which mistakes are told. */
#include "config_rows.h"

#define C "version: 1\nprofiles: { p: {} }\ncredentials:\n"
/* The first line behind it is line 4. */
#define SAID "secret: env:A, inject: { basic: x }"

static void test_upstreams(void **state)
{
	(void)state;
	static const struct {
		const char *url, *host, *path;
		bool tls, wildcard;
		uint16_t port, pattern_port;
	} rows[] = {
		{"https://API.example.com.", "api.example.com", "", true, false, 443, 0},
		{"HTTPS://api.example.com:443/", "api.example.com", "", true, false, 443, 0},
		{"http://api.example.com", "api.example.com", "", false, false, 80, 80},
		{"http://api.example.com:443", "api.example.com", "", false, false, 443, 0},
		{"https://api.example.com:8443/v1/%7euser/", "api.example.com", "/v1/~user", true, false, 8443, 8443},
		{"https://*.example.com/a", "example.com", "/a", true, true, 443, 0},
		{"https://127.0.0.1:80", "127.0.0.1", "", true, false, 80, 80},
		{"https://[::0001]:9/x", "::1", "/x", true, false, 9, 9},
		{"https://b\xc3\xbc" "cher.example", "xn--bcher-kva.example", "", true, false, 443, 0},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		AUTO_BUFFER struct buffer text = {0};
		buffer_format(&text, C "  c: { upstream: \"%s\", " SAID " }\n", rows[i].url);
		struct config *config = good(text.data);
		const struct origin *origin = &config->credentials[0].upstream;
		const struct pattern *pattern = &config->credentials[0].host;
		compare(rows[i].url, "host", origin->host.name, rows[i].host);
		compare(rows[i].url, "path", origin->path, rows[i].path);
		if (origin->tls != rows[i].tls || origin->wildcard != rows[i].wildcard || origin->port != rows[i].port ||
		    pattern->port != rows[i].pattern_port || (pattern->kind == PATTERN_WILDCARD) != rows[i].wildcard)
			fail_msg("`%s`: tls %d, wildcard %d, port %u, pattern's port %u", rows[i].url, origin->tls,
			         origin->wildcard, origin->port, pattern->port);
		config_free(config);
	}
	settle();
}

static bool owns(const struct config *config, const char *name, const char *host, uint16_t port)
{
	struct host parsed;
	assert_true(host_parse(span_of(host), &parsed, NULL));
	return config_owns(config_credential(config, span_of(name)), &parsed, port);
}

static void test_owns(void **state)
{
	(void)state;
	struct config *config = good(C "  tls: { upstream: https://a.com/v1, " SAID " }\n"
	                               "  plain: { upstream: http://a.com, " SAID " }\n"
	                               "  port: { upstream: https://a.com:8443, " SAID " }\n"
	                               "  wild: { upstream: https://*.a.com, " SAID " }\n");
	assert_true(owns(config, "tls", "a.com", 443) && owns(config, "tls", "A.com.", 80));
	assert_false(owns(config, "tls", "a.com", 8443) || owns(config, "tls", "x.a.com", 443));
	assert_true(owns(config, "plain", "a.com", 80));
	assert_false(owns(config, "plain", "a.com", 443));
	assert_true(owns(config, "port", "a.com", 8443));
	assert_false(owns(config, "port", "a.com", 443));
	assert_true(owns(config, "wild", "x.y.a.com", 443) && owns(config, "wild", "x.a.com", 80));
	assert_false(owns(config, "wild", "a.com", 443) || owns(config, "wild", "xa.com", 443));
	config_free(config);
}

static void test_fields(void **state)
{
	(void)state;
	struct config *config = good(
		C "  a: { upstream: https://a.com, secret: file:s/x, inject: { header: X-Key, value: \"{secret}\" } }\n"
		  "  b:\n"
		  "    upstream: https://b.com\n"
		  "    secrets: { id: env:ID, key: \"exec:/bin/get --key 'a b'\", more: systemd:x }\n"
		  "    inject: [{ header: X-Id, value: \"{id}-{key}\" }, { header: X-More, value: \"{more}\" }]\n"
		  "    rules: [allow GET /]\n"
		  "    pass: [Authorization, X-Other]\n"
		  "    ttl: 5m\n"
		  "    rotation: strict\n"
		  "    ca: ca.pem\n"
		  "    client: { cert: c.pem, key: file:c.key }\n"
		  "    intercept: true\n"
		  "    http2: off\n"
		  "    rate: 600/m\n"
		  "    scrub: off\n"
		  "    encoded_slash: true\n"
		  "    response_idle: 10s\n"
		  "    body: 1KiB\n"
		  "  c: { upstream: https://c.com, " SAID ", body: none }\n");
	const struct config_credential *a = &config->credentials[0], *b = &config->credentials[1];
	assert_string_equal(a->secrets[0].source.name, FOLDER "/s/x");
	assert_true(a->secrets[0].mark.line == 4 && a->secrets[0].mark.column == 41);
	assert_true(a->scrub && a->http2 == HTTP2_ON && !a->ttl && !a->ca && !a->body && !a->response_idle);
	assert_int_equal(b->secret_count, 3);
	assert_string_equal(b->secrets[0].id, "id");
	assert_int_equal(b->secrets[1].source.kind, SOURCE_EXEC);
	assert_int_equal(b->injection_count, 2);
	assert_int_equal(b->rules.count, 1);
	assert_int_equal(b->pass.count, 2);
	assert_string_equal(b->pass.list[1], "X-Other");
	assert_true(b->ttl == 300000 && b->rotation == ROTATION_STRICT && b->intercept && b->http2 == HTTP2_OFF);
	assert_string_equal(b->ca, FOLDER "/ca.pem");
	assert_string_equal(b->client_cert, FOLDER "/c.pem");
	assert_int_equal(b->client_key.kind, SOURCE_FILE);
	assert_true(b->client_mark.line > b->secrets[0].mark.line && b->client_mark.column == 13);
	assert_true(b->rate.count == 600 && !b->scrub && b->encoded_slash && b->response_idle == 10000 && b->body == 1024);
	assert_true(config->credentials[2].body == UINT64_MAX);
	config_free(config);
}

/* What an entry says stands over its preset, key by key. */
static void test_presets(void **state)
{
	(void)state;
	struct config *config = good(
		C "  plain: { preset: openai, secret: env:A }\n"
		  "  other: { secret: env:A, env: { token: MY_KEY }, upstream: https://eu.api.openai.com/x, preset: openai,\n"
		  "           inject: { query: key }, rules: [allow GET /] }\n"
		  "  more: { preset: anthropic, secrets: { secret: env:A, two: env:B },\n"
		  "          inject: [{ header: x-api-key, value: \"{secret}\" }, { header: x-two, value: \"{two}\" }] }\n");
	const struct config_credential *plain = &config->credentials[0], *other = &config->credentials[1];
	assert_string_equal(plain->preset, "openai");
	assert_string_equal(plain->upstream.host.name, "api.openai.com");
	assert_string_equal(plain->injections[0].name, "Authorization");
	assert_string_equal(plain->injections[0].value, "Bearer {secret}");
	assert_true(plain->injections[0].mark.line == 4 && plain->injections[0].mark.column == 20);
	assert_string_equal(plain->env.token.list[0], "OPENAI_API_KEY");
	assert_string_equal(other->upstream.host.name, "eu.api.openai.com");
	assert_string_equal(other->upstream.path, "/x");
	assert_int_equal(other->injection_count, 1);
	assert_int_equal(other->injections[0].kind, INJECT_QUERY);
	assert_int_equal(other->env.token.count, 1);
	assert_string_equal(other->env.token.list[0], "MY_KEY");
	assert_string_equal(other->env.base_url.list[0], "OPENAI_BASE_URL");
	assert_int_equal(other->rules.count, 1);
	assert_int_equal(config->credentials[2].secret_count, 2);
	config_free(config);
}

#define KEYS_OF_CREDENTIAL                                                                                             \
	"(known here: preset, upstream, secret, secrets, inject, rules, env, pass, ttl, rotation, ca, client, intercept, "  \
	"http2, rate, scrub, encoded_slash, response_idle, body)"
#define NO_SECRET "\"secret\" is missing here; write secret: vault:NAME, or file:PATH, env:NAME, systemd:NAME, exec:COMMAND"
#define NO_UPSTREAM "\"upstream\" is missing here; write upstream: https://api.example.com, or preset: NAME"
#define NO_INJECT                                                                                                      \
	"\"inject\" is missing here; write inject: { header: Authorization, value: \"Bearer {secret}\" }, or preset: NAME"
#define SOURCES "a secret is named by vault:NAME, file:PATH, env:NAME, systemd:NAME or exec:COMMAND"
#define NOTHING_HINT "; what belongs to a key stands below it, indented deeper"

static const struct told_row rows[] = {
	{"version: 1\nprofiles: { p: {} }\ncredentials: []\n",
	 "3:14: expected credentials, each by its name (a mapping), found a list"},
	{C "  a:\n", "4:5: expected a credential (a mapping), found nothing" NOTHING_HINT},
	{C "  a: vault:x\n", "4:6: expected a credential (a mapping), found text"},
	{C "  a: {}\n", "4:6: " NO_UPSTREAM "\n4:6: " NO_SECRET "\n4:6: " NO_INJECT},
	{C "  a:\n    upstream: https://a.com\n", "5:5: " NO_SECRET "\n5:5: " NO_INJECT},
	{C "  a:\n    preset: openai\n  secret: vault:x\n",
	 "5:5: " NO_SECRET "\n6:3: \"secret\" is a key of a credential, not the name of one; indent its line deeper"},
	{C "  a: { preset: opnai }\n",
	 "4:6: " NO_SECRET "\n4:16: no preset has the name \"opnai\"; did you mean \"openai\"? (proxyd --presets lists them)"},
	{C "  a: { preset: openai, " SAID ", upstrem: https://a.com }\n",
	 "4:61: unknown key \"upstrem\"; did you mean \"upstream\"? " KEYS_OF_CREDENTIAL},
	{C "  A: { preset: openai, secret: env:A }\n",
	 "4:3: the name of a credential has 1 to 63 lower-case letters, digits, \".\", \"_\" and \"-\", and begins with a "
	 "letter or digit"},
	/* Upstreams. */
	{C "  a: { upstream: a.com, " SAID " }\n",
	 "4:18: expected a URL that starts with https:// or http://, such as https://api.example.com"},
	{C "  a: { upstream: ftp://a.com, " SAID " }\n",
	 "4:18: expected a URL that starts with https:// or http://, such as https://api.example.com"},
	{C "  a: { upstream: https://, " SAID " }\n", "4:18: the host is empty"},
	{C "  a: { upstream: https://u:p4ss@a.com, " SAID " }\n",
	 "4:18: a host has a user name or password (`@`) in front; leave that out"},
	{C "  a: { upstream: \"https://a.com/x?y=1\", " SAID " }\n",
	 "4:18: a URL with a query or fragment; only scheme, host, port and path stand here"},
	{C "  a: { upstream: https://a.com/../x, " SAID " }\n", "4:18: the URL's path has a dot segment (. or ..)"},
	{C "  a: { upstream: https://a.com/a%2Fb, " SAID " }\n", "4:18: the URL's path has an encoded slash (%2F)"},
	{C "  a: { upstream: https://a.com//x, " SAID " }\n", "4:18: the URL's path has an empty segment (//)"},
	{C "  a: { upstream: \"https://*.10.0.0.1\", " SAID " }\n",
	 "4:18: \"*.\" stands before a name, not before an address"},
	{C "  a: { upstream: \"https://api.*.com\", " SAID " }\n",
	 "4:18: host `api.*.com` has a character that no host name has"},
	{C "  a: { upstream: https://a.com:0, " SAID " }\n",
	 "4:18: host `a.com:0` has no port from 1 to 65535 behind its `:`"},
	/* Secrets; what stands in the place of a source is never shown, since it may be the secret itself. */
	{C "  a: { preset: openai, secret: sk-live-1234 }\n", "4:32: this names no source; " SOURCES},
	{C "  a: { preset: openai, secret: }\n",
	 "4:32: expected where a secret comes from, such as vault:NAME or file:PATH (text), found nothing"},
	{C "  a: { preset: openai, secret: vault:x }\n",
	 "4:32: there is no vault in this file; add vault: { file: secrets.vault, key: \"file:vault.key\" }"},
	{C "  a: { preset: openai, secret: \"env:$A\" }\n",
	 "4:32: a variable's name has letters, digits and `_`, without `$`, and begins with no digit"},
	{C "  a: { preset: openai, secret: env:A, secrets: { secret: env:A } }\n",
	 "4:48: \"secret\" and \"secrets\" do not go together; name all of them in \"secrets\""},
	{C "  a: { preset: openai, secrets: {} }\n", "4:33: expected 1 to 16 secrets, found 0"},
	{C "  a: { preset: openai, secrets: [env:A] }\n",
	 "4:33: expected secrets such as {id: vault:a, key: vault:b} (a mapping), found a list"},
	{C "  a: { preset: openai, secrets: { a-b: env:A, secret: env:A } }\n",
	 "4:35: expected a name of letters, digits and \"_\", for use as {NAME}"},
	{"version: 1\nprofiles: { p: {} }\nvault: { file: v, key: \"file:k\" }\ncredentials:\n"
	 "  a: { preset: openai, secret: \"vault:-x\" }\n  b: { preset: openai, secret: vault:X.y_z-1 }\n",
	 "5:32: a name in the vault has letters, digits, `.`, `_` and `-`, 128 at most, and begins with a letter or digit"},
	/* Options. */
	{C "  a: { preset: openai, secret: env:A, ttl: 5s }\n",
	 "4:44: \"ttl\" says how long what an exec: prints, or a token of oauth2 or jwt, is good; there is none of these here"},
	{C "  a: { preset: openai, secret: env:A, client: { cert: c, key: exec:x }, ttl: 0s }\n",
	 "4:78: expected a time above 0, and not above 3650d"},
	{C "  a: { upstream: http://a.com, secret: env:A, inject: { query: k }, client: { cert: c, key: env:B } }\n",
	 "4:77: \"client\" is a certificate for TLS, and the upstream has http://; write https:// there, or take \"client\" out"},
	{C "  a: { preset: openai, secret: exec:x, ttl: 300 }\n",
	 "4:45: `300` is not a time; write a number and ms, s, m, h or d, like 30s"},
	{C "  a: { preset: openai, secret: exec:x, ttl: 0s }\n", "4:45: expected a time above 0, and not above 3650d"},
	{C "  a: { preset: openai, secret: exec:x, ttl: 3651d }\n", "4:45: expected a time above 0, and not above 3650d"},
	{C "  a: { preset: openai, secret: env:A, pass: Authorization, ca: \"\" }\n",
	 "4:45: expected header names such as [Authorization] (a list), found text; a list stands in [ ], or each item in a "
	 "line of its own after \"- \"\n4:64: expected the path of a PEM file, found empty text"},
	{C "  a: { preset: openai, secret: env:A, pass: [\"a b\", authorization] }\n",
	 "4:45: authorization is injected, so the agent's own cannot be passed\n"
	 "4:46: expected header names such as [Authorization]: a header's name has letters, digits and \"-\""},
	{C "  a: { preset: openai, secret: env:A, http2: tunnel, scrub: false, rotation: none }\n",
	 "4:46: http2: tunnel would carry requests past the injection; on a credential it is on or off\n"
	 "4:61: expected off or on\n4:78: expected overlap or strict"},
	{C "  a: { preset: openai, secret: env:A, client: { cert: x } }\n",
	 "4:47: \"key\" is missing here; write key: file:PATH"},
	{C "  a: { preset: openai, secret: env:A, rate: 600, body: 0, encoded_slash: no }\n",
	 "4:45: `600` is not a rate; write requests per second, minute or hour, like 10/s, 600/m or 5000/h\n"
	 "4:56: expected a size above 0 and not above 1048576GiB, or none\n"
	 "4:74: expected true or false; did you mean false, without quotes?"},
	{C "  a: { preset: openai, secret: env:A, rules: [allow GET v1] }\n",
	 "4:47: rule `allow GET v1` has a path that does not begin with /; a rule is like `allow GET,POST /v1/**` or `deny * "
	 "/v1/admin/**`"},
	/* An alias is wrong at one place. */
	{C "  a: &a { preset: openai, secret: x }\n  b: *a\n", "4:35: this names no source; " SOURCES},
};

static void test_errors(void **state)
{
	(void)state;
	expect_errors(ROWS(rows));
}

static void test_exec(void **state)
{
	(void)state;
	static const char text[] = C "  a: { preset: openai, secret: \"exec:pass show x\" }\n"
	                             "  b: { preset: openai, secret: env:A, client: { cert: c, key: exec:x } }\n"
	                             "parent: { proxy: \"http://x:1\", auth: exec:y }\n";
#define REFUSED                                                                                                        \
	"exec: is refused in a file that was only found as ./keystile.yaml, since any folder may hold one; name the file "  \
	"with --config or KEYSTILE_CONFIG if you trust it"
	struct judged judged = judge(text, false);
	compare(text, "errors", judged.errors.data, "");
	judged_free(&judged);
	judged = judge(text, true);
	compare(text, "errors", judged.errors.data, "4:32: " REFUSED "\n5:63: " REFUSED "\n6:38: " REFUSED);
	judged_free(&judged);
	settle();
}

#define PLAIN "over plain http, where everyone on the way can read it; is there an https:// address?"

static const struct told_row warning_rows[] = {
	{C "  a: { upstream: \"https://a.com\", secret: env:A, inject: { jwt: { github_app: 1 } }, ttl: 5m }\n",
	 "4:91: GitHub says how long tokens of its Apps are good, so \"ttl\" changes nothing here"},
	{C "  a: { upstream: \"https://a.com\", secret: exec:x, inject: { jwt: { github_app: 1 } }, ttl: 5m }\n", ""},
	{C "  a: { upstream: http://a.com, " SAID " }\n  b: { upstream: http://10.0.0.1:8, " SAID " }\n",
	 "4:18: the secret goes to a.com " PLAIN "\n5:18: the secret goes to 10.0.0.1 " PLAIN},
	{C "  a: { upstream: http://127.9.9.9, " SAID " }\n  b: { upstream: \"http://[::1]:8\", " SAID " }\n"
	   "  c: { upstream: http://localhost, " SAID " }\n  d: { upstream: http://a.localhost, " SAID " }\n", ""},
};

static void test_warnings(void **state)
{
	(void)state;
	expect_warnings(ROWS(warning_rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_upstreams), cmocka_unit_test(test_owns),   cmocka_unit_test(test_fields),
		cmocka_unit_test(test_presets),   cmocka_unit_test(test_errors), cmocka_unit_test(test_exec),
		cmocka_unit_test(test_warnings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
