/* The proxy and the origins that the clients meet: accepts on every address, and notes who asked for what.
 *
 * One port has one listener, whatever the address: a connection to the proxy's address and port is one to the proxy, any
 * other one came past it. CONNECT is answered 403, anything else 404, and a TLS handshake with an alert, so that clients
 * give up quickly; by then all is known. */
#ifndef KEYSTILE_VERIFY_RECORDER_H
#define KEYSTILE_VERIFY_RECORDER_H

#include "fault.h"
#include "verify.h"

struct recorder;

/* `seen` (VERIFY_TARGETS bytes of enum seen_way) and `targets` outlive it. NULL with a fault where it cannot listen. */
struct recorder *recorder_new(const struct targets *targets, unsigned char *seen, struct fault *fault);

/* Serves until `watched` is readable, at most for `time` ms: then false. */
bool recorder_serve(struct recorder *recorder, int watched, uint64_t time);

void recorder_free(struct recorder *recorder); /* NULL is fine */

#endif
