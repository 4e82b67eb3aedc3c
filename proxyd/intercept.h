/* TLS ended here, with a certificate of our own for the host that the tunnel leads to (SPEC §5): from a ClientHello to requests
 * that are judged like all others. */
#ifndef KEYSTILE_INTERCEPT_H
#define KEYSTILE_INTERCEPT_H

#include "worker.h"

/* Serves a client whose ClientHello, with the server name of `way`'s place, still stands unread on `fd` (taken over). `way` is
 * copied, and what it holds taken over; its place says which certificate. `judgement`, of `snapshot`, says what may be
 * dialled for `http2: tunnel`, and need not outlive the call.
 *
 * What is inside is read from the endpoint by the front of its protocol: front_https, front_h2. */
void intercept_start(struct worker *worker, int fd, const struct way *way, const struct judgement *judgement,
                     struct snapshot *snapshot);

void intercept_end_all(struct worker *worker);

#endif
