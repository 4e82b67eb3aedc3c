#include "sha256.h"

static const unsigned char *bytes_of(struct span span)
{
	return (const unsigned char *)span.data;
}

static void write_hex(const unsigned char bytes[SHA256_BYTES], char hex[SHA256_HEX + 1])
{
	sodium_bin2hex(hex, SHA256_HEX + 1, bytes, SHA256_BYTES);
}

void sha256_start(struct sha256 *hash)
{
	crypto_hash_sha256_init(&hash->state);
}

void sha256_add(struct sha256 *hash, struct span bytes)
{
	if (bytes.length)
		crypto_hash_sha256_update(&hash->state, bytes_of(bytes), bytes.length);
}

void sha256_end(struct sha256 *hash, char hex[SHA256_HEX + 1])
{
	unsigned char bytes[SHA256_BYTES];
	crypto_hash_sha256_final(&hash->state, bytes);
	write_hex(bytes, hex);
}

void sha256_hex(struct span bytes, char hex[SHA256_HEX + 1])
{
	struct sha256 hash;
	sha256_start(&hash);
	sha256_add(&hash, bytes);
	sha256_end(&hash, hex);
}

void hmac_sha256(struct span key, struct span text, unsigned char out[SHA256_BYTES])
{
	crypto_auth_hmacsha256_state state;
	crypto_auth_hmacsha256_init(&state, bytes_of(key), key.length);
	if (text.length)
		crypto_auth_hmacsha256_update(&state, bytes_of(text), text.length);
	crypto_auth_hmacsha256_final(&state, out);
	sodium_memzero(&state, sizeof state);
}

void hmac_sha256_hex(struct span key, struct span text, char hex[SHA256_HEX + 1])
{
	unsigned char bytes[SHA256_BYTES];
	hmac_sha256(key, text, bytes);
	write_hex(bytes, hex);
}
