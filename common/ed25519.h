/* Ed25519 signatures (RFC 8032 §5.1), by libsodium: for signers. Pure.
 *
 * Here and not by GnuTLS, whose reader of such keys leaves copies of them in memory that it does not zero. */
#ifndef KEYSTILE_ED25519_H
#define KEYSTILE_ED25519_H

#include "span.h"

#define ED25519_SEED 32
#define ED25519_SIGNATURE 64

/* The private key in PKCS #8 (RFC 8410 §7), with its public key or without, ED25519_SEED bytes of `der`. False where it is none
 * of this kind, or is encoded in another way than all write it. */
bool ed25519_seed(struct span der, struct span *seed);

void ed25519_sign(struct span seed, struct span text, unsigned char out[ED25519_SIGNATURE]);

#endif
