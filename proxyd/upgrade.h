/* What follows a 101 (Switching Protocols): bytes both ways between the client and the upstream that switched, unread, until
 * both have ended, nothing came for limits.tunnel_idle, or the worker ends (SPEC §3). */
#ifndef KEYSTILE_UPGRADE_H
#define KEYSTILE_UPGRADE_H

#include "exchange.h"

/* Ends the exchange by exchange_switch(), and relays. The client has its 101; its endpoint (not watched) is taken over, and what
 * `way` holds, which is copied. `early`: what was read of the client behind its request; copied. */
void upgrade_start(struct worker *worker, const struct endpoint *client, const struct way *way, struct exchange *exchange, struct span early);

/* The worker's snapshot is another: those that need of theirs only what both share hold the new one from here on, so that none keeps
 * old secrets in locked memory. */
void upgrade_follow(struct worker *worker);
/* The worker's snapshot is another: ends those that it does not allow any more. */
void upgrade_end_revoked(struct worker *worker);
/* Tells of all of them. */
void upgrade_list(struct worker *worker, exchange_teller *tell, void *context);

/* Ends all of them, by resets. */
void upgrade_end_all(struct worker *worker);

#endif
