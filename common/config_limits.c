/* limits: one table says each limit's name, kind, default and bounds. */
#include <stddef.h>

#include "config_internal.h"

enum limit_kind { LIMIT_BYTES, LIMIT_COUNT, LIMIT_TIME };

struct limit {
	enum limit_kind kind;
	uint64_t usual, least, most;
	bool none; /* may be "none", kept as 0 */
};

#define KIB 1024ull
#define MIB (1024 * KIB)
#define SECOND 1000ull
#define DAY (86400 * SECOND)

static const struct limit
	head = {LIMIT_BYTES, 24 * KIB, KIB, 64 * KIB, false},
	fields = {LIMIT_COUNT, 100, 10, 1000, false},
	head_time = {LIMIT_TIME, 10 * SECOND, 100, DAY, false},
	connections = {LIMIT_COUNT, 4096, 1, 1000000, false},
	profile_connections = {LIMIT_COUNT, 1024, 1, 1000000, false},
	idle = {LIMIT_TIME, 60 * SECOND, 100, DAY, false},
	body_idle = {LIMIT_TIME, 300 * SECOND, 100, DAY, false},
	response_idle = {LIMIT_TIME, 600 * SECOND, 100, DAY, false},
	connect_time = {LIMIT_TIME, 10 * SECOND, 100, DAY, false},
	handshake = {LIMIT_TIME, 10 * SECOND, 100, DAY, false},
	tunnel_idle = {LIMIT_TIME, 3600 * SECOND, 100, 30 * DAY, false},
	streams = {LIMIT_COUNT, 100, 1, 1000, false},
	body = {LIMIT_BYTES, 0, 1, 1ull << 50, true},
	signed_body = {LIMIT_BYTES, 4 * MIB, KIB, 1024 * MIB, false};

static bool parse_limit(const struct limit *limit, struct span text, uint64_t *value, struct fault *fault)
{
	switch (limit->kind) {
	case LIMIT_BYTES:
		return quantity_bytes(text, value, fault);
	case LIMIT_TIME:
		return quantity_duration(text, value, fault);
	default:
		return quantity_number(text, limit->least, limit->most, value, fault);
	}
}

static const char *limit_text(struct reading *reading, const struct limit *limit, uint64_t value)
{
	static const struct {
		enum limit_kind kind;
		uint64_t factor;
		const char *unit;
	} units[] = {{LIMIT_BYTES, 1024 * MIB, "GiB"}, {LIMIT_BYTES, MIB, "MiB"}, {LIMIT_BYTES, KIB, "KiB"},
	             {LIMIT_BYTES, 1, "B"}, {LIMIT_TIME, DAY, "d"}, {LIMIT_TIME, SECOND, "s"}, {LIMIT_TIME, 1, "ms"}};
	for (size_t i = 0; i < LENGTH(units); i++)
		if (units[i].kind == limit->kind && value % units[i].factor == 0)
			return arena_format(reading->nodes, "%llu%s", (unsigned long long)(value / units[i].factor), units[i].unit);
	return arena_format(reading->nodes, "%llu", (unsigned long long)value);
}

static void read_limit(struct reading *reading, const struct node *node, void *field, const void *detail)
{
	const struct limit *limit = detail;
	struct fault fault = FAULT_INIT;
	uint64_t value = 0;
	if (!config_expect(reading, node, NODE_TEXT, limit->kind == LIMIT_COUNT  ? "a number"
	                                             : limit->kind == LIMIT_TIME ? "a time such as 30s"
	                                                                         : "a size such as 24KiB"))
		return;
	if (limit->none && !strcmp(node->text, "none"))
		*(uint64_t *)field = 0;
	else if (!parse_limit(limit, node_text(node), &value, &fault))
		config_error(reading, node, "%s", fault.text);
	else if (value < limit->least || value > limit->most)
		config_error(reading, node, "expected %s to %s", limit_text(reading, limit, limit->least),
		             limit_text(reading, limit, limit->most));
	else
		*(uint64_t *)field = value;
}

#define LIMIT(name, limit) {#name, read_limit, offsetof(struct config_limits, name), &(limit)}

static const struct config_key limit_keys[] = {
	LIMIT(head, head),
	LIMIT(fields, fields),
	LIMIT(head_time, head_time),
	LIMIT(connections, connections),
	LIMIT(profile_connections, profile_connections),
	LIMIT(idle, idle),
	LIMIT(body_idle, body_idle),
	LIMIT(response_idle, response_idle),
	LIMIT(connect, connect_time),
	LIMIT(handshake, handshake),
	LIMIT(tunnel_idle, tunnel_idle),
	LIMIT(streams, streams),
	LIMIT(body, body),
	LIMIT(signed_body, signed_body),
};
static const struct config_keys limit_mapping = KEYS(limit_keys, "limits such as { connections: 100, idle: 60s }");

void config_read_limits(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	config_read_mapping(reading, node, &limit_mapping, field);
}

void config_default_limits(struct config_limits *limits)
{
	for (size_t i = 0; i < LENGTH(limit_keys); i++)
		*(uint64_t *)((char *)limits + limit_keys[i].offset) = ((const struct limit *)limit_keys[i].detail)->usual;
}
