/* Hosts that no entry of NO_PROXY may lead a client to: what is tested before an entry is made. Pure.
 *
 * Clients read an entry `h` in many ways: as `h` alone, as all hosts below it, or as every name that ends in these
 * letters; `.h` is `h` too for half of them; ports are compared, or dropped. So an entry is safe only if no guarded host
 * ends in its letters, whatever stands in front, at whatever port. Building costs a sort; a test is a few comparisons,
 * whatever the number of guarded hosts. */
#ifndef KEYSTILE_NOPROXY_GUARD_H
#define KEYSTILE_NOPROXY_GUARD_H

#include "config.h"

struct noproxy_guard;

/* A guarded host, for those who tell of it: one of the two, the other is NULL. */
struct noproxy_guarded {
	const struct config_credential *credential; /* its upstream's host */
	const struct config_host *host;             /* an entry of a profile: denied, or judged request by request */
};

/* The hosts of all credentials, and what any profile denies. `config` must outlive the guard. */
struct noproxy_guard *noproxy_guard_new(const struct config *config);

/* The hosts of one profile whose requests are judged: those with rules or `intercept`. */
struct noproxy_guard *noproxy_guard_of_judged(const struct config_profile *profile);

void noproxy_guard_free(struct noproxy_guard *guard); /* NULL is fine */

/* A guarded host that some client would reach without the proxy if NO_PROXY had `host`, with or without a dot in front,
 * or `host`:`port` where `port` is not 0. NULL: there is none. It lives as long as the guard. */
const struct noproxy_guarded *noproxy_guard_find(const struct noproxy_guard *guard, const struct host *host,
                                                 uint16_t port);

/* A guarded host at loopback, or NULL. Every name and address of loopback is one place to some clients. */
const struct noproxy_guarded *noproxy_guard_loopback(const struct noproxy_guard *guard);

/* Is it loopback, or (a network) some of it? */
bool pattern_is_loopback(const struct pattern *pattern);

#endif
