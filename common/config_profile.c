/* profiles: what each says, then what each has once its parents' hosts and credentials are merged in (SPEC §2). */
#include <stddef.h>

#include "config_internal.h"
#include "memory.h"

#define MOST_LEVELS 64
#define MOST_INHERITED 1000000u /* hosts and credentials that profiles take over, counted each time */
#define TOO_DEEP "profile \"%s\" is extended over more than 64 levels"

static void keep_node(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)reading, (void)unused;
	*(const struct node **)field = node;
}

static void read_pattern(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct config_host *host = field;
	struct fault fault = FAULT_INIT;
	if (!config_expect(reading, node, NODE_TEXT, "a host such as pypi.org, \"*.example.com\" or 10.0.0.0/8"))
		return;
	if (pattern_parse(node_text(node), &host->pattern, &fault))
		host->text = config_keep(reading, node);
	else
		config_error(reading, node, "%s", fault.text);
}

static const char *const http2_modes[] = {"on", "off", "tunnel", NULL};
static const struct config_key host_keys[] = {
	{"host", read_pattern, 0, NULL},
	{"rules", config_read_rules, offsetof(struct config_host, rules), NULL},
	{"intercept", config_read_bool, offsetof(struct config_host, intercept), NULL},
	{"http2", config_read_choice, offsetof(struct config_host, http2), http2_modes},
	{"encoded_slash", config_read_bool, offsetof(struct config_host, encoded_slash), NULL},
};
static const struct config_keys host_mapping = KEYS(host_keys, "a host with options");

static void check_host(struct reading *reading, const struct node *node, const struct config_host *host)
{
	const struct node *http2 = node_find(node, "http2");
	if (host->pattern.deny && node->count > 1)
		config_error(reading, node, "\"%s\" is denied whatever else is said, so it takes no options", host->text);
	if (!http2 || host->http2 != HTTP2_TUNNEL)
		return;
	if (host->rules.count)
		config_error(reading, http2, "http2: tunnel carries requests past the rules; with rules it is on or off");
	if (!host->intercept)
		config_error(reading, http2, "http2: tunnel goes with intercept: true; without it every connection is a tunnel");
}

/* False where the entry names no host that can be used. */
static bool read_host(struct reading *reading, const struct node *node, struct config_host *host)
{
	*host = (struct config_host){.mark = config_mark(reading, node)};
	if (node->kind != NODE_MAPPING) {
		read_pattern(reading, node, host, NULL);
	} else {
		config_read_mapping(reading, node, &host_mapping, host);
		config_require(reading, node, "host", "host: NAME");
		check_host(reading, node, host);
	}
	if (!host->text)
		rules_free(&host->rules);
	return host->text;
}

static void read_hosts(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct own_profile *own = field;
	if (!config_expect(reading, node, NODE_LIST, "hosts such as [pypi.org, \"*.example.com\"]"))
		return;
	own->hosts = arena_zero(reading->arena, (node->count + 1) * sizeof *own->hosts);
	for (size_t i = 0; i < node->count; i++)
		if (read_host(reading, node->items[i], &own->hosts[own->host_count]))
			own->host_count++;
}

static void read_token_version(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	uint64_t number;
	if (config_number(reading, node, 1, UINT32_MAX, &number))
		*(uint32_t *)field = (uint32_t)number;
}

static void read_direct(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct own_profile *own = field;
	own->direct_said = true;
	config_read_bool(reading, node, &own->direct, NULL);
}

static void read_rate(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct own_profile *own = field;
	own->rate_said = true;
	config_read_rate(reading, node, &own->rate, NULL);
}

static const struct config_key profile_keys[] = {
	{"extends", keep_node, offsetof(struct own_profile, extends), NULL},
	{"hosts", read_hosts, 0, NULL},
	{"credentials", keep_node, offsetof(struct own_profile, credentials), NULL},
	{"token_version", read_token_version, offsetof(struct own_profile, token_version), NULL},
	{"direct", read_direct, 0, NULL},
	{"rate", read_rate, 0, NULL},
};
static const struct config_keys profile_mapping = KEYS(profile_keys, "a profile");

void config_read_profiles(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)field;
	(void)unused;
	struct config *config = reading->config;
	if (!config_expect(reading, node, NODE_MAPPING, "profiles, each by its name"))
		return;
	config->profiles = arena_zero(reading->arena, (node->count + 1) * sizeof *config->profiles);
	config->private->own = arena_zero(reading->arena, (node->count + 1) * sizeof *config->private->own);
	for (size_t i = 0; i < node->count; i++) {
		const struct node *key = node->pairs[i].key;
		struct config_profile *profile = &config->profiles[i];
		struct own_profile *own = &config->private->own[i];
		config->profile_count++;
		profile->name = config_keep(reading, key);
		profile->mark = config_mark(reading, key);
		profile->number = (unsigned)i;
		own->token_version = 1;
		config_name(reading, key, "a profile");
		if (config_expect_entry(reading, key, node->pairs[i].value, &profile_mapping))
			config_read_mapping(reading, node->pairs[i].value, &profile_mapping, own);
		table_put(&config->private->profiles, span_of(profile->name), profile);
	}
}

