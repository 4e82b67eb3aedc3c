#include "environment.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "buffer.h"
#include "memory.h"

/* Under `session: none` nothing checks a token, but SDKs refuse to start without a key. */
#define PLACEHOLDER "keystile"
#define GIT_USER "x"

/* What is being made, and what all parts of it need. */
struct making {
	const struct environment_request *request;
	struct environment *out;
	struct fault *fault;
	char address[AUTHORITY_TEXT];
	struct buffer proxy_url; /* with the proxy's token as userinfo */
	struct buffer no_proxy;
	size_t git_count;
};

void environment_leave_out(struct environment *environment, const char *format, ...)
{
	va_list arguments;
	char *line = NULL;
	va_start(arguments, format);
	if (vasprintf(&line, format, arguments) < 0)
		line = memory_string("out of memory");
	va_end(arguments);
	environment->left_out = memory_grow(environment->left_out, environment->left_out_count,
	                                    &environment->left_out_capacity, sizeof *environment->left_out);
	environment->left_out[environment->left_out_count++] = line;
}

static void wipe(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

void environment_free(struct environment *environment)
{
	for (size_t i = 0; i < environment->count; i++) {
		free(environment->list[i].name);
		wipe(environment->list[i].value);
		free(environment->list[i].reason);
	}
	for (size_t i = 0; i < environment->left_out_count; i++)
		free(environment->left_out[i]);
	free(environment->list);
	free(environment->left_out);
	*environment = (struct environment){0};
}

static bool add(struct making *making, const char *name, struct span value, const char *reason)
{
	struct environment *out = making->out;
	for (size_t i = 0; i < out->count; i++) {
		const struct variable *there = &out->list[i];
		if (strcmp(there->name, name) != 0)
			continue;
		return span_equal(span_of(there->value), value) ||
		       fault_set(making->fault, FAULT_USAGE, "%s would have two values, for %s and for %s; name another variable "
		                 "in `env:` of one of them", name, there->reason, reason);
	}
	out->list = memory_grow(out->list, out->count, &out->capacity, sizeof *out->list);
	out->list[out->count++] = (struct variable){memory_string(name), memory_span(value), memory_string(reason)};
	return true;
}

/* RFC 3986 §2.3: what may stand in userinfo without an escape, whatever reads it. */
static void append_encoded(struct buffer *out, const char *text)
{
	static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	for (; *text; text++) {
		if (strchr(unreserved, *text))
			buffer_char(out, *text);
		else
			buffer_format(out, "%%%02X", (unsigned)(unsigned char)*text);
	}
}

static void append_url(const struct making *making, struct buffer *out, const char *user, const char *token)
{
	buffer_string(out, "http://");
	if (making->request->key) {
		append_encoded(out, user);
		buffer_char(out, ':');
		append_encoded(out, token);
		buffer_char(out, '@');
	}
	buffer_string(out, making->address);
}

static void make_proxy_url(struct making *making)
{
	const struct environment_request *request = making->request;
	char *token = request->key ? token_for_proxy(request->key, request->profile) : NULL;
	append_url(making, &making->proxy_url, request->profile->name, token);
	wipe(token);
}

/* Does a credential host, or a host that some profile denies, share this name? Clients of NO_PROXY look at no port. */
static bool is_guarded(const struct config *config, const struct host *host)
{
	for (size_t i = 0; i < config->credential_count; i++)
		if (pattern_matches(&config->credentials[i].host, host, config->credentials[i].upstream.port))
			return true;
	for (size_t i = 0; i < config->profile_count; i++)
		for (size_t j = 0; j < config->profiles[i].host_count; j++) {
			const struct pattern *pattern = &config->profiles[i].hosts[j].pattern;
			if (pattern->deny && pattern_matches(pattern, host, pattern->port ? pattern->port : 80))
				return true;
		}
	return false;
}

/* The proxy itself is not reached through the proxy: base URLs lead straight to it. */
static void make_no_proxy(struct making *making)
{
	const struct host *host = &making->request->advertise.host;
	buffer_string(&making->no_proxy, "localhost,127.0.0.1");
	bool there = span_equal(host_span(host), SPAN("localhost")) || span_equal(host_span(host), SPAN("127.0.0.1"));
	if (!there && host->kind != HOST_IPV6 && !is_guarded(making->request->config, host))
		buffer_format(&making->no_proxy, ",%s", host->name);
}

static void append_proxy(const struct making *making, struct buffer *out)
{
	buffer_span(out, buffer_view(&making->proxy_url));
}

static void append_no_proxy(const struct making *making, struct buffer *out)
{
	buffer_span(out, buffer_view(&making->no_proxy));
}

static void append_one(const struct making *making, struct buffer *out)
{
	(void)making;
	buffer_char(out, '1');
}

/* Java reads no proxy variable. Basic towards a proxy's tunnels is off there until the list of disabled schemes is empty;
 * user and password are for the libraries that take them from properties. */
static void append_java(const struct making *making, struct buffer *out)
{
	static const char *const schemes[] = {"http", "https"};
	const struct environment_request *request = making->request;
	char *token = request->key ? token_for_proxy(request->key, request->profile) : NULL;
	for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
		buffer_format(out, "-D%s.proxyHost=%s -D%s.proxyPort=%u ", schemes[i], request->advertise.host.name,
		              schemes[i], request->advertise.port);
		if (token)
			buffer_format(out, "-D%s.proxyUser=%s -D%s.proxyPassword=%s ", schemes[i], request->profile->name,
			              schemes[i], token);
	}
	buffer_string(out, "-Dhttp.nonProxyHosts=");
	for (struct span rest = buffer_view(&making->no_proxy); rest.data;) {
		buffer_span(out, span_split(&rest, ','));
		if (rest.data)
			buffer_char(out, '|');
	}
	buffer_string(out, " -Djdk.http.auth.proxying.disabledSchemes= -Djdk.http.auth.tunneling.disabledSchemes=");
	wipe(token);
}

