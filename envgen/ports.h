/* The TCP ports that a confined program needs: the proxy's, and those of what it reaches without the proxy. Pure. */
#ifndef KEYSTILE_PORTS_H
#define KEYSTILE_PORTS_H

#include <stdbool.h>
#include <stdint.h>

#include "authority.h"
#include "span.h"

struct port_set {
	uint64_t words[65536 / 64]; /* a bit for each port */
};

static inline bool port_set_has(const struct port_set *set, uint16_t port)
{
	return set->words[port / 64] >> (port % 64) & 1;
}

/* Adds the port of `advertise`, and those of the entries of `no_proxy` (as NO_PROXY holds them): the entry's own, else 80
 * and 443. Loopback and the proxy's own name, which every list begins with, add none: Landlock knows ports and no hosts,
 * so a port for one of them is a port for all. `set` starts as zeros. */
void ports_needed(const struct authority *advertise, struct span no_proxy, struct port_set *set);

#endif
