#include "vault_format.h"

#include <stdlib.h>

#include "memory.h"
#include "source.h"

#define VERSION 1
#define SUITE 1 /* XChaCha20-Poly1305, BLAKE2b, Argon2id */

static const char magic[16] = "KEYSTILE VAULT\n";

/* Writes into room that the caller measured. */
struct writer {
	unsigned char *at;
};

static void put_number(struct writer *writer, uint64_t number, size_t size)
{
	for (size_t i = size; i-- > 0; number >>= 8)
		writer->at[i] = (unsigned char)number;
	writer->at += size;
}

static void put_bytes(struct writer *writer, const void *bytes, size_t size)
{
	if (size)
		memcpy(writer->at, bytes, size);
	writer->at += size;
}

/* A reader that ran over its end stays failed and gives zeros: the caller looks once, at the end. */
struct reader {
	struct span rest;
	bool failed;
};

static struct span take(struct reader *reader, size_t size)
{
	if (reader->failed || size > reader->rest.length) {
		reader->failed = true;
		return (struct span){"", 0};
	}
	struct span part = span_head(reader->rest, size);
	reader->rest = span_from(reader->rest, size);
	return part;
}

static uint64_t take_number(struct reader *reader, size_t size)
{
	uint64_t number = 0;
	struct span bytes = take(reader, size);
	for (size_t i = 0; i < bytes.length; i++)
		number = number << 8 | (unsigned char)bytes.data[i];
	return number;
}

static void take_bytes(struct reader *reader, void *out, size_t size)
{
	struct span bytes = take(reader, size);
	if (bytes.length)
		memcpy(out, bytes.data, bytes.length);
}

static void expect(struct reader *reader, bool holds)
{
	if (!holds)
		reader->failed = true;
}

size_t vault_header_length(const struct vault_header *header)
{
	return VAULT_HEADER_LEAST + (size_t)header->slot_count * VAULT_SLOT_BYTES;
}

static void put_slot(struct writer *writer, const struct vault_slot *slot)
{
	put_bytes(writer, slot->id, sizeof slot->id);
	put_number(writer, slot->kind, 4);
	put_number(writer, slot->operations, 4);
	put_number(writer, slot->kibibytes, 4);
	put_number(writer, 0, 4);
	put_bytes(writer, slot->salt, sizeof slot->salt);
	put_bytes(writer, slot->nonce, sizeof slot->nonce);
	put_bytes(writer, slot->commitment, sizeof slot->commitment);
	put_bytes(writer, slot->wrapped, sizeof slot->wrapped);
}

void vault_header_encode(const struct vault_header *header, unsigned char *out)
{
	struct writer writer = {out};
	put_bytes(&writer, magic, sizeof magic);
	put_number(&writer, VERSION, 2);
	put_number(&writer, SUITE, 2);
	put_number(&writer, vault_header_length(header), 4);
	put_number(&writer, header->generation, 8);
	put_bytes(&writer, header->uuid, sizeof header->uuid);
	put_number(&writer, header->slot_count, 4);
	put_number(&writer, header->payload_length, 4);
	put_number(&writer, 0, 8);
	put_bytes(&writer, header->nonce, sizeof header->nonce);
	put_bytes(&writer, header->commitment, sizeof header->commitment);
	for (size_t i = 0; i < header->slot_count; i++)
		put_slot(&writer, &header->slots[i]);
}

static void take_slot(struct reader *reader, struct vault_slot *slot)
{
	take_bytes(reader, slot->id, sizeof slot->id);
	slot->kind = (uint32_t)take_number(reader, 4);
	slot->operations = (uint32_t)take_number(reader, 4);
	slot->kibibytes = (uint32_t)take_number(reader, 4);
	expect(reader, take_number(reader, 4) == 0);
	take_bytes(reader, slot->salt, sizeof slot->salt);
	take_bytes(reader, slot->nonce, sizeof slot->nonce);
	take_bytes(reader, slot->commitment, sizeof slot->commitment);
	take_bytes(reader, slot->wrapped, sizeof slot->wrapped);
	expect(reader, slot->kind == VAULT_SLOT_FILE || slot->kind == VAULT_SLOT_PASSPHRASE);
}

bool vault_header_decode(struct span file, struct vault_header *header)
{
	struct reader reader = {file, false};
	*header = (struct vault_header){0};
	expect(&reader, span_equal(take(&reader, sizeof magic), (struct span){magic, sizeof magic}));
	expect(&reader, take_number(&reader, 2) == VERSION);
	expect(&reader, take_number(&reader, 2) == SUITE);
	uint64_t length = take_number(&reader, 4);
	header->generation = take_number(&reader, 8);
	take_bytes(&reader, header->uuid, sizeof header->uuid);
	uint32_t slot_count = (uint32_t)take_number(&reader, 4);
	header->payload_length = (uint32_t)take_number(&reader, 4);
	expect(&reader, take_number(&reader, 8) == 0);
	take_bytes(&reader, header->nonce, sizeof header->nonce);
	take_bytes(&reader, header->commitment, sizeof header->commitment);
	expect(&reader, slot_count >= 1 && slot_count <= VAULT_SLOTS);
	for (uint32_t i = 0; i < slot_count && !reader.failed; i++)
		take_slot(&reader, &header->slots[i]);
	header->slot_count = reader.failed ? 0 : slot_count;
	expect(&reader, length == vault_header_length(header));
	expect(&reader, header->payload_length >= VAULT_PADDING + VAULT_TAG);
	expect(&reader, header->payload_length <= VAULT_TEXT + VAULT_TAG);
	expect(&reader, header->payload_length == reader.rest.length);
	return !reader.failed;
}

