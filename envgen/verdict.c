#include "verdict.h"

#include <stdlib.h>

#include "clients.h"
#include "memory.h"
#include "noproxy.h"

struct verdicts {
	const struct environment_request *request;
	struct pattern_index *credentials; /* of the whole file */
	struct pattern_index *own;         /* of the profile */
	struct pattern_index *allowed, *denied;
	const struct noproxy_entry **entries; /* by the place of the profile's host */
	struct noproxy_guard *guard;
	struct noproxy *no_proxy;
	struct config *presets; /* NULL: nothing is known of them */
};

const char *verdict_name(enum verdict_kind kind)
{
	static const char *const names[] = {"direct", "proxied", "injected", "refused"};
	return names[kind];
}

static struct pattern_index *index_credentials(const struct config *config)
{
	struct pattern_index *index = pattern_index_new();
	for (size_t i = 0; i < config->credential_count; i++)
		pattern_index_add(index, &config->credentials[i].host, &config->credentials[i]);
	return index;
}

/* The profile's order is the one in which credentials are tried; of equal patterns the index finds the last first. */
static struct pattern_index *index_own(const struct config_profile *profile)
{
	struct pattern_index *index = pattern_index_new();
	for (size_t i = profile->credential_count; i-- > 0;)
		pattern_index_add(index, &profile->credentials[i]->host, (void *)(uintptr_t)profile->credentials[i]);
	return index;
}

static struct pattern_index *index_hosts(const struct config_profile *profile, bool deny)
{
	struct pattern_index *index = pattern_index_new();
	for (size_t i = 0; i < profile->host_count; i++)
		if (profile->hosts[i].pattern.deny == deny)
			pattern_index_add(index, &profile->hosts[i].pattern, &profile->hosts[i]);
	return index;
}

struct verdicts *verdicts_new(const struct environment_request *request)
{
	const struct config_profile *profile = request->profile;
	struct verdicts *verdicts = memory_alloc(sizeof *verdicts);
	verdicts->request = request;
	verdicts->credentials = index_credentials(request->config);
	verdicts->own = index_own(profile);
	verdicts->allowed = index_hosts(profile, false);
	verdicts->denied = index_hosts(profile, true);
	verdicts->presets = config_presets(NULL);
	verdicts->guard = noproxy_guard_new(request->config);
	verdicts->no_proxy = noproxy_new(verdicts->guard, profile, &request->advertise, NOPROXY_LIMIT);
	verdicts->entries = memory_array(profile->host_count + 1, sizeof *verdicts->entries);
	for (size_t i = 0; i < verdicts->no_proxy->count; i++) {
		const struct noproxy_entry *entry = &verdicts->no_proxy->entries[i];
		if (entry->host)
			verdicts->entries[entry->host - profile->hosts] = entry;
	}
	return verdicts;
}

void verdicts_free(struct verdicts *verdicts)
{
	if (!verdicts)
		return;
	pattern_index_free(verdicts->credentials);
	pattern_index_free(verdicts->own);
	pattern_index_free(verdicts->allowed);
	pattern_index_free(verdicts->denied);
	noproxy_free(verdicts->no_proxy);
	noproxy_guard_free(verdicts->guard);
	free(verdicts->entries);
	config_free(verdicts->presets);
	free(verdicts);
}

static void rule_of_host(struct verdict *verdict, const struct config_host *host)
{
	verdict->rule = host->text;
	verdict->mark = host->mark;
}

static void rule_of_credential(struct verdict *verdict, const struct config_credential *credential)
{
	verdict->rule = credential->name;
	verdict->mark = credential->mark;
}

bool verdict_same_host(const struct config_credential *a, const struct config_credential *b)
{
	return a->host.kind == b->host.kind && a->host.port == b->host.port && host_equal(&a->host.host, &b->host.host);
}

static void say_credential(const struct verdicts *verdicts, const struct config_credential *credential, struct buffer *why)
{
	char address[AUTHORITY_TEXT];
	authority_format(&verdicts->request->advertise.host, verdicts->request->advertise.port, address);
	buffer_format(why, "credential %s", credential->name);
	if (credential->upstream.wildcard)
		buffer_string(why, ", through the proxy: a wildcard has no base URL");
	else
		buffer_format(why, ", at http://%s/%s", address, credential->name);
}

/* `first` and those of the same host, in the order in which they are tried. */
static void say_injected(const struct verdicts *verdicts, const struct config_credential *first, struct verdict *verdict)
{
	const struct config_profile *profile = verdicts->request->profile;
	rule_of_credential(verdict, first);
	verdict->kind = VERDICT_INJECTED;
	say_credential(verdicts, first, &verdict->why);
	for (size_t i = 0; i < profile->credential_count; i++) {
		const struct config_credential *other = profile->credentials[i];
		if (other == first || !verdict_same_host(first, other))
			continue;
		buffer_string(&verdict->why, "; else ");
		say_credential(verdicts, other, &verdict->why);
	}
}

static void say_guarded(const struct noproxy_guarded *against, struct buffer *why)
{
	const struct mark *mark = against->credential ? &against->credential->mark : &against->host->mark;
	buffer_string(why, "in NO_PROXY it would lead some client past the proxy to ");
	if (against->credential) {
		char text[PATTERN_TEXT];
		pattern_format(&against->credential->host, text);
		buffer_format(why, "%s of credential %s", text, against->credential->name);
	} else {
		buffer_string(why, against->host->text);
	}
	buffer_format(why, " (%s:%u)", mark->file, mark->line);
}

