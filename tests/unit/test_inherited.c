/* What a program inherits: which of the caller's variables stay, which go, which are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "buffer.h"
#include "inherited.h"
#include "memory.h"
#include "preset.h"

static const char text[] =
	"version: 1\n"
	"listen: 127.0.0.1:8180\n"
	"session: none\n"
	"credentials:\n"
	"  used: { upstream: https://a.test, secret: env:OPERATORS_KEY, inject: { query: key },\n"
	"          env: { token: USED_TOKEN, base_url: [USED_URL, USED_BASE], set: { USED_SET: x } } }\n"
	"  other: { upstream: https://b.test, secrets: { id: env:OTHER_ID, key: env:OTHER_KEY },\n"
	"           inject: { header: X-K, value: \"{id} {key}\" }, env: { token: OTHER_TOKEN } }\n"
	"profiles:\n"
	"  agent: { credentials: [used] }\n";

static struct known *known;

static int start(void **state)
{
	(void)state;
	struct config_messages errors = {0}, warnings = {0};
	struct config *config = config_parse(SPAN(text), "keystile.yaml", false, &errors, &warnings);
	for (size_t i = 0; i < errors.count; i++)
		print_error("%s\n", errors.list[i]);
	config_messages_free(&errors);
	config_messages_free(&warnings);
	known = config ? known_new(config) : NULL;
	config_free(config);
	return known ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	known_free(known);
	return 0;
}

static const char *const are_known[] = {
	"HTTP_PROXY", "http_proxy", "Http_Proxy", "HTTPS_PROXY", "ALL_PROXY", "no_proxy", "GRPC_PROXY", "FTP_PROXY",
	"NODE_USE_ENV_PROXY", "GLOBAL_AGENT_HTTP_PROXY", "npm_config_proxy", "NPM_CONFIG_HTTPS_PROXY", "JAVA_TOOL_OPTIONS",
	"_JAVA_OPTIONS", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE",
	"npm_config_cafile", "PERL_LWP_SSL_CA_FILE", "AWS_CA_BUNDLE", "CARGO_HTTP_CAINFO", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
	"PIP_CERT", "NODE_EXTRA_CA_CERTS", "DENO_CERT", "NODE_TLS_REJECT_UNAUTHORIZED", "GIT_CONFIG_COUNT",
	"GIT_CONFIG_KEY_17", "GIT_CONFIG_PARAMETERS", "npm_config_//registry.npmjs.org/:_authToken", "CREDENTIALS_DIRECTORY",
	"KEYSTILE_CONFIG", "keystile_anything", "KEYSTILE_", "OPENAI_API_KEY", "openai_api_key", "ANTHROPIC_API_KEY",
	"GH_TOKEN", "PIP_INDEX_URL", "SENTRY_URL", "MISTRAL_BASE_URL", "GITHUB_GRAPHQL_URL", "OPERATORS_KEY", "OTHER_ID",
	"OTHER_KEY", "other_key", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "aws_profile", "USED_TOKEN", "USED_BASE", "USED_SET", "OTHER_TOKEN",
};

static const char *const are_not[] = {
	"", "PATH", "HOME", "HTTP", "PROXY", "X_HTTP_PROXY", "HTTP_PROXY_", "GIT_CONFIG", "GIT_AUTHOR_NAME", "KEYSTILE",
	"npm_config_registry_", "npm_config_/x", "USED", "LD_LIBRARY_PATH",
};

static void test_known(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof are_known / sizeof *are_known; i++)
		if (!known_has(known, span_of(are_known[i])))
			fail_msg("%s should be known", are_known[i]);
	for (size_t i = 0; i < sizeof are_not / sizeof *are_not; i++)
		if (known_has(known, span_of(are_not[i])))
			fail_msg("%s should not be known", are_not[i]);
}

/* Whatever a preset file names below `env:` in capitals: a preset that comes later is known without a word here. */
static void test_every_preset_is_known(void **state)
{
	(void)state;
	struct config *config;
	for (size_t i = 0; i < preset_count; i++) {
		struct config_messages errors = {0}, warnings = {0};
		AUTO_BUFFER struct buffer one = {0};
		buffer_format(&one, "version: 1\nlisten: 127.0.0.1:1\nsession: none\ncredentials: { c: { preset: %s, secret: env:S } }\n"
		              "profiles: { p: { credentials: [c] } }\n", preset_list[i].name);
		config = config_parse(buffer_view(&one), "x", false, &errors, &warnings);
		assert_non_null(config);
		const struct config_env *env = &config->credentials[0].env;
		const struct string_list *lists[] = {&env->base_url, &env->token, &env->set_names};
		for (size_t j = 0; j < 3; j++)
			for (size_t k = 0; k < lists[j]->count; k++)
				if (!known_has(known, span_of(lists[j]->list[k])))
					fail_msg("%s of preset %s should be known", lists[j]->list[k], preset_list[i].name);
		config_free(config);
		config_messages_free(&errors);
		config_messages_free(&warnings);
	}
}

