/* A session and what it is verified against, as the files of tls.c see them. */
#ifndef KEYSTILE_TLS_INTERNAL_H
#define KEYSTILE_TLS_INTERNAL_H

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tls.h"

#define TLS_TICKETS 256u
#define TLS_RECORD_BYTES (16384 + 512)

/* What resumes a session with one host. */
struct ticket {
	char *host;
	gnutls_datum_t data;
};

struct tls_identity {
	atomic_uint references;
	gnutls_pcert_st *chain;
	unsigned count;
	gnutls_privkey_t key; /* read only: sessions share it */
	time_t start, end;    /* of the first certificate */
	bool for_clients;
};

struct tls_trust {
	atomic_uint references;
	struct tls_trust *verifier;    /* whose the next two are; NULL: our own */
	gnutls_certificate_credentials_t credentials; /* read only once loaded: sessions share it, no copies */
	gnutls_priority_t priority;
	struct tls_identity *identity; /* NULL: shows none */
	pthread_mutex_t lock; /* of the tickets */
	struct ticket tickets[TLS_TICKETS];
};

struct tls {
	gnutls_session_t session;
	struct tls_trust *trust; /* of a client; NULL: this is the server */
	struct leaf *leaf;       /* of a server */
	int fd;
	char *host; /* a client's server; the name that came, of a server: NULL where none did */
	gnutls_typed_vdata_st wanted[2]; /* what the certificate must be for; GnuTLS keeps a pointer */
	bool established, shut, ticket_kept; /* shut: close_notify was said, or is not to be */
	bool more;    /* records follow the one that is sent */
	bool asked;   /* of a client: the server asked for a certificate */
	gnutls_alert_description_t alert; /* that ended the session behind the handshake; close_notify: none did */
	/* GnuTLS would read a record by two calls, its five bytes of header first. */
	bool emptied; /* by the read that was last the socket was: it gave less than there was room for */
	size_t start, end;
	unsigned char input[TLS_RECORD_BYTES];
};

/* tls_trust.c: appends the certificate as PEM; and a client's tickets. */
void tls_append_pem(gnutls_x509_crt_t certificate, struct buffer *out);
void tls_ticket_use(struct tls *tls);
void tls_ticket_keep(struct tls *tls);

/* tls_identity.c: what a session's trust has to show, for gnutls_certificate_set_retrieve_function3(). */
gnutls_certificate_retrieve_function3 tls_identity_show;

/* tls_fault.c: what the end of a handshake by GnuTLS's `code` means. Returns false. */
bool tls_fault(const struct tls *tls, int code, struct fault *fault);
void tls_date(time_t time, char text[32]); /* "2026-11-27" */

#endif
