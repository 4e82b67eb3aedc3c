/* The CA itself: the operator's, read and judged, or one of our own. */
#include <gnutls/crypto.h>
#include <stdio.h>
#include <stdlib.h>

#include "file.h"
#include "memory.h"
#include "mint_internal.h"

#define CERT_LIMIT ((size_t)256 << 10)
#define KEY_LIMIT ((size_t)64 << 10)
#define SERIAL 20 /* bytes, the most that RFC 5280 §4.1.2.2 allows */
#define HOW "; keystile.yaml(5) has a command that makes a CA"

/* ---- what both kinds need ---- */

gnutls_x509_crt_t ca_certificate(time_t start, time_t end)
{
	unsigned char serial[SERIAL];
	gnutls_x509_crt_t certificate;
	if (gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof serial) != 0 || gnutls_x509_crt_init(&certificate) != 0)
		return NULL;
	serial[0] = (unsigned char)((serial[0] & 0x7f) | 0x40); /* positive, and never shorter */
	if (gnutls_x509_crt_set_version(certificate, 3) == 0 &&
	    gnutls_x509_crt_set_serial(certificate, serial, sizeof serial) == 0 &&
	    gnutls_x509_crt_set_activation_time(certificate, start) == 0 &&
	    gnutls_x509_crt_set_expiration_time(certificate, end) == 0)
		return certificate;
	gnutls_x509_crt_deinit(certificate);
	return NULL;
}

gnutls_x509_privkey_t ca_key(void)
{
	gnutls_x509_privkey_t key;
	if (gnutls_x509_privkey_init(&key) != 0)
		return NULL;
	if (gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0) == 0)
		return key;
	gnutls_x509_privkey_deinit(key);
	return NULL;
}

/* GnuTLS knows the names of a certificate, by which it orders a chain, once it was read. */
static bool read_back(gnutls_x509_crt_t certificate)
{
	gnutls_datum_t bytes = {0};
	bool done = gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_DER, &bytes) == 0 &&
	            gnutls_x509_crt_import(certificate, &bytes, GNUTLS_X509_FMT_DER) == 0;
	gnutls_free(bytes.data);
	return done;
}

bool ca_sign(const struct ca *ca, gnutls_x509_crt_t certificate)
{
	return gnutls_x509_crt_privkey_sign(certificate, ca->chain[0], ca->key, ca->digest, 0) == 0 && read_back(certificate);
}

/* Takes `key` over. */
static bool keep_key(struct ca *ca, gnutls_x509_privkey_t key)
{
	if (gnutls_privkey_init(&ca->key) == 0 &&
	    gnutls_privkey_import_x509(ca->key, key, GNUTLS_PRIVKEY_IMPORT_AUTO_RELEASE) == 0)
		return true;
	gnutls_x509_privkey_deinit(key);
	return false;
}

static bool choose_digest(struct ca *ca)
{
	gnutls_pubkey_t key;
	if (gnutls_pubkey_init(&key) != 0)
		return false;
	bool done = gnutls_pubkey_import_x509(key, ca->chain[0], 0) == 0 &&
	            gnutls_pubkey_get_preferred_hash_algorithm(key, &ca->digest, NULL) == 0;
	gnutls_pubkey_deinit(key);
	return done;
}

/* What leaves take from the CA. */
static bool note(struct ca *ca)
{
	ca->id_size = sizeof ca->id;
	ca->start = 0;
	ca->end = gnutls_x509_crt_get_expiration_time(ca->chain[0]);
	for (unsigned i = 0; i < ca->count; i++) {
		time_t start = gnutls_x509_crt_get_activation_time(ca->chain[i]);
		time_t end = gnutls_x509_crt_get_expiration_time(ca->chain[i]);
		ca->start = start > ca->start ? start : ca->start;
		ca->end = end < ca->end ? end : ca->end;
	}
	return gnutls_x509_crt_get_subject_key_id(ca->chain[0], ca->id, &ca->id_size, NULL) == 0 && choose_digest(ca);
}

void ca_free(struct ca *ca)
{
	for (unsigned i = 0; i < ca->count; i++)
		gnutls_x509_crt_deinit(ca->chain[i]);
	gnutls_free(ca->chain);
	if (ca->key)
		gnutls_privkey_deinit(ca->key); /* zeroes */
	*ca = (struct ca){0};
}

/* ---- made ---- */

/* Each has a name of its own, so that clients that know several look no further than at the right one. */
static bool name_ca(gnutls_x509_crt_t certificate)
{
	unsigned char bytes[4];
	char name[64];
	if (gnutls_rnd(GNUTLS_RND_NONCE, bytes, sizeof bytes) != 0)
		return false;
	snprintf(name, sizeof name, "CN=Keystile CA %02x%02x%02x%02x,O=Keystile", bytes[0], bytes[1], bytes[2], bytes[3]);
	return gnutls_x509_crt_set_dn(certificate, name, NULL) == 0;
}

