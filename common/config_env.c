/* env: the variables that point a program at an endpoint, and that no two things may set. */
#include <stddef.h>

#include "config_internal.h"
#include "memory.h"
#include "path.h"

/* What envgen writes for every profile. In any case of letters, since clients differ. */
static const char *const reserved[] = {
	"http_proxy", "https_proxy", "all_proxy", "no_proxy", "node_use_env_proxy", "java_tool_options", "git_config_count",
	"global_agent_http_proxy", "global_agent_https_proxy", "global_agent_no_proxy", "npm_config_proxy",
	"npm_config_https_proxy", "npm_config_noproxy", "grpc_proxy", "no_grpc_proxy", NULL,
};

static const char *wrong_variable(struct span text)
{
	if (!config_is_variable(text))
		return "it has letters, digits and \"_\", and begins with no digit";
	for (size_t i = 0; reserved[i]; i++)
		if (span_equal_nocase(text, span_of(reserved[i])))
			return "envgen sets this one itself";
	if (span_starts(text, SPAN("KEYSTILE_")) || span_starts(text, SPAN("GIT_CONFIG_KEY_")) ||
	    span_starts(text, SPAN("GIT_CONFIG_VALUE_")))
		return "envgen and proxyd keep names that begin so to themselves";
	return NULL;
}

static const char *wrong_prefix(struct span text)
{
	if (text.length == 0 || config_has_control(text) || memchr(text.data, ' ', text.length) ||
	    !memchr(text.data, ':', text.length))
		return "git replaces the beginning of a URL, such as https://github.com/";
	return NULL;
}

static void read_env_path(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	if (!config_expect(reading, node, NODE_TEXT, "a path such as /v1"))
		return;
	if (strpbrk(node->text, "?#")) {
		config_error(reading, node, "expected a path such as /v1, without \"?\" and \"#\"");
		return;
	}
	char *out = arena_alloc(reading->arena, node->count * 3 + 1);
	size_t length;
	enum path_result result = path_canonical(node_text(node), (struct path_options){.whole_segments = true}, out, &length);
	if (result != PATH_OK) {
		config_error(reading, node, "expected a path such as /v1: it %s", path_result_text(result));
		return;
	}
	while (length > 0 && out[length - 1] == '/')
		length--;
	out[length] = 0;
	*(char **)field = length ? out : NULL;
}

