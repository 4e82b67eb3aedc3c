#include <gnutls/x509.h>
#include <stdint.h>
#include <stdlib.h>

#include "memory.h"
#include "tls_internal.h"

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

static struct tls_trust *trust_new(void)
{
	struct tls_trust *trust = memory_alloc(sizeof *trust);
	atomic_init(&trust->references, 1);
	pthread_mutex_init(&trust->lock, NULL);
	return trust;
}

static bool load_file(gnutls_certificate_credentials_t credentials, const char *file, struct fault *fault)
{
	return loaded(gnutls_certificate_set_x509_trust_file(credentials, file, GNUTLS_X509_FMT_PEM), file, fault);
}

static bool start(struct tls_trust *trust, struct fault *fault)
{
	bool good = gnutls_certificate_allocate_credentials(&trust->credentials) == 0 &&
	            gnutls_priority_init(&trust->priority, "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2", NULL) == 0;
	if (!good)
		return fault_set(fault, FAULT_IO, "GnuTLS does not start");
	gnutls_certificate_set_retrieve_function3(trust->credentials, tls_identity_show);
	return true;
}

static struct tls_trust *if_good(struct tls_trust *trust, bool good)
{
	if (good)
		return trust;
	tls_trust_free(trust);
	return NULL;
}

struct tls_trust *tls_trust_load(const char *ca_file, struct fault *fault)
{
	struct tls_trust *trust = trust_new();
	bool good = start(trust, fault);
	if (good && ca_file)
		good = load_file(trust->credentials, ca_file, fault);
	else if (good)
		good = load_operators(trust->credentials, fault);
	return if_good(trust, good);
}

struct tls_trust *tls_trust_load_beside(const char *ca_file, struct fault *fault)
{
	struct tls_trust *trust = trust_new();
	bool good = start(trust, fault) && load_file(trust->credentials, ca_file, fault);
	if (good)
		load_operators(trust->credentials, NULL); /* a machine without roots has the file's */
	return if_good(trust, good);
}

struct tls_trust *tls_trust_with(struct tls_trust *verifier, struct tls_identity *identity)
{
	struct tls_trust *trust = trust_new();
	trust->verifier = tls_trust_ref(verifier);
	trust->credentials = verifier->credentials;
	trust->priority = verifier->priority;
	trust->identity = identity;
	return trust;
}

struct tls_identity *tls_trust_identity(const struct tls_trust *trust)
{
	return trust->identity;
}

const struct tls_trust *tls_trust_verifier(const struct tls_trust *trust)
{
	return trust->verifier;
}

struct tls_trust *tls_trust_ref(struct tls_trust *trust)
{
	if (trust)
		atomic_fetch_add_explicit(&trust->references, 1, memory_order_relaxed);
	return trust;
}

void tls_append_pem(gnutls_x509_crt_t certificate, struct buffer *out)
{
	gnutls_datum_t text = {0};
	if (gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &text) == 0)
		buffer_append(out, text.data, text.size);
	gnutls_free(text.data);
}

bool tls_trust_pem(const struct tls_trust *trust, struct buffer *out)
{
	gnutls_x509_trust_list_t list;
	gnutls_x509_trust_list_iter_t place = NULL;
	gnutls_x509_crt_t certificate;
	size_t before = out->length;
	gnutls_certificate_get_trust_list(trust->credentials, &list);
	while (gnutls_x509_trust_list_iter_get_ca(list, &place, &certificate) == 0) {
		tls_append_pem(certificate, out);
		gnutls_x509_crt_deinit(certificate);
	}
	return out->length > before; /* at its end, GnuTLS has freed the place */
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
	for (size_t i = 0; i < TLS_TICKETS; i++)
		ticket_drop(&trust->tickets[i]);
	if (trust->credentials && !trust->verifier)
		gnutls_certificate_free_credentials(trust->credentials);
	if (trust->priority && !trust->verifier)
		gnutls_priority_deinit(trust->priority);
	tls_identity_free(trust->identity);
	tls_trust_free(trust->verifier);
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
	return &trust->tickets[hash % TLS_TICKETS];
}

void tls_ticket_use(struct tls *tls)
{
	struct ticket *ticket = ticket_place(tls->trust, tls->host);
	pthread_mutex_lock(&tls->trust->lock);
	if (ticket->host && strcmp(ticket->host, tls->host) == 0)
		gnutls_session_set_data(tls->session, ticket->data.data, ticket->data.size);
	pthread_mutex_unlock(&tls->trust->lock);
}

/* Asked for before the ticket is there, gnutls_session_get_data2() would wait for it. */
void tls_ticket_keep(struct tls *tls)
{
	struct ticket fresh = {0};
	if (!tls->trust || tls->ticket_kept || !(gnutls_session_get_flags(tls->session) & GNUTLS_SFLAGS_SESSION_TICKET))
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
