#include "base64.h"

#include <sodium.h>

void base64_encode(struct span bytes, char *out)
{
	sodium_bin2base64(out, BASE64_BYTES(bytes.length), (const unsigned char *)bytes.data, bytes.length,
	                  sodium_base64_VARIANT_ORIGINAL);
}

size_t base64_encode_url(struct span bytes, char *out)
{
	sodium_bin2base64(out, BASE64_BYTES(bytes.length), (const unsigned char *)bytes.data, bytes.length,
	                  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	return strlen(out);
}

bool base64_decode(struct span text, char *out, size_t *length)
{
	while (text.length > 0 && text.data[text.length - 1] == '=')
		text.length--;
	return sodium_base642bin((unsigned char *)out, text.length, text.data, text.length, NULL, length, NULL,
	                         sodium_base64_VARIANT_ORIGINAL_NO_PADDING) == 0;
}
