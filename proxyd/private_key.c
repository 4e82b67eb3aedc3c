#include "private_key.h"

#include "pem.h"

gnutls_x509_privkey_t private_key_read(struct span text, struct fault *fault)
{
	AUTO_WIPE struct buffer der = {0};
	gnutls_x509_privkey_t key;
	if (!pem_private_key(text, &der, fault))
		return NULL;
	gnutls_datum_t data = {(unsigned char *)der.data, (unsigned)der.length};
	if (gnutls_x509_privkey_init(&key) == 0) {
		if (gnutls_x509_privkey_import2(key, &data, GNUTLS_X509_FMT_DER, NULL, GNUTLS_PKCS_PLAIN) == 0)
			return key;
		gnutls_x509_privkey_deinit(key);
	}
	fault_set(fault, FAULT_BROKEN, "the PEM private key is damaged, or of a kind that GnuTLS does not know");
	return NULL;
}
