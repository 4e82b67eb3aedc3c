#include "tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "memory.h"

#define TICKETS 256u
#define RECORD_BYTES (16384 + 512)
#define MOST_RECORDS 16 /* tickets and warning alerts that are read over in one call */

/* What resumes a session with one host. */
struct ticket {
	char *host;
	gnutls_datum_t data;
};

struct tls_trust {
	atomic_uint references;
	gnutls_certificate_credentials_t credentials; /* read only once loaded: sessions share it, no copies */
	gnutls_priority_t priority;
	pthread_mutex_t lock; /* of the tickets */
	struct ticket tickets[TICKETS];
};

struct tls {
	gnutls_session_t session;
	struct tls_trust *trust;
	int fd;
	char *host;
	gnutls_typed_vdata_st wanted[2]; /* what the certificate must be for; GnuTLS keeps a pointer */
	bool established, shut, ticket_kept; /* shut: close_notify was said, or is not to be */
	/* GnuTLS would read a record by two calls, its five bytes of header first. */
	size_t start, end;
	unsigned char input[RECORD_BYTES];
};

/* ---- trust ---- */

static bool loaded(int count, const char *from, struct fault *fault)
{
	if (count == GNUTLS_E_FILE_ERROR)
		return fault_errno(fault, "cannot read %s", from);
	if (count < 0)
		return fault_set(fault, FAULT_BROKEN, "%s: %s", from, gnutls_strerror(count));
	if (count == 0)
		return fault_set(fault, FAULT_MISSING, "%s has no certificate", from);
	return true;
}

static bool load_folders(gnutls_certificate_credentials_t credentials, struct span folders, struct fault *fault)
{
	int found = 0;
	while (folders.data) {
		AUTO_FREE char *folder = memory_span(span_split(&folders, ':'));
		int count = folder[0] ? gnutls_certificate_set_x509_trust_dir(credentials, folder, GNUTLS_X509_FMT_PEM) : 0;
		found += count > 0 ? count : 0;
	}
	return loaded(found, "SSL_CERT_DIR", fault);
}

static bool load_operators(gnutls_certificate_credentials_t credentials, struct fault *fault)
{
	const char *file = getenv("SSL_CERT_FILE"), *folders = getenv("SSL_CERT_DIR");
	bool file_said = file && file[0], folders_said = folders && folders[0];
	if (file_said) {
		int count = gnutls_certificate_set_x509_trust_file(credentials, file, GNUTLS_X509_FMT_PEM);
		if (!loaded(count, file, fault))
			return fault_wrap(fault, "SSL_CERT_FILE");
	}
	if (folders_said)
		return load_folders(credentials, span_of(folders), fault);
	if (file_said)
		return true;
	if (gnutls_certificate_set_x509_system_trust(credentials) > 0)
		return true;
	return fault_set(fault, FAULT_MISSING, "this system has no root certificates; install its package of them "
	                                       "(ca-certificates) or set SSL_CERT_FILE");
}

struct tls_trust *tls_trust_load(const char *ca_file, struct fault *fault)
{
	struct tls_trust *trust = memory_alloc(sizeof *trust);
	atomic_init(&trust->references, 1);
	pthread_mutex_init(&trust->lock, NULL);
	bool good = gnutls_certificate_allocate_credentials(&trust->credentials) == 0 &&
	            gnutls_priority_init(&trust->priority, "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2", NULL) == 0;
	if (!good)
		fault_set(fault, FAULT_IO, "GnuTLS does not start");
	else if (ca_file)
		good = loaded(gnutls_certificate_set_x509_trust_file(trust->credentials, ca_file, GNUTLS_X509_FMT_PEM),
		              ca_file, fault);
	else
		good = load_operators(trust->credentials, fault);
	if (good)
		return trust;
	tls_trust_free(trust);
	return NULL;
}

struct tls_trust *tls_trust_ref(struct tls_trust *trust)
{
	if (trust)
		atomic_fetch_add_explicit(&trust->references, 1, memory_order_relaxed);
	return trust;
}

static void ticket_drop(struct ticket *ticket)
{
	if (ticket->data.data) {
		explicit_bzero(ticket->data.data, ticket->data.size);
		gnutls_free(ticket->data.data);
	}
	free(ticket->host);
	*ticket = (struct ticket){0};
}

void tls_trust_free(struct tls_trust *trust)
{
	if (!trust || atomic_fetch_sub_explicit(&trust->references, 1, memory_order_acq_rel) > 1)
		return;
	for (size_t i = 0; i < TICKETS; i++)
		ticket_drop(&trust->tickets[i]);
	if (trust->credentials)
		gnutls_certificate_free_credentials(trust->credentials);
	if (trust->priority)
		gnutls_priority_deinit(trust->priority);
	pthread_mutex_destroy(&trust->lock);
	free(trust);
}

