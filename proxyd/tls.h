/* GnuTLS on sockets: the one room that speaks TLS (DESIGN: tls). Client side here; interception adds the server side.
 *
 * A `tls` is a session on a connected non-blocking fd; it behaves like a socket that may need either direction to make
 * progress. Certificates are verified against the host name and the trust that was given, always. */
#ifndef KEYSTILE_TLS_H
#define KEYSTILE_TLS_H

#include <sys/types.h>

#include "fault.h"
#include "span.h"

/* Trust and tickets for one kind of peer; immutable but for the ticket store, shared by all threads, refcounted. */
struct tls_trust;

/* `ca_file`: PEM certificates; NULL: the operator's roots (SSL_CERT_FILE, SSL_CERT_DIR, else the system's). */
struct tls_trust *tls_trust_load(const char *ca_file, struct fault *fault);
struct tls_trust *tls_trust_ref(struct tls_trust *trust);
void tls_trust_free(struct tls_trust *trust);

struct tls;

enum tls_result { TLS_OK, TLS_WANT_READ, TLS_WANT_WRITE, TLS_CLOSED /* close_notify came */, TLS_FAILED };

/* `host`: a DNS name (sent as SNI and verified) or an address literal (verified against IP SANs, no SNI). `h2` offers
 * ALPN h2 before http/1.1; else http/1.1 alone. Does not own `fd`. */
struct tls *tls_client_new(struct tls_trust *trust, int fd, const char *host, bool h2, struct fault *fault);
enum tls_result tls_handshake(struct tls *tls, struct fault *fault); /* FAULT_BROKEN with words for the certificate's fault */
bool tls_is_h2(const struct tls *tls);

/* `*count` bytes were read or written on TLS_OK. */
enum tls_result tls_read(struct tls *tls, void *bytes, size_t size, size_t *count);
enum tls_result tls_write(struct tls *tls, const void *bytes, size_t size, size_t *count);
bool tls_pending(const struct tls *tls); /* decrypted bytes wait inside */
void tls_shut(struct tls *tls);          /* close_notify if it goes without waiting; reading goes on */
void tls_cut(struct tls *tls);           /* closing says no close_notify: not all has gone that should have */
void tls_close(struct tls *tls);         /* close_notify if it goes without waiting; frees; keeps the ticket */

#endif
