/* CONNECT, or a redirection: from where it is to go to bytes both ways, or to requests that are judged (SPEC §4). */
#ifndef KEYSTILE_CONNECT_H
#define KEYSTILE_CONNECT_H

#include "exchange.h"

/* Serves a CONNECT whose head of `size` bytes, parsed as `request`, still stands unread on the fd of `watch`, which is
 * taken over and not watched there any more; `way` is copied, and what it holds taken over. `request` must be valid during
 * the call. A 407 goes back to the sniffer. */
void connect_start(struct worker *worker, struct loop_watch *watch, const struct way *way, const struct request *request,
                   size_t size);

/* Serves a connection that was to go to `original` (an address and a port) and was redirected to a listener of ours. `fd`
 * is taken over; `way` is copied, its profile is the listener's. */
void connect_start_redirected(struct worker *worker, int fd, const struct way *way, const struct authority *original);

/* Tells of all tunnels that are not ended here. */
void connect_list(struct worker *worker, exchange_teller *tell, void *context);

/* Closes every tunnel in which a client that speaks first has said nothing yet. What is being dialled goes on, for as long
 * as limits.connect. */
void connect_drain(struct worker *worker);
/* The worker's snapshot is another: those that need of theirs only what both share hold the new one from here on, so that
 * none keeps old secrets in locked memory. */
void connect_follow(struct worker *worker);
/* The worker's snapshot is another: ends those that it does not allow any more. */
void connect_end_revoked(struct worker *worker);
/* Ends all of them; a CONNECT that has no answer yet gets a 503. */
void connect_end_all(struct worker *worker);

#endif
