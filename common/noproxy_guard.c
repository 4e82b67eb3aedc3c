#include "noproxy_guard.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "arena.h"
#include "memory.h"
#include "table.h"

#define GROUP_DIGITS 4 /* of an IPv6 address, at most */

/* Letters in which a guarded host ends. ".S" stands for all names below S, and no other text begins with a dot. */
struct text {
	struct span letters;
	const struct noproxy_guarded *guarded;
};

struct noproxy_guard {
	struct arena memory;
	struct text *texts; /* sorted from their ends */
	size_t count, capacity;
	const struct noproxy_guarded **networks;
	size_t network_count, network_capacity;
	const struct noproxy_guarded *loopback;
	struct table seen; /* entries that profiles inherit from one place, by the address of their text */
};

static const struct pattern *pattern_of(const struct noproxy_guarded *guarded)
{
	return guarded->credential ? &guarded->credential->host : &guarded->host->pattern;
}

bool pattern_is_loopback(const struct pattern *pattern)
{
	static const struct host addresses[] = {
		{.kind = HOST_IPV4, .address = {127, 0, 0, 1}},
		{.kind = HOST_IPV6, .address = {[15] = 1}},
	};
	if (host_is_loopback(&pattern->host))
		return true;
	for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++)
		if (pattern->kind == PATTERN_CIDR && pattern_matches(pattern, &addresses[i], pattern->port ? pattern->port : 80))
			return true;
	return false;
}

static void add_text(struct noproxy_guard *guard, const struct noproxy_guarded *guarded, struct span letters)
{
	guard->texts = memory_grow(guard->texts, guard->count, &guard->capacity, sizeof *guard->texts);
	guard->texts[guard->count++] = (struct text){letters, guarded};
}

/* Some clients compare what the program wrote, before it becomes A-labels. What then stands behind the last letter that is
 * not ASCII is the end of the label's basic code points, those before its last hyphen (RFC 3492 §3.1). */
static void add_unicode(struct noproxy_guard *guard, const struct noproxy_guarded *guarded, struct span name)
{
	while (name.data) {
		struct span rest = name, label = span_split(&rest, '.'), basic = span_from(label, strlen("xn--"));
		const char *hyphen = basic.length ? memrchr(basic.data, '-', basic.length) : NULL;
		if (span_starts(label, SPAN("xn--")) && hyphen && hyphen > basic.data) {
			basic.length = (size_t)(hyphen - basic.data);
			char *text = arena_format(&guard->memory, "%.*s%s%.*s", SPAN_ARGS(basic), rest.data ? "." : "",
			                          (int)rest.length, rest.data ? rest.data : "");
			add_text(guard, guarded, span_of(text));
		}
		name = rest;
	}
}

/* Clients take the brackets off and compare letters: a name like "cafe" is the end of an address, and so is 192.0.2.1 of
 * one whose last 32 bits are written so. */
static void add_ipv6(struct noproxy_guard *guard, const struct noproxy_guarded *guarded, const struct host *host)
{
	const unsigned char *last = host->address + 12;
	add_text(guard, guarded, host_span(host));
	add_text(guard, guarded, span_of(arena_format(&guard->memory, "%02x%02x", last[2], last[3])));
	add_text(guard, guarded, span_of(arena_format(&guard->memory, "%u.%u.%u.%u", last[0], last[1], last[2], last[3])));
}

static void add_name(struct noproxy_guard *guard, const struct noproxy_guarded *guarded, const struct pattern *pattern)
{
	struct span name = host_span(&pattern->host);
	if (pattern->kind == PATTERN_WILDCARD)
		add_text(guard, guarded, span_of(arena_format(&guard->memory, ".%s", pattern->host.name)));
	else
		add_text(guard, guarded, name);
	add_unicode(guard, guarded, name);
}

static void add(struct noproxy_guard *guard, struct noproxy_guarded what)
{
	struct noproxy_guarded *guarded = arena_alloc(&guard->memory, sizeof *guarded);
	*guarded = what;
	const struct pattern *pattern = pattern_of(guarded);
	if (!guard->loopback && pattern_is_loopback(pattern))
		guard->loopback = guarded;
	if (pattern->kind == PATTERN_CIDR) {
		guard->networks = memory_grow(guard->networks, guard->network_count, &guard->network_capacity, sizeof(void *));
		guard->networks[guard->network_count++] = guarded;
	} else if (pattern->host.kind == HOST_IPV6) {
		add_ipv6(guard, guarded, &pattern->host);
	} else {
		add_name(guard, guarded, pattern);
	}
}

/* Orders texts by their last letters first, so that those with one ending lie side by side. */
static int compare_ends(struct span a, struct span b)
{
	size_t shorter = a.length < b.length ? a.length : b.length;
	for (size_t i = 1; i <= shorter; i++) {
		int difference = (unsigned char)a.data[a.length - i] - (unsigned char)b.data[b.length - i];
		if (difference)
			return difference;
	}
	return (a.length > b.length) - (a.length < b.length);
}

static int compare_texts(const void *a, const void *b)
{
	const struct text *left = a, *right = b;
	return compare_ends(left->letters, right->letters);
}

