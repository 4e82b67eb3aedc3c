/* Anybody's bytes as a vault's header and as its text: nothing is read outside of them, and what decodes encodes to the
 * same bytes again. */
#include <stdint.h>
#include <stdlib.h>

#include "memory.h"
#include "vault_format.h"

static void header(struct span file)
{
	struct vault_header decoded;
	if (!vault_header_decode(file, &decoded))
		return;
	size_t length = vault_header_length(&decoded);
	AUTO_FREE unsigned char *again = memory_alloc(length);
	vault_header_encode(&decoded, again);
	if (length + decoded.payload_length != file.length || memcmp(again, file.data, length) != 0)
		abort();
}

static void text(struct span bytes)
{
	struct vault_text decoded = {0};
	if (vault_text_decode(bytes, &decoded)) {
		AUTO_FREE unsigned char *again = memory_alloc(bytes.length);
		if (vault_text_length(&decoded) != bytes.length)
			abort();
		vault_text_encode(&decoded, again, bytes.length);
		if (memcmp(again, bytes.data, bytes.length) != 0)
			abort();
	}
	vault_text_free(&decoded);
}

/* Texts are whole multiples of the padding, which a fuzzer finds hard: zeros are put behind what it gives. */
static void padded_text(struct span bytes)
{
	size_t length = (bytes.length / VAULT_PADDING + 1) * VAULT_PADDING;
	AUTO_FREE char *padded = memory_alloc(length);
	memcpy(padded, bytes.data, bytes.length);
	text((struct span){padded, length});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span bytes = {size ? (const char *)data : "", size};
	header(bytes);
	text(bytes);
	padded_text(bytes);
	return 0;
}
