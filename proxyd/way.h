/* The way in of a connection: fixed when it is known, and never re-derived from what the client says later (SPEC §3). */
#ifndef KEYSTILE_WAY_H
#define KEYSTILE_WAY_H

#include "authority.h"

enum way_kind { WAY_REVERSE, WAY_FORWARD, WAY_CONNECT, WAY_INTERCEPT, WAY_TRANSPARENT };

/* The word for audit and metrics: "reverse". Static. */
const char *way_name(enum way_kind kind);

struct way {
	enum way_kind kind;       /* WAY_REVERSE stands for an open listener: each request tells origin-form from absolute-form */
	const char *profile;      /* name, where CONNECT or the listener fixed it; else NULL. Valid as long as the connection */
	bool tls;                 /* intercepted: the scheme is https */
	const struct authority *target; /* where CONNECT or SNI fixed it; else NULL. Valid as long as the connection */
	char client[64];          /* the peer's address and port, or "unix" */
	unsigned counted;         /* number + 1 of the profile that the connection counts for; 0: none so far */
};

#endif
