/* Private keys in PEM (RFC 7468), as bytes for who reads DER. Pure.
 *
 * Here and not in GnuTLS, whose reader of PEM leaves copies of what it decodes in memory that it does not zero. */
#ifndef KEYSTILE_PEM_H
#define KEYSTILE_PEM_H

#include "buffer.h"
#include "fault.h"

/* Appends the first private key of `text` to `der`, which the caller wipes: PKCS #8, PKCS #1 or SEC 1. Line breaks may be
 * written `\n`, as where a variable has but one line. What else stands there, such as certificates, is read over. FAULT_BROKEN,
 * in words without a byte of the text: no key, one under a passphrase, one that is damaged. */
bool pem_private_key(struct span text, struct buffer *der, struct fault *fault);

#endif
