/* The way in of a connection: fixed when it is known, and never re-derived from what the client says later (SPEC §3). */
#ifndef KEYSTILE_WAY_H
#define KEYSTILE_WAY_H

#include <limits.h>

#include "authority.h"

enum way_kind { WAY_REVERSE, WAY_FORWARD, WAY_CONNECT, WAY_INTERCEPT, WAY_TRANSPARENT };

/* The word for audit and metrics: "reverse". Static. */
const char *way_name(enum way_kind kind);

#define WAY_NO_TOKEN UINT_MAX

/* What a CONNECT, or the listener that traffic was redirected to, settled for all that follows on its connection. */
struct way_place {
	char profile[64];        /* a name: a later configuration may have another profile by it, or none */
	unsigned session;        /* snapshot_session() when its token was taken; WAY_NO_TOKEN: the listener settled the profile */
	uint32_t token_version;  /* the profile's, then */
	struct authority target; /* with a port */
	bool open;               /* redirected plain HTTP: the first Host is to take the place of target.host */
};

struct way {
	enum way_kind kind;       /* WAY_REVERSE stands for an open listener: each request tells origin-form from absolute-form */
	const char *profile;      /* name, where CONNECT or the listener fixed it; else NULL. Valid as long as the connection */
	bool tls;                 /* intercepted: the scheme is https */
	bool served;              /* a request got another answer than 407 (Proxy Authentication Required): no CONNECT may follow */
	struct way_place *place;  /* where CONNECT fixed it; else NULL. The connection's, moves with the struct */
	char client[64];          /* the peer's address and port, or "unix" */
	struct headcount *counted; /* of the profile that the connection counts for (snapshot.h), a reference; NULL: none so far */
};

/* May a CONNECT come on this connection (SPEC §3)? */
static inline bool way_takes_connect(const struct way *way)
{
	return !way->served && !way->place;
}

#endif
