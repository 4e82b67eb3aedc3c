#include "vault_seal.h"

#include <sodium.h>

/* What is written, and the bounds of what is accepted. The floor keeps a made-up header from getting a passphrase hashed
 * cheaply, the ceiling keeps it from eating this machine. */
#define OPERATIONS 3
#define KIBIBYTES (256 * 1024)
#define OPERATIONS_MOST 8
#define KIBIBYTES_MOST (1024 * 1024)

_Static_assert(OPERATIONS == crypto_pwhash_argon2id_OPSLIMIT_MODERATE, "Argon2id MODERATE");
_Static_assert(KIBIBYTES * 1024 == crypto_pwhash_argon2id_MEMLIMIT_MODERATE, "Argon2id MODERATE");
_Static_assert(VAULT_TAG == crypto_aead_xchacha20poly1305_ietf_ABYTES, "the tag of the AEAD");

/* A key to encrypt with and a commitment to it, both bound to `label` and to the bytes that `context` lists. */
struct derived {
	unsigned char key[32], commitment[32];
};

static void derive(struct derived *derived, const unsigned char *root, const char *label, const struct span *context,
                   size_t count)
{
	crypto_generichash_state state;
	crypto_generichash_init(&state, root, 32, sizeof *derived);
	crypto_generichash_update(&state, (const unsigned char *)label, strlen(label) + 1);
	for (size_t i = 0; i < count; i++) /* each of a fixed length: no two lists give the same bytes */
		crypto_generichash_update(&state, (const unsigned char *)context[i].data, context[i].length);
	crypto_generichash_final(&state, (unsigned char *)derived, sizeof *derived);
	sodium_memzero(&state, sizeof state);
}

static struct span bytes_of(const void *bytes, size_t length)
{
	return (struct span){bytes, length};
}

static bool within_bounds(const struct vault_slot *slot)
{
	if (slot->kind == VAULT_SLOT_FILE)
		return slot->operations == 0 && slot->kibibytes == 0;
	return slot->operations >= OPERATIONS && slot->operations <= OPERATIONS_MOST && slot->kibibytes >= KIBIBYTES &&
	       slot->kibibytes <= KIBIBYTES_MOST;
}

static bool root_of(const struct vault_slot *slot, const struct vault_key *key, unsigned char root[32])
{
	if (!key->passphrase) {
		memcpy(root, key->bytes.data, 32);
		return true;
	}
	return crypto_pwhash(root, 32, key->bytes.data, key->bytes.length, slot->salt, slot->operations,
	                     (size_t)slot->kibibytes * 1024, crypto_pwhash_ALG_ARGON2ID13) == 0;
}

static bool derive_slot(const struct vault_slot *slot, const struct vault_header *header, const struct vault_key *key,
                        struct derived *derived)
{
	unsigned char root[32];
	if (!root_of(slot, key, root))
		return false;
	unsigned char numbers[12];
	const uint32_t values[] = {slot->kind, slot->operations, slot->kibibytes};
	for (size_t i = 0; i < sizeof numbers; i++)
		numbers[i] = (unsigned char)(values[i / 4] >> (8 * (3 - i % 4)));
	const struct span context[] = {
		bytes_of(header->uuid, sizeof header->uuid), bytes_of(slot->id, sizeof slot->id),
		bytes_of(numbers, sizeof numbers),           bytes_of(slot->salt, sizeof slot->salt),
		bytes_of(slot->nonce, sizeof slot->nonce),
	};
	derive(derived, root, "keystile vault 1 slot", context, sizeof context / sizeof *context);
	sodium_memzero(root, sizeof root);
	return true;
}

bool vault_slot_wrap(struct vault_slot *slot, const struct vault_header *header, const struct vault_key *key,
                     const unsigned char *data_key)
{
	*slot = (struct vault_slot){.kind = key->passphrase ? VAULT_SLOT_PASSPHRASE : VAULT_SLOT_FILE};
	if (key->passphrase) {
		slot->operations = OPERATIONS;
		slot->kibibytes = KIBIBYTES;
	}
	randombytes_buf(slot->id, sizeof slot->id);
	randombytes_buf(slot->salt, sizeof slot->salt);
	randombytes_buf(slot->nonce, sizeof slot->nonce);
	struct derived derived;
	if (!derive_slot(slot, header, key, &derived))
		return false;
	memcpy(slot->commitment, derived.commitment, sizeof slot->commitment);
	crypto_aead_xchacha20poly1305_ietf_encrypt(slot->wrapped, NULL, data_key, VAULT_DATA_KEY, NULL, 0, NULL,
	                                           slot->nonce, derived.key);
	sodium_memzero(&derived, sizeof derived);
	return true;
}

enum vault_opened vault_slot_unwrap(const struct vault_slot *slot, const struct vault_header *header,
                                    const struct vault_key *key, unsigned char *data_key)
{
	if (key->passphrase != (slot->kind == VAULT_SLOT_PASSPHRASE) || !within_bounds(slot))
		return VAULT_CLOSED;
	struct derived derived;
	if (!derive_slot(slot, header, key, &derived))
		return VAULT_NO_MEMORY;
	bool opened = sodium_memcmp(derived.commitment, slot->commitment, sizeof slot->commitment) == 0 &&
	              crypto_aead_xchacha20poly1305_ietf_decrypt(data_key, NULL, NULL, slot->wrapped, sizeof slot->wrapped,
	                                                         NULL, 0, slot->nonce, derived.key) == 0;
	sodium_memzero(&derived, sizeof derived);
	return opened ? VAULT_OPENED : VAULT_CLOSED;
}

static void derive_payload(const struct vault_header *header, const unsigned char *data_key, struct derived *derived)
{
	const struct span context[] = {bytes_of(header->uuid, sizeof header->uuid),
	                               bytes_of(header->nonce, sizeof header->nonce)};
	derive(derived, data_key, "keystile vault 1 payload", context, sizeof context / sizeof *context);
}

void vault_seal(struct vault_header *header, const unsigned char *data_key, struct span text, unsigned char *file)
{
	struct derived derived;
	randombytes_buf(header->nonce, sizeof header->nonce);
	header->payload_length = (uint32_t)text.length + VAULT_TAG;
	derive_payload(header, data_key, &derived);
	memcpy(header->commitment, derived.commitment, sizeof header->commitment);
	vault_header_encode(header, file);
	size_t length = vault_header_length(header);
	crypto_aead_xchacha20poly1305_ietf_encrypt(file + length, NULL, (const unsigned char *)text.data, text.length, file,
	                                           length, NULL, header->nonce, derived.key);
	sodium_memzero(&derived, sizeof derived);
}

bool vault_unseal(const struct vault_header *header, const unsigned char *data_key, struct span file, unsigned char *text)
{
	struct derived derived;
	derive_payload(header, data_key, &derived);
	const unsigned char *bytes = (const unsigned char *)file.data;
	size_t length = vault_header_length(header);
	bool opened = sodium_memcmp(derived.commitment, header->commitment, sizeof header->commitment) == 0 &&
	              crypto_aead_xchacha20poly1305_ietf_decrypt(text, NULL, NULL, bytes + length, file.length - length,
	                                                         bytes, length, header->nonce, derived.key) == 0;
	sodium_memzero(&derived, sizeof derived);
	return opened;
}
