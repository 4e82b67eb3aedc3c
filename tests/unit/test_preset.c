/* The presets: all that there should be, each a credential without a flaw, and what their rules let through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "buffer.h"
#include "config.h"
#include "preset.h"

struct expectation {
	const char *name, *upstream;
	enum injection_kind kind;
	const char *place, *value; /* header and its template; user of basic; the first path */
	const char *base_url, *path, *token, *prefix;
	bool encoded_slash;
};

/* In the list's order. */
static const struct expectation expectations[] = {
	{"anthropic", "api.anthropic.com", INJECT_HEADER, "x-api-key", "{secret}",
	 "ANTHROPIC_BASE_URL", NULL, "ANTHROPIC_API_KEY", "sk-ant-", false},
	{"gemini", "generativelanguage.googleapis.com", INJECT_HEADER, "x-goog-api-key", "{secret}",
	 "GOOGLE_GEMINI_BASE_URL", NULL, "GEMINI_API_KEY", NULL, false},
	{"git-github", "github.com", INJECT_BASIC, "x-access-token", "{secret}", NULL, NULL, NULL, NULL, false},
	{"git-gitlab", "gitlab.com", INJECT_BASIC, "oauth2", "{secret}", NULL, NULL, NULL, NULL, false},
	{"github", "api.github.com", INJECT_HEADER, "Authorization", "token {secret}",
	 "GITHUB_API_URL", NULL, "GITHUB_TOKEN", "ghp_", true},
	{"gitlab", "gitlab.com", INJECT_HEADER, "PRIVATE-TOKEN", "{secret}",
	 "GITLAB_URL", NULL, "GITLAB_TOKEN", "glpat-", true},
	{"groq", "api.groq.com", INJECT_HEADER, "Authorization", "Bearer {secret}",
	 "GROQ_BASE_URL", NULL, "GROQ_API_KEY", "gsk_", false},
	{"huggingface", "huggingface.co", INJECT_HEADER, "Authorization", "Bearer {secret}",
	 "HF_ENDPOINT", NULL, "HF_TOKEN", "hf_", true},
	{"linear", "api.linear.app", INJECT_HEADER, "Authorization", "{secret}",
	 "LINEAR_API_URL", "/graphql", "LINEAR_API_KEY", "lin_api_", false},
	{"mistral", "api.mistral.ai", INJECT_HEADER, "Authorization", "Bearer {secret}",
	 "MISTRAL_SERVER_URL", NULL, "MISTRAL_API_KEY", NULL, false},
	{"notion", "api.notion.com", INJECT_HEADER, "Authorization", "Bearer {secret}",
	 "NOTION_BASE_URL", NULL, "NOTION_TOKEN", "ntn_", false},
	{"npm", "registry.npmjs.org", INJECT_HEADER, "Authorization", "Bearer {secret}",
	 NULL, NULL, "NPM_TOKEN", "npm_", true},
	{"openai", "api.openai.com", INJECT_HEADER, "Authorization", "Bearer {secret}",
	 "OPENAI_BASE_URL", "/v1", "OPENAI_API_KEY", "sk-", false},
	{"openrouter", "openrouter.ai", INJECT_HEADER, "Authorization", "Bearer {secret}",
	 "OPENROUTER_BASE_URL", "/api/v1", "OPENROUTER_API_KEY", "sk-or-v1-", false},
	{"pypi", "pypi.org", INJECT_BASIC, "__token__", "{secret}", NULL, NULL, NULL, "pypi-", false},
	{"sentry", "sentry.io", INJECT_HEADER, "Authorization", "Bearer {secret}",
	 NULL, NULL, "SENTRY_AUTH_TOKEN", NULL, false},
	{"slack", "slack.com", INJECT_HEADER, "Authorization", "Bearer {secret}",
	 "SLACK_API_URL", "/api", "SLACK_BOT_TOKEN", "xoxb-", false},
	{"stripe", "api.stripe.com", INJECT_HEADER, "Authorization", "Bearer {secret}",
	 "STRIPE_API_BASE", NULL, "STRIPE_API_KEY", "sk_proxy_", false},
	{"telegram", "api.telegram.org", INJECT_PATH, "/bot{secret}", "{secret}",
	 "TELEGRAM_API_URL", NULL, "TELEGRAM_BOT_TOKEN", "1000000000:", false},
};
#define ALL (sizeof expectations / sizeof *expectations)