/* What makes clients go through the proxy, in both cases where some of them read only one. */
static const struct {
	const char *name;
	void (*append)(const struct making *making, struct buffer *out);
} proxy_variables[] = {
	{"HTTP_PROXY", append_proxy},
	{"http_proxy", append_proxy},
	{"HTTPS_PROXY", append_proxy},
	{"https_proxy", append_proxy},
	{"ALL_PROXY", append_proxy},
	{"all_proxy", append_proxy},
	{"NO_PROXY", append_no_proxy},
	{"no_proxy", append_no_proxy},
	{"NODE_USE_ENV_PROXY", append_one},
	{"GLOBAL_AGENT_HTTP_PROXY", append_proxy},
	{"GLOBAL_AGENT_HTTPS_PROXY", append_proxy},
	{"GLOBAL_AGENT_NO_PROXY", append_no_proxy},
	{"npm_config_proxy", append_proxy},
	{"npm_config_https_proxy", append_proxy},
	{"npm_config_noproxy", append_no_proxy},
	{"grpc_proxy", append_proxy},
	{"no_grpc_proxy", append_no_proxy},
	{"JAVA_TOOL_OPTIONS", append_java},
};

static bool add_proxy(struct making *making)
{
	for (size_t i = 0; i < sizeof proxy_variables / sizeof *proxy_variables; i++) {
		AUTO_WIPE struct buffer value = {0};
		proxy_variables[i].append(making, &value);
		if (!add(making, proxy_variables[i].name, buffer_view(&value), "the proxy"))
			return false;
	}
	return true;
}

/* What the variables of one credential are made of. */
struct parts {
	const struct config_credential *credential;
	char *reason;
	char *token;
	struct buffer base_url; /* empty: an upstream with a wildcard has no endpoint */
};

static bool add_names(struct making *making, const struct parts *parts, const struct string_list *names,
                      struct span value)
{
	for (size_t i = 0; i < names->count; i++)
		if (!add(making, names->list[i], value, parts->reason))
			return false;
	return true;
}

static bool add_base_url(struct making *making, const struct parts *parts)
{
	const struct string_list *names = &parts->credential->env.base_url;
	if (parts->base_url.length > 0)
		return add_names(making, parts, names, buffer_view(&parts->base_url));
	for (size_t i = 0; i < names->count; i++)
		environment_leave_out(making->out, "%s: the upstream of %s has a wildcard, so it has no base URL; clients reach "
		                      "it through the proxy", names->list[i], parts->reason);
	return true;
}

/* `template` with {base_url}, {token} and {address} filled in; any other brace stays. */
static void append_filled(const struct making *making, const struct parts *parts, struct span template,
                          struct buffer *out)
{
	const struct {
		struct span name, value;
	} places[] = {
		{SPAN("{base_url}"), buffer_view(&parts->base_url)},
		{SPAN("{token}"), span_of(parts->token)},
		{SPAN("{address}"), span_of(making->address)},
	};
	while (template.length > 0) {
		size_t i = 0, count = sizeof places / sizeof *places;
		while (i < count && !span_starts(template, places[i].name))
			i++;
		if (i == count) {
			buffer_char(out, template.data[0]);
			template = span_from(template, 1);
		} else {
			buffer_span(out, places[i].value);
			template = span_from(template, places[i].name.length);
		}
	}
}

