/* Interception's CA, and the certificates that it gives to names (SPEC §5).
 *
 * The CA is the operator's (tls.ca_cert and tls.ca_key), or made here, with a key that is in memory only. Each name gets a
 * leaf certificate for a few days, with the name in its SAN alone; a leaf is kept, and made anew in time. All leaves of a
 * mint have one key. What is made passes `openssl verify -x509_strict` (RFC 5280), and a given CA that cannot is refused. */
#ifndef KEYSTILE_MINT_LEAF_H
#define KEYSTILE_MINT_LEAF_H

#include <time.h>

#include "authority.h"
#include "buffer.h"
#include "config.h"
#include "fault.h"

#define MINT_LEAVES 1024         /* kept at most; what was not asked for longest goes first */
#define MINT_LEAF_DAYS 7         /* from now on; less where the CA ends before */
#define MINT_BACK_DAYS 1         /* valid from before now, for clients whose clock is behind */
#define MINT_CA_DAYS (10 * 365)  /* of a CA that is made here: no process lives so long */

/* Refcounted and shared by all threads; what each call needs to be safe is inside. */
struct mint;

/* Reads the CA, or makes one. FAULT_MISSING, FAULT_DENIED, FAULT_IO where a file cannot be read; FAULT_BROKEN, which lists
 * all that the certificate lacks, where it is no CA whose leaves strict clients accept, or the key is not its own. */
struct mint *mint_new(const struct config *config, struct fault *fault);
/* The same, where `before` (may be NULL) was made by an older configuration, or an older look: `before` itself, with a further
 * reference, while the operator's two files are the same, or while we make the CA ourselves, since clients trust that one. Files
 * that are none any more leave `before` too, with `*stale`, the caller's, saying why. */
struct mint *mint_follow(const struct config *config, struct mint *before, char **stale, struct fault *fault);
struct mint *mint_ref(struct mint *mint);
void mint_free(struct mint *mint); /* the last one wipes the keys; NULL is fine */

/* Appends the CA's certificate to `out` as PEM, and those above it up to the root, where the CA has such. Never a key. */
void mint_pem(const struct mint *mint, struct buffer *out);

/* A name's certificate with the chain above it and the key, as tls_server_new() takes it. Refcounted; outlives its mint. */
struct leaf;

/* The leaf of a name or address, made now where there is none that is good for a while; two threads that ask for one name
 * make one leaf. Takes some 100 us where it is made with an ECDSA key. The caller's reference. NULL with a fault once the
 * CA has expired (FAULT_BROKEN), or if GnuTLS fails (FAULT_IO). */
struct leaf *mint_get(struct mint *mint, const struct host *host, struct fault *fault);
/* The same at another time than now (seconds since 1970). */
struct leaf *mint_get_at(struct mint *mint, const struct host *host, time_t now, struct fault *fault);

struct leaf *leaf_ref(struct leaf *leaf);
void leaf_free(struct leaf *leaf); /* NULL is fine */

#endif