static struct noproxy_guard *seal(struct noproxy_guard *guard)
{
	if (guard->count)
		qsort(guard->texts, guard->count, sizeof *guard->texts, compare_texts);
	table_free(&guard->seen);
	return guard;
}

static void add_denied(struct noproxy_guard *guard, const struct config_profile *profile)
{
	for (size_t i = 0; i < profile->host_count; i++) {
		const struct config_host *host = &profile->hosts[i];
		struct span key = {(const char *)&host->text, sizeof host->text};
		if (host->pattern.deny && !table_put(&guard->seen, key, (void *)(uintptr_t)host))
			add(guard, (struct noproxy_guarded){.host = host});
	}
}

struct noproxy_guard *noproxy_guard_new(const struct config *config)
{
	struct noproxy_guard *guard = memory_alloc(sizeof *guard);
	for (size_t i = 0; i < config->credential_count; i++)
		add(guard, (struct noproxy_guarded){.credential = &config->credentials[i]});
	for (size_t i = 0; i < config->profile_count; i++)
		add_denied(guard, &config->profiles[i]);
	return seal(guard);
}

struct noproxy_guard *noproxy_guard_of_judged(const struct config_profile *profile)
{
	struct noproxy_guard *guard = memory_alloc(sizeof *guard);
	for (size_t i = 0; i < profile->host_count; i++) {
		const struct config_host *host = &profile->hosts[i];
		if (!host->pattern.deny && config_host_is_judged(host))
			add(guard, (struct noproxy_guarded){.host = host});
	}
	return seal(guard);
}

void noproxy_guard_free(struct noproxy_guard *guard)
{
	if (!guard)
		return;
	arena_free(&guard->memory);
	free(guard->texts);
	free(guard->networks);
	free(guard);
}

/* The first text that does not come before `letters`; NULL where all do. */
static const struct text *first_from(const struct noproxy_guard *guard, struct span letters)
{
	size_t from = 0, to = guard->count;
	while (from < to) {
		size_t middle = from + (to - from) / 2;
		if (compare_ends(guard->texts[middle].letters, letters) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from < guard->count ? &guard->texts[from] : NULL;
}

static const struct noproxy_guarded *ends_in(const struct noproxy_guard *guard, struct span letters)
{
	const struct text *text = first_from(guard, letters);
	return text && span_ends(text->letters, letters) ? text->guarded : NULL;
}

/* The guarded wildcard that `name` lies below. */
static const struct noproxy_guarded *lies_below(const struct noproxy_guard *guard, struct span name)
{
	for (size_t i = 0; i < name.length; i++) {
		struct span rest = span_from(name, i);
		const struct text *text = rest.data[0] == '.' ? first_from(guard, rest) : NULL;
		if (text && span_equal(text->letters, rest))
			return text->guarded;
	}
	return NULL;
}

/* Is there an address in the network whose text ends in that of `host`? More digits may stand in front of its first. */
static bool network_has_end(const struct pattern *network, const struct host *host)
{
	struct host other = {.kind = HOST_IPV4};
	memcpy(other.address, host->address, sizeof other.address);
	unsigned step = host->address[0] < 10 ? 10 : host->address[0] < 100 ? 100 : 256;
	for (unsigned first = host->address[0]; first < 256; first += step) {
		other.address[0] = (unsigned char)first;
		if (pattern_matches(network, &other, network->port ? network->port : 80))
			return true;
	}
	return false;
}

/* Is there an address in the network whose last group ends in this name, read as hexadecimal digits? */
static bool network_has_group(const struct pattern *network, const struct host *host)
{
	if (host->length > GROUP_DIGITS || strspn(host->name, "0123456789abcdef") != host->length)
		return false;
	unsigned free_bits = 128u - network->bits, digits = 1u << 4 * host->length;
	unsigned first = (unsigned)network->host.address[14] << 8 | network->host.address[15];
	unsigned distance = ((unsigned)strtoul(host->name, NULL, 16) - first) & (digits - 1); /* from the first to one with it */
	return free_bits >= 16 || distance < 1u << free_bits;
}

static const struct noproxy_guarded *in_network(const struct noproxy_guard *guard, const struct host *host)
{
	for (size_t i = 0; i < guard->network_count; i++) {
		const struct pattern *network = pattern_of(guard->networks[i]);
		bool ipv6 = network->host.kind == HOST_IPV6;
		if ((ipv6 && host->kind == HOST_NAME && network_has_group(network, host)) ||
		    (!ipv6 && host->kind == HOST_IPV4 && network_has_end(network, host)))
			return guard->networks[i];
	}
	return NULL;
}

const struct noproxy_guarded *noproxy_guard_find(const struct noproxy_guard *guard, const struct host *host,
                                                 uint16_t port)
{
	char text[AUTHORITY_TEXT];
	const struct noproxy_guarded *found = ends_in(guard, host_span(host));
	if (!found && port)
		found = ends_in(guard, (struct span){text, authority_format(host, port, text)});
	if (!found && host->kind == HOST_NAME)
		found = lies_below(guard, host_span(host));
	if (!found)
		found = in_network(guard, host);
	return found || !host_is_loopback(host) ? found : guard->loopback;
}

const struct noproxy_guarded *noproxy_guard_loopback(const struct noproxy_guard *guard)
{
	return guard->loopback;
}
