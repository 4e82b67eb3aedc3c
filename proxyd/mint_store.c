#include "mint_store.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdint.h>
#include <stdio.h>

#define BEGIN SPAN("-----BEGIN CERTIFICATE-----")
#define END SPAN("-----END CERTIFICATE-----")
#define MAGIC 0xfeedfeedu
#define VERSION 2
#define TRUSTED 2 /* the tag of an entry without a key */

static void append_number(struct buffer *out, uint64_t number, unsigned bytes)
{
	while (bytes-- > 0)
		buffer_char(out, (char)(number >> 8 * bytes));
}

static void append_text(struct buffer *out, const char *text)
{
	append_number(out, strlen(text), 2);
	buffer_string(out, text);
}

/* The next certificate of `*rest`, from its first line to its last; data NULL: there is none. */
static struct span next_certificate(struct span *rest)
{
	const char *begin = rest->length ? memmem(rest->data, rest->length, BEGIN.data, BEGIN.length) : NULL;
	struct span from = begin ? span_from(*rest, (size_t)(begin - rest->data)) : (struct span){0};
	const char *end = begin ? memmem(from.data, from.length, END.data, END.length) : NULL;
	if (!end)
		return (struct span){0};
	size_t length = (size_t)(end - from.data) + END.length;
	*rest = span_from(from, length);
	return span_head(from, length);
}

static bool append_entry(struct buffer *out, struct span pem, unsigned number, struct fault *fault)
{
	const gnutls_datum_t text = {(unsigned char *)(uintptr_t)pem.data, (unsigned)pem.length};
	gnutls_datum_t der = {0};
	char alias[24];
	int code = gnutls_pem_base64_decode2("CERTIFICATE", &text, &der);
	if (code < 0)
		return fault_set(fault, FAULT_BROKEN, "certificate %u does not decode: %s", number, gnutls_strerror(code));
	snprintf(alias, sizeof alias, "keystile-%u", number);
	append_number(out, TRUSTED, 4);
	append_text(out, alias);
	append_number(out, 0, 8); /* when it was made: the same store each time */
	append_text(out, "X.509");
	append_number(out, der.size, 4);
	buffer_append(out, der.data, der.size);
	gnutls_free(der.data);
	return true;
}

/* SHA-1, which the format wants, over the password in UTF-16, a fixed text and the store. */
static bool append_digest(struct buffer *out, size_t start, struct fault *fault)
{
	static const char salted[] = "\0c\0h\0a\0n\0g\0e\0i\0tMighty Aphrodite";
	unsigned char digest[20];
	gnutls_hash_hd_t hash;
	if (gnutls_hash_init(&hash, GNUTLS_DIG_SHA1) != 0)
		return fault_set(fault, FAULT_IO, "GnuTLS has no SHA-1 here");
	gnutls_hash(hash, salted, sizeof salted - 1);
	gnutls_hash(hash, out->data + start, out->length - start);
	gnutls_hash_deinit(hash, digest);
	buffer_append(out, digest, sizeof digest);
	return true;
}

bool mint_store(struct span bundle, struct buffer *out, struct fault *fault)
{
	AUTO_BUFFER struct buffer entries = {0};
	size_t start = out->length;
	unsigned count = 0;
	for (struct span rest = bundle, pem; (pem = next_certificate(&rest)).data;)
		if (!append_entry(&entries, pem, ++count, fault))
			return false;
	append_number(out, MAGIC, 4);
	append_number(out, VERSION, 4);
	append_number(out, count, 4);
	buffer_span(out, buffer_view(&entries));
	return append_digest(out, start, fault);
}
