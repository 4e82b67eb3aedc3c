/* Private keys that the operator gives, for GnuTLS. */
#ifndef KEYSTILE_PRIVATE_KEY_H
#define KEYSTILE_PRIVATE_KEY_H

#include <gnutls/x509.h>

#include "fault.h"
#include "span.h"

/* The first private key of a PEM text (pem.h). The caller ends it with gnutls_x509_privkey_deinit(), which zeroes. NULL with
 * FAULT_BROKEN, in words without a byte of it. */
gnutls_x509_privkey_t private_key_read(struct span text, struct fault *fault);

#endif
