/* GnuTLS on sockets: the one room that speaks TLS (DESIGN: tls), to upstreams as their client, and to clients whose TLS is
 * intercepted as the server.
 *
 * A `tls` is a session on a connected non-blocking fd; it behaves like a socket that may need either direction to make
 * progress. TLS 1.3 and 1.2. A server's certificate is verified against the host name and the trust that was given, always.
 * A client shows a certificate where its trust has an identity, to whoever asks for one; our own clients are asked for none. */
#ifndef KEYSTILE_TLS_H
#define KEYSTILE_TLS_H

#include <sys/types.h>
#include <time.h>

#include "buffer.h"
#include "fault.h"
#include "span.h"

/* A client's certificate and its key (`client:`). Immutable.
 *
 * GnuTLS has a copy of the key of its own, in memory that is neither guarded nor locked; it is zeroed when the identity is
 * freed, which is when the last connection that may show it has ended, or up to five minutes later where an upstream that was
 * asked for HTTP/2 spoke HTTP/1.1 (upstream_h2_origin.c remembers that by trust). */
struct tls_identity;

/* `file`: PEM certificates, the client's own first, then those of the CAs above it. `key`: PEM (pem.h), that of the first. The
 * fault begins with "client.cert" or "client.key", whichever is wrong, and holds no byte of the key. */
struct tls_identity *tls_identity_load(const char *file, struct span key, struct fault *fault);
struct tls_identity *tls_identity_ref(struct tls_identity *identity);
void tls_identity_free(struct tls_identity *identity); /* gives a reference back; NULL is fine */
/* Do the two show the same certificates? Then they have the same key. */
bool tls_identity_equal(const struct tls_identity *a, const struct tls_identity *b);
/* False, with words for what a server may have against it at `now`: it is too old, too new, or not for clients. */
bool tls_identity_fits(const struct tls_identity *identity, time_t now, struct fault *fault);

/* Trust and tickets for one kind of peer; immutable but for the ticket store, shared by all threads, refcounted. */
struct tls_trust;

/* `ca_file`: PEM certificates; NULL: the operator's roots (SSL_CERT_FILE, SSL_CERT_DIR, else the system's). */
struct tls_trust *tls_trust_load(const char *ca_file, struct fault *fault);
/* The roots, where there are any, and the certificates of a file beside them. */
struct tls_trust *tls_trust_load_beside(const char *ca_file, struct fault *fault);
/* One that verifies as `verifier` does (a reference is taken), shows `identity` (taken over), and has tickets of its own: what
 * resumes a session stands for the certificate that was shown in it. */
struct tls_trust *tls_trust_with(struct tls_trust *verifier, struct tls_identity *identity);
struct tls_identity *tls_trust_identity(const struct tls_trust *trust); /* borrowed; NULL: none */
const struct tls_trust *tls_trust_verifier(const struct tls_trust *trust);      /* what it was made with; NULL: nothing */
struct tls_trust *tls_trust_ref(struct tls_trust *trust);
void tls_trust_free(struct tls_trust *trust);
/* Appends the certificates as PEM. False where GnuTLS does not list them, as those of a PKCS #11 token. */
bool tls_trust_pem(const struct tls_trust *trust, struct buffer *out);

struct tls;

enum tls_result { TLS_OK, TLS_WANT_READ, TLS_WANT_WRITE, TLS_CLOSED /* close_notify came */, TLS_FAILED };

/* `host`: a DNS name (sent as SNI and verified) or an address literal (verified against IP SANs, no SNI). `h2` offers
 * ALPN h2 before http/1.1; else http/1.1 alone. Does not own `fd`. */
struct tls *tls_client_new(struct tls_trust *trust, int fd, const char *host, bool h2, struct fault *fault);

/* The other side, with the certificate of `leaf` (mint_leaf.h), of which it takes a reference. `h2` prefers ALPN h2 to
 * http/1.1; else http/1.1 is all there is. A client with ALPN but none of these gets no_application_protocol (RFC 7301 §3.2),
 * one without ALPN speaks HTTP/1.1. What resumes a session is a ticket, and only for the name of the same leaf. */
struct leaf;
struct tls *tls_server_new(struct leaf *leaf, int fd, bool h2, struct fault *fault);

/* FAULT_BROKEN, with words for what was wrong: with the server's certificate; or that a client does not take ours. FAULT_DENIED:
 * the server does not take our client's, or wants one and was shown none. */
enum tls_result tls_handshake(struct tls *tls, struct fault *fault);
/* Of a client, behind a read that failed: did the server say what makes a handshake FAULT_DENIED? With TLS 1.3 it says so when
 * the client has long shaken hands. True with the fault set. */
bool tls_is_refused(const struct tls *tls, struct fault *fault);
bool tls_is_h2(const struct tls *tls);
/* Of a server, once hands are shaken: the name that the client asked for (RFC 6066 §3), as it was sent; NULL: for none. The
 * caller compares it: the client may ask for anything. */
const char *tls_server_name(const struct tls *tls);

/* `*count` bytes were read or written on TLS_OK: of one record; and of as many as go without waiting. */
enum tls_result tls_read(struct tls *tls, void *bytes, size_t size, size_t *count);
enum tls_result tls_write(struct tls *tls, const void *bytes, size_t size, size_t *count);
/* Behind a read: is nothing left here, in the session or on the socket, that no event will tell of? */
bool tls_is_drained(const struct tls *tls);
void tls_shut(struct tls *tls);          /* close_notify if it goes without waiting; reading goes on */
void tls_cut(struct tls *tls);           /* closing says no close_notify: not all has gone that should have */
void tls_close(struct tls *tls);         /* close_notify if it goes without waiting; frees; keeps the ticket */

#endif
