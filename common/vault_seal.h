/* The cryptography of a vault: a random data key seals the text, each slot wraps the data key.
 *
 * Every key that encrypts comes from BLAKE2b-512 over its place in the file; the other half of that digest is stored as a
 * commitment and compared first, so a ciphertext opens under one key only (XChaCha20-Poly1305 alone does not promise it).
 * The text is sealed with the whole header as associated data. Arguments marked secret are in guarded memory. */
#ifndef KEYSTILE_VAULT_SEAL_H
#define KEYSTILE_VAULT_SEAL_H

#include "keysource.h"
#include "vault_format.h"

#define VAULT_DATA_KEY 32

enum vault_opened {
	VAULT_OPENED,
	VAULT_CLOSED,    /* wrong key, or damaged: nobody can tell which */
	VAULT_NO_MEMORY, /* Argon2id did not get its 256 MiB */
};

/* Fills the slot: a new id, salt and nonce, and the wrapped data key. False where Argon2id gets no memory. */
bool vault_slot_wrap(struct vault_slot *slot, const struct vault_header *header, const struct vault_key *key,
                     const unsigned char *data_key);

/* `data_key` (secret) is set where it says VAULT_OPENED. A slot of another kind than the key is closed at once; so is one
 * whose Argon2id parameters are outside of what this program would ever write. */
enum vault_opened vault_slot_unwrap(const struct vault_slot *slot, const struct vault_header *header,
                                    const struct vault_key *key, unsigned char *data_key);

/* Seals `text` into `file`, which has room for header and payload. Sets the header's nonce, commitment and payload length. */
void vault_seal(struct vault_header *header, const unsigned char *data_key, struct span text, unsigned char *file);

/* Opens the payload of `file` into `text` (secret), which has header->payload_length - VAULT_TAG bytes. */
bool vault_unseal(const struct vault_header *header, const unsigned char *data_key, struct span file, unsigned char *text);

#endif