/* ---- tickets ---- */

/* Each host has one place; who shares it loses a ticket, which costs a full handshake. */
static struct ticket *ticket_place(struct tls_trust *trust, const char *host)
{
	uint32_t hash = 2166136261u;
	for (; *host; host++)
		hash = (hash ^ (unsigned char)*host) * 16777619u;
	return &trust->tickets[hash % TICKETS];
}

static void ticket_use(struct tls *tls)
{
	struct ticket *ticket = ticket_place(tls->trust, tls->host);
	pthread_mutex_lock(&tls->trust->lock);
	if (ticket->host && strcmp(ticket->host, tls->host) == 0)
		gnutls_session_set_data(tls->session, ticket->data.data, ticket->data.size);
	pthread_mutex_unlock(&tls->trust->lock);
}

/* Asked for before the ticket is there, gnutls_session_get_data2() would wait for it. */
static void ticket_keep(struct tls *tls)
{
	struct ticket fresh = {0};
	if (tls->ticket_kept || !(gnutls_session_get_flags(tls->session) & GNUTLS_SFLAGS_SESSION_TICKET))
		return;
	tls->ticket_kept = true;
	if (gnutls_session_get_data2(tls->session, &fresh.data) != 0)
		return;
	fresh.host = memory_string(tls->host);
	struct ticket *ticket = ticket_place(tls->trust, tls->host);
	pthread_mutex_lock(&tls->trust->lock);
	ticket_drop(ticket);
	*ticket = fresh;
	pthread_mutex_unlock(&tls->trust->lock);
}

/* ---- sessions ---- */

static ssize_t pull(gnutls_transport_ptr_t context, void *bytes, size_t size)
{
	struct tls *tls = context;
	if (tls->start == tls->end) {
		ssize_t count = recv(tls->fd, tls->input, sizeof tls->input, 0);
		if (count <= 0) {
			gnutls_transport_set_errno(tls->session, errno);
			return count;
		}
		tls->start = 0;
		tls->end = (size_t)count;
	}
	if (size > tls->end - tls->start)
		size = tls->end - tls->start;
	memcpy(bytes, tls->input + tls->start, size);
	tls->start += size;
	return (ssize_t)size;
}

static ssize_t push(gnutls_transport_ptr_t context, const giovec_t *pieces, int count)
{
	struct tls *tls = context;
	struct msghdr message = {.msg_iov = (struct iovec *)(void *)(uintptr_t)pieces, .msg_iovlen = (size_t)count};
	ssize_t sent = sendmsg(tls->fd, &message, MSG_NOSIGNAL);
	if (sent < 0)
		gnutls_transport_set_errno(tls->session, errno);
	return sent;
}

static bool is_address(const char *host)
{
	unsigned char bytes[16];
	return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

/* An address literal is looked for among the certificate's IP addresses by the same call. */
static void demand_certificate(struct tls *tls)
{
	static char server_auth[] = GNUTLS_KP_TLS_WWW_SERVER;
	tls->wanted[0] = (gnutls_typed_vdata_st){GNUTLS_DT_DNS_HOSTNAME, (unsigned char *)tls->host, 0};
	tls->wanted[1] = (gnutls_typed_vdata_st){GNUTLS_DT_KEY_PURPOSE_OID, (unsigned char *)server_auth, 0};
	gnutls_session_set_verify_cert2(tls->session, tls->wanted, 2, 0);
}

static bool prepare(struct tls *tls, bool h2)
{
	static unsigned char name_h2[] = "h2", name_h1[] = "http/1.1";
	gnutls_datum_t protocols[] = {{name_h2, 2}, {name_h1, 8}};
	gnutls_transport_set_ptr(tls->session, tls);
	gnutls_transport_set_pull_function(tls->session, pull);
	gnutls_transport_set_vec_push_function(tls->session, push);
	demand_certificate(tls);
	if (gnutls_priority_set(tls->session, tls->trust->priority) != 0 ||
	    gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, tls->trust->credentials) != 0 ||
	    gnutls_alpn_set_protocols(tls->session, protocols + !h2, h2 ? 2 : 1, 0) != 0)
		return false;
	return is_address(tls->host) ||
	       gnutls_server_name_set(tls->session, GNUTLS_NAME_DNS, tls->host, strlen(tls->host)) == 0;
}

struct tls *tls_client_new(struct tls_trust *trust, int fd, const char *host, bool h2, struct fault *fault)
{
	struct tls *tls = memory_resize(NULL, 1, sizeof *tls);
	memset(tls, 0, offsetof(struct tls, input));
	tls->trust = tls_trust_ref(trust);
	tls->fd = fd;
	tls->host = memory_string(host);
	if (gnutls_init(&tls->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) == 0 && prepare(tls, h2)) {
		ticket_use(tls);
		return tls;
	}
	tls_close(tls);
	fault_set(fault, FAULT_IO, "GnuTLS makes no session for %s", host);
	return NULL;
}

