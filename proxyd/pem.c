#include "pem.h"

#include "base64.h"

#define BEGIN "-----BEGIN "
#define END "-----END "
#define DASHES "-----"
#define UNDER_PASSPHRASE "is under a passphrase, which nobody is there to type; take it off: openssl pkey -in OLD -out NEW"

static const struct kind {
	struct span label;
	const char *unfit; /* NULL: a key as it is wanted */
} kinds[] = {
	{SPAN("PRIVATE KEY"), NULL},
	{SPAN("RSA PRIVATE KEY"), NULL},
	{SPAN("EC PRIVATE KEY"), NULL},
	{SPAN("ENCRYPTED PRIVATE KEY"), UNDER_PASSPHRASE},
	{SPAN("OPENSSH PRIVATE KEY"), "is in OpenSSH's form; turn it into PKCS #8: ssh-keygen -p -m PKCS8 -f FILE"},
};

/* Takes what stands before `mark` off `*rest`, and the mark. False where it does not stand there. */
static bool take_until(struct span *rest, struct span mark, struct span *before)
{
	const char *found = rest->length ? memmem(rest->data, rest->length, mark.data, mark.length) : NULL;
	if (!found)
		return false;
	*before = span_head(*rest, (size_t)(found - rest->data));
	*rest = span_from(*rest, before->length + mark.length);
	return true;
}

/* The next block that has a private key: its kind, and what stands behind its first line. NULL: no more. */
static const struct kind *next_key(struct span *rest)
{
	struct span before, label;
	while (take_until(rest, SPAN(BEGIN), &before) && take_until(rest, SPAN(DASHES), &label))
		for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
			if (span_equal(label, kinds[i].label))
				return &kinds[i];
	return NULL;
}

/* Without blanks and line breaks, also written ones. */
static void squeeze(struct span body, struct buffer *out)
{
	buffer_room(out, body.length);
	for (size_t i = 0; i < body.length; i++) {
		char c = body.data[i];
		bool written = c == '\\' && i + 1 < body.length && (body.data[i + 1] == 'n' || body.data[i + 1] == 'r');
		if (written)
			i++;
		else if (c != ' ' && c != '\t' && c != '\r' && c != '\n')
			buffer_char(out, c);
	}
}

static bool decode(struct span body, struct buffer *der)
{
	AUTO_WIPE struct buffer base64 = {0};
	size_t length = 0;
	squeeze(body, &base64);
	char *room = buffer_room(der, base64.length);
	if (!base64_decode(buffer_view(&base64), room, &length) || length == 0)
		return false;
	der->length += length;
	return true;
}

bool pem_private_key(struct span text, struct buffer *der, struct fault *fault)
{
	struct span rest = text, body;
	const struct kind *kind = next_key(&rest);
	if (!kind)
		return fault_set(fault, FAULT_BROKEN, "there is no PEM private key in it; one begins with -----BEGIN PRIVATE KEY-----");
	if (kind->unfit)
		return fault_set(fault, FAULT_BROKEN, "the key %s", kind->unfit);
	if (!take_until(&rest, SPAN(END), &body))
		return fault_set(fault, FAULT_BROKEN, "the PEM private key has no end");
	if (memmem(body.data, body.length, "ENCRYPTED", 9)) /* of a header (RFC 1421 §4.6.1.1) */
		return fault_set(fault, FAULT_BROKEN, "the key " UNDER_PASSPHRASE);
	return decode(body, der) || fault_set(fault, FAULT_BROKEN, "the PEM private key is damaged");
}
