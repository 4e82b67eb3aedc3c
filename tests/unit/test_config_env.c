/* env: the variables of a credential, and that no two things set one differently. */
#include "config_rows.h"

#define E "version: 1\nprofiles: { p: {} }\ncredentials:\n  c: { preset: openai, secret: env:A, env: "
/* What is read stands at 4:44. */

static void write_list(const char *name, const struct string_list *list, struct buffer *out)
{
	for (size_t i = 0; i < list->count; i++)
		buffer_format(out, "%s=%s\n", name, list->list[i]);
}

static void test_fields(void **state)
{
	(void)state;
	struct config *config = good(
		"version: 1\nprofiles: { p: {} }\ncredentials:\n  c:\n    upstream: https://a.com\n    secret: env:A\n"
		"    inject: { basic: x }\n"
		"    env:\n"
		"      base_url: [A_URL, _b]\n"
		"      path: /v1/%7ex/\n"
		"      token: A_KEY\n"
		"      token_prefix: \"12:sk-ant_\"\n"
		"      set: { C: \"{base_url}/x {token} {address}\", D: \"\", E: '{\"a\": {}, \"b\": \"{B}\"}' }\n"
		"      git: [https://a.com/, \"git@a.com:\"]\n");
	const struct config_env *env = &config->credentials[0].env;
	AUTO_BUFFER struct buffer came = {0};
	write_list("base_url", &env->base_url, &came);
	write_list("token", &env->token, &came);
	write_list("name", &env->set_names, &came);
	write_list("value", &env->set_values, &came);
	write_list("git", &env->git, &came);
	compare("env", "fields", came.data,
	        "base_url=A_URL\nbase_url=_b\ntoken=A_KEY\nname=C\nname=D\nname=E\nvalue={base_url}/x {token} {address}\nvalue=\n"
	        "value={\"a\": {}, \"b\": \"{B}\"}\ngit=https://a.com/\ngit=git@a.com:\n");
	settle();
	assert_string_equal(env->path, "/v1/~x");
	assert_string_equal(env->token_prefix, "12:sk-ant_");
	config_free(config);
	config = good(E "{ path: /, token_prefix: \"\", base_url: [] } }\n");
	env = &config->credentials[0].env;
	assert_true(!env->path && !env->token_prefix && env->base_url.count == 0 && env->token.count == 1);
	config_free(config);
}

#define NAME "expected the name of a variable: "
#define LETTERS "it has letters, digits and \"_\", and begins with no digit"
#define ITSELF "envgen sets this one itself"
#define KEPT "envgen and proxyd keep names that begin so to themselves"

static const struct told_row rows[] = {
	{E "OPENAI_API_KEY }\n", "4:44: expected env: { base_url: NAME, token: NAME } (a mapping), found text"},
	{E "{ base_ur: A } }\n", "4:46: unknown key \"base_ur\"; did you mean \"base_url\"? (known here: base_url, path, token, "
	                         "token_prefix, set, git)"},
	{E "{ base_url: \"$A\", token: [A B, 1A, \"\"] } }\n",
	 "4:56: " NAME LETTERS "\n4:70: " NAME LETTERS "\n4:75: " NAME LETTERS "\n4:79: " NAME LETTERS},
	{E "{ token: [http_proxy, NO_PROXY, npm_config_proxy, KEYSTILE_X, GIT_CONFIG_KEY_0] } }\n",
	 "4:54: " NAME ITSELF "\n4:66: " NAME ITSELF "\n4:76: " NAME ITSELF "\n4:94: " NAME KEPT "\n4:106: " NAME KEPT},
	{E "{ token: [] } }\n", ""},
	{E "{ token: {} } }\n",
	 "4:53: expected the name of a variable (text), found a mapping; text that starts with \"{\" goes in quotes"},
	{E "{ path: v1 } }\n", "4:52: expected a path such as /v1: it does not begin with /"},
	{E "{ path: \"/v1?x\" } }\n", "4:52: expected a path such as /v1, without \"?\" and \"#\""},
	{E "{ path: /../v1 } }\n", "4:52: expected a path such as /v1: it has a dot segment (. or ..)"},
	{E "{ token_prefix: \"sk \" } }\n", "4:60: expected at most 64 letters, digits and \"-._~:\""},
	{E "{ git: [github.com, \"https://a b/\"] } }\n",
	 "4:52: expected the beginning of a URL: git replaces the beginning of a URL, such as https://github.com/\n"
	 "4:64: expected the beginning of a URL: git replaces the beginning of a URL, such as https://github.com/"},
	{E "{ set: [A] } }\n", "4:51: expected variables such as {NAME: \"text with {token}\"} (a mapping), found a list"},
	{E "{ set: { 1A: x, B: {token}, C: \"{tokn}\", D: \"a\\nb\", https_proxy: x } } }\n",
	 "4:53: " NAME LETTERS "\n"
	 "4:63: expected the value of a variable (text), found a mapping; text that starts with \"{\" goes in quotes\n"
	 "4:75: {tokn} is not known here; did you mean \"token\"? (known here: {base_url}, {token}, {address})\n"
	 "4:88: expected the value of a variable, found text with a control character or a line break in it\n"
	 "4:96: " NAME ITSELF},
	{E "{ set: { OPENAI_API_KEY: x } } }\n", "4:44: OPENAI_API_KEY would get two values from this credential"},
	{E "{ set: { OPENAI_API_KEY: \"{token}\" } } }\n", ""},
	{E "{ base_url: A, token: A } }\n", "4:44: A would get two values from this credential"},
	{"version: 1\nprofiles: { p: {} }\ncredentials:\n"
	 "  c: { upstream: \"https://*.a.com\", secret: env:A, inject: { basic: x }, env: { base_url: A } }\n"
	 "  d: { upstream: \"https://*.a.com\", secret: env:A, inject: { basic: x }, env: { set: { A: \"{base_url}\" } } }\n"
	 "  e: { upstream: \"https://*.a.com\", secret: env:A, inject: { basic: x }, env: { git: https://a.com/ } }\n"
	 "  f: { upstream: \"https://*.a.com\", secret: env:A, inject: { basic: x }, env: { token: A, path: /x } }\n",
	 "4:79: an upstream with a wildcard has no reverse endpoint, so base_url and git have nothing to point at\n"
	 "5:79: an upstream with a wildcard has no reverse endpoint, so base_url and git have nothing to point at\n"
	 "6:79: an upstream with a wildcard has no reverse endpoint, so base_url and git have nothing to point at"},
};