/* Profiles while they are merged: an ordered set of hosts, one of credentials. */
struct merge {
	struct reading *reading;
	struct config_profile *profile;
	struct config_host *hosts;
	size_t host_count, host_capacity;
	struct table host_places; /* canonical pattern → its place in `hosts`, from 1 */
	const struct config_credential **credentials;
	size_t credential_count, credential_capacity;
	struct table credential_places;
};

static void add_host(struct merge *merge, const struct config_host *host)
{
	char text[PATTERN_TEXT];
	size_t length = pattern_format(&host->pattern, text);
	size_t place = (size_t)table_get(&merge->host_places, (struct span){text, length});
	if (place) {
		merge->hosts[place - 1] = *host;
		return;
	}
	struct span key = arena_span(merge->reading->nodes, (struct span){text, length});
	merge->hosts = memory_grow(merge->hosts, merge->host_count, &merge->host_capacity, sizeof *merge->hosts);
	merge->hosts[merge->host_count++] = *host;
	table_put(&merge->host_places, key, (void *)merge->host_count);
}

static bool has_options(const struct config_host *host)
{
	return host->rules.count || host->intercept || host->http2 != HTTP2_ON || host->encoded_slash;
}

/* Of two entries for one host in one list the second would silently undo what the first says. */
static void check_twice(struct reading *reading, const struct own_profile *own)
{
	struct table seen = {0};
	for (size_t i = 0; i < own->host_count; i++) {
		char text[PATTERN_TEXT];
		size_t length = pattern_format(&own->hosts[i].pattern, text);
		struct config_host *host = &own->hosts[i];
		struct span key = arena_span(reading->nodes, (struct span){text, length});
		const struct config_host *before = table_put(&seen, key, host);
		if (before && (has_options(before) || has_options(host)))
			config_error_at(reading, host->mark, "%s stands at line %u already; one entry says all about a host",
			                host->text, before->mark.line);
	}
	table_free(&seen);
}

static void add_credential(struct merge *merge, const struct config_credential *credential)
{
	if (table_get(&merge->credential_places, span_of(credential->name)))
		return;
	merge->credentials = memory_grow(merge->credentials, merge->credential_count, &merge->credential_capacity,
	                                 sizeof(void *));
	merge->credentials[merge->credential_count++] = credential;
	table_put(&merge->credential_places, span_of(credential->name), (void *)merge->credential_count);
}

/* Leaves a hole, which keep_credentials() closes, so that dropping many costs no more than one. */
static void drop_credential(struct merge *merge, const struct node *node, const struct config_credential *credential)
{
	size_t place = (size_t)table_get(&merge->credential_places, span_of(credential->name));
	if (place && merge->credentials[place - 1])
		merge->credentials[place - 1] = NULL;
	else
		config_warning_at(merge->reading, config_mark(merge->reading, node),
		                  "\"!%s\" drops a credential that no parent has", credential->name);
}

static const struct config_credential *find_credential(struct reading *reading, const struct node *item,
                                                       struct span name)
{
	const struct config *config = reading->config;
	const struct config_credential *credential = config_credential(config, name);
	if (!credential)
		config_error(reading, item, "no credential has the name \"%.100s\"%s", name.data,
		             config_guess_name(reading, name, config->credentials, config->credential_count,
		                               sizeof *config->credentials));
	return credential;
}

static void merge_own_credentials(struct merge *merge, const struct node *list)
{
	struct reading *reading = merge->reading;
	struct table said = {0}; /* name → the item that has it, with or without "!" */
	if (!config_expect(reading, list, NODE_LIST, "names of credentials such as [openai, \"!github\"]"))
		return;
	for (size_t i = 0; i < list->count; i++) {
		const struct node *item = list->items[i];
		if (!config_expect(reading, item, NODE_TEXT, "the name of a credential"))
			continue;
		bool drop = item->text[0] == '!';
		struct span name = span_from(node_text(item), drop);
		const struct config_credential *credential = find_credential(reading, item, name);
		const struct node *before = credential ? table_put(&said, name, (void *)(uintptr_t)item) : NULL;
		if (before && (before->text[0] == '!') != drop)
			config_error(reading, item, "\"%s\" is both named and dropped in this list", credential->name);
		else if (credential && drop)
			drop_credential(merge, item, credential);
		else if (credential)
			add_credential(merge, credential);
	}
	table_free(&said);
}

