/* The Upgrade field (RFC 9110 §7.8): what a request asks for, and whether a 101 grants just that. Pure. */
#ifndef KEYSTILE_PROTOCOLS_H
#define KEYSTILE_PROTOCOLS_H

#include "message.h"

/* Does the request ask for other protocols, and may it (SPEC §3)? It is a GET of HTTP/1.1 without a body that waits for no
 * 100 (Continue), Connection lists "upgrade", and Upgrade names protocols, none of which is HTTP (h2c too) or TLS. Anything
 * else is a request without Upgrade. */
bool protocols_asked(const struct request *request);

/* Does this 101 switch to protocols that the request asked for, and to no other? It is of HTTP/1.1, Connection lists
 * "upgrade", and all that Upgrade names (there is something) the request named. */
bool protocols_granted(const struct request *request, const struct response *response);

#endif
