#include "ports.h"

static void add(struct port_set *set, uint16_t port)
{
	set->words[port / 64] |= (uint64_t)1 << (port % 64);
}

static bool is_always_there(const struct authority *advertise, struct span entry)
{
	return span_equal(entry, SPAN("localhost")) || span_equal(entry, SPAN("127.0.0.1")) ||
	       span_equal(entry, host_span(&advertise->host));
}

static void add_entry(struct span entry, struct port_set *set)
{
	struct authority authority;
	if (span_starts(entry, SPAN(".")))
		entry = span_from(entry, 1);
	if (!authority_parse(entry, &authority, NULL))
		return;
	if (authority.port) {
		add(set, authority.port);
		return;
	}
	add(set, 80);
	add(set, 443);
}

void ports_needed(const struct authority *advertise, struct span no_proxy, struct port_set *set)
{
	add(set, advertise->port);
	for (struct span rest = no_proxy; rest.data;) {
		struct span entry = span_split(&rest, ',');
		if (entry.length > 0 && !is_always_there(advertise, entry))
			add_entry(entry, set);
	}
}
