#include "ed25519.h"

#include <sodium.h>

/* What stands between the version and the key: the algorithm, and two headers of octet strings. */
#define INSIDE SPAN("\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20")
#define HEAD 5 /* of the sequence, its length in one byte, and the version: 0, or 1 where the public key is with it */

bool ed25519_seed(struct span der, struct span *seed)
{
	struct span first = SPAN("\x02\x01\x00"), second = SPAN("\x02\x01\x01"), rest = span_from(der, 2);
	if (der.length < HEAD || der.data[0] != 0x30 || (unsigned char)der.data[1] != rest.length)
		return false;
	if (!span_starts(rest, first) && !span_starts(rest, second))
		return false;
	rest = span_from(der, HEAD);
	*seed = span_head(span_from(rest, INSIDE.length), ED25519_SEED);
	return span_starts(rest, INSIDE) && seed->length == ED25519_SEED;
}

void ed25519_sign(struct span seed, struct span text, unsigned char out[ED25519_SIGNATURE])
{
	unsigned char public[crypto_sign_ed25519_PUBLICKEYBYTES], secret[crypto_sign_ed25519_SECRETKEYBYTES];
	crypto_sign_ed25519_seed_keypair(public, secret, (const unsigned char *)seed.data);
	crypto_sign_ed25519_detached(out, NULL, (const unsigned char *)text.data, text.length, secret);
	sodium_memzero(secret, sizeof secret);
}
