/* TLS ended here, with a certificate of our own for the host that the tunnel leads to (SPEC §5): from a ClientHello to
 * requests that are judged like all others. */
#ifndef KEYSTILE_INTERCEPT_H
#define KEYSTILE_INTERCEPT_H

#include "exchange.h"

/* Serves a client whose ClientHello, with the server name of `way`'s place, still stands unread on `fd` (taken over). `way`
 * is copied, and what it holds taken over; its place says which certificate. `judgement`, of `snapshot`, says what may be
 * dialled for `http2: tunnel`, and need not outlive the call.
 *
 * What is inside is read from the endpoint by the front of its protocol: front_https, front_h2. */
void intercept_start(struct worker *worker, int fd, const struct way *way, const struct judgement *judgement,
                     struct snapshot *snapshot);

/* The worker's snapshot is another: those that need of theirs only what both share hold the new one from here on, so that
 * none keeps old secrets in locked memory. */
void intercept_follow(struct worker *worker);
/* The worker's snapshot is another: ends those that it does not allow any more. What a front has is judged request by
 * request. */
void intercept_end_revoked(struct worker *worker);
/* Tells of all whose handshake is under way, and of HTTP/2 that passes. */
void intercept_list(struct worker *worker, exchange_teller *tell, void *context);

void intercept_end_all(struct worker *worker);

#endif
