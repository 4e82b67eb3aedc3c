/* The environment of a profile: which names, which values, what is left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "buffer.h"
#include "environment.h"
#include "memory.h"
#include "secret.h"

static struct token_key key;

#define NAMES(...) {(char *[]){__VA_ARGS__}, sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)}
#define TEXT(literal) ((char *)(uintptr_t)(literal))

static struct config_credential credentials[] = {
	{
		.name = TEXT("openai"),
		.env = {.base_url = NAMES(TEXT("OPENAI_BASE_URL"), TEXT("OPENAI_API_BASE")), .token = NAMES(TEXT("OPENAI_API_KEY")),
		        .path = TEXT("/v1/"), .token_prefix = TEXT("sk-")},
	},
	{
		.name = TEXT("anthropic"),
		.env = {.base_url = NAMES(TEXT("ANTHROPIC_BASE_URL")), .token = NAMES(TEXT("ANTHROPIC_API_KEY")),
		        .set_names = NAMES(TEXT("ALL_OF_IT"), TEXT("BRACES")),
		        .set_values = NAMES(TEXT("{base_url} {token}{address}"), TEXT("{x} {base_url")),
		},
	},
	{
		.name = TEXT("git-github"),
		.env = {.token_prefix = TEXT("a/b:"),
		        .git = NAMES(TEXT("https://github.com/"), TEXT("https://github.com"), TEXT("git@github.com:"))},
	},
	{
		.name = TEXT("wild"),
		.upstream = {.wildcard = true},
		.env = {.base_url = NAMES(TEXT("WILD_URL")), .token = NAMES(TEXT("WILD_KEY")), .set_names = NAMES(TEXT("WILD_SET")),
		        .set_values = NAMES(TEXT("{base_url}/x"))},
	},
	{
		.name = TEXT("again"),
		.env = {.token = NAMES(TEXT("OPENAI_API_KEY"))},
	},
};

#define ALL (sizeof credentials / sizeof *credentials)

static const struct config_credential *const order[] = {&credentials[0], &credentials[1], &credentials[2],
                                                        &credentials[3], &credentials[4]};
static struct config_profile profile = {.name = TEXT("coder"), .token_version = 1, .direct = true,
                                        .credentials = (const struct config_credential **)(uintptr_t)order};
static const struct config config = {.credentials = credentials, .credential_count = ALL, .profiles = &profile,
                                     .profile_count = 1};

static bool make(const char *advertise, bool session, size_t credential_count, struct environment *environment,
                 struct fault *fault)
{
	struct environment_request request = {.config = &config, .profile = &profile, .key = session ? &key : NULL};
	assert_true(authority_parse(span_of(advertise), &request.advertise, fault));
	profile.credential_count = credential_count;
	return environment_make(&request, environment, fault);
}

static const char *value_of(const struct environment *environment, const char *name)
{
	for (size_t i = 0; i < environment->count; i++)
		if (strcmp(environment->list[i].name, name) == 0)
			return environment->list[i].value;
	return NULL;
}

/* Puts the tokens, which differ by key, in the place of P, O, A, G and W behind "@". */
static char *filled(const char *text)
{
	AUTO_BUFFER struct buffer out = {0};
	for (; *text; text++) {
		const char *at = text[0] == '@' && text[1] ? strchr("POAGW", text[1]) : NULL;
		if (!at) {
			buffer_char(&out, *text);
			continue;
		}
		static const int index[] = {['O'] = 0, ['A'] = 1, ['G'] = 2, ['W'] = 3};
		AUTO_FREE char *token = *at == 'P' ? token_for_proxy(&key, &profile)
		                                   : token_for_credential(&key, &profile, &credentials[index[(int)*at]]);
		buffer_string(&out, token);
		text++;
	}
	return memory_span(buffer_view(&out));
}

struct row {
	const char *advertise;
	bool session;
	const char *name, *value; /* NULL: it should not be there */
};