/* Is there room for what a parent has? Told once where it ends. */
static bool has_room(struct merge *merge, const struct config_profile *parent, const struct node *item)
{
	struct reading *reading = merge->reading;
	size_t before = reading->inherited;
	reading->inherited += parent->host_count + parent->credential_count;
	if (reading->inherited > MOST_INHERITED && before <= MOST_INHERITED)
		config_error(reading, item, "profiles take over more than %u hosts and credentials, counted each time",
		             MOST_INHERITED);
	return reading->inherited <= MOST_INHERITED;
}

static void merge_parent(struct merge *merge, const struct config_profile *parent, const struct own_profile *child)
{
	for (size_t i = 0; i < parent->host_count; i++)
		add_host(merge, &parent->hosts[i]);
	bool cleared = child->credentials && child->credentials->kind == NODE_LIST && child->credentials->count == 0;
	for (size_t i = 0; !cleared && i < parent->credential_count; i++)
		add_credential(merge, parent->credentials[i]);
	merge->profile->direct = parent->direct;
	if (parent->rate.count)
		merge->profile->rate = parent->rate;
}

static void keep_merged(struct merge *merge)
{
	struct config_profile *profile = merge->profile;
	struct arena *arena = merge->reading->arena;
	profile->hosts = arena_alloc(arena, merge->host_count * sizeof *profile->hosts);
	if (merge->host_count)
		memcpy(profile->hosts, merge->hosts, merge->host_count * sizeof *profile->hosts);
	profile->host_count = merge->host_count;
	profile->credentials = arena_alloc(arena, merge->credential_count * sizeof(void *));
	for (size_t i = 0; i < merge->credential_count; i++)
		if (merge->credentials[i])
			profile->credentials[profile->credential_count++] = merge->credentials[i];
	free(merge->hosts);
	free(merge->credentials);
	table_free(&merge->host_places);
	table_free(&merge->credential_places);
}

static bool inherit(struct reading *reading, struct config_profile *profile, const struct node *place, unsigned depth);

/* The profile that an item of `extends` names, whole; NULL where it is none (told). */
static struct config_profile *find_parent(struct reading *reading, const struct node *item, unsigned depth)
{
	const struct config *config = reading->config;
	if (!config_expect(reading, item, NODE_TEXT, "the name of a profile"))
		return NULL;
	struct config_profile *parent = table_get(&config->private->profiles, node_text(item));
	if (!parent)
		config_error(reading, item, "no profile has the name \"%.100s\"%s", item->text,
		             config_guess_name(reading, node_text(item), config->profiles, config->profile_count,
		                               sizeof *config->profiles));
	return parent && inherit(reading, parent, item, depth) ? parent : NULL;
}

static void merge_parents(struct merge *merge, struct own_profile *own, unsigned depth)
{
	size_t count;
	const struct node *item;
	for (size_t i = 0; own->extends && (item = config_items(own->extends, i, &count)); i++) {
		struct config_profile *parent = find_parent(merge->reading, item, depth + 1);
		if (!parent)
			continue;
		unsigned level = merge->reading->config->private->own[parent->number].level + 1;
		if (level > own->level)
			own->level = level;
		if (level == MOST_LEVELS + 1)
			config_error(merge->reading, item, TOO_DEEP, parent->name);
		else if (has_room(merge, parent, item))
			merge_parent(merge, parent, own);
	}
}

/* Makes `profile` whole, its parents first. `place` is the `extends` that asked for it, NULL where none did. */
static bool inherit(struct reading *reading, struct config_profile *profile, const struct node *place, unsigned depth)
{
	struct own_profile *own = &reading->config->private->own[profile->number];
	if (own->done)
		return true;
	if (own->open)
		config_error(reading, place, "a cycle: profile \"%s\" extends itself, by itself or through others", profile->name);
	else if (depth > MOST_LEVELS)
		config_error(reading, place, TOO_DEEP, profile->name);
	if (own->open || depth > MOST_LEVELS)
		return false;
	own->open = true;
	own->level = 1;
	profile->direct = true;
	struct merge merge = {.reading = reading, .profile = profile};
	merge_parents(&merge, own, depth);
	check_twice(reading, own);
	for (size_t i = 0; i < own->host_count; i++)
		add_host(&merge, &own->hosts[i]);
	if (own->credentials)
		merge_own_credentials(&merge, own->credentials);
	keep_merged(&merge);
	if (own->direct_said)
		profile->direct = own->direct;
	if (own->rate_said)
		profile->rate = own->rate;
	profile->token_version = own->token_version;
	own->open = false;
	own->done = true;
	return true;
}

void config_inherit(struct reading *reading)
{
	for (size_t i = 0; i < reading->config->profile_count; i++)
		inherit(reading, &reading->config->profiles[i], NULL, 1);
}