static bool fill_ca(gnutls_x509_crt_t certificate, gnutls_x509_privkey_t key)
{
	unsigned char id[MINT_KEY_ID];
	size_t size = sizeof id;
	return name_ca(certificate) && gnutls_x509_crt_set_key(certificate, key) == 0 &&
	       gnutls_x509_crt_get_key_id(certificate, 0, id, &size) == 0 &&
	       gnutls_x509_crt_set_subject_key_id(certificate, id, size) == 0 &&
	       gnutls_x509_crt_set_authority_key_id(certificate, id, size) == 0 &&
	       gnutls_x509_crt_set_basic_constraints(certificate, 1, 0) == 0 &&
	       gnutls_x509_crt_set_key_usage(certificate, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN) == 0;
}

static bool make(struct ca *ca, time_t now)
{
	gnutls_x509_privkey_t key = ca_key();
	if (!key || !keep_key(ca, key))
		return false;
	ca->chain = gnutls_malloc(sizeof *ca->chain);
	gnutls_x509_crt_t own = ca->chain ? ca_certificate(now - MINT_BACK_DAYS * DAY, now + MINT_CA_DAYS * DAY) : NULL;
	if (!own)
		return false;
	ca->chain[0] = own;
	ca->count = 1;
	ca->digest = GNUTLS_DIG_SHA256;
	return fill_ca(own, key) && ca_sign(ca, own) && note(ca);
}

bool ca_make(struct ca *ca, time_t now, struct fault *fault)
{
	if (make(ca, now))
		return true;
	ca_free(ca);
	return fault_set(fault, FAULT_IO, "GnuTLS makes no CA for interception");
}

/* ---- given ---- */

static void name_of(gnutls_x509_crt_t certificate, bool issuer, char *name, size_t size)
{
	int result = issuer ? gnutls_x509_crt_get_issuer_dn(certificate, name, &size)
	                    : gnutls_x509_crt_get_dn(certificate, name, &size);
	if (result != 0)
		snprintf(name, size, "?");
	for (; *name; name++)
		if (*name < ' ' || *name > '~')
			*name = '?';
}

static bool read_chain(struct ca *ca, const char *file, struct fault *fault)
{
	AUTO_WIPE struct buffer text = {0};
	if (!file_read(file, CERT_LIMIT, &text, fault))
		return false;
	gnutls_datum_t data = {(unsigned char *)text.data, (unsigned)text.length};
	int result = gnutls_x509_crt_list_import2(&ca->chain, &ca->count, &data, GNUTLS_X509_FMT_PEM, 0);
	if (result == GNUTLS_E_NO_CERTIFICATE_FOUND || (result == 0 && ca->count == 0))
		return fault_set(fault, FAULT_BROKEN, "%s: there is no PEM certificate in it", file);
	return result == 0 || fault_set(fault, FAULT_BROKEN, "%s: %s", file, gnutls_strerror(result));
}

static gnutls_x509_privkey_t import_key(const char *file, const struct buffer *text, struct fault *fault)
{
	gnutls_datum_t data = {(unsigned char *)text->data, (unsigned)text->length};
	gnutls_x509_privkey_t key;
	int result = gnutls_x509_privkey_init(&key);
	if (result == 0) {
		result = gnutls_x509_privkey_import2(key, &data, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN);
		if (result == 0)
			return key;
		gnutls_x509_privkey_deinit(key);
	}
	if (memmem(text->data, text->length, "ENCRYPTED", 9))
		fault_set(fault, FAULT_BROKEN, "%s: the key is under a passphrase, which nobody is there to type; "
		                               "take it off: openssl pkey -in %s -out NEW", file, file);
	else
		fault_set(fault, FAULT_BROKEN, "%s: there is no PEM private key in it", file);
	return NULL;
}

static gnutls_x509_privkey_t read_key(const char *file, struct fault *fault)
{
	AUTO_WIPE struct buffer text = {0};
	return file_read(file, KEY_LIMIT, &text, fault) ? import_key(file, &text, fault) : NULL;
}

static bool is_pair(gnutls_x509_crt_t certificate, gnutls_x509_privkey_t key)
{
	unsigned char ids[2][MINT_KEY_ID];
	size_t sizes[2] = {sizeof ids[0], sizeof ids[1]};
	return gnutls_x509_crt_get_key_id(certificate, GNUTLS_KEYID_USE_SHA256, ids[0], &sizes[0]) == 0 &&
	       gnutls_x509_privkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, ids[1], &sizes[1]) == 0 &&
	       sizes[0] == sizes[1] && !memcmp(ids[0], ids[1], sizes[0]);
}

