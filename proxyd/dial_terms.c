/* What was judged, in the dialer's words, and how a dial failed, in words for the client. */
#include "dial.h"

#include "judge.h"
#include "problem.h"
#include "dial_parent.h"
#include "route.h"
#include "snapshot.h"

struct dial_policy dial_policy_of(const struct judgement *judgement, const struct snapshot *snapshot)
{
	const struct route_table *routes = snapshot->shared->routes;
	bool through = dial_parent_leads(snapshot->parent, &judgement->host, judgement->port);
	return (struct dial_policy){
		.private_allowed = judgement->private_allowed,
		.loopback_allowed = judgement->loopback_allowed,
		.literal_allowed = judgement->literal_allowed,
		.addresses = route_addresses(routes, judgement->profile),
		.parent = through ? snapshot->parent : NULL,
	};
}

/* One row for each failure; `error` is RFC 9209 §2.3's. */
static const struct failure_row {
	unsigned status, retry_after;
	const char *reason, *error, *hint;
} rows[] = {
	[DIAL_OK] = {502, 0, "upstream_failed", "proxy_internal_error", NULL},
	[DIAL_REFUSED_ADDRESS] = {403, 0, "address_refused", "destination_ip_prohibited",
	                          "to allow it, name that address with its port, or a CIDR that holds it, in the profile's "
	                          "`hosts:`, and let no `!` entry there deny it"},
	[DIAL_OWN_LISTENER] = {403, 0, "own_listener", "destination_ip_prohibited", "proxyd never dials itself"},
	[DIAL_DNS] = {502, 0, "dns", "dns_error", "see whether the name is right, and whether proxyd's host can resolve it"},
	[DIAL_CONNECT] = {502, 0, "connect", "connection_refused", "see whether the upstream is up and listens there"},
	[DIAL_TIMEOUT] = {504, 0, "connect_timeout", "connection_timeout", "see whether the upstream is up, or raise limits.connect"},
	[DIAL_RESOURCES] = {503, 1, "resources", "proxy_internal_error", "raise the limit on open files"},
	[DIAL_PARENT_ADDRESS] = {403, 0, "address_refused", "destination_ip_prohibited",
	                         "write the address itself, or localhost, in `proxy` of `parent:`"},
	[DIAL_PARENT_WAITS] = {503, 5, "parent_not_ready", "proxy_configuration_error",
	                       "once its user and password are there it works, within a second; /readyz on the admin listener lists "
	                       "what waits"},
	[DIAL_PARENT_DOWN] = {502, 0, "parent_down", "connection_refused",
	                      "see whether it is up, and listens where `proxy` of `parent:` says"},
	[DIAL_PARENT_AUTH] = {502, 0, "parent_auth", "proxy_configuration_error",
	                      "put USER:PASSWORD as it wants them where `auth` of `parent:` says"},
	[DIAL_PARENT_REFUSED] = {502, 0, "parent_refused", "destination_unavailable",
	                         "let it allow CONNECT to this host and port, or name them in `except` of `parent:` where they are "
	                         "reached without it"},
	[DIAL_PARENT_FAILED] = {502, 0, "parent_failed", "destination_unavailable",
	                        "see whether the name is right, whether the upstream is up, and whether the parent proxy reaches it"},
	[DIAL_PARENT_TIMEOUT] = {504, 0, "parent_timeout", "connection_timeout",
	                         "see whether the parent proxy is up and reaches the upstream, or raise limits.connect"},
};

void dial_problem(enum dial_failure failure, const char *text, struct problem *problem)
{
	const struct failure_row *row = &rows[failure];
	problem_set(problem, row->status, row->reason, text, row->hint);
	problem->error = row->error;
	problem->retry_after = row->retry_after;
}
