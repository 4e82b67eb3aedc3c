#include "pattern.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "arena.h"
#include "memory.h"
#include "quantity.h"
#include "table.h"

#define SHAPE "a pattern is a name, *.name, an address or a network like 10.0.0.0/8, and may end in :port"

static bool refuse(struct span text, struct fault *fault, const char *why)
{
	return fault_set(fault, FAULT_USAGE, "`%.*s` %s; " SHAPE, SPAN_ARGS(span_head(text, 100)), why);
}

static unsigned family_bits(const struct host *host)
{
	return host->kind == HOST_IPV4 ? 32 : 128;
}

static size_t family_bytes(const struct host *host)
{
	return host->kind == HOST_IPV4 ? 4 : 16;
}

/* Keeps the first `bits` of an address and clears the others. */
static void mask_address(unsigned char address[16], unsigned bits)
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned kept = bits >= (i + 1) * 8 ? 8 : bits > i * 8 ? bits - i * 8 : 0;
		address[i] &= (unsigned char)(0xff00u >> kept);
	}
}

/* Host bits behind the prefix are a slip: the network that was meant is told. */
static bool check_network(struct span text, const struct pattern *pattern, struct fault *fault)
{
	unsigned char network[16];
	memcpy(network, pattern->host.address, sizeof network);
	mask_address(network, pattern->bits);
	if (memcmp(network, pattern->host.address, sizeof network) == 0)
		return true;
	char name[INET6_ADDRSTRLEN];
	inet_ntop(pattern->host.kind == HOST_IPV4 ? AF_INET : AF_INET6, network, name, sizeof name);
	return fault_set(fault, FAULT_USAGE, "`%.*s` has bits set behind its first %u; the network is %s/%u",
	                 SPAN_ARGS(span_head(text, 100)), pattern->bits, name, pattern->bits);
}

static bool parse_network(struct span text, struct pattern *pattern, struct fault *fault)
{
	struct span port = text, address = span_split(&port, '/'), bits = span_split(&port, ':');
	struct host *host = &pattern->host;
	uint64_t number;
	if (!host_parse(address, host, NULL) || host->kind == HOST_NAME)
		return refuse(text, fault, "has a `/` and is no network; leave out scheme and path");
	/* An IPv4 network in IPv6's clothes: its prefix counts the 96 bits in front. */
	unsigned mapped = host->kind == HOST_IPV4 && memchr(address.data, ':', address.length) ? 96 : 0;
	if (!quantity_number(bits, mapped, mapped + family_bits(host), &number, fault))
		return fault_wrap(fault, "prefix length of `%.*s`", SPAN_ARGS(span_head(text, 100)));
	pattern->kind = PATTERN_CIDR;
	pattern->bits = (uint8_t)(number - mapped);
	if (port.data) {
		if (!quantity_number(port, 1, UINT16_MAX, &number, fault))
			return fault_wrap(fault, "port of `%.*s`", SPAN_ARGS(span_head(text, 100)));
		pattern->port = (uint16_t)number;
	}
	return check_network(text, pattern, fault);
}

static bool is_bare_ipv6(struct span text)
{
	const char *colon = text.length && text.data[0] != '[' ? memchr(text.data, ':', text.length) : NULL;
	return colon && memchr(colon + 1, ':', text.length - (size_t)(colon + 1 - text.data));
}

static bool parse_host(struct span text, struct pattern *pattern, struct fault *fault)
{
	struct authority authority = {.port = 0};
	bool parsed = is_bare_ipv6(text) ? host_parse(text, &authority.host, fault)
	                                 : authority_parse(text, &authority, fault);
	pattern->host = authority.host;
	pattern->port = authority.port;
	return parsed;
}