static size_t entry_length(const struct vault_entry *entry)
{
	return 1 + entry->name.length + 3 * 8 + 4 + entry->value.length;
}

size_t vault_text_length(const struct vault_text *text)
{
	size_t length = 4 + 4 + 1; /* both numbers, and the byte that starts the padding */
	for (size_t i = 0; i < text->count; i++)
		length += entry_length(&text->entries[i]);
	for (size_t i = 0; i < text->note_count; i++)
		length += 8 + 8 + 1 + text->notes[i].label.length;
	return (length + VAULT_PADDING - 1) / VAULT_PADDING * VAULT_PADDING;
}

static void put_entry(struct writer *writer, const struct vault_entry *entry)
{
	put_number(writer, entry->name.length, 1);
	put_bytes(writer, entry->name.data, entry->name.length);
	put_number(writer, entry->created, 8);
	put_number(writer, entry->changed, 8);
	put_number(writer, entry->expires, 8);
	put_number(writer, entry->value.length, 4);
	put_bytes(writer, entry->value.data, entry->value.length);
}

static void put_note(struct writer *writer, const struct vault_note *note)
{
	put_bytes(writer, note->id, sizeof note->id);
	put_number(writer, note->added, 8);
	put_number(writer, note->label.length, 1);
	put_bytes(writer, note->label.data, note->label.length);
}

void vault_text_encode(const struct vault_text *text, unsigned char *out, size_t length)
{
	struct writer writer = {out};
	put_number(&writer, text->count, 4);
	for (size_t i = 0; i < text->count; i++)
		put_entry(&writer, &text->entries[i]);
	put_number(&writer, text->note_count, 4);
	for (size_t i = 0; i < text->note_count; i++)
		put_note(&writer, &text->notes[i]);
	put_number(&writer, 0x80, 1);
	memset(writer.at, 0, length - (size_t)(writer.at - out));
}

/* Sorted, so also: none twice. */
static int compare(struct span a, struct span b)
{
	int order = memcmp(a.data, b.data, a.length < b.length ? a.length : b.length);
	return order ? order : (a.length > b.length) - (a.length < b.length);
}

static void take_entry(struct reader *reader, struct vault_text *text)
{
	struct vault_entry entry;
	entry.name = take(reader, take_number(reader, 1));
	entry.created = take_number(reader, 8);
	entry.changed = take_number(reader, 8);
	entry.expires = take_number(reader, 8);
	uint64_t length = take_number(reader, 4);
	expect(reader, length >= 1 && length <= VAULT_VALUE);
	entry.value = take(reader, length);
	expect(reader, source_is_secret_name(entry.name));
	expect(reader, text->count == 0 || compare(text->entries[text->count - 1].name, entry.name) < 0);
	if (reader->failed)
		return;
	text->entries = memory_grow(text->entries, text->count, &text->capacity, sizeof *text->entries);
	text->entries[text->count++] = entry;
}

static void take_note(struct reader *reader, struct vault_note *note)
{
	take_bytes(reader, note->id, sizeof note->id);
	note->added = take_number(reader, 8);
	note->label = take(reader, take_number(reader, 1));
}

static bool is_padding(struct span rest)
{
	if (rest.length == 0 || rest.length > VAULT_PADDING || (unsigned char)rest.data[0] != 0x80)
		return false;
	for (size_t i = 1; i < rest.length; i++)
		if (rest.data[i])
			return false;
	return true;
}

bool vault_text_decode(struct span bytes, struct vault_text *text)
{
	struct reader reader = {bytes, bytes.length > VAULT_TEXT || bytes.length % VAULT_PADDING != 0};
	uint64_t count = take_number(&reader, 4);
	expect(&reader, count <= VAULT_ENTRIES);
	for (uint64_t i = 0; i < count && !reader.failed; i++)
		take_entry(&reader, text);
	uint64_t notes = take_number(&reader, 4);
	expect(&reader, notes <= VAULT_SLOTS);
	for (uint64_t i = 0; i < notes && !reader.failed; i++)
		take_note(&reader, &text->notes[text->note_count++]);
	expect(&reader, is_padding(reader.rest));
	return !reader.failed;
}

void vault_text_free(struct vault_text *text)
{
	free(text->entries);
	*text = (struct vault_text){0};
}

size_t vault_text_place(const struct vault_text *text, struct span name, bool *found)
{
	size_t low = 0, high = text->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (compare(text->entries[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*found = low < text->count && span_equal(text->entries[low].name, name);
	return low;
}