static void test_list(void **state)
{
	(void)state;
	assert_int_equal(preset_count, ALL);
	for (size_t i = 0; i < preset_count; i++) {
		const struct preset *preset = &preset_list[i];
		AUTO_BUFFER struct buffer file = {0};
		assert_string_equal(preset->name, expectations[i].name);
		if (i > 0 && strcmp(preset_list[i - 1].name, preset->name) >= 0)
			fail_msg("%s stands behind %s: not sorted", preset->name, preset_list[i - 1].name);
		buffer_format(&file, "presets/%s.yaml", preset->name);
		assert_int_equal(strlen(preset->file), file.length);
		assert_memory_equal(preset->file, file.data, file.length);
		assert_int_equal(preset->length, strlen(preset->text));
		if (strncmp(preset->text, "# ", 2) != 0)
			fail_msg("%s does not begin with a comment that says what the service is", preset->file);
	}
}

static void test_find(void **state)
{
	(void)state;
	static const char *const absent[] = {"", "a", "open", "openai2", "OpenAI", "zzz", "git", "git-githubs"};
	for (size_t i = 0; i < preset_count; i++)
		assert_ptr_equal(preset_find(span_of(preset_list[i].name)), &preset_list[i]);
	for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
		if (preset_find(span_of(absent[i])))
			fail_msg("found a preset by the name `%s`", absent[i]);
}

static void fail_on_messages(const char *what, struct config_messages *messages)
{
	if (messages->count)
		fail_msg("%s: %s", what, messages->list[0]);
	config_messages_free(messages);
}

/* A configuration with the presets `first` to `last`, each under its own name, all in one profile. */
static struct config *make(size_t first, size_t last)
{
	AUTO_BUFFER struct buffer text = {0};
	struct config_messages errors = {0}, warnings = {0};
	buffer_string(&text, "version: 1\ncredentials:\n");
	for (size_t i = first; i <= last; i++)
		buffer_format(&text, "  %s: { preset: %s, secret: env:SECRET }\n", preset_list[i].name, preset_list[i].name);
	buffer_string(&text, "profiles:\n  agent:\n    credentials:\n");
	for (size_t i = first; i <= last; i++)
		buffer_format(&text, "      - %s\n", preset_list[i].name);
	struct config *config = config_parse(buffer_view(&text), "keystile.yaml", false, &errors, &warnings);
	fail_on_messages("error", &errors);
	fail_on_messages("warning", &warnings);
	assert_non_null(config);
	return config;
}

static void check_text(const char *name, const char *what, const char *came, const char *expected)
{
	if (!came != !expected || (came && strcmp(came, expected) != 0))
		fail_msg("%s: %s is `%s`, should be `%s`", name, what, came ? came : "nothing", expected ? expected : "nothing");
}

static const char *first_of(const struct string_list *list)
{
	return list->count ? list->list[0] : NULL;
}

static void check_credential(const struct config_credential *credential, const struct expectation *expected)
{
	const struct injection *injection = &credential->injections[0];
	const struct config_env *env = &credential->env;
	const char *name = expected->name;
	check_text(name, "upstream", credential->upstream.host.name, expected->upstream);
	check_text(name, "path of the upstream", credential->upstream.path, "");
	assert_true(credential->upstream.tls && !credential->upstream.wildcard);
	assert_int_equal(credential->upstream.port, 443);
	assert_int_equal(credential->injection_count, 1);
	assert_int_equal(injection->kind, expected->kind);
	check_text(name, "place", injection->name ? injection->name : first_of(&injection->paths), expected->place);
	check_text(name, "value", injection->value, expected->value);
	check_text(name, "base_url", first_of(&env->base_url), expected->base_url);
	check_text(name, "path", env->path, expected->path);
	check_text(name, "token", first_of(&env->token), expected->token);
	check_text(name, "token_prefix", env->token_prefix, expected->prefix);
	assert_int_equal(credential->encoded_slash, expected->encoded_slash);
}

static void test_each_alone(void **state)
{
	(void)state;
	for (size_t i = 0; i < preset_count; i++) {
		struct config *config = make(i, i);
		check_credential(&config->credentials[0], &expectations[i]);
		config_free(config);
	}
}

/* No two want the same variable. */
static void test_all_together(void **state)
{
	(void)state;
	struct config *config = make(0, preset_count - 1);
	assert_int_equal(config->profiles[0].credential_count, ALL);
	config_free(config);
}

