#include "verify_targets.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "memory.h"

/* Names lead into the networks for benchmarks (RFC 2544): Ruby asks no proxy for a name that leads to loopback. */
enum { PROXY_ADDRESS = 0xc6120001, FIRST_ADDRESS = 0xc6120100 };

/* How many hosts of each kind are tried. */
enum { MOST_BARE = 2, MOST_DOTTED = 1, MOST_PORTED = 1, MOST_CREDENTIALS = 4, MOST_DENIED = 2, MOST_LEFT_OUT = 2 };

#define CHILD "keystile-verify."
#define NOBODYS "unlisted.keystile-verify.test"

/* What the targets are made from. */
struct choosing {
	const struct config *config;
	const struct config_profile *profile;
	struct span no_proxy;
	struct targets *out;
};

static bool guards(const struct config_host *entry, bool own, const struct host *host)
{
	uint16_t port = entry->pattern.port ? entry->pattern.port : 80;
	return (entry->pattern.deny || (own && config_host_is_judged(entry))) && pattern_matches(&entry->pattern, host, port);
}

/* Clients of NO_PROXY look at no port, or at ports of their own. */
static bool is_guarded(const struct choosing *choosing, const struct host *host)
{
	const struct config *config = choosing->config;
	for (size_t i = 0; i < config->credential_count; i++)
		if (pattern_matches(&config->credentials[i].host, host, config->credentials[i].upstream.port))
			return true;
	for (size_t i = 0; i < config->profile_count; i++)
		for (size_t j = 0; j < config->profiles[i].host_count; j++)
			if (guards(&config->profiles[i].hosts[j], &config->profiles[i] == choosing->profile, host))
				return true;
	return false;
}

/* Does some client read an entry of NO_PROXY as this host, or as what it ends in? */
static bool is_covered(struct span no_proxy, const struct host *host)
{
	for (struct span rest = no_proxy; rest.data;) {
		struct span entry = span_split(&rest, ','), name = span_split(&entry, ':');
		if (name.length > 0 && name.data[0] == '.')
			name = span_from(name, 1);
		if (name.length > 0 && span_ends(host_span(host), name))
			return true;
	}
	return false;
}

static struct in_addr address_of(const struct targets *targets, const struct host *host)
{
	struct in_addr address;
	if (host->kind == HOST_IPV4) {
		memcpy(&address, host->address, sizeof address);
		return address;
	}
	if (host_equal(host, &targets->proxy.host))
		return targets->proxy_address;
	for (size_t i = 0; i < targets->count; i++)
		if (host_equal(host, &targets->list[i].host))
			return targets->list[i].address;
	return (struct in_addr){htonl(FIRST_ADDRESS + (uint32_t)targets->count)};
}

const struct target *targets_find(const struct targets *targets, const struct host *host, uint16_t port)
{
	for (size_t i = 0; i < targets->count; i++)
		if (targets->list[i].port == port && host_equal(&targets->list[i].host, host))
			return &targets->list[i];
	return NULL;
}

static void add_url(struct targets *out, struct target target, const char *folder)
{
	char authority[AUTHORITY_TEXT];
	uint16_t usual = authority_usual_port(target.tls);
	authority_format(&target.host, target.port == usual ? 0 : target.port, authority);
	target.address = address_of(out, &target.host);
	target.url = memory_format("http%s://%s%s/" VERIFY_PATH "/%zu", target.tls ? "s" : "", authority, folder, out->count);
	out->list[out->count++] = target;
}

static bool add_one(struct choosing *choosing, const struct target *target)
{
	struct targets *out = choosing->out;
	if (out->count == VERIFY_TARGETS || targets_find(out, &target->host, target->port))
		return false;
	struct target copy = *target;
	copy.why = memory_string(target->why);
	if (is_guarded(choosing, &copy.host))
		copy.expected = EXPECT_PROXY;
	add_url(out, copy, "");
	return true;
}

/* `port` 0: http and https at their own. True where there is something new. Go and Ruby ask no proxy for loopback, whatever the
 * environment says. */
static bool add(struct choosing *choosing, struct span name, uint16_t port, bool tls, enum expected_way expected,
                const char *why)
{
	struct target target = {.port = port, .tls = tls, .expected = expected, .why = (char *)(uintptr_t)why};
	if (!host_parse(name, &target.host, NULL) || target.host.kind == HOST_IPV6 || host_is_loopback(&target.host))
		return false;
	if (port)
		return add_one(choosing, &target);
	target.port = 80;
	target.tls = false;
	bool new = add_one(choosing, &target);
	target.port = 443;
	target.tls = true;
	return add_one(choosing, &target) || new;
}

static bool add_pattern(struct choosing *choosing, const struct pattern *pattern, uint16_t port, bool tls,
                        enum expected_way expected, const char *why)
{
	if (pattern->kind == PATTERN_CIDR)
		return false;
	AUTO_FREE char *name = memory_format("%s%s", pattern->kind == PATTERN_WILDCARD ? CHILD : "", pattern->host.name);
	return add(choosing, span_of(name), port, tls, expected, why);
}

static void add_entry(struct choosing *choosing, struct span entry, unsigned counts[3])
{
	struct authority authority;
	AUTO_FREE char *why = memory_format("NO_PROXY has %.*s", SPAN_ARGS(entry));
	AUTO_FREE char *child = memory_format(CHILD "%.*s", SPAN_ARGS(span_from(entry, 1)));
	if (entry.length > 1 && entry.data[0] == '.') {
		if (counts[0] < MOST_DOTTED)
			counts[0] += add(choosing, span_of(child), 0, false, EXPECT_DIRECT, why);
	} else if (authority_parse(entry, &authority, NULL) && !host_equal(&authority.host, &choosing->out->proxy.host)) {
		enum expected_way expected = authority.port ? EXPECT_EITHER : EXPECT_DIRECT;
		unsigned *count = &counts[authority.port ? 1 : 2];
		if (*count < (authority.port ? MOST_PORTED : MOST_BARE))
			*count += add(choosing, host_span(&authority.host), authority.port, authority.port == 443, expected, why);
	}
}