/* Why an allowed host is not in NO_PROXY. */
static void say_proxied(const struct noproxy_entry *entry, struct buffer *why)
{
	static const char *const reasons[] = {
		[NOPROXY_LISTED] = "this port is not in NO_PROXY",
		[NOPROXY_ADDRESS] = "addresses stay out of NO_PROXY: a client that resolves names would follow them",
		[NOPROXY_PORTS] = "no client reads a wildcard with a port in NO_PROXY",
		[NOPROXY_INDIRECT] = "`direct: false`: the sandbox has no route of its own",
		[NOPROXY_NO_ROOM] = "NO_PROXY is full: one variable holds no more",
	};
	if (entry->reason == NOPROXY_GUARDED)
		say_guarded(entry->against, why);
	else if (entry->reason == NOPROXY_JUDGED)
		buffer_string(why, entry->host->rules.count ? "its rules judge each request" : "it is intercepted");
	else
		buffer_string(why, reasons[entry->reason]);
}

static void say_direct(const struct noproxy_entry *entry, const struct config_host *allowed, struct verdict *verdict)
{
	verdict->kind = VERDICT_DIRECT;
	if (entry->host)
		rule_of_host(verdict, entry->host);
	buffer_format(&verdict->why, "NO_PROXY has %.*s", SPAN_ARGS(entry->text));
	if (!allowed && entry->host)
		buffer_string(&verdict->why, "; the proxy would refuse it");
}

/* Where a credential may be what is missing, not an allowed host. */
static void say_presets(const struct config *presets, const struct host *host, uint16_t port, struct buffer *why)
{
	const char *before = "; for a credential: preset ";
	for (size_t i = 0; presets && i < presets->credential_count; i++) {
		if (!config_owns(&presets->credentials[i], host, port))
			continue;
		buffer_format(why, "%s%s", before, presets->credentials[i].name);
		before = ", or ";
	}
}

static void say_refused(const struct verdicts *verdicts, const struct config_credential *credential, const struct host *host,
                        uint16_t port, struct verdict *verdict)
{
	const char *profile = verdicts->request->profile->name;
	verdict->kind = VERDICT_REFUSED;
	if (credential) {
		rule_of_credential(verdict, credential);
		buffer_format(&verdict->why, "it is of credential %s, which profile %s does not have", credential->name, profile);
	} else {
		buffer_format(&verdict->why, "no entry of `hosts:` of profile %s allows it", profile);
		say_presets(verdicts->presets, host, port, &verdict->why);
	}
}

static void judge(const struct verdicts *verdicts, const struct host *host, uint16_t port, struct verdict *verdict)
{
	const struct config_host *denied = pattern_index_find(verdicts->denied, host, port);
	const struct config_credential *credential = pattern_index_find(verdicts->credentials, host, port);
	const struct config_credential *own = pattern_index_find(verdicts->own, host, port);
	const struct config_host *allowed = pattern_index_find(verdicts->allowed, host, port);
	const struct noproxy_entry *entry = noproxy_find(verdicts->no_proxy, host, port);
	if (denied) {
		rule_of_host(verdict, denied);
		verdict->kind = VERDICT_REFUSED;
		buffer_string(&verdict->why, "denied, whatever else allows it");
	} else if (own) {
		say_injected(verdicts, own, verdict);
	} else if (credential) {
		say_refused(verdicts, credential, host, port, verdict);
	} else if (entry) {
		say_direct(entry, allowed, verdict);
	} else if (allowed) {
		rule_of_host(verdict, allowed);
		verdict->kind = VERDICT_PROXIED;
		say_proxied(verdicts->entries[allowed - verdicts->request->profile->hosts], &verdict->why);
	} else {
		say_refused(verdicts, NULL, host, port, verdict);
	}
}

/* Clients, and what each was found to do. */
struct finding {
	struct client_target target;
	bool *bypasses;
};

static bool find_bypasses(const struct noproxy_entry *entry, void *context)
{
	struct finding *finding = context;
	for (size_t i = 0; i < client_count; i++)
		finding->bypasses[i] = finding->bypasses[i] || client_bypasses(&client_list[i], entry->text, &finding->target);
	return true;
}

static void find_clients(const struct verdicts *verdicts, const struct host *host, uint16_t port, bool port_written,
                         struct verdict *verdict)
{
	struct finding finding = {{host_span(host), port, port_written}, memory_array(client_count, sizeof(bool))};
	for (size_t i = 0; i < client_count; i++)
		finding.bypasses[i] = client_bypasses_always(&client_list[i], &finding.target);
	noproxy_visit(verdicts->no_proxy, host, port, find_bypasses, &finding);
	for (size_t i = 0; i < client_count; i++) {
		finding.bypasses[i] = finding.bypasses[i] != (verdict->kind == VERDICT_DIRECT);
		verdict->differ_count += finding.bypasses[i];
	}
	verdict->differs = finding.bypasses;
}

void verdicts_judge(const struct verdicts *verdicts, const struct host *host, uint16_t port, bool port_written,
                    struct verdict *verdict)
{
	*verdict = (struct verdict){0};
	judge(verdicts, host, port, verdict);
	find_clients(verdicts, host, port, port_written, verdict);
}

void verdict_free(struct verdict *verdict)
{
	buffer_free(&verdict->why);
	free(verdict->differs);
}
