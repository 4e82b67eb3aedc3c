#include "route.h"

#include <stdlib.h>

#include "memory.h"
#include "table.h"

/* A credential in a profile, with its place in the order in which SPEC §2 tries them. */
struct ranked {
	const struct config_credential *credential;
	size_t rank;
};

struct profile_routes {
	struct pattern_index *allowed, *denied, *credentials;
	struct addresses *addresses;
	struct ranked *ranked;
	bool *has; /* by the credential's number */
	struct noproxy *bypasses;
};

struct route_table {
	const struct config *config;
	struct pattern_index *credential_hosts;
	struct table names;
	struct noproxy_guard *guard; /* of the bypasses */
	struct profile_routes *profiles; /* by number */
};

/* Longest upstream path first. Equal ones keep the profile's order, which is their place in memory's list. */
static int compare_ranked(const void *left, const void *right)
{
	const struct ranked *a = left, *b = right;
	size_t a_length = strlen(a->credential->upstream.path), b_length = strlen(b->credential->upstream.path);
	if (a_length != b_length)
		return a_length > b_length ? -1 : 1;
	return a->rank < b->rank ? -1 : a->rank > b->rank;
}

static void add_credentials(struct profile_routes *routes, const struct config *config,
                            const struct config_profile *profile)
{
	size_t count = profile->credential_count;
	routes->ranked = memory_array(count, sizeof *routes->ranked);
	routes->has = memory_array(config->credential_count, sizeof *routes->has);
	for (size_t i = 0; i < count; i++)
		routes->ranked[i] = (struct ranked){profile->credentials[i], i};
	qsort(routes->ranked, count, sizeof *routes->ranked, compare_ranked);
	for (size_t i = 0; i < count; i++) {
		struct ranked *ranked = &routes->ranked[i];
		ranked->rank = i;
		routes->has[ranked->credential->number] = true;
		pattern_index_add(routes->credentials, &ranked->credential->host, ranked);
	}
}

/* The profile of that name in an older table. */
static struct addresses *addresses_before(const struct route_table *before, const char *name)
{
	const struct config_profile *profile = before ? config_profile(before->config, span_of(name)) : NULL;
	return profile ? before->profiles[profile->number].addresses : NULL;
}

static void add_profile(struct route_table *table, const struct config_profile *profile, const struct route_table *before)
{
	struct profile_routes *routes = &table->profiles[profile->number];
	const struct config *config = table->config;
	routes->allowed = pattern_index_new();
	routes->denied = pattern_index_new();
	routes->credentials = pattern_index_new();
	for (size_t i = 0; i < profile->host_count; i++) {
		struct config_host *entry = &profile->hosts[i];
		pattern_index_add(entry->pattern.deny ? routes->denied : routes->allowed, &entry->pattern, entry);
	}
	routes->addresses = addresses_new(profile, addresses_before(before, profile->name));
	add_credentials(routes, config, profile);
	routes->bypasses = noproxy_new(table->guard, profile, &config->advertise, NOPROXY_LIMIT);
}

struct route_table *route_table_new(const struct config *config, const struct route_table *before)
{
	struct route_table *table = memory_alloc(sizeof *table);
	table->config = config;
	table->credential_hosts = pattern_index_new();
	for (size_t i = 0; i < config->credential_count; i++) {
		struct config_credential *credential = &config->credentials[i];
		pattern_index_add(table->credential_hosts, &credential->host, credential);
		table_put(&table->names, span_of(credential->name), credential);
	}
	table->guard = noproxy_guard_new(config);
	table->profiles = memory_array(config->profile_count, sizeof *table->profiles);
	for (size_t i = 0; i < config->profile_count; i++)
		add_profile(table, &config->profiles[i], before);
	return table;
}

void route_table_free(struct route_table *table)
{
	for (size_t i = 0; i < table->config->profile_count; i++) {
		struct profile_routes *routes = &table->profiles[i];
		pattern_index_free(routes->allowed);
		pattern_index_free(routes->denied);
		pattern_index_free(routes->credentials);
		addresses_unref(routes->addresses);
		noproxy_free(routes->bypasses);
		free(routes->ranked);
		free(routes->has);
	}
	free(table->profiles);
	noproxy_guard_free(table->guard);
	pattern_index_free(table->credential_hosts);
	table_free(&table->names);
	free(table);
}

const struct config_credential *route_credential_host(const struct route_table *table, const struct host *host,
                                                      uint16_t port)
{
	return pattern_index_find(table->credential_hosts, host, port);
}

const struct config_host *route_host(const struct route_table *table, const struct config_profile *profile,
                                     const struct host *host, uint16_t port)
{
	return pattern_index_find(table->profiles[profile->number].allowed, host, port);
}

const struct config_host *route_denial(const struct route_table *table, const struct config_profile *profile,
                                       const struct host *host, uint16_t port)
{
	return pattern_index_find(table->profiles[profile->number].denied, host, port);
}

const struct noproxy_entry *route_bypass(const struct route_table *table, const struct config_profile *profile,
                                         const struct host *host, uint16_t port)
{
	return noproxy_find(table->profiles[profile->number].bypasses, host, port);
}

struct addresses *route_addresses(const struct route_table *table, const struct config_profile *profile)
{
	return table->profiles[profile->number].addresses;
}

/* The matches so far, sorted by rank. */
struct matches {
	struct arena *arena;
	struct ranked **list;
	size_t count, capacity;
};

static bool insert_match(void *value, void *context)
{
	struct matches *matches = context;
	if (matches->count == matches->capacity) {
		size_t capacity = matches->capacity ? matches->capacity * 2 : 8;
		struct ranked **list = arena_alloc(matches->arena, capacity * sizeof(struct ranked *));
		if (matches->count)
			memcpy(list, matches->list, matches->count * sizeof(struct ranked *));
		matches->list = list;
		matches->capacity = capacity;
	}
	struct ranked *ranked = value;
	size_t at = matches->count++;
	for (; at > 0 && matches->list[at - 1]->rank > ranked->rank; at--)
		matches->list[at] = matches->list[at - 1];
	matches->list[at] = ranked;
	return true;
}

size_t route_credentials(const struct route_table *table, const struct config_profile *profile, const struct host *host,
                         uint16_t port, struct arena *arena, const struct config_credential ***list)
{
	struct matches matches = {.arena = arena};
	pattern_index_visit(table->profiles[profile->number].credentials, host, port, insert_match, &matches);
	*list = arena_alloc(arena, (matches.count + 1) * sizeof(struct config_credential *));
	for (size_t i = 0; i < matches.count; i++)
		(*list)[i] = matches.list[i]->credential;
	return matches.count;
}

const struct config_credential *route_name(const struct route_table *table, struct span name)
{
	return table_get(&table->names, name);
}

bool route_has(const struct route_table *table, const struct config_profile *profile,
               const struct config_credential *credential)
{
	return table->profiles[profile->number].has[credential->number];
}
