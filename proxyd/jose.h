/* JSON Web Tokens that are signed here (RFC 7519; RFC 7515 §7.1 compact; RFC 7518 §3, RFC 8037 §3.1): RS256 and ES256
 * by GnuTLS, EdDSA by ed25519.h, HS256 by sha256.h. Pure, but for the random number that an ES256 signature takes.
 *
 * A key is the secret as it stands: PEM for all but HS256, whose key is the bytes themselves. What GnuTLS reads it into is
 * zeroed before this returns. No fault tells a byte of it. */
#ifndef KEYSTILE_JOSE_H
#define KEYSTILE_JOSE_H

#include "arena.h"
#include "fault.h"

enum jose_alg { JOSE_RS256, JOSE_ES256, JOSE_EDDSA, JOSE_HS256 };

/* By its name in a header: "RS256". False where it is none of these. */
bool jose_alg(struct span name, enum jose_alg *alg);

/* Is the key one for the algorithm: RSA of 2048 bits or more; an EC key on P-256; Ed25519; 32 bytes or more (RFC 7518 §3.2),
 * that are no PEM?
 * FAULT_BROKEN says what it is instead. */
bool jose_fits(struct span key, enum jose_alg alg, struct fault *fault);

/* The signature over `text`, in base64url, in `arena`. False as jose_fits(). */
bool jose_sign(struct span key, enum jose_alg alg, struct span text, struct arena *arena, struct span *signature,
               struct fault *fault);

/* A whole token, in `arena`, which its owner wipes. `claims` is JSON; `key_id` goes into the header where it is not empty. */
bool jose_token(struct span key, enum jose_alg alg, struct span key_id, struct span claims, struct arena *arena,
                struct span *token, struct fault *fault);

#endif
