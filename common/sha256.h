/* SHA-256 and HMAC-SHA256 (FIPS 180-4, RFC 2104), by libsodium: for signers. Pure. */
#ifndef KEYSTILE_SHA256_H
#define KEYSTILE_SHA256_H

#include <sodium.h>

#include "span.h"

#define SHA256_BYTES 32
#define SHA256_HEX 64 /* characters of one, written in small hex digits */

/* A hash on its way. Copying it copies what was taken in so far. */
struct sha256 {
	crypto_hash_sha256_state state;
};

void sha256_start(struct sha256 *hash);
void sha256_add(struct sha256 *hash, struct span bytes);
void sha256_end(struct sha256 *hash, char hex[SHA256_HEX + 1]); /* NUL-terminated */

/* All at once. */
void sha256_hex(struct span bytes, char hex[SHA256_HEX + 1]);

/* Keys may have any length. `out` may be where `key` is. */
void hmac_sha256(struct span key, struct span text, unsigned char out[SHA256_BYTES]);
void hmac_sha256_hex(struct span key, struct span text, char hex[SHA256_HEX + 1]);

#endif
