#include "environment.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "buffer.h"
#include "memory.h"
#include "noproxy.h"
#include "table.h"

/* Under `session: none` nothing checks a token, but SDKs refuse to start without a key. */
#define PLACEHOLDER "keystile"
#define GIT_USER "x"
#define JAVA "JAVA_TOOL_OPTIONS"

/* What is being made, and what all parts of it need. */
struct making {
	const struct environment_request *request;
	struct environment *out;
	struct fault *fault;
	char address[AUTHORITY_TEXT];
	struct buffer proxy_url; /* with the proxy's token as userinfo */
	struct noproxy_guard *guard;
	struct noproxy *no_proxy;
	struct table names; /* of the variables so far, each with its place in the list, from 1 */
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

struct span environment_value(const struct environment *environment, const char *name)
{
	for (size_t i = 0; i < environment->count; i++)
		if (strcmp(environment->list[i].name, name) == 0)
			return span_of(environment->list[i].value);
	return SPAN("");
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
	for (size_t i = 0; i < environment->token_count; i++)
		wipe(environment->tokens[i]);
	for (size_t i = 0; i < environment->left_out_count; i++)
		free(environment->left_out[i]);
	free(environment->tokens);
	free(environment->list);
	free(environment->left_out);
	*environment = (struct environment){0};
}

static bool add(struct making *making, const char *name, struct span value, const char *reason)
{
	struct environment *out = making->out;
	size_t place = (size_t)table_get(&making->names, span_of(name));
	if (place) {
		const struct variable *there = &out->list[place - 1];
		return span_equal(span_of(there->value), value) ||
		       fault_set(making->fault, FAULT_USAGE, "%s would have two values, for %s and for %s; name another variable "
		                 "in `env:` of one of them", name, there->reason, reason);
	}
	size_t length = strlen(name) + 1 + value.length;
	if (length > NOPROXY_VARIABLE) {
		environment_leave_out(out, "%s: it has %zu bytes with its name, and a program can be given %u at most", name, length,
		                      NOPROXY_VARIABLE);
		return true;
	}
	out->list = memory_grow(out->list, out->count, &out->capacity, sizeof *out->list);
	out->list[out->count++] = (struct variable){memory_string(name), memory_span(value), memory_string(reason)};
	table_put(&making->names, span_of(out->list[out->count - 1].name), (void *)out->count);
	return true;
}

static void add_token(struct making *making, char *token)
{
	struct environment *out = making->out;
	out->tokens = memory_grow(out->tokens, out->token_count, &out->token_capacity, sizeof *out->tokens);
	out->tokens[out->token_count++] = token;
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
	if (token)
		add_token(making, token);
}

/* An address of loopback is in the list without an entry of its own. */
static bool is_listed(const struct noproxy *list, const struct noproxy_entry *entry)
{
	const struct pattern *pattern = &entry->host->pattern;
	return entry->reason != NOPROXY_LISTED && pattern->kind == PATTERN_EXACT &&
	       noproxy_find(list, &pattern->host, pattern->port ? pattern->port : 443) != NULL;
}

/* Hosts that the operator would look for in the list: what he said himself (rules, `direct: false`) is no news to him. */
static void tell_no_proxy(struct making *making)
{
	size_t counts[NOPROXY_NO_ROOM + 1] = {0}, hosts = 0;
	for (size_t i = 0; i < making->no_proxy->count; i++) {
		const struct noproxy_entry *entry = &making->no_proxy->entries[i];
		hosts += entry->host != NULL;
		counts[entry->reason] += entry->host && !is_listed(making->no_proxy, entry);
	}
	size_t unsafe = counts[NOPROXY_GUARDED] + counts[NOPROXY_ADDRESS] + counts[NOPROXY_PORTS];
	if (unsafe)
		environment_leave_out(making->out, "NO_PROXY: %zu of %zu allowed hosts, which are reached through the proxy; "
		                      "envgen explain tells why", unsafe, hosts);
	if (counts[NOPROXY_NO_ROOM])
		environment_leave_out(making->out, "NO_PROXY: %zu of %zu allowed hosts, for which there is no room in a variable; "
		                      "they are reached through the proxy", counts[NOPROXY_NO_ROOM], hosts);
}

static size_t most_of(const struct environment_request *request)
{
	return request->most ? request->most : NOPROXY_VARIABLE;
}

static void make_no_proxy(struct making *making)
{
	const struct environment_request *request = making->request;
	making->guard = noproxy_guard_new(request->config);
	making->no_proxy = noproxy_new(making->guard, request->profile, &request->advertise,
	                                 most_of(request) - NOPROXY_NAME);
	tell_no_proxy(making);
}

static void append_proxy(struct making *making, struct buffer *out)
{
	buffer_span(out, buffer_view(&making->proxy_url));
}

static void append_no_proxy(struct making *making, struct buffer *out)
{
	noproxy_write(making->no_proxy, out);
}

static void append_one(struct making *making, struct buffer *out)
{
	(void)making;
	buffer_char(out, '1');
}

/* What clients trust where the proxy ends TLS. Some variables take the place of the system's roots, and so are led to a
 * bundle of them and the proxy's CA; others add to them. */
static const struct {
	const char *name;
	enum { REPLACES, ADDS } how;
} trust_variables[] = {
	{"SSL_CERT_FILE", REPLACES},
	{"NIX_SSL_CERT_FILE", REPLACES},
	{"CURL_CA_BUNDLE", REPLACES},
	{"GIT_SSL_CAINFO", REPLACES},
	{"REQUESTS_CA_BUNDLE", REPLACES},
	{"PIP_CERT", REPLACES},
	{"HTTPLIB2_CA_CERTS", REPLACES},
	{"WEBSOCKET_CLIENT_CA_BUNDLE", REPLACES},
	{"npm_config_cafile", REPLACES},
	{"YARN_HTTPS_CA_FILE_PATH", REPLACES},
	{"PERL_LWP_SSL_CA_FILE", REPLACES},
	{"BUNDLE_SSL_CA_CERT", REPLACES},
	{"AWS_CA_BUNDLE", REPLACES},
	{"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", REPLACES},
	{"CARGO_HTTP_CAINFO", REPLACES},
	{"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", REPLACES},
	{"NODE_EXTRA_CA_CERTS", ADDS},
	{"DENO_CERT", ADDS},
};

static bool add_trust(struct making *making)
{
	const struct environment_trust *trust = &making->request->trust;
	if (!config_intercepts(making->request->profile))
		return true;
	if (!trust->ca || !trust->bundle) {
		environment_leave_out(making->out, "the CA variables: nobody knows where proxyd writes its CA; set `state: PATH`, or "
		                      "`tls: { ca_out: PATH, bundle_out: PATH }`");
		return true;
	}
	for (size_t i = 0; i < sizeof trust_variables / sizeof *trust_variables; i++) {
		const char *file = trust_variables[i].how == REPLACES ? trust->bundle : trust->ca;
		if (!add(making, trust_variables[i].name, span_of(file), "the proxy's CA"))
			return false;
	}
	return true;
}

/* JAVA_TOOL_OPTIONS is split at blanks, and what quotes do there differs by version. */
static void append_java_trust(struct making *making, struct buffer *out)
{
	const char *store = making->request->trust.store;
	if (!config_intercepts(making->request->profile) || !store)
		return;
	if (strpbrk(store, " \t\"'"))
		environment_leave_out(making->out, JAVA ": the trust store, since %s has a blank or a quote in it; set "
		                      "`tls: { bundle_out: PATH }` to a path without", store);
	else
		buffer_format(out, " -Djavax.net.ssl.trustStore=%s", store);
}

/* Java reads no proxy variable. Basic towards a proxy's tunnels is off there until the list of disabled schemes is empty;
 * user and password are for the libraries that take them from properties. */
static void append_java(struct making *making, struct buffer *out)
{
	static const char *const schemes[] = {"http", "https"};
	static const struct span last = SPAN(" -Djdk.http.auth.proxying.disabledSchemes= -Djdk.http.auth.tunneling.disabledSchemes=");
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
	size_t others = sizeof JAVA + out->length + last.length;
	size_t omitted = noproxy_write_java(making->no_proxy, most_of(request) - others, out);
	if (omitted)
		environment_leave_out(making->out, JAVA ": %zu hosts of NO_PROXY, for which there is no room in it", omitted);
	buffer_span(out, last);
	append_java_trust(making, out);
	wipe(token);
}

/* What makes clients go through the proxy, in both cases where some of them read only one. */
static const struct {
	const char *name;
	void (*append)(struct making *making, struct buffer *out);
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
	{JAVA, append_java},
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

static char *make_token(struct making *making, const struct config_credential *credential)
{
	const struct environment_request *request = making->request;
	if (!request->key)
		return memory_format("%s%s", credential->env.token_prefix ? credential->env.token_prefix : "", PLACEHOLDER);
	char *token = token_for_credential(request->key, request->profile, credential);
	AUTO_WIPE struct buffer encoded = {0};
	append_encoded(&encoded, token);
	add_token(making, memory_string(token));
	if (!span_equal(buffer_view(&encoded), span_of(token)))
		add_token(making, memory_span(buffer_view(&encoded)));
	return token;
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
	bool done = add_proxy(&making) && add_trust(&making) && add_credentials(&making);
	buffer_wipe(&making.proxy_url);
	noproxy_free(making.no_proxy);
	noproxy_guard_free(making.guard);
	table_free(&making.names);
	return done;
}
