#include "tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/x509.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "memory.h"
#include "mint_internal.h"
#include "tls_internal.h"

#define MOST_RECORDS 16   /* tickets and warning alerts that are read over in one call */
#define RECORD_MOST 16384 /* what one record holds (RFC 8446 §5.1) */

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
		tls->emptied = tls->end < sizeof tls->input;
	}
	if (size > tls->end - tls->start)
		size = tls->end - tls->start;
	memcpy(bytes, tls->input + tls->start, size);
	tls->start += size;
	return (ssize_t)size;
}

/* Records that follow each other at once make segments together: that takes the kernel one go, and not one for each. Where
 * the next one does not fit, what it was to follow goes by itself, with the first acknowledgement or within 200 ms. */
static ssize_t push(gnutls_transport_ptr_t context, const giovec_t *pieces, int count)
{
	struct tls *tls = context;
	struct msghdr message = {.msg_iov = (struct iovec *)(void *)(uintptr_t)pieces, .msg_iovlen = (size_t)count};
	ssize_t sent = sendmsg(tls->fd, &message, MSG_NOSIGNAL | (tls->more ? MSG_MORE : 0));
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

/* What both sides have: our socket, and the protocols that may be spoken inside. */
static bool prepare(struct tls *tls, bool h2, unsigned flags)
{
	static unsigned char name_h2[] = "h2", name_h1[] = "http/1.1";
	gnutls_datum_t protocols[] = {{name_h2, 2}, {name_h1, 8}};
	gnutls_transport_set_ptr(tls->session, tls);
	gnutls_transport_set_pull_function(tls->session, pull);
	gnutls_transport_set_vec_push_function(tls->session, push);
	return gnutls_alpn_set_protocols(tls->session, protocols + !h2, h2 ? 2 : 1, flags) == 0;
}

static bool prepare_client(struct tls *tls, bool h2)
{
	demand_certificate(tls);
	if (!prepare(tls, h2, 0) || gnutls_priority_set(tls->session, tls->trust->priority) != 0 ||
	    gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, tls->trust->credentials) != 0)
		return false;
	return is_address(tls->host) ||
	       gnutls_server_name_set(tls->session, GNUTLS_NAME_DNS, tls->host, strlen(tls->host)) == 0;
}

static struct tls *tls_new(int fd)
{
	struct tls *tls = memory_resize(NULL, 1, sizeof *tls);
	memset(tls, 0, offsetof(struct tls, input));
	tls->fd = fd;
	return tls;
}

struct tls *tls_client_new(struct tls_trust *trust, int fd, const char *host, bool h2, struct fault *fault)
{
	struct tls *tls = tls_new(fd);
	tls->trust = tls_trust_ref(trust);
	tls->host = memory_string(host);
	if (gnutls_init(&tls->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) == 0 && prepare_client(tls, h2)) {
		tls_ticket_use(tls);
		return tls;
	}
	tls_close(tls);
	fault_set(fault, FAULT_IO, "GnuTLS makes no session for %s", host);
	return NULL;
}

/* With TLS 1.2 only what HTTP/2 may have (RFC 9113 §9.2.2). The groups that cost least come first. */
#define SERVER_PRIORITY                                                                                                \
	"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:"                                             \
	"-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:"                                                    \
	"-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:+GROUP-SECP521R1:%SERVER_PRECEDENCE"

static gnutls_priority_t server_priority; /* NULL: GnuTLS does not start */

static void make_server_priority(void)
{
	if (gnutls_priority_init(&server_priority, SERVER_PRIORITY, NULL) != 0)
		server_priority = NULL;
}

static bool prepare_server(struct tls *tls, bool h2)
{
	static pthread_once_t made = PTHREAD_ONCE_INIT;
	const gnutls_datum_t ticket_key = {tls->leaf->ticket_key, sizeof tls->leaf->ticket_key};
	pthread_once(&made, make_server_priority);
	return server_priority && prepare(tls, h2, GNUTLS_ALPN_MANDATORY | GNUTLS_ALPN_SERVER_PRECEDENCE) &&
	       gnutls_priority_set(tls->session, server_priority) == 0 &&
	       gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, tls->leaf->credentials) == 0 &&
	       gnutls_session_ticket_enable_server(tls->session, &ticket_key) == 0;
}