static void add_no_proxy(struct choosing *choosing)
{
	unsigned counts[3] = {0};
	for (struct span rest = choosing->no_proxy; rest.data;)
		add_entry(choosing, span_split(&rest, ','), counts);
}

/* Would an allowed host, as an entry of NO_PROXY, lead some client to this one? */
static bool is_tempting(const struct config_profile *profile, const struct host *guarded)
{
	for (size_t i = 0; i < profile->host_count; i++) {
		const struct pattern *pattern = &profile->hosts[i].pattern;
		if (!pattern->deny && pattern->host.kind == HOST_NAME && span_ends(host_span(guarded), host_span(&pattern->host)))
			return true;
	}
	return false;
}

static void add_credentials(struct choosing *choosing, bool tempting, unsigned *count)
{
	const struct config *config = choosing->config;
	for (size_t i = 0; i < config->credential_count && *count < MOST_CREDENTIALS; i++) {
		const struct config_credential *credential = &config->credentials[i];
		const struct origin *upstream = &credential->upstream;
		if (is_tempting(choosing->profile, &upstream->host) != tempting)
			continue;
		AUTO_FREE char *why = memory_format("credential %s", credential->name);
		uint16_t port = upstream->port == 443 || upstream->port == 80 ? 0 : upstream->port;
		*count += add_pattern(choosing, &credential->host, port, upstream->tls, EXPECT_PROXY, why);
	}
}

static void add_denied(struct choosing *choosing, const struct config_profile *profile, bool tempting, unsigned *count)
{
	for (size_t i = 0; i < profile->host_count && *count < MOST_DENIED; i++) {
		const struct pattern *pattern = &profile->hosts[i].pattern;
		if (!pattern->deny || is_tempting(choosing->profile, &pattern->host) != tempting)
			continue;
		AUTO_FREE char *why = memory_format("profile %s denies it", profile->name);
		*count += add_pattern(choosing, pattern, pattern->port, pattern->port == 443, EXPECT_PROXY, why);
	}
}

/* Those that an allowed host could lead past the proxy first. */
static void add_guarded(struct choosing *choosing)
{
	unsigned credentials = 0, denied = 0;
	for (int i = 0; i < 2; i++) {
		add_credentials(choosing, i == 0, &credentials);
		for (size_t j = 0; j < choosing->config->profile_count; j++)
			add_denied(choosing, &choosing->config->profiles[j], i == 0, &denied);
	}
}

static void add_left_out(struct choosing *choosing, bool judged)
{
	unsigned count = 0;
	for (size_t i = 0; i < choosing->profile->host_count && count < MOST_LEFT_OUT; i++) {
		const struct config_host *entry = &choosing->profile->hosts[i];
		const struct pattern *pattern = &entry->pattern;
		if (pattern->deny || config_host_is_judged(entry) != judged)
			continue;
		if (judged || (pattern->kind == PATTERN_EXACT && !is_covered(choosing->no_proxy, &pattern->host)))
			count += add_pattern(choosing, pattern, pattern->port, pattern->port == 443, EXPECT_PROXY,
			                     judged ? "its requests are judged" : "allowed, and not in NO_PROXY");
	}
}

static void add_endpoint(struct choosing *choosing)
{
	const struct config_profile *profile = choosing->profile;
	struct targets *out = choosing->out;
	size_t i = 0;
	while (i < profile->credential_count && profile->credentials[i]->upstream.wildcard)
		i++;
	if (i == profile->credential_count || out->count == VERIFY_TARGETS)
		return;
	AUTO_FREE char *folder = memory_format("/%s", profile->credentials[i]->name);
	char *why = memory_format("the base URL of credential %s", profile->credentials[i]->name);
	add_url(out, (struct target){.host = out->proxy.host, .port = out->proxy.port, .expected = EXPECT_ENDPOINT, .why = why},
	        folder);
}

static struct in_addr proxy_address(const struct host *host)
{
	struct in_addr address = {htonl(host_is_loopback(host) ? INADDR_LOOPBACK : PROXY_ADDRESS)};
	if (host->kind == HOST_IPV4)
		memcpy(&address, host->address, sizeof address);
	return address;
}

void targets_make(const struct environment_request *request, struct span no_proxy, struct targets *targets)
{
	struct choosing choosing = {request->config, request->profile, no_proxy, targets};
	targets->proxy = request->advertise;
	targets->proxy_address = proxy_address(&request->advertise.host);
	targets->proxy_token = request->key ? token_for_proxy(request->key, request->profile) : NULL;
	add_guarded(&choosing);
	add_left_out(&choosing, true);
	add_no_proxy(&choosing);
	add_left_out(&choosing, false);
	add(&choosing, SPAN(NOBODYS), 0, false, EXPECT_PROXY, "no entry has it");
	add_endpoint(&choosing);
}

void targets_free(struct targets *targets)
{
	for (size_t i = 0; i < targets->count; i++) {
		free(targets->list[i].url);
		free(targets->list[i].why);
	}
	targets->count = 0;
	if (targets->proxy_token)
		explicit_bzero(targets->proxy_token, strlen(targets->proxy_token));
	free(targets->proxy_token);
	targets->proxy_token = NULL;
}
