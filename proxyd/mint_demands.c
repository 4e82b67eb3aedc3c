/* What a given CA must have (RFC 5280 §4.2.1, as OpenSSL's -x509_strict and Python 3.13's default demand it). */
#include "mint_internal.h"

enum demand {
	VERSION,
	SUBJECT,
	SUBJECT_OF_ITS_OWN,
	IS_CA,
	CRITICAL_CONSTRAINTS,
	CERT_SIGN,
	SERVER_AUTH,
	SUBJECT_ID,
	PLAIN_SUBJECT_ID,
	ISSUER_ID,
	PLAIN_ISSUER_ID,
	STRENGTH,
	DEMANDS
};

static const char *const words[DEMANDS] = {
	[VERSION] = "version 3",
	[SUBJECT] = "a subject",
	[SUBJECT_OF_ITS_OWN] = "a subject other than that of leaves (" MINT_LEAF_SUBJECT ")",
	[IS_CA] = "basicConstraints with CA:TRUE",
	[CRITICAL_CONSTRAINTS] = "\"critical\" on basicConstraints",
	[CERT_SIGN] = "keyUsage with keyCertSign",
	[SERVER_AUTH] = "serverAuth in its extendedKeyUsage",
	[SUBJECT_ID] = "subjectKeyIdentifier",
	[PLAIN_SUBJECT_ID] = "a subjectKeyIdentifier that is not critical",
	[ISSUER_ID] = "authorityKeyIdentifier with a keyid",
	[PLAIN_ISSUER_ID] = "an authorityKeyIdentifier that is not critical",
	[STRENGTH] = "a key as strong as RSA with 2048 bits",
};

static void judge_names(gnutls_x509_crt_t certificate, bool *lacks)
{
	char name[1024] = "";
	size_t size = sizeof name;
	bool is_long = gnutls_x509_crt_get_dn(certificate, name, &size) == GNUTLS_E_SHORT_MEMORY_BUFFER;
	lacks[SUBJECT] = !is_long && !name[0];
	lacks[SUBJECT_OF_ITS_OWN] = !is_long && !strcmp(name, MINT_LEAF_SUBJECT);
}

static void judge_authority(gnutls_x509_crt_t certificate, bool *lacks)
{
	unsigned critical = 0, is_ca = 0, usage = 0;
	int found = gnutls_x509_crt_get_basic_constraints(certificate, &critical, &is_ca, NULL);
	lacks[IS_CA] = found < 0 || !is_ca;
	lacks[CRITICAL_CONSTRAINTS] = !lacks[IS_CA] && !critical;
	found = gnutls_x509_crt_get_key_usage(certificate, &usage, NULL);
	lacks[CERT_SIGN] = found < 0 || !(usage & GNUTLS_KEY_KEY_CERT_SIGN);
}

/* Without extendedKeyUsage a CA may issue for all purposes. OpenSSL does not take anyExtendedKeyUsage for one of them. */
static void judge_purposes(gnutls_x509_crt_t certificate, bool *lacks)
{
	bool limited = false, serves = false;
	for (unsigned i = 0;; i++) {
		char oid[128];
		size_t size = sizeof oid;
		if (gnutls_x509_crt_get_key_purpose_oid(certificate, i, oid, &size, NULL) < 0)
			break;
		limited = true;
		serves |= !strcmp(oid, GNUTLS_KP_TLS_WWW_SERVER);
	}
	lacks[SERVER_AUTH] = limited && !serves;
}

static void judge_identifiers(gnutls_x509_crt_t certificate, bool top, bool *lacks)
{
	unsigned char id[MINT_KEY_ID];
	unsigned critical = 0;
	size_t size = sizeof id;
	lacks[SUBJECT_ID] = gnutls_x509_crt_get_subject_key_id(certificate, id, &size, &critical) < 0;
	lacks[PLAIN_SUBJECT_ID] = !lacks[SUBJECT_ID] && critical;
	size = sizeof id;
	bool named = gnutls_x509_crt_get_authority_key_id(certificate, id, &size, &critical) >= 0;
	lacks[ISSUER_ID] = !top && !named;
	lacks[PLAIN_ISSUER_ID] = named && critical;
}

static void judge_strength(gnutls_x509_crt_t certificate, bool *lacks)
{
	unsigned bits = 0;
	gnutls_pk_algorithm_t algorithm = (gnutls_pk_algorithm_t)gnutls_x509_crt_get_pk_algorithm(certificate, &bits);
	lacks[STRENGTH] = gnutls_pk_bits_to_sec_param(algorithm, bits) < GNUTLS_SEC_PARAM_MEDIUM;
}

bool ca_demands(gnutls_x509_crt_t certificate, bool top, struct buffer *out)
{
	bool lacks[DEMANDS] = {[VERSION] = gnutls_x509_crt_get_version(certificate) != 3};
	judge_names(certificate, lacks);
	judge_authority(certificate, lacks);
	judge_purposes(certificate, lacks);
	judge_identifiers(certificate, top, lacks);
	judge_strength(certificate, lacks);
	for (size_t i = 0; i < DEMANDS; i++)
		if (lacks[i])
			buffer_format(out, "%s%s", out->length ? ", " : "", words[i]);
	return out->length == 0;
}