static enum tls_result waits(const struct tls *tls)
{
	return gnutls_record_get_direction(tls->session) ? TLS_WANT_WRITE : TLS_WANT_READ;
}

bool tls_is_h2(const struct tls *tls)
{
	gnutls_datum_t chosen;
	return gnutls_alpn_get_selected_protocol(tls->session, &chosen) == 0 && chosen.size == 2 &&
	       memcmp(chosen.data, "h2", 2) == 0;
}

/* Is there more to do with what is here? A session ticket makes GnuTLS say "again" although the next record is in its
 * buffer already, and then no event would come: only the socket's own EAGAIN means that nothing is here. */
static bool goes_on(ssize_t result)
{
	return result == GNUTLS_E_WARNING_ALERT_RECEIVED || result == GNUTLS_E_INTERRUPTED ||
	       (result == GNUTLS_E_AGAIN && errno != EAGAIN);
}

enum tls_result tls_read(struct tls *tls, void *bytes, size_t size, size_t *count)
{
	ssize_t result = 0;
	*count = 0;
	for (int i = 0; i < MOST_RECORDS; i++) {
		errno = 0;
		result = gnutls_record_recv(tls->session, bytes, size);
		if (!goes_on(result))
			break;
	}
	if (goes_on(result))
		return TLS_FAILED;
	ticket_keep(tls);
	if (result > 0) {
		*count = (size_t)result;
		return TLS_OK;
	}
	if (result == GNUTLS_E_AGAIN)
		return waits(tls);
	return result == 0 ? TLS_CLOSED : TLS_FAILED;
}

/* GnuTLS holds the record that it could not send; called again it goes on with that one, whatever it is given. */
enum tls_result tls_write(struct tls *tls, const void *bytes, size_t size, size_t *count)
{
	ssize_t result;
	*count = 0;
	do
		result = gnutls_record_send(tls->session, bytes, size);
	while (result == GNUTLS_E_INTERRUPTED);
	if (result == GNUTLS_E_AGAIN)
		return waits(tls);
	if (result < 0)
		return TLS_FAILED;
	*count = (size_t)result;
	return TLS_OK;
}

bool tls_pending(const struct tls *tls)
{
	return tls->start < tls->end || gnutls_record_check_pending(tls->session) > 0;
}

void tls_shut(struct tls *tls)
{
	if (tls->established && !tls->shut)
		gnutls_bye(tls->session, GNUTLS_SHUT_WR);
	tls->shut = true;
}

void tls_cut(struct tls *tls)
{
	tls->shut = true;
}

void tls_close(struct tls *tls)
{
	if (!tls)
		return;
	if (tls->session) {
		if (tls->established)
			ticket_keep(tls);
		tls_shut(tls);
		gnutls_deinit(tls->session);
	}
	tls_trust_free(tls->trust);
	free(tls->host);
	free(tls);
}

/* ---- what went wrong ---- */

static void printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

static void date_text(time_t time, char text[32])
{
	struct tm parts;
	gmtime_r(&time, &parts);
	strftime(text, 32, "%Y-%m-%d", &parts);
}

/* The first names that the certificate is for. */
static void names_text(gnutls_x509_crt_t leaf, char *text, size_t size)
{
	size_t used = 0;
	for (unsigned i = 0; i < 3; i++) {
		char name[128] = "";
		size_t length = sizeof name - 1;
		int kind = gnutls_x509_crt_get_subject_alt_name(leaf, i, name, &length, NULL);
		if (kind != GNUTLS_SAN_DNSNAME && kind != GNUTLS_SAN_IPADDRESS)
			break;
		char address[INET6_ADDRSTRLEN] = "";
		if (kind == GNUTLS_SAN_IPADDRESS)
			inet_ntop(length == 4 ? AF_INET : AF_INET6, name, address, sizeof address);
		used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "",
		                         kind == GNUTLS_SAN_IPADDRESS ? address : name);
		if (used >= size)
			break;
	}
	if (used == 0)
		snprintf(text, size, "no host name at all");
	printable(text);
}

static bool fault_of_issuer(gnutls_x509_crt_t leaf, struct fault *fault)
{
	char issuer[160] = "an unknown authority";
	size_t length = sizeof issuer;
	if (gnutls_x509_crt_check_issuer(leaf, leaf))
		return fault_set(fault, FAULT_BROKEN, "the certificate is self-signed; put its CA into `ca:`");
	gnutls_x509_crt_get_issuer_dn(leaf, issuer, &length);
	printable(issuer);
	return fault_set(fault, FAULT_BROKEN,
	                 "the certificate is signed by \"%s\", which is not trusted here; put that CA into `ca:`", issuer);
}

