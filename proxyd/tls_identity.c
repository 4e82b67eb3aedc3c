/* The certificate that a client shows, and its key. */
#include <stdlib.h>

#include "file.h"
#include "memory.h"
#include "private_key.h"
#include "tls_internal.h"

#define CHAIN_LIMIT ((size_t)256 << 10)
#define CHAIN_MOST 16
#define KEY_ID 32 /* bytes of a SHA-256 */

struct key_id {
	unsigned char bytes[KEY_ID];
};

static bool read_chain(const char *file, gnutls_x509_crt_t **chain, unsigned *count, struct fault *fault)
{
	AUTO_WIPE struct buffer text = {0}; /* the key may stand there too */
	if (!file_read(file, CHAIN_LIMIT, &text, fault))
		return false;
	gnutls_datum_t data = {(unsigned char *)text.data, (unsigned)text.length};
	int result = gnutls_x509_crt_list_import2(chain, count, &data, GNUTLS_X509_FMT_PEM, 0);
	if (result == GNUTLS_E_NO_CERTIFICATE_FOUND || (result == 0 && *count == 0))
		return fault_set(fault, FAULT_BROKEN, "%s: there is no PEM certificate in it", file);
	if (result < 0)
		return fault_set(fault, FAULT_BROKEN, "%s: %s", file, gnutls_strerror(result));
	if (*count > CHAIN_MOST)
		return fault_set(fault, FAULT_BROKEN, "%s: over %d certificates; a chain has the client's own and those of the CAs "
		                                      "above it", file, CHAIN_MOST);
	return true;
}

static bool id_of_certificate(gnutls_x509_crt_t certificate, struct key_id *id)
{
	size_t size = sizeof id->bytes;
	return gnutls_x509_crt_get_key_id(certificate, GNUTLS_KEYID_USE_SHA256, id->bytes, &size) == 0;
}

/* Are the two a pair? */
static bool judge_pair(const char *file, gnutls_x509_crt_t *chain, unsigned count, gnutls_x509_privkey_t key,
                       struct fault *fault)
{
	struct key_id own, other;
	size_t size = sizeof own.bytes;
	if (gnutls_x509_privkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, own.bytes, &size) != 0)
		return fault_set(fault, FAULT_BROKEN, "the key is of a kind that GnuTLS does not know");
	for (unsigned i = 0; i < count; i++) {
		if (!id_of_certificate(chain[i], &other) || memcmp(own.bytes, other.bytes, sizeof own.bytes))
			continue;
		return i == 0 || fault_set(fault, FAULT_BROKEN, "it is the key of certificate %u in %s; put that one first", i + 1, file);
	}
	return fault_set(fault, FAULT_BROKEN, "it is not the key of the certificate in %s", file);
}

static void note_times(struct tls_identity *identity, gnutls_x509_crt_t own)
{
	identity->start = gnutls_x509_crt_get_activation_time(own);
	identity->end = gnutls_x509_crt_get_expiration_time(own);
	identity->for_clients = gnutls_x509_crt_check_key_purpose(own, GNUTLS_KP_TLS_WWW_CLIENT, 0) != 0;
}

static bool keep_chain(struct tls_identity *identity, gnutls_x509_crt_t *chain, unsigned count)
{
	identity->chain = memory_array(count, sizeof *identity->chain);
	for (; identity->count < count; identity->count++)
		if (gnutls_pcert_import_x509(&identity->chain[identity->count], chain[identity->count], 0) != 0)
			return false;
	return true;
}

/* Takes `key` over. */
static bool keep_key(struct tls_identity *identity, gnutls_x509_privkey_t key)
{
	if (gnutls_privkey_init(&identity->key) == 0 &&
	    gnutls_privkey_import_x509(identity->key, key, GNUTLS_PRIVKEY_IMPORT_AUTO_RELEASE) == 0)
		return true;
	gnutls_x509_privkey_deinit(key);
	return false;
}