bool pattern_parse(struct span text, struct pattern *pattern, struct fault *fault)
{
	*pattern = (struct pattern){.kind = PATTERN_EXACT};
	struct span rest = text;
	if (span_starts(rest, SPAN("!"))) {
		pattern->deny = true;
		rest = span_from(rest, 1);
	}
	if (rest.length == 0)
		return refuse(text, fault, "names no host");
	if (memchr(rest.data, '/', rest.length))
		return parse_network(rest, pattern, fault);
	if (span_starts(rest, SPAN("*."))) {
		pattern->kind = PATTERN_WILDCARD;
		rest = span_from(rest, 2);
	}
	if (rest.length && memchr(rest.data, '*', rest.length))
		return refuse(text, fault, "has a `*` that is not its whole first label");
	if (!parse_host(rest, pattern, fault))
		return false;
	if (pattern->kind == PATTERN_WILDCARD && pattern->host.kind != HOST_NAME)
		return refuse(text, fault, "has a `*` in front of an address");
	return true;
}

size_t pattern_format(const struct pattern *pattern, char *out)
{
	size_t length = 0;
	if (pattern->deny)
		out[length++] = '!';
	if (pattern->kind == PATTERN_CIDR) {
		bool brackets = pattern->port && pattern->host.kind == HOST_IPV6;
		length += (size_t)snprintf(out + length, PATTERN_TEXT - length, brackets ? "[%s]/%u" : "%s/%u",
		                           pattern->host.name, (unsigned)pattern->bits);
		if (pattern->port)
			length += (size_t)snprintf(out + length, PATTERN_TEXT - length, ":%u", (unsigned)pattern->port);
		return length;
	}
	if (pattern->kind == PATTERN_WILDCARD) {
		out[length++] = '*';
		out[length++] = '.';
	}
	return length + authority_format(&pattern->host, pattern->port, out + length);
}

static bool port_matches(uint16_t pattern_port, uint16_t port)
{
	return pattern_port ? pattern_port == port : port == 80 || port == 443;
}

static bool in_network(const struct pattern *pattern, const struct host *host)
{
	if (pattern->host.kind != host->kind)
		return false;
	unsigned char address[16];
	memcpy(address, host->address, sizeof address);
	mask_address(address, pattern->bits);
	return memcmp(address, pattern->host.address, sizeof address) == 0;
}

static bool is_below(const struct host *apex, const struct host *host)
{
	return host->kind == HOST_NAME && host->length > apex->length &&
	       host->name[host->length - apex->length - 1] == '.' && span_ends(host_span(host), host_span(apex));
}

bool pattern_matches(const struct pattern *pattern, const struct host *host, uint16_t port)
{
	if (!port_matches(pattern->port, port))
		return false;
	switch (pattern->kind) {
	case PATTERN_EXACT:
		return host_equal(&pattern->host, host);
	case PATTERN_WILDCARD:
		return is_below(&pattern->host, host);
	case PATTERN_CIDR:
		return in_network(pattern, host);
	}
	return false;
}

/* How much of a host a pattern settles: exact above all, then by length. */
static int specificity(const struct pattern *pattern)
{
	return pattern->kind == PATTERN_EXACT ? 1000 : pattern->kind == PATTERN_CIDR ? pattern->bits : pattern->host.length;
}

int pattern_compare(const struct pattern *a, const struct pattern *b)
{
	int difference = specificity(a) - specificity(b);
	return difference ? difference : (a->port != 0) - (b->port != 0);
}

/* One pattern of the index. Those of one host hang together, those with a port apart: they come first. */
struct entry {
	struct entry *older;
	void *value;
	uint16_t port;
};

struct bucket {
	struct entry *with_port, *without; /* the one added last first */
};

/* The networks of one family and prefix length, by masked address. */
struct network_table {
	struct network_table *shorter;
	struct table buckets;
	enum host_kind family;
	uint8_t bits;
};

struct pattern_index {
	struct arena memory; /* of all below but the tables */
	struct table exact, wildcard;
	size_t longest_wildcard;
	struct network_table *networks; /* the longest prefix first */
};

struct pattern_index *pattern_index_new(void)
{
	return memory_alloc(sizeof(struct pattern_index));
}

void pattern_index_free(struct pattern_index *index)
{
	if (!index)
		return;
	for (struct network_table *networks = index->networks; networks; networks = networks->shorter)
		table_free(&networks->buckets);
	table_free(&index->exact);
	table_free(&index->wildcard);
	arena_free(&index->memory);
	free(index);
}