#define TEXT(literal) ((char *)(uintptr_t)(literal))

/* USED_TOKEN=t and MADE=m are what envgen makes. */
static const struct row {
	const char *from; /* pairs, with a blank between them, as are all below */
	bool clean;
	const char *keep;
	const char *environment, *unset;
} rows[] = {
	{"", false, "", "USED_TOKEN=t MADE=m", ""},
	{"PATH=/bin A=1", false, "", "PATH=/bin A=1 USED_TOKEN=t MADE=m", ""},
	{"PATH=/bin A=1", true, "", "PATH=/bin USED_TOKEN=t MADE=m", "A"},
	{"PATH=p HOME=h TERM=t LANG=l TZ=z LC_ALL=C path=x", true, "", "PATH=p HOME=h TERM=t LANG=l TZ=z USED_TOKEN=t MADE=m",
	 "LC_ALL path"},
	{"A=1 B=2", true, "B C", "B=2 USED_TOKEN=t MADE=m", "A"},
	{"OPENAI_API_KEY=real USED_TOKEN=real OTHER_ID=i", false, "", "USED_TOKEN=t MADE=m", "OPENAI_API_KEY OTHER_ID"},
	{"MADE=old made=x used_token=y", false, "", "made=x USED_TOKEN=t MADE=m", "used_token"},
	{"OTHER_ID=1 OTHER_ID=2 A", false, "", "A USED_TOKEN=t MADE=m", "OTHER_ID"},
	{"E= F==x", false, "", "E= F==x USED_TOKEN=t MADE=m", ""},
	{"A=1", true, "OPENAI_API_KEY", NULL, "--keep OPENAI_API_KEY: this variable is always unset: it may hold a secret, or "
	 "lead CMD past the proxy; to give it to CMD anyway: -- env OPENAI_API_KEY=... CMD"},
	{"A=1", true, "A USED_TOKEN", NULL, "--keep USED_TOKEN: this variable is set for CMD, so the old value cannot stay"},
	{"A=1", true, "MADE", NULL, "--keep MADE: this variable is set for CMD, so the old value cannot stay"},
	{"A=1", true, "A=1", NULL, "--keep takes the name of a variable; its value stays as it is"},
};

enum { WORDS = 16 };

static size_t split(char *words, char **list)
{
	size_t count = 0;
	for (char *save = NULL, *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save))
		list[count++] = word;
	list[count] = NULL;
	return count;
}

static void joined(char *const *list, size_t count, struct buffer *out)
{
	buffer_string(out, "");
	for (size_t i = 0; i < count; i++)
		buffer_format(out, "%s%s", i ? " " : "", list[i]);
}

static void test_rows(void **state)
{
	(void)state;
	struct variable list[] = {{TEXT("USED_TOKEN"), TEXT("t"), TEXT("r")}, {TEXT("MADE"), TEXT("m"), TEXT("r")}};
	const struct environment made = {.list = list, .count = 2};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		AUTO_FREE char *from = memory_string(rows[i].from), *keep = memory_string(rows[i].keep);
		char *pairs[WORDS], *names[WORDS];
		split(from, pairs);
		size_t keep_count = split(keep, names);
		struct inherited_request request = {&made, known, pairs, rows[i].clean, (const char *const *)names, keep_count};
		struct inherited inherited = {0};
		struct fault fault = FAULT_INIT;
		AUTO_BUFFER struct buffer environment = {0}, unset = {0};
		bool done = inherited_make(&request, &inherited, &fault);
		joined(inherited.environment, inherited.count, &environment);
		joined(inherited.unset, inherited.unset_count, &unset);
		const char *told = done ? unset.data : fault.text;
		if (done != (rows[i].environment != NULL) || strcmp(told, rows[i].unset) != 0 ||
		    (done && strcmp(environment.data, rows[i].environment) != 0))
			fail_msg("`%s`, keep `%s`: came `%s`, `%s`", rows[i].from, rows[i].keep, environment.data, told);
		assert_true(!done || inherited.environment[inherited.count] == NULL);
		inherited_free(&inherited);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_every_preset_is_known),
		cmocka_unit_test(test_rows),
	};
	return cmocka_run_group_tests_name("inherited", tests, start, end);
}