static const struct row rows[] = {
	{"127.0.0.1:8180", true, "HTTP_PROXY", "http://coder:@P@127.0.0.1:8180"},
	{"127.0.0.1:8180", true, "http_proxy", "http://coder:@P@127.0.0.1:8180"},
	{"127.0.0.1:8180", true, "HTTPS_PROXY", "http://coder:@P@127.0.0.1:8180"},
	{"127.0.0.1:8180", true, "https_proxy", "http://coder:@P@127.0.0.1:8180"},
	{"127.0.0.1:8180", true, "ALL_PROXY", "http://coder:@P@127.0.0.1:8180"},
	{"127.0.0.1:8180", true, "all_proxy", "http://coder:@P@127.0.0.1:8180"},
	{"127.0.0.1:8180", true, "npm_config_proxy", "http://coder:@P@127.0.0.1:8180"},
	{"127.0.0.1:8180", true, "npm_config_https_proxy", "http://coder:@P@127.0.0.1:8180"},
	{"127.0.0.1:8180", true, "grpc_proxy", "http://coder:@P@127.0.0.1:8180"},
	{"127.0.0.1:8180", true, "GLOBAL_AGENT_HTTP_PROXY", "http://coder:@P@127.0.0.1:8180"},
	{"127.0.0.1:8180", true, "NODE_USE_ENV_PROXY", "1"},
	{"127.0.0.1:8180", true, "NO_PROXY", "localhost,127.0.0.1"},
	{"127.0.0.1:8180", true, "no_proxy", "localhost,127.0.0.1"},
	{"localhost:8180", true, "no_proxy", "localhost,127.0.0.1"},
	{"keystile.internal:8180", true, "no_proxy", "localhost,127.0.0.1,keystile.internal"},
	{"[fd00::1]:8180", true, "no_proxy", "localhost,127.0.0.1"},
	{"[fd00::1]:8180", true, "HTTP_PROXY", "http://coder:@P@[fd00::1]:8180"},
	{"[fd00::1]:8180", true, "ANTHROPIC_BASE_URL", "http://[fd00::1]:8180/anthropic"},
	{"127.0.0.1:8180", true, "JAVA_TOOL_OPTIONS",
	 "-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=8180 -Dhttp.proxyUser=coder -Dhttp.proxyPassword=@P "
	 "-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=8180 -Dhttps.proxyUser=coder -Dhttps.proxyPassword=@P "
	 "-Dhttp.nonProxyHosts=localhost|127.0.0.1 -Djdk.http.auth.proxying.disabledSchemes= "
	 "-Djdk.http.auth.tunneling.disabledSchemes="},
	{"127.0.0.1:8180", true, "OPENAI_BASE_URL", "http://127.0.0.1:8180/openai/v1"},
	{"127.0.0.1:8180", true, "OPENAI_API_BASE", "http://127.0.0.1:8180/openai/v1"},
	{"127.0.0.1:8180", true, "OPENAI_API_KEY", "@O"},
	{"127.0.0.1:8180", true, "ANTHROPIC_API_KEY", "@A"},
	{"127.0.0.1:8180", true, "ALL_OF_IT", "http://127.0.0.1:8180/anthropic @A127.0.0.1:8180"},
	{"127.0.0.1:8180", true, "BRACES", "{x} {base_url"},
	{"127.0.0.1:8180", true, "GIT_CONFIG_COUNT", "3"},
	{"127.0.0.1:8180", true, "GIT_CONFIG_VALUE_0", "https://github.com/"},
	{"127.0.0.1:8180", true, "GIT_CONFIG_VALUE_1", "https://github.com"},
	{"127.0.0.1:8180", true, "GIT_CONFIG_VALUE_2", "git@github.com:"},
	{"127.0.0.1:8180", true, "WILD_URL", NULL},
	{"127.0.0.1:8180", true, "WILD_SET", NULL},
	{"127.0.0.1:8180", true, "WILD_KEY", "@W"},
	{"127.0.0.1:8180", false, "HTTP_PROXY", "http://127.0.0.1:8180"},
	{"127.0.0.1:8180", false, "OPENAI_API_KEY", "sk-keystile"},
	{"127.0.0.1:8180", false, "ANTHROPIC_API_KEY", "keystile"},
	{"127.0.0.1:8180", false, "GIT_CONFIG_KEY_0", "url.http://127.0.0.1:8180/git-github/.insteadOf"},
	{"127.0.0.1:8180", false, "JAVA_TOOL_OPTIONS",
	 "-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=8180 -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=8180 "
	 "-Dhttp.nonProxyHosts=localhost|127.0.0.1 -Djdk.http.auth.proxying.disabledSchemes= "
	 "-Djdk.http.auth.tunneling.disabledSchemes="},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct row *row = &rows[i];
		struct environment environment = {0};
		struct fault fault = FAULT_INIT;
		if (!make(row->advertise, row->session, ALL - 1, &environment, &fault))
			fail_msg("%s: %s", row->advertise, fault.text);
		const char *came = value_of(&environment, row->name);
		AUTO_FREE char *should = row->value ? filled(row->value) : NULL;
		if (!came != !should || (came && strcmp(came, should) != 0))
			fail_msg("%s at %s: came\n  %s\nshould be\n  %s", row->name, row->advertise, came ? came : "nothing",
			         should ? should : "nothing");
		environment_free(&environment);
	}
}

/* The token is userinfo of a URL there, so what may not stand in one is escaped. */
static void test_git_keys(void **state)
{
	(void)state;
	static const char *const ends[] = {"/git-github/.insteadOf", "/git-github.insteadOf", "/git-github/.insteadOf"};
	struct environment environment = {0};
	assert_true(make("127.0.0.1:8180", true, ALL - 1, &environment, NULL));
	AUTO_FREE char *token = filled("@G");
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		AUTO_FREE char *name = memory_format("GIT_CONFIG_KEY_%zu", i);
		AUTO_FREE char *should =
			memory_format("url.http://x:a%%2Fb%%3A%s@127.0.0.1:8180%s", token + strlen("a/b:"), ends[i]);
		assert_string_equal(value_of(&environment, name), should);
	}
	environment_free(&environment);
}

