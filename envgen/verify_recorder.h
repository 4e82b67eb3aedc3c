/* The proxy and the origins that the clients meet: accepts on every address, and notes who asked for what.
 *
 * One port has one listener, whatever the address: a connection to the proxy's address and port is one to the proxy, any
 * other one came past it. What comes to the proxy without its password is answered 407 as proxyd does it, so that a client
 * that waits to be asked sends it. All else ends the connection, so that clients give up quickly: CONNECT is answered 403,
 * a TLS handshake with an alert, anything else 404; by then all is known. */
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