static bool add_set(struct making *making, const struct parts *parts)
{
	const struct config_env *env = &parts->credential->env;
	for (size_t i = 0; i < env->set_names.count; i++) {
		const char *name = env->set_names.list[i], *template = env->set_values.list[i];
		if (parts->base_url.length == 0 && strstr(template, "{base_url}")) {
			environment_leave_out(making->out, "%s: the upstream of %s has a wildcard, so there is no {base_url}", name,
			                      parts->reason);
			continue;
		}
		AUTO_WIPE struct buffer value = {0};
		append_filled(making, parts, span_of(template), &value);
		if (!add(making, name, buffer_view(&value), parts->reason))
			return false;
	}
	return true;
}

/* url.BASE.insteadOf=PREFIX. What git puts behind BASE is what stood behind the prefix: without its "/", BASE needs one. */
static bool add_git(struct making *making, const struct parts *parts, const char *prefix)
{
	char last = prefix[strlen(prefix) - 1];
	AUTO_WIPE struct buffer key = {0};
	buffer_string(&key, "url.");
	append_url(making, &key, GIT_USER, parts->token);
	buffer_format(&key, "/%s%s.insteadOf", parts->credential->name, last == '/' || last == ':' ? "/" : "");
	AUTO_FREE char *key_name = memory_format("GIT_CONFIG_KEY_%zu", making->git_count);
	AUTO_FREE char *value_name = memory_format("GIT_CONFIG_VALUE_%zu", making->git_count);
	making->git_count++;
	return add(making, key_name, buffer_view(&key), parts->reason) &&
	       add(making, value_name, span_of(prefix), parts->reason);
}

static bool add_gits(struct making *making, const struct parts *parts)
{
	const struct string_list *prefixes = &parts->credential->env.git;
	for (size_t i = 0; i < prefixes->count; i++)
		if (prefixes->list[i][0] && !add_git(making, parts, prefixes->list[i]))
			return false;
	return true;
}

static void make_base_url(const struct making *making, struct parts *parts)
{
	const struct config_credential *credential = parts->credential;
	if (credential->upstream.wildcard)
		return;
	buffer_format(&parts->base_url, "http://%s/%s", making->address, credential->name);
	if (credential->env.path)
		buffer_string(&parts->base_url, credential->env.path);
	while (parts->base_url.data[parts->base_url.length - 1] == '/')
		parts->base_url.data[--parts->base_url.length] = 0;
}

static char *make_token(const struct making *making, const struct config_credential *credential)
{
	const struct environment_request *request = making->request;
	if (request->key)
		return token_for_credential(request->key, request->profile, credential);
	return memory_format("%s%s", credential->env.token_prefix ? credential->env.token_prefix : "", PLACEHOLDER);
}

static bool add_credential(struct making *making, const struct config_credential *credential)
{
	struct parts parts = {.credential = credential, .token = make_token(making, credential)};
	parts.reason = memory_format("credential %s", credential->name);
	make_base_url(making, &parts);
	bool done = add_base_url(making, &parts) &&
	            add_names(making, &parts, &credential->env.token, span_of(parts.token)) && add_set(making, &parts) &&
	            add_gits(making, &parts);
	free(parts.reason);
	wipe(parts.token);
	buffer_free(&parts.base_url);
	return done;
}

static bool add_credentials(struct making *making)
{
	const struct config_profile *profile = making->request->profile;
	for (size_t i = 0; i < profile->credential_count; i++)
		if (!add_credential(making, profile->credentials[i]))
			return false;
	if (making->git_count == 0)
		return true;
	AUTO_FREE char *count = memory_format("%zu", making->git_count);
	return add(making, "GIT_CONFIG_COUNT", span_of(count), "git");
}

bool environment_make(const struct environment_request *request, struct environment *environment, struct fault *fault)
{
	struct making making = {.request = request, .out = environment, .fault = fault};
	authority_format(&request->advertise.host, request->advertise.port, making.address);
	make_proxy_url(&making);
	make_no_proxy(&making);
	bool done = add_proxy(&making) && add_credentials(&making);
	buffer_wipe(&making.proxy_url);
	buffer_free(&making.no_proxy);
	return done;
}