struct tls *tls_server_new(struct leaf *leaf, int fd, bool h2, struct fault *fault)
{
	struct tls *tls = tls_new(fd);
	tls->leaf = leaf_ref(leaf);
	if (gnutls_init(&tls->session, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) == 0 && prepare_server(tls, h2))
		return tls;
	tls_close(tls);
	fault_set(fault, FAULT_IO, "GnuTLS makes no session for a client");
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
 * buffer already, and so does an end within a record, and then no event would come: only the socket's own EAGAIN means
 * that nothing is here. */
static bool goes_on(ssize_t result)
{
	return result == GNUTLS_E_WARNING_ALERT_RECEIVED || result == GNUTLS_E_INTERRUPTED ||
	       (result == GNUTLS_E_AGAIN && errno != EAGAIN);
}

enum tls_result tls_read(struct tls *tls, void *bytes, size_t size, size_t *count)
{
	ssize_t result = 0;
	*count = 0;
	tls->emptied = false; /* what is read from within tells nothing of a socket of which an event has told since */
	for (int i = 0; i < MOST_RECORDS; i++) {
		errno = 0;
		result = gnutls_record_recv(tls->session, bytes, size);
		if (!goes_on(result))
			break;
	}
	if (goes_on(result))
		return TLS_FAILED;
	tls_ticket_keep(tls);
	if (result > 0) {
		*count = (size_t)result;
		return TLS_OK;
	}
	if (result == GNUTLS_E_AGAIN)
		return waits(tls);
	if (result == GNUTLS_E_FATAL_ALERT_RECEIVED)
		tls->alert = gnutls_alert_get(tls->session);
	return result == 0 ? TLS_CLOSED : TLS_FAILED;
}

bool tls_is_drained(const struct tls *tls)
{
	return tls->start == tls->end && tls->emptied && gnutls_record_check_pending(tls->session) == 0;
}

/* GnuTLS holds the record that it could not send; called again it goes on with that one, whatever it is given. */
static ssize_t send_record(struct tls *tls, const void *bytes, size_t size)
{
	ssize_t result;
	tls->more = size > RECORD_MOST;
	do
		result = gnutls_record_send(tls->session, bytes, size);
	while (result == GNUTLS_E_INTERRUPTED);
	tls->more = false;
	return result;
}

enum tls_result tls_write(struct tls *tls, const void *bytes, size_t size, size_t *count)
{
	ssize_t result = 0;
	*count = 0;
	do {
		result = send_record(tls, (const char *)bytes + *count, size - *count);
		*count += result > 0 ? (size_t)result : 0;
	} while (result > 0 && *count < size);
	if (*count > 0)
		return TLS_OK;
	if (result == GNUTLS_E_AGAIN)
		return waits(tls);
	return result < 0 ? TLS_FAILED : TLS_OK;
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
			tls_ticket_keep(tls);
		tls_shut(tls);
		gnutls_deinit(tls->session);
	}
	tls_trust_free(tls->trust);
	leaf_free(tls->leaf);
	free(tls->host);
	free(tls);
}

const char *tls_server_name(const struct tls *tls)
{
	return tls->host;
}

/* One that is too long to be a name becomes one that is no host's. */
static void note_server_name(struct tls *tls)
{
	char name[256];
	size_t size = sizeof name;
	unsigned type;
	int result = gnutls_server_name_get(tls->session, name, &size, &type, 0);
	if (result != GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
		tls->host = memory_span((struct span){name, result == 0 ? strnlen(name, size) : 0});
}

enum tls_result tls_handshake(struct tls *tls, struct fault *fault)
{
	int result = GNUTLS_E_INTERNAL_ERROR;
	for (int i = 0; i < MOST_RECORDS; i++) {
		errno = 0;
		result = gnutls_handshake(tls->session);
		if (!goes_on(result))
			break;
	}
	if (result == GNUTLS_E_AGAIN)
		return waits(tls);
	if (result < 0) {
		tls_fault(tls, result, fault);
		if (result != GNUTLS_E_FATAL_ALERT_RECEIVED)
			gnutls_alert_send_appropriate(tls->session, result);
		return TLS_FAILED;
	}
	tls->established = true;
	if (tls->leaf)
		note_server_name(tls);
	tls_ticket_keep(tls);
	return TLS_OK;
}