static bool fault_of_time(gnutls_x509_crt_t leaf, bool expired, struct fault *fault)
{
	char text[32];
	time_t now = time(NULL), end = gnutls_x509_crt_get_expiration_time(leaf);
	if (!expired) {
		date_text(gnutls_x509_crt_get_activation_time(leaf), text);
		return fault_set(fault, FAULT_BROKEN,
		                 "the certificate is not valid before %s; is this machine's clock right?", text);
	}
	if (end >= now)
		return fault_set(fault, FAULT_BROKEN, "a CA certificate behind the certificate has expired");
	date_text(end, text);
	return fault_set(fault, FAULT_BROKEN, "the certificate expired on %s", text);
}

static bool fault_of_names(const struct tls *tls, gnutls_x509_crt_t leaf, struct fault *fault)
{
	char names[200];
	names_text(leaf, names, sizeof names);
	return fault_set(fault, FAULT_BROKEN, "the certificate is for %s, not for %.253s", names, tls->host);
}

static bool fault_of_status(unsigned status, struct fault *fault)
{
	gnutls_datum_t text = {0};
	if (gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0) != 0)
		return fault_set(fault, FAULT_BROKEN, "the certificate does not verify");
	fault_set(fault, FAULT_BROKEN, "the certificate does not verify: %s", (const char *)text.data);
	gnutls_free(text.data);
	return false;
}

static bool fault_of_leaf(const struct tls *tls, gnutls_x509_crt_t leaf, unsigned status, struct fault *fault)
{
	if (status & GNUTLS_CERT_SIGNER_NOT_FOUND)
		return fault_of_issuer(leaf, fault);
	if (status & (GNUTLS_CERT_EXPIRED | GNUTLS_CERT_NOT_ACTIVATED))
		return fault_of_time(leaf, status & GNUTLS_CERT_EXPIRED, fault);
	if (status & GNUTLS_CERT_UNEXPECTED_OWNER)
		return fault_of_names(tls, leaf, fault);
	return fault_of_status(status, fault);
}

static bool fault_of_certificate(const struct tls *tls, struct fault *fault)
{
	unsigned count = 0, status = gnutls_session_get_verify_cert_status(tls->session);
	const gnutls_datum_t *chain = gnutls_certificate_get_peers(tls->session, &count);
	gnutls_x509_crt_t leaf;
	if (count == 0 || gnutls_x509_crt_init(&leaf) != 0)
		return fault_of_status(status, fault);
	if (gnutls_x509_crt_import(leaf, &chain[0], GNUTLS_X509_FMT_DER) == 0)
		fault_of_leaf(tls, leaf, status, fault);
	else
		fault_of_status(status, fault);
	gnutls_x509_crt_deinit(leaf);
	return false;
}

static bool fault_of_handshake(const struct tls *tls, int code, struct fault *fault)
{
	switch (code) {
	case GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR:
	case GNUTLS_E_CERTIFICATE_ERROR:
		return fault_of_certificate(tls, fault);
	case GNUTLS_E_FATAL_ALERT_RECEIVED:
		return fault_set(fault, FAULT_BROKEN, "the server refused the TLS handshake: %s",
		                 gnutls_alert_get_name(gnutls_alert_get(tls->session)));
	case GNUTLS_E_UNEXPECTED_PACKET:
	case GNUTLS_E_UNEXPECTED_PACKET_LENGTH:
	case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
	case GNUTLS_E_RECORD_OVERFLOW:
		return fault_set(fault, FAULT_BROKEN, "the server does not answer in TLS; should the URL start with http://?");
	case GNUTLS_E_PREMATURE_TERMINATION:
	case GNUTLS_E_PULL_ERROR:
	case GNUTLS_E_PUSH_ERROR:
		return fault_set(fault, FAULT_BROKEN, "the server closed the connection during the TLS handshake");
	default:
		return fault_set(fault, FAULT_BROKEN, "the TLS handshake failed: %s", gnutls_strerror(code));
	}
}

enum tls_result tls_handshake(struct tls *tls, struct fault *fault)
{
	int result = GNUTLS_E_INTERNAL_ERROR;
	for (int i = 0; i < MOST_RECORDS; i++) {
		result = gnutls_handshake(tls->session);
		if (result != GNUTLS_E_WARNING_ALERT_RECEIVED && result != GNUTLS_E_INTERRUPTED)
			break;
	}
	if (result == GNUTLS_E_AGAIN)
		return waits(tls);
	if (result < 0) {
		fault_of_handshake(tls, result, fault);
		return TLS_FAILED;
	}
	tls->established = true;
	ticket_keep(tls);
	return TLS_OK;
}
