/* What was judged, in the dialer's words, and how a dial failed, in words for the client. */
#include "dial.h"

#include "judge.h"
#include "problem.h"
#include "route.h"

struct dial_policy dial_policy_of(const struct judgement *judgement, const struct route_table *routes)
{
	return (struct dial_policy){
		.private_allowed = judgement->private_allowed,
		.loopback_allowed = judgement->loopback_allowed,
		.literal_allowed = judgement->literal_allowed,
		.named = route_addresses(routes, judgement->profile),
		.denied = route_denied_addresses(routes, judgement->profile),
	};
}

/* One row for each failure; `error` is RFC 9209 §2.3's. */
static const struct failure_row {
	unsigned status;
	const char *reason, *error, *hint;
} rows[] = {
	[DIAL_OK] = {502, "upstream_failed", "proxy_internal_error", NULL},
	[DIAL_REFUSED_ADDRESS] = {403, "address_refused", "destination_ip_prohibited",
	                          "to allow it, name that address with its port, or a CIDR that holds it, in the profile's "
	                          "`hosts:`, and let no `!` entry there deny it"},
	[DIAL_OWN_LISTENER] = {403, "own_listener", "destination_ip_prohibited", "proxyd never dials itself"},
	[DIAL_DNS] = {502, "dns", "dns_error", "see whether the name is right, and whether proxyd's host can resolve it"},
	[DIAL_CONNECT] = {502, "connect", "connection_refused", "see whether the upstream is up and listens there"},
	[DIAL_TIMEOUT] = {504, "connect_timeout", "connection_timeout", "see whether the upstream is up, or raise limits.connect"},
	[DIAL_RESOURCES] = {503, "resources", "proxy_internal_error", "raise the limit on open files"},
};

void dial_problem(enum dial_failure failure, const char *text, struct problem *problem)
{
	const struct failure_row *row = &rows[failure];
	problem_set(problem, row->status, row->reason, text, row->hint);
	problem->error = row->error;
	if (row->status == 503)
		problem->retry_after = 1;
}