/* What an agent may ask for: paths as a judge has them, %2F kept where the preset says so. */
static const struct {
	const char *preset, *method, *path;
	bool allow;
} requests[] = {
	{"github", "GET", "/user", true},
	{"github", "GET", "/user/keys", true},
	{"github", "POST", "/user/keys", false},
	{"github", "POST", "/user/keys/", false},
	{"github", "POST", "/repos/octo/hello/issues", true},
	{"github", "GET", "/repos/octo/hello/git/ref/heads%2Fmain", true},
	{"github", "PUT", "/repos/octo/hello/contents/a%2Fkeys", true},
	{"github", "POST", "/repos/octo/hello/keys", false},
	{"github", "POST", "/repos/octo%2Fhello/keys", false},
	{"github", "POST", "/api/v3/repos/octo/hello/keys", false},
	{"github", "POST", "/repos/octo/hello/actions/runners/registration-token", false},
	{"github", "POST", "/orgs/octo/actions/runners/generate-jitconfig", false},
	{"github", "GET", "/repos/octo/hello/actions/runners", true},
	{"github", "POST", "/graphql", true},
	{"gitlab", "GET", "/api/v4/projects/group%2Fproject", true},
	{"gitlab", "GET", "/api/v4/projects/group%2Fproject/repository/files/src%2Fmain.c", true},
	{"gitlab", "POST", "/api/v4/projects/1/repository/files/src%2Faccess_tokens%2Fkeys", true},
	{"gitlab", "POST", "/api/v4/projects/group%2Fproject/issues", true},
	{"gitlab", "GET", "/api/v4/personal_access_tokens/self", true},
	{"gitlab", "POST", "/api/v4/personal_access_tokens/self/rotate", false},
	{"gitlab", "POST", "/api/v4/personal_access_tokens/7/rotate.json", false},
	{"gitlab", "POST", "/api/v4/user/personal_access_tokens", false},
	{"gitlab", "POST", "/api/v4/users/7/impersonation_tokens", false},
	{"gitlab", "POST", "/api/v4/user/keys", false},
	{"gitlab", "POST", "/api/v4/user/keys.json", false},
	{"gitlab", "PUT", "/api/v4/user/status", true},
	{"gitlab", "POST", "/api/v4/projects/1/access_tokens", false},
	{"gitlab", "POST", "/api/v4/projects/group%2Fproject/access_tokens", false},
	{"gitlab", "POST", "/api/v4/projects/group%2Fproject/access_tokens.json", false},
	{"gitlab", "POST", "/api/v4/groups/group%2Fsub/access_tokens/self/rotate", false},
	{"gitlab", "POST", "/api/v4/groups/1/deploy_tokens", false},
	{"gitlab", "POST", "/api/v4/projects/1/deploy_keys/5/enable", false},
	{"gitlab", "POST", "/api/v4/groups/1/service_accounts/3/personal_access_tokens", false},
	{"gitlab", "POST", "/api/graphql", true},
	{"gitlab", "GET", "/group/project", false},
	{"npm", "GET", "/@scope%2Fname", true},
	{"npm", "PUT", "/@scope%2Fname", true},
	{"npm", "GET", "/@scope/name/-/name-1.0.0.tgz", true},
	{"huggingface", "GET", "/api/models/org/name/revision/refs%2Fpr%2F1", true},
	{"openai", "POST", "/v1/chat/completions", true},
};

static void test_rules(void **state)
{
	(void)state;
	struct config *config = make(0, preset_count - 1);
	for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
		const struct config_credential *credential = config_credential(config, span_of(requests[i].preset));
		struct rules_verdict verdict = rules_judge(&credential->rules, span_of(requests[i].method),
		                                           span_of(requests[i].path), credential->encoded_slash);
		if (verdict.allow != requests[i].allow)
			fail_msg("%s: %s %s is %s, by `%s`", requests[i].preset, requests[i].method, requests[i].path,
			         verdict.allow ? "allowed" : "denied", verdict.rule ? verdict.rule->text : "no rule");
	}
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),         cmocka_unit_test(test_find),  cmocka_unit_test(test_each_alone),
		cmocka_unit_test(test_all_together), cmocka_unit_test(test_rules),
	};
	return cmocka_run_group_tests_name("preset", tests, NULL, NULL);
}
