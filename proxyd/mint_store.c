/* Certificates as a Java trust store, of the kind JKS: the one that Java reads without being told a password. */
#include <gnutls/crypto.h>
#include <stdint.h>
#include <stdio.h>

#include "mint_internal.h"

#define MAGIC 0xfeedfeedu
#define VERSION 2u
#define TRUSTED_CERTIFICATE 2u
#define DIGEST 20 /* SHA-1 */

static void put_number(struct buffer *out, uint64_t number, unsigned bytes)
{
	while (bytes-- > 0)
		buffer_char(out, (char)(number >> (8 * bytes)));
}

static void put_text(struct buffer *out, const char *text)
{
	put_number(out, strlen(text), 2);
	buffer_string(out, text);
}

static bool put_certificate(struct buffer *out, gnutls_x509_crt_t certificate, unsigned number, time_t now)
{
	char alias[24];
	gnutls_datum_t bytes = {0};
	if (gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_DER, &bytes) != 0)
		return false;
	snprintf(alias, sizeof alias, "certificate-%u", number);
	put_number(out, TRUSTED_CERTIFICATE, 4);
	put_text(out, alias);
	put_number(out, (uint64_t)now * 1000, 8);
	put_text(out, "X.509");
	put_number(out, bytes.size, 4);
	buffer_append(out, bytes.data, bytes.size);
	gnutls_free(bytes.data);
	return true;
}

/* No secret: what tools take who ask for a password, keytool for one. */
static bool put_digest(struct buffer *out)
{
	static const char password[] = "changeit", salt[] = "Mighty Aphrodite"; /* the salt is Java's own */
	unsigned char digest[DIGEST];
	AUTO_BUFFER struct buffer all = {0};
	for (const char *c = password; *c; c++)
		put_number(&all, (unsigned char)*c, 2);
	buffer_string(&all, salt);
	buffer_span(&all, buffer_view(out));
	if (gnutls_hash_fast(GNUTLS_DIG_SHA1, all.data, all.length, digest) != 0)
		return false;
	buffer_append(out, digest, sizeof digest);
	return true;
}

bool mint_store(struct span pem, time_t now, struct buffer *out, struct fault *fault)
{
	gnutls_x509_crt_t *list = NULL;
	unsigned count = 0;
	const gnutls_datum_t text = {(unsigned char *)(uintptr_t)pem.data, (unsigned)pem.length};
	bool done = gnutls_x509_crt_list_import2(&list, &count, &text, GNUTLS_X509_FMT_PEM, 0) >= 0;
	put_number(out, MAGIC, 4);
	put_number(out, VERSION, 4);
	put_number(out, count, 4);
	for (unsigned i = 0; i < count; i++) {
		done = done && put_certificate(out, list[i], i, now);
		gnutls_x509_crt_deinit(list[i]);
	}
	gnutls_free(list);
	return (done && put_digest(out)) || fault_set(fault, FAULT_IO, "GnuTLS makes no Java trust store of the bundle");
}
