#include "tunnel.h"

#include <sys/socket.h>
#include <unistd.h>

#include "linger.h"

struct tunnel_end tunnel_end_of(enum relay_end how)
{
	static const struct tunnel_end rows[] = {
		[RELAY_BOTH_CLOSED] = {AUDIT_ALLOW, NULL},
		[RELAY_CLIENT_BROKEN] = {AUDIT_FAIL, "client_gone"},
		[RELAY_UPSTREAM_BROKEN] = {AUDIT_FAIL, "upstream_cut"},
		[RELAY_IDLE] = {AUDIT_FAIL, "tunnel_idle"},
	};
	return rows[how];
}

bool tunnel_has_unread(const struct relay *relay)
{
	const struct relay_flow *flow = &relay->flows[RELAY_CLIENT];
	return !relay->reset && (!flow->ended || flow->stopped);
}

bool tunnel_reaches_refused(int upstream, const struct dial_policy policy)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof address;
	return upstream >= 0 && !policy.parent && getpeername(upstream, (struct sockaddr *)&address, &size) == 0 &&
	       dial_judge((const struct sockaddr *)&address, policy);
}

void tunnel_close_client(struct worker *worker, int client, bool lingers, struct span last)
{
	if (lingers || last.length > 0) {
		linger_close(worker, client, last);
		return;
	}
	close(client);
	worker_connection_closed(worker);
}
