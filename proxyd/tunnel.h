/* What CONNECT (connect.c), HTTP/2 that passes (intercept.c) and a 101 (upgrade.c) lead to alike: how the end of a relay is told,
 * whether its address may still be reached, and what becomes of the client's connection behind it. */
#ifndef KEYSTILE_TUNNEL_H
#define KEYSTILE_TUNNEL_H

#include "dial.h"
#include "relay.h"
#include "worker.h"

struct tunnel_end {
	enum audit_verdict verdict;
	const char *reason; /* NULL: as it should */
};

struct tunnel_end tunnel_end_of(enum relay_end how);

/* Had the client still to say what nobody has read? A close would answer that with a reset, which could overtake what the
 * client was told. False where a reset is what is wanted. */
bool tunnel_has_unread(const struct relay *relay);

/* May the address that `upstream` is connected to not be dialled any more? False where `upstream` is -1, or a parent proxy leads to
 * the host: nobody here knows then which address that is. */
bool tunnel_reaches_refused(int upstream, const struct dial_policy policy);

/* Closes the client's socket, which is not watched any more, and counts its connection as closed. With `lingers`, or a last
 * word to it, so that this arrives. */
void tunnel_close_client(struct worker *worker, int client, bool lingers, struct span last);

#endif
