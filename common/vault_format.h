/* The bytes of a vault file (SPEC §10): layout only, no I/O, no keys, no clock. What it decodes may be anybody's.
 *
 *   0 magic "KEYSTILE VAULT\n" NUL     32 UUID (16)                  88 commitment to the data key (32)
 *  16 version (2) = 1, suite (2) = 1   48 number of slots (4)       120 slots of 144 bytes
 *  20 length of the header (4)         52 length of the payload (4)  ... payload, sealed: text + 16
 *  24 generation (8)                   56 reserved (8), zero         64 nonce of the payload (24)
 *
 *  A slot: id (8), kind (4), Argon2id operations (4) and KiB (4), reserved (4), salt (16), nonce (24), commitment (32),
 *  wrapped data key (32 + 16). Numbers are big-endian.
 *
 *  The payload's text: number of entries (4); each: length (1) and name, created, changed, expires (8 each, seconds since
 *  1970, 0: none), length (4) and value; number of notes (4); each: slot id (8), added (8), length (1) and label; then
 *  0x80 and zeros up to a multiple of VAULT_PADDING. Entries are sorted by name. */
#ifndef KEYSTILE_VAULT_FORMAT_H
#define KEYSTILE_VAULT_FORMAT_H

#include <stdint.h>

#include "span.h"

#define VAULT_SLOTS 8                      /* keys that may open one vault */
#define VAULT_ENTRIES 4096
#define VAULT_VALUE (64 * 1024)            /* bytes of one value */
#define VAULT_TEXT (2 * 1024 * 1024)       /* bytes of the payload's text: it has to fit in locked memory, twice */
#define VAULT_PADDING 4096                 /* what an onlooker sees of the payload's size */
#define VAULT_TAG 16
#define VAULT_HEADER_LEAST 120
#define VAULT_SLOT_BYTES 144
#define VAULT_FILE_LIMIT (VAULT_HEADER_LEAST + VAULT_SLOTS * VAULT_SLOT_BYTES + VAULT_TEXT + VAULT_TAG)

enum vault_slot_kind { VAULT_SLOT_FILE = 1, VAULT_SLOT_PASSPHRASE = 2 };

struct vault_slot {
	unsigned char id[8];
	uint32_t kind, operations, kibibytes;
	unsigned char salt[16], nonce[24], commitment[32], wrapped[48];
};

struct vault_header {
	uint64_t generation;
	unsigned char uuid[16], nonce[24], commitment[32];
	uint32_t payload_length; /* sealed */
	uint32_t slot_count;
	struct vault_slot slots[VAULT_SLOTS];
};

size_t vault_header_length(const struct vault_header *header);

/* Writes vault_header_length() bytes. */
void vault_header_encode(const struct vault_header *header, unsigned char *out);

/* `file` is the whole file: lengths must agree with it to the byte. */
bool vault_header_decode(struct span file, struct vault_header *header);

/* One secret. The spans point into the memory that the text was decoded from, or that a caller put there. */
struct vault_entry {
	struct span name, value;
	uint64_t created, changed, expires;
};

/* What a slot is for, in the operator's words. */
struct vault_note {
	unsigned char id[8];
	uint64_t added;
	struct span label; /* at most 255 bytes */
};

struct vault_text {
	struct vault_entry *entries; /* sorted by name; malloc'ed */
	size_t count, capacity;
	struct vault_note notes[VAULT_SLOTS];
	size_t note_count;
};

/* The length of the text, padded. */
size_t vault_text_length(const struct vault_text *text);

/* Writes `length` bytes, which is what vault_text_length() said. */
void vault_text_encode(const struct vault_text *text, unsigned char *out, size_t length);

/* False where the bytes are no text that vault_text_encode() could have written. `text` starts as zeros, and is freed by
 * vault_text_free() either way. */
bool vault_text_decode(struct span bytes, struct vault_text *text);
void vault_text_free(struct vault_text *text);

/* Where the entry `name` is, or where it would go. */
size_t vault_text_place(const struct vault_text *text, struct span name, bool *found);

#endif
