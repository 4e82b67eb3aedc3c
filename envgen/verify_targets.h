/* Which URLs the clients are asked to fetch, and the way that each should go. Pure. */
#ifndef KEYSTILE_VERIFY_TARGETS_H
#define KEYSTILE_VERIFY_TARGETS_H

#include "config.h"
#include "environment.h"
#include "verify.h"

/* A bounded number of each kind: credential hosts and what lies under one with a wildcard, hosts that some profile denies,
 * those that have rules or `intercept`, entries of `no_proxy` (the variable's value), allowed hosts that are not in it, a
 * host that nobody names, and a base URL. What is guarded should go through the proxy, whatever `no_proxy` says; what an
 * allowed host could lead past the proxy comes first. Loopback and IPv6 literals are left out: Go and Ruby ask no proxy
 * for the one, and some clients read no other. `targets` starts as zeros and is freed by the caller. */
void targets_make(const struct environment_request *request, struct span no_proxy, struct targets *targets);

/* The target with that host and port, or NULL. */
const struct target *targets_find(const struct targets *targets, const struct host *host, uint16_t port);

void targets_free(struct targets *targets); /* wipes the token */

#endif
