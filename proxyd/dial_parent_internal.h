/* What the dialer knows of the parent proxy; a part of dial, for no other room. */
#ifndef KEYSTILE_DIAL_PARENT_INTERNAL_H
#define KEYSTILE_DIAL_PARENT_INTERNAL_H

#include <stdatomic.h>

#include "dial_parent.h"

struct dial_parent {
	atomic_uint references;
	bool socks; /* socks5h://, else http:// */
	struct host host;
	uint16_t port;
	char name[AUTHORITY_TEXT];
	struct authority *selves; /* names of this proxy: `advertise`, and `admin.hosts` at the admin listener's port */
	size_t self_count;
	struct pattern *except;
	struct pattern_index *exceptions;
	struct secret_arena *arena; /* NULL: it asks for no credentials, or waits for them */
	struct span auth;           /* USER:PASSWORD, in the arena */
	char *coded;                /* the same, each of the two percent-encoded, as libcurl wants it; NULL: none */
	char *why; /* it waits */
	char *key; /* what the configuration said */
};

#endif