/* Takes `key` over. */
static struct tls_identity *make(gnutls_x509_crt_t *chain, unsigned count, gnutls_x509_privkey_t key, struct fault *fault)
{
	struct tls_identity *identity = memory_alloc(sizeof *identity);
	atomic_init(&identity->references, 1);
	note_times(identity, chain[0]);
	if (keep_key(identity, key) && keep_chain(identity, chain, count))
		return identity;
	tls_identity_free(identity);
	fault_set(fault, FAULT_IO, "GnuTLS does not take the client certificate");
	return NULL;
}

static struct tls_identity *load(const char *file, gnutls_x509_crt_t *chain, unsigned count, struct span text,
                                 struct fault *fault)
{
	gnutls_x509_privkey_t key = private_key_read(text, fault);
	if (key && judge_pair(file, chain, count, key, fault))
		return make(chain, count, key, fault);
	if (key)
		gnutls_x509_privkey_deinit(key); /* zeroes */
	fault_wrap(fault, "client.key");
	return NULL;
}

struct tls_identity *tls_identity_load(const char *file, struct span key, struct fault *fault)
{
	struct tls_identity *identity = NULL;
	gnutls_x509_crt_t *chain = NULL;
	unsigned count = 0;
	if (read_chain(file, &chain, &count, fault))
		identity = load(file, chain, count, key, fault);
	else
		fault_wrap(fault, "client.cert");
	for (unsigned i = 0; i < count; i++)
		gnutls_x509_crt_deinit(chain[i]);
	gnutls_free(chain);
	return identity;
}

struct tls_identity *tls_identity_ref(struct tls_identity *identity)
{
	atomic_fetch_add_explicit(&identity->references, 1, memory_order_relaxed);
	return identity;
}

void tls_identity_free(struct tls_identity *identity)
{
	if (!identity || atomic_fetch_sub(&identity->references, 1) != 1)
		return;
	for (unsigned i = 0; i < identity->count; i++)
		gnutls_pcert_deinit(&identity->chain[i]);
	if (identity->key)
		gnutls_privkey_deinit(identity->key); /* zeroes */
	free(identity->chain);
	free(identity);
}

bool tls_identity_fits(const struct tls_identity *identity, time_t now, struct fault *fault)
{
	char text[32];
	if (now < identity->start) {
		tls_date(identity->start, text);
		return fault_set(fault, FAULT_BROKEN, "it is not valid before %s; is this machine's clock right?", text);
	}
	if (now >= identity->end) {
		tls_date(identity->end, text);
		return fault_set(fault, FAULT_BROKEN, "it expired on %s", text);
	}
	return identity->for_clients ||
	       fault_set(fault, FAULT_BROKEN, "it is not for clients: its extendedKeyUsage has no clientAuth");
}

bool tls_identity_equal(const struct tls_identity *a, const struct tls_identity *b)
{
	if (a->count != b->count)
		return false;
	for (unsigned i = 0; i < a->count; i++) {
		const gnutls_datum_t *one = &a->chain[i].cert, *other = &b->chain[i].cert;
		if (one->size != other->size || memcmp(one->data, other->data, one->size))
			return false;
	}
	return true;
}

/* GnuTLS would show it only to who names its CA as one that it takes, which servers often do not: whoever named the
 * certificate in the configuration wants it shown. */
int tls_identity_show(gnutls_session_t session, const struct gnutls_cert_retr_st *asked, gnutls_pcert_st **chain,
                      unsigned *count, gnutls_ocsp_data_st **ocsp, unsigned *ocsp_count, gnutls_privkey_t *key,
                      unsigned *flags)
{
	struct tls *tls = gnutls_transport_get_ptr(session);
	const struct tls_identity *identity = tls->trust->identity;
	(void)asked;
	tls->asked = true;
	*chain = identity ? identity->chain : NULL;
	*count = identity ? identity->count : 0;
	*key = identity ? identity->key : NULL;
	*ocsp = NULL;
	*ocsp_count = 0;
	*flags = 0;
	return 0;
}