static void test_left_out(void **state)
{
	(void)state;
	struct environment environment = {0};
	assert_true(make("127.0.0.1:8180", true, ALL - 1, &environment, NULL));
	assert_int_equal(environment.left_out_count, 2);
	assert_string_equal(environment.left_out[0], "WILD_URL: the upstream of credential wild has a wildcard, so it has no "
	                    "base URL; clients reach it through the proxy");
	assert_string_equal(environment.left_out[1],
	                    "WILD_SET: the upstream of credential wild has a wildcard, so there is no {base_url}");
	environment_free(&environment);
}

/* The profile's last credential is not there: none of the others is intercepted until the test says so. */
static void make_trust(const char *store, struct environment *environment)
{
	static char ca[] = "/seen/ca.pem", bundle[] = "/seen/bundle.pem";
	AUTO_FREE char *copy = store ? memory_string(store) : NULL;
	struct environment_request request = {.config = &config, .profile = &profile, .key = &key,
	                                      .trust = {store ? ca : NULL, store ? bundle : NULL, copy}};
	assert_true(authority_parse(span_of("127.0.0.1:8180"), &request.advertise, NULL));
	profile.credential_count = ALL - 1;
	assert_true(environment_make(&request, environment, NULL));
}

static void test_trust(void **state)
{
	(void)state;
	static struct config_host docs = {.intercept = true};
	static const struct trust_row {
		bool intercept;
		const char *store, *name, *value; /* NULL: it should not be there */
	} trust_rows[] = {
		{false, "/seen/bundle.pem.jks", "SSL_CERT_FILE", NULL},
		{true, "/seen/bundle.pem.jks", "SSL_CERT_FILE", "/seen/bundle.pem"},
		{true, "/seen/bundle.pem.jks", "GIT_SSL_CAINFO", "/seen/bundle.pem"},
		{true, "/seen/bundle.pem.jks", "npm_config_cafile", "/seen/bundle.pem"},
		{true, "/seen/bundle.pem.jks", "NODE_EXTRA_CA_CERTS", "/seen/ca.pem"},
		{true, "/seen/bundle.pem.jks", "DENO_CERT", "/seen/ca.pem"},
		{true, NULL, "SSL_CERT_FILE", NULL},
	};
	for (size_t i = 0; i < sizeof trust_rows / sizeof *trust_rows; i++) {
		struct environment environment = {0};
		profile.hosts = &docs;
		profile.host_count = trust_rows[i].intercept;
		make_trust(trust_rows[i].store, &environment);
		const char *came = value_of(&environment, trust_rows[i].name), *should = trust_rows[i].value;
		if (!came != !should || (came && strcmp(came, should) != 0))
			fail_msg("row %zu: %s came as %s, should be %s", i, trust_rows[i].name, came, should);
		assert_int_equal(environment.left_out_count, 2 + (trust_rows[i].intercept && !trust_rows[i].store));
		environment_free(&environment);
	}
	profile.host_count = 0;
}

static void test_java_trust(void **state)
{
	(void)state;
	static struct config_host docs = {.intercept = true};
	struct environment environment = {0};
	profile.hosts = &docs;
	profile.host_count = 1;
	make_trust("/seen/bundle.pem.jks", &environment);
	assert_non_null(strstr(value_of(&environment, "JAVA_TOOL_OPTIONS"), " -Djavax.net.ssl.trustStore=/seen/bundle.pem.jks"));
	environment_free(&environment);
	make_trust("/two words/bundle.pem.jks", &environment);
	assert_null(strstr(value_of(&environment, "JAVA_TOOL_OPTIONS"), "trustStore"));
	assert_string_equal(environment.left_out[0],
	                    "JAVA_TOOL_OPTIONS: the trust store, since /two words/bundle.pem.jks has a blank or a quote in it; set "
	                    "`tls: { bundle_out: PATH }` to a path without");
	environment_free(&environment);
	profile.host_count = 0;
}

static void test_two_values(void **state)
{
	(void)state;
	struct environment environment = {0};
	struct fault fault = FAULT_INIT;
	assert_false(make("127.0.0.1:8180", true, ALL, &environment, &fault));
	assert_string_equal(fault.text, "OPENAI_API_KEY would have two values, for credential openai and for credential "
	                    "again; name another variable in `env:` of one of them");
	environment_free(&environment);
}

static int set_up(void **state)
{
	(void)state;
	memset(key.bytes, 7, sizeof key.bytes);
	return secret_start(NULL) ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_git_keys),
		cmocka_unit_test(test_left_out),
		cmocka_unit_test(test_trust),
		cmocka_unit_test(test_java_trust),
		cmocka_unit_test(test_two_values),
	};
	return cmocka_run_group_tests_name("environment", tests, set_up, NULL);
}
