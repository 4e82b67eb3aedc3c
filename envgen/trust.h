/* A trust bundle as CMD sees it: the one on disk, and the proxy's CA. */
#ifndef KEYSTILE_TRUST_H
#define KEYSTILE_TRUST_H

#include "buffer.h"
#include "config.h"
#include "environment.h"

/* Where proxyd writes the certificate of its CA, and its bundle: tls.ca_out and tls.bundle_out, else in the state folder.
 * The caller frees them; NULL where there is no state folder. */
char *trust_ca_path(const struct config *config);
char *trust_bundle_path(const struct config *config);

/* The same, and the bundle as a Java trust store, as clients see them: in tls.advertise_ca, where that is said. */
void trust_for_clients(const struct config *config, struct environment_trust *trust);
void trust_free(struct environment_trust *trust);

/* Appends the content of `bundle` and then that of `ca` to `out`. FAULT_MISSING or FAULT_BROKEN where one of them is not
 * there, or has no certificate, or `ca` holds a private key. */
bool trust_read(const char *bundle, const char *ca, struct buffer *out, struct fault *fault);

#endif