static bool is_valid_now(gnutls_x509_crt_t certificate, const char *name, time_t now, struct fault *fault)
{
	char text[32];
	struct tm parts;
	time_t start = gnutls_x509_crt_get_activation_time(certificate);
	time_t end = gnutls_x509_crt_get_expiration_time(certificate);
	bool early = now < start;
	if (!early && now < end)
		return true;
	gmtime_r(early ? &start : &end, &parts);
	strftime(text, sizeof text, "%Y-%m-%d", &parts);
	if (early)
		return fault_set(fault, FAULT_BROKEN, "the CA %s is not valid before %s; is this machine's clock right?", name, text);
	return fault_set(fault, FAULT_BROKEN, "the CA %s expired on %s" HOW, name, text);
}

/* Each certificate for itself, and with the one above it. */
static bool judge_one(const struct ca *ca, unsigned i, time_t now, struct fault *fault)
{
	char name[200], above[200];
	AUTO_BUFFER struct buffer lacks = {0};
	bool top = i + 1 == ca->count;
	int path = -1;
	name_of(ca->chain[i], false, name, sizeof name);
	if (!ca_demands(ca->chain[i], top, &lacks))
		return fault_set(fault, FAULT_BROKEN, "strict clients would refuse what the CA %s signs; it lacks %s" HOW,
		                 name, lacks.data);
	gnutls_x509_crt_get_basic_constraints(ca->chain[i], NULL, NULL, &path);
	if (path >= 0 && (unsigned)path < i)
		return fault_set(fault, FAULT_BROKEN, "the CA %s allows %d CAs below it (pathlen), and there are %u", name, path, i);
	if (!is_valid_now(ca->chain[i], name, now, fault))
		return false;
	if (gnutls_x509_crt_check_issuer(ca->chain[i], ca->chain[top ? i : i + 1]))
		return true;
	name_of(ca->chain[i], true, above, sizeof above);
	return fault_set(fault, FAULT_BROKEN, "%s is signed by %s, whose certificate is not behind it in this file; put it there, "
	                                      "and so on up to the root", name, above);
}

/* As a whole: signatures, and digests that nobody takes any more. */
static bool judge_chain(const struct ca *ca, struct fault *fault)
{
	gnutls_x509_trust_list_t roots;
	unsigned status = GNUTLS_CERT_INVALID;
	gnutls_datum_t text = {0};
	if (ca->count == 1)
		return true;
	if (gnutls_x509_trust_list_init(&roots, 0) != 0)
		return fault_set(fault, FAULT_IO, "GnuTLS does not start");
	if (gnutls_x509_trust_list_add_cas(roots, &ca->chain[ca->count - 1], 1, 0) == 1)
		gnutls_x509_trust_list_verify_crt(roots, ca->chain, ca->count, GNUTLS_PROFILE_TO_VFLAGS(GNUTLS_PROFILE_MEDIUM),
		                                  &status, NULL);
	gnutls_x509_trust_list_deinit(roots, 0);
	if (status == 0)
		return true;
	gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0);
	fault_set(fault, FAULT_BROKEN, "the chain up to its root does not verify: %s", text.data ? (char *)text.data : "");
	gnutls_free(text.data);
	return false;
}

static bool judge(const struct ca *ca, const char *file, struct fault *fault)
{
	time_t now = time(NULL);
	for (unsigned i = 0; i < ca->count; i++)
		if (!judge_one(ca, i, now, fault))
			return fault_wrap(fault, "%s", file);
	return judge_chain(ca, fault) || fault_wrap(fault, "%s", file);
}

bool ca_load(struct ca *ca, const char *cert_file, const char *key_file, struct fault *fault)
{
	struct fault why = FAULT_INIT;
	gnutls_x509_privkey_t key = NULL;
	bool done = read_chain(ca, cert_file, &why) && judge(ca, cert_file, &why);
	if (done && !(key = read_key(key_file, &why)))
		done = fault_wrap(&why, "tls.ca_key");
	else if (!done)
		fault_wrap(&why, "tls.ca_cert");
	if (done && !is_pair(ca->chain[0], key)) {
		done = fault_set(&why, FAULT_BROKEN, "tls.ca_key: %s: is not the key of the first certificate in %s", key_file, cert_file);
		gnutls_x509_privkey_deinit(key);
	} else if (done) {
		done = (keep_key(ca, key) && note(ca)) || fault_set(&why, FAULT_IO, "GnuTLS does not take the CA for interception");
	}
	if (!done)
		ca_free(ca);
	return done || fault_set(fault, why.code, "%s", why.text);
}