static struct network_table *network_table(struct pattern_index *index, const struct pattern *pattern)
{
	struct network_table **place = &index->networks;
	while (*place && (*place)->bits >= pattern->bits) {
		if ((*place)->bits == pattern->bits && (*place)->family == pattern->host.kind)
			return *place;
		place = &(*place)->shorter;
	}
	struct network_table *networks = arena_zero(&index->memory, sizeof *networks);
	networks->family = pattern->host.kind;
	networks->bits = pattern->bits;
	networks->shorter = *place;
	*place = networks;
	return networks;
}

static struct span address_key(const unsigned char *address, const struct host *host)
{
	return (struct span){(const char *)address, family_bytes(host)};
}

static void add_entry(struct pattern_index *index, struct table *table, struct span key, uint16_t port, void *value)
{
	struct bucket *bucket = table_get(table, key);
	if (!bucket) {
		bucket = arena_zero(&index->memory, sizeof *bucket);
		table_put(table, key, bucket);
	}
	struct entry **list = port ? &bucket->with_port : &bucket->without;
	struct entry *entry = arena_alloc(&index->memory, sizeof *entry);
	*entry = (struct entry){*list, value, port};
	*list = entry;
}

void pattern_index_add(struct pattern_index *index, const struct pattern *pattern, void *value)
{
	const struct host *host = &pattern->host;
	switch (pattern->kind) {
	case PATTERN_EXACT:
		add_entry(index, &index->exact, host_span(host), pattern->port, value);
		break;
	case PATTERN_WILDCARD:
		if (host->length > index->longest_wildcard)
			index->longest_wildcard = host->length;
		add_entry(index, &index->wildcard, host_span(host), pattern->port, value);
		break;
	case PATTERN_CIDR:
		add_entry(index, &network_table(index, pattern)->buckets, address_key(host->address, host), pattern->port,
		          value);
		break;
	}
}

/* A walk over the matches; each step is false once the visitor has had enough. */
struct visit {
	uint16_t port;
	bool (*visit)(void *value, void *context);
	void *context;
};

static bool visit_bucket(const struct visit *visit, const struct table *table, struct span key)
{
	const struct bucket *bucket = table_get(table, key);
	if (!bucket)
		return true;
	for (const struct entry *entry = bucket->with_port; entry; entry = entry->older)
		if (entry->port == visit->port && !visit->visit(entry->value, visit->context))
			return false;
	if (!port_matches(0, visit->port))
		return true;
	for (const struct entry *entry = bucket->without; entry; entry = entry->older)
		if (!visit->visit(entry->value, visit->context))
			return false;
	return true;
}

static void visit_wildcards(const struct pattern_index *index, struct span name, const struct visit *visit)
{
	while (index->wildcard.count) {
		span_split(&name, '.');
		if (!name.data)
			return;
		if (name.length <= index->longest_wildcard && !visit_bucket(visit, &index->wildcard, name))
			return;
	}
}

static void visit_networks(const struct pattern_index *index, const struct host *host, const struct visit *visit)
{
	for (const struct network_table *networks = index->networks; networks; networks = networks->shorter) {
		if (networks->family != host->kind)
			continue;
		unsigned char address[16];
		memcpy(address, host->address, sizeof address);
		mask_address(address, networks->bits);
		if (!visit_bucket(visit, &networks->buckets, address_key(address, host)))
			return;
	}
}

void pattern_index_visit(const struct pattern_index *index, const struct host *host, uint16_t port,
                         bool (*visit)(void *value, void *context), void *context)
{
	struct visit with = {port, visit, context};
	if (!visit_bucket(&with, &index->exact, host_span(host)))
		return;
	if (host->kind == HOST_NAME)
		visit_wildcards(index, host_span(host), &with);
	else
		visit_networks(index, host, &with);
}

static bool keep_first(void *value, void *context)
{
	*(void **)context = value;
	return false;
}

void *pattern_index_find(const struct pattern_index *index, const struct host *host, uint16_t port)
{
	void *value = NULL;
	pattern_index_visit(index, host, port, keep_first, &value);
	return value;
}
