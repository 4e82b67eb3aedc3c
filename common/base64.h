/* Base64 (RFC 4648), by libsodium, whose time does not depend on what is encoded. */
#ifndef KEYSTILE_BASE64_H
#define KEYSTILE_BASE64_H

#include "span.h"

/* Bytes that base64_encode() writes for `size` bytes, the NUL included. */
#define BASE64_BYTES(size) (((size) + 2) / 3 * 4 + 1)

/* Writes BASE64_BYTES(bytes.length) to `out`, padded and NUL-terminated. */
void base64_encode(struct span bytes, char *out);

/* The same in the alphabet for URLs (§5), without padding, as JOSE has it (RFC 7515 §2). Returns how many bytes it wrote, the
 * NUL not counted. */
size_t base64_encode_url(struct span bytes, char *out);

/* Decodes `text`, padded or not, into `out`, which has room for text.length bytes. False where it is no base64. */
bool base64_decode(struct span text, char *out, size_t *length);

#endif
