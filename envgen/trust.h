/* A trust bundle as CMD sees it: the one on disk, and the proxy's CA. */
#ifndef KEYSTILE_TRUST_H
#define KEYSTILE_TRUST_H

#include "buffer.h"
#include "config.h"
#include "environment.h"

/* The CA's certificate, the bundle, and that as a Java trust store, as clients see them: in tls.advertise_ca, where that is
 * said. */
void trust_for_clients(const struct config *config, struct environment_trust *trust);
void trust_free(struct environment_trust *trust);

/* Appends the content of `bundle` and then that of `ca` to `out`. FAULT_MISSING or FAULT_BROKEN where one of them is not
 * there, or has no certificate, or `ca` holds a private key. */
bool trust_read(const char *bundle, const char *ca, struct buffer *out, struct fault *fault);

#endif
