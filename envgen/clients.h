/* How known clients read NO_PROXY, as a table: measured on loopback, or read from their sources. Pure.
 *
 * The letters are what a client does: D goes direct, P through the proxy. */
#ifndef KEYSTILE_CLIENTS_H
#define KEYSTILE_CLIENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "span.h"

struct client {
	const char *name;
	char bare[4];   /* entry h: to h, to sub.h, to xh */
	char dotted[4]; /* entry .h: to sub.h, to h, to xh */
	char port[4];   /* entry h:8080 (h:443): to a URL without port, to one with the same, to one with another */
	char ipv4[4];   /* entry 198.51.100.7: to it; entry 8.51.100.7: to it; entry 100.7: to it */
	char local[3];  /* no entry: to localhost; entry localhost: to 127.0.0.1 */
};

extern const struct client client_list[];
extern const size_t client_count;

/* What a program asks for: a host, as it wrote it, without brackets and a trailing dot, in lower case; the port of the URL,
 * and whether the URL names it. */
struct client_target {
	struct span host;
	uint16_t port;
	bool port_written;
};

/* Does `client` go to `target` by itself where NO_PROXY has this one entry? */
bool client_bypasses(const struct client *client, struct span entry, const struct client_target *target);

/* Does it whatever NO_PROXY says? */
bool client_bypasses_always(const struct client *client, const struct client_target *target);

#endif
