/* TLS ended here, with a certificate of our own for the host that the tunnel leads to (SPEC §5): from a ClientHello to requests
 * that are judged like all others. */
#ifndef KEYSTILE_INTERCEPT_H
#define KEYSTILE_INTERCEPT_H

#include "worker.h"

/* Serves a client whose ClientHello, with the server name of `way`'s place, still stands unread on `fd` (taken over). `way` is
 * copied, and what it holds taken over; its place says which certificate. `judgement`, of `snapshot`, says what may be
 * dialled for `http2: tunnel`, and need not outlive the call.
 *
 * What is inside goes, decrypted, to the same fronts as what is plain: HTTP/1.1 by a relay over a socket pair, which counts as
 * a connection of its own; HTTP/2 is read from the endpoint. */
void intercept_start(struct worker *worker, int fd, const struct way *way, const struct judgement *judgement,
                     struct snapshot *snapshot);

/* Moves to the fronts what clients have said, in front of the fronts' own drain. */
void intercept_drain(struct worker *worker);
void intercept_end_all(struct worker *worker);

#endif