#define ABOUT(name, env) "  " name ": { upstream: https://a.com, secret: env:A, inject: { basic: x }, env: " env " }\n"

/* One variable, two values: within one profile, by whatever road its credentials came. */
static const struct told_row profile_rows[] = {
	{"version: 1\ncredentials:\n" ABOUT("a", "{ token: T }") ABOUT("b", "{ token: T }")
	 "profiles: { p: { credentials: [a] }, q: { credentials: [b] } }\n", ""},
	{"version: 1\ncredentials:\n" ABOUT("a", "{ token: T }") ABOUT("b", "{ token: T }")
	 "profiles: { p: { credentials: [a] }, q: { extends: p, credentials: [b] } }\n",
	 "5:38: profile \"q\": T would get two values, from credential \"a\" (line 3) and from \"b\" (line 4)"},
	{"version: 1\ncredentials:\n" ABOUT("a", "{ set: { T: \"1\", U: \"{address}\" } }")
	 ABOUT("b", "{ set: { T: \"1\", U: \"{address}\" } }") "profiles: { p: { credentials: [a, b] } }\n", ""},
	{"version: 1\ncredentials:\n" ABOUT("a", "{ set: { T: \"1\" } }") ABOUT("b", "{ set: { T: \"2\" } }")
	 "profiles: { p: { credentials: [a, b] } }\n",
	 "5:13: profile \"p\": T would get two values, from credential \"a\" (line 3) and from \"b\" (line 4)"},
	{"version: 1\ncredentials:\n" ABOUT("a", "{ set: { T: \"{token}\" } }") ABOUT("b", "{ set: { T: \"{token}\" } }")
	 "profiles: { p: { credentials: [a, b] } }\n",
	 "5:13: profile \"p\": T would get two values, from credential \"a\" (line 3) and from \"b\" (line 4)"},
	{"version: 1\ncredentials:\n" ABOUT("a", "{ git: https://a.com/ }") ABOUT("b", "{ git: https://a.com/ }")
	 "profiles: { p: { credentials: [a, b] } }\n",
	 "5:13: profile \"p\": https://a.com/ would get two values, from credential \"a\" (line 3) and from \"b\" (line 4)"},
	/* What one credential says twice is told there alone. */
	{"version: 1\ncredentials:\n" ABOUT("a", "{ token: T, base_url: T }") "profiles: { p: { credentials: [a] } }\n",
	 "3:75: T would get two values from this credential"},
};

static void test_errors(void **state)
{
	(void)state;
	expect_errors(ROWS(rows));
	expect_errors(ROWS(profile_rows));
}

static const struct told_row warning_rows[] = {
	{E "{ set: { A_URL: \"http://x:{token}@{address}/c/v1\", B: \"{address}\", C: \"http://{address}/\" } } }\n", ""},
	{E "{ set: { A_URL: \"http://x:{token}@{address}/pypi/simple\" } } }\n",
	 "4:44: A_URL leads to /pypi/, and this credential's endpoint is /c/: name it \"pypi\", or say its env.set.A_URL"},
};

static void test_warnings(void **state)
{
	(void)state;
	expect_warnings(warning_rows, sizeof warning_rows / sizeof *warning_rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_warnings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
