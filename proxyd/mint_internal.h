/* The CA and its leaves, as mint_*.c and tls.c see them. */
#ifndef KEYSTILE_MINT_INTERNAL_H
#define KEYSTILE_MINT_INTERNAL_H

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdatomic.h>

#include "mint_leaf.h"

#define MINT_KEY_ID 64       /* bytes of a subject key identifier, at most */
#define MINT_TICKET_KEY 64   /* what GnuTLS takes */
#define DAY ((time_t)24 * 60 * 60)

/* The distinguished name of every leaf; no CA may have it, or leaves would look self-issued. */
#define MINT_LEAF_SUBJECT "O=Keystile,OU=intercepted"
#define MINT_LEAF_SUBJECT_RFC4514 "OU=intercepted,O=Keystile" /* which starts at the other end */

/* Immutable: GnuTLS only reads what it signs with, so threads share it without a lock. */
struct ca {
	gnutls_x509_crt_t *chain; /* the CA first, each followed by its issuer, the root last */
	unsigned count;
	gnutls_privkey_t key;
	gnutls_digest_algorithm_t digest;
	unsigned char id[MINT_KEY_ID]; /* its subject key identifier */
	size_t id_size;
	time_t start, end; /* when the whole chain is valid */
};

struct leaf {
	atomic_uint references;
	gnutls_certificate_credentials_t credentials; /* read only: sessions share it */
	/* Of this name alone, so that a ticket resumes no session with another one. */
	unsigned char ticket_key[MINT_TICKET_KEY];
	time_t start, renewal, end;
};

/* mint_ca.c */
bool ca_load(struct ca *ca, const char *cert_file, const char *key_file, struct fault *fault);
bool ca_make(struct ca *ca, time_t now, struct fault *fault);
void ca_free(struct ca *ca); /* fine where it was not made whole */

/* A certificate of version 3 with a random serial number, valid from `start` to `end`, without names and key. NULL where
 * GnuTLS fails. */
gnutls_x509_crt_t ca_certificate(time_t start, time_t end);
/* Signs `certificate` by `ca`; then it is what a reader sees. */
bool ca_sign(const struct ca *ca, gnutls_x509_crt_t certificate);
/* A key on P-256. NULL where GnuTLS fails. */
gnutls_x509_privkey_t ca_key(void);

/* mint_demands.c: what the certificate of a CA lacks, as a list in words; false where it lacks something. `top`: nothing is
 * above it. */
bool ca_demands(gnutls_x509_crt_t certificate, bool top, struct buffer *out);

/* mint_store.c: appends the certificates of `pem` as a Java trust store. */
bool mint_store(struct span pem, time_t now, struct buffer *out, struct fault *fault);

#endif