/* What goes before a token must survive a header, a URL and a shell. */
static void read_token_prefix(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	if (!config_expect(reading, node, NODE_TEXT, "the beginning of a token, such as sk-"))
		return;
	bool good = node->count <= 64;
	for (size_t i = 0; good && i < node->count; i++) {
		char c = node->text[i], lower = span_lower(c);
		good = (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || strchr("-._~:", c);
	}
	if (good)
		*(char **)field = node->count ? config_keep(reading, node) : NULL;
	else
		config_error(reading, node, "expected at most 64 letters, digits and \"-._~:\"");
}

static const char *const set_words[] = {"base_url", "token", "address", NULL};

/* {word} of small letters is a template; other braces are what they are, since JSON is a value too. */
static bool check_set(struct reading *reading, const struct node *node)
{
	bool good = true;
	for (const char *brace = strchr(node->text, '{'); brace; brace = strchr(brace + 1, '{')) {
		size_t length = strspn(brace + 1, "abcdefghijklmnopqrstuvwxyz_");
		struct span name = {brace + 1, length};
		if (!length || brace[1 + length] != '}')
			continue;
		bool known = false;
		for (size_t i = 0; set_words[i]; i++)
			known = known || span_equal(name, span_of(set_words[i]));
		if (!known)
			config_error(reading, node, "{%.*s} is not known here%s (known here: {base_url}, {token}, {address})",
			             SPAN_ARGS(span_head(name, 60)), config_guess_word(reading, name, set_words));
		good = good && known;
	}
	return good;
}

static void read_set(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct config_env *env = field;
	env->set_names = env->set_values = (struct string_list){0};
	if (!config_expect(reading, node, NODE_MAPPING, "variables such as {NAME: \"text with {token}\"}"))
		return;
	for (size_t i = 0; i < node->count; i++) {
		const struct node *name = node->pairs[i].key, *value = node->pairs[i].value;
		const char *wrong = wrong_variable(node_text(name));
		char *text = NULL;
		if (wrong)
			config_error(reading, name, "expected the name of a variable: %s", wrong);
		config_read_text(reading, value, &text, "the value of a variable");
		if (wrong || !text || !check_set(reading, value))
			continue;
		config_string_add(reading, &env->set_names, node->count, name->text);
		config_string_add(reading, &env->set_values, node->count, text);
	}
}

static const struct text_check variables = {"the name of a variable", true, wrong_variable};
static const struct text_check prefixes = {"the beginning of a URL", true, wrong_prefix};

static const struct config_key env_keys[] = {
	{"base_url", config_read_names, offsetof(struct config_env, base_url), &variables},
	{"path", read_env_path, offsetof(struct config_env, path), NULL},
	{"token", config_read_names, offsetof(struct config_env, token), &variables},
	{"token_prefix", read_token_prefix, offsetof(struct config_env, token_prefix), NULL},
	{"set", read_set, 0, NULL},
	{"git", config_read_names, offsetof(struct config_env, git), &prefixes},
};
static const struct config_keys env_mapping = KEYS(env_keys, "env: { base_url: NAME, token: NAME }");

void config_read_env(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	config_read_mapping(reading, node, &env_mapping, field);
}

/* What a variable is set to, as far as it can be told here. */
struct setting {
	const struct config_credential *credential; /* NULL: the same text whatever the credential */
	const char *text;                           /* "base_url", "token", or the template of `set` */
	const struct config_credential *owner;
};

static bool same_setting(const struct setting *a, const struct setting *b)
{
	return a->credential == b->credential && !strcmp(a->text, b->text);
}

/* All names that the credentials of one profile (or one credential alone) set. */
struct settings {
	struct reading *reading;
	struct mark mark;
	const struct config_profile *profile; /* NULL: one credential alone */
	struct table names;
};

static void add_setting(struct settings *settings, const char *name, struct setting setting)
{
	struct setting *kept = arena_alloc(settings->reading->nodes, sizeof *kept);
	*kept = setting;
	struct setting *before = table_put(&settings->names, span_of(name), kept);
	if (!before || same_setting(before, kept))
		return;
	if (!settings->profile)
		config_error_at(settings->reading, settings->mark, "%s would get two values from this credential", name);
	else if (before->owner != setting.owner)
		config_error_at(settings->reading, settings->mark,
		                "profile \"%s\": %s would get two values, from credential \"%s\" (line %u) and from \"%s\" "
		                "(line %u)",
		                settings->profile->name, name, before->owner->name, before->owner->mark.line,
		                setting.owner->name, setting.owner->mark.line);
}

static void add_credential(struct settings *settings, const struct config_credential *credential)
{
	const struct config_env *env = &credential->env;
	for (size_t i = 0; i < env->base_url.count; i++)
		add_setting(settings, env->base_url.list[i], (struct setting){credential, "{base_url}", credential});
	for (size_t i = 0; i < env->token.count; i++)
		add_setting(settings, env->token.list[i], (struct setting){credential, "{token}", credential});
	for (size_t i = 0; i < env->set_names.count; i++) {
		const char *text = env->set_values.list[i];
		bool own = strstr(text, "{base_url}") || strstr(text, "{token}");
		add_setting(settings, env->set_names.list[i], (struct setting){own ? credential : NULL, text, credential});
	}
	for (size_t i = 0; i < env->git.count; i++)
		add_setting(settings, env->git.list[i], (struct setting){credential, "insteadOf", credential});
}

/* The endpoint that a text leads to, "{address}/NAME…"; empty where it leads to none. */
static struct span endpoint_of(const char *text)
{
	static const char address[] = "{address}/";
	const char *found = strstr(text, address);
	if (!found)
		return (struct span){"", 0};
	found += sizeof address - 1;
	return (struct span){found, strcspn(found, "/?#{")};
}

/* A preset that needs userinfo in a URL writes the endpoint's name into it, which is the preset's own. */
static void check_endpoints(struct reading *reading, struct mark mark, const struct config_credential *credential)
{
	const struct config_env *env = &credential->env;
	for (size_t i = 0; i < env->set_names.count; i++) {
		struct span endpoint = endpoint_of(env->set_values.list[i]);
		if (endpoint.length == 0 || span_equal(endpoint, span_of(credential->name)))
			continue;
		config_warning_at(reading, mark,
		                  "%s leads to /%.*s/, and this credential's endpoint is /%s/: name it \"%.*s\", or say its "
		                  "env.set.%s",
		                  env->set_names.list[i], SPAN_ARGS(endpoint), credential->name, SPAN_ARGS(endpoint),
		                  env->set_names.list[i]);
	}
}

void config_check_env(struct reading *reading, const struct node *entry, struct config_credential *credential)
{
	const struct config_env *env = &credential->env;
	const struct node *node = node_find(entry, "env");
	struct settings settings = {.reading = reading, .mark = config_mark(reading, node ? node : entry)};
	add_credential(&settings, credential);
	table_free(&settings.names);
	check_endpoints(reading, settings.mark, credential);
	if (!credential->upstream.wildcard)
		return;
	bool endpoint = env->base_url.count || env->git.count;
	for (size_t i = 0; i < env->set_values.count; i++)
		endpoint = endpoint || strstr(env->set_values.list[i], "{base_url}");
	if (endpoint)
		config_error_at(reading, settings.mark,
		                "an upstream with a wildcard has no reverse endpoint, so base_url and git have nothing to point at");
}

void config_check_environments(struct reading *reading)
{
	const struct config *config = reading->config;
	for (size_t i = 0; i < config->profile_count; i++) {
		const struct config_profile *profile = &config->profiles[i];
		struct settings settings = {.reading = reading, .mark = profile->mark, .profile = profile};
		for (size_t k = 0; k < profile->credential_count; k++)
			add_credential(&settings, profile->credentials[k]);
		table_free(&settings.names);
	}
}
