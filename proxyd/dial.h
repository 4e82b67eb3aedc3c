/* The one room that makes outgoing connections: resolve, check every address, connect (DESIGN: dial).
 *
 * libcurl CONNECT_ONLY does name resolution and happy eyeballs on the worker's loop; to an address goes a plain connect(2).
 * Every address is checked in the moment before its socket is made, and that socket is the one that is used, so nothing can
 * resolve differently later. Through a parent proxy libcurl asks for a tunnel (CONNECT): then the parent's own addresses
 * are checked so, and of the host only its name, or the address that it is (SPEC §2). */
#ifndef KEYSTILE_DIAL_H
#define KEYSTILE_DIAL_H

#include <netinet/in.h>

#include "authority.h"
#include "loop.h"

enum dial_failure {
	DIAL_OK,
	DIAL_REFUSED_ADDRESS, /* an address that may not be reached (SPEC §7): 403 */
	DIAL_OWN_LISTENER,    /* one of our own listeners: 403 */
	DIAL_DNS,             /* the name does not resolve: 502 */
	DIAL_CONNECT,         /* refused, unreachable: 502 */
	DIAL_TIMEOUT,         /* limits.connect: 504 */
	DIAL_RESOURCES,       /* out of descriptors or memory: 503 */
	/* Of a parent proxy. */
	DIAL_PARENT_ADDRESS,  /* its name leads to an address that may not be reached: 403 */
	DIAL_PARENT_WAITS,    /* `auth` is not ready: 503 */
	DIAL_PARENT_DOWN,     /* cannot be connected to, or says nothing: 502 */
	DIAL_PARENT_AUTH,     /* does not take the credentials, or wants some: 502 */
	DIAL_PARENT_REFUSED,  /* does not allow the tunnel: 502 */
	DIAL_PARENT_FAILED,   /* could not connect: 502 */
	DIAL_PARENT_TIMEOUT,  /* limits.connect, or its own limit: 504 */
};

struct addresses; /* addresses.h */

/* What an address may be. */
struct dial_policy {
	bool private_allowed;    /* private ranges: an exact host entry or an upstream without wildcard */
	bool loopback_allowed;   /* `localhost` or a loopback literal was named by the configuration */
	bool literal_allowed;    /* the address itself, or a CIDR that holds it, is an entry: anything goes but our listeners */
	struct addresses *addresses; /* the profile's entries that are such (addresses.h); NULL: none */
	struct dial_parent *parent; /* the proxy to go through (dial_parent.h); NULL: none */
};

struct judgement;   /* judge.h */
struct problem;     /* problem.h */
struct snapshot;    /* snapshot.h */

/* Which addresses the judgement of a request, or of a CONNECT, lets be dialled, and through what. Holds no references. */
struct dial_policy dial_policy_of(const struct judgement *judgement, const struct snapshot *snapshot);

/* What a failure is to the client: status, reason, hint, and RFC 9209's error. `text`, dial_result's, must outlive
 * `*problem`. */
void dial_problem(enum dial_failure failure, const char *text, struct problem *problem);

struct dialer; /* one per worker: its libcurl multi handle and the look-ups that wait */
struct dial;   /* one attempt */

struct dial_result {
	enum dial_failure failure;
	int fd;                 /* connected, non-blocking, TCP_NODELAY; the receiver's; -1 on failure */
	char address[64];       /* the last one that was looked at: the one that was refused; may be a parent proxy's */
	char text[256];         /* what happened, for a person: "cannot resolve api.example.test" */
};

/* Starts libcurl, where that was not done yet. What it uses may load libraries then, by OpenSSL's configuration. */
void dialer_prepare(void);

/* `own` are the addresses that must never be dialled; they must outlive the dialer. A wildcard address (0.0.0.0, ::)
 * stands for every local one. */
struct dialer *dialer_new(struct loop *loop, const struct sockaddr_storage *own, size_t own_count,
                          uint64_t connect_limit, struct fault *fault);
void dialer_free(struct dialer *dialer);
void dialer_set_limit(struct dialer *dialer, uint64_t connect_limit); /* of dials that start from here on; ms */

/* Starts to connect; takes references to what `policy` holds. `done` is called once, never from within this call, unless
 * dial_cancel() came first. At most 32 look-ups run at a time per worker and 8 per `profile` (its name, may be NULL), the
 * last 8 of the 32 for profiles that have none running; the rest wait within the limit. */
struct dial *dial_start(struct dialer *dialer, const struct host *host, uint16_t port, struct dial_policy policy,
                        const char *profile, void (*done)(void *context, const struct dial_result *result),
                        void *context);
void dial_cancel(struct dial *dial);

/* Pure: may this address be dialled? NULL where it may, else what it is: "a loopback address". Judges the mapped, 6to4
 * and NAT64 forms by what they hold. */
const char *dial_judge(const struct sockaddr *address, struct dial_policy policy);

#endif
