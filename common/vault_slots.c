#include <sodium.h>
#include <stdio.h>
#include <time.h>

#include "memory.h"
#include "vault_private.h"

#define LABEL_LIMIT 255

static struct vault_note *note_of(const struct vault *vault, const struct vault_slot *slot)
{
	for (size_t i = 0; i < vault->text.note_count; i++)
		if (memcmp(vault->text.notes[i].id, slot->id, sizeof slot->id) == 0)
			return (struct vault_note *)&vault->text.notes[i];
	return NULL;
}

size_t vault_slot_count(const struct vault *vault)
{
	return vault->header.slot_count;
}

struct vault_slot_info vault_slot_info(const struct vault *vault, size_t index)
{
	const struct vault_slot *slot = &vault->header.slots[index];
	const struct vault_note *note = note_of(vault, slot);
	struct vault_slot_info info = {
		.passphrase = slot->kind == VAULT_SLOT_PASSPHRASE,
		.in_use = index == vault->slot_in_use,
		.added = note ? note->added : 0,
		.label = note ? note->label : SPAN(""),
	};
	for (size_t i = 0; i < sizeof slot->id; i++)
		snprintf(info.id + 2 * i, 3, "%02x", slot->id[i]);
	return info;
}

static void add_note(struct vault *vault, const struct vault_slot *slot, const char *label)
{
	struct vault_note *note = &vault->text.notes[vault->text.note_count++];
	memcpy(note->id, slot->id, sizeof note->id);
	note->added = (uint64_t)time(NULL);
	note->label = secret_arena_add(vault->arena, span_head(span_of(label), LABEL_LIMIT));
}

static bool no_memory(const struct vault *vault, struct fault *fault)
{
	return fault_set(fault, FAULT_IO, "%s: a passphrase takes 256 MiB of memory to hash, and there is less", vault->name);
}

bool vault_slot_add(struct vault *vault, const struct vault_key *key, const char *label, struct fault *fault)
{
	struct vault_header *header = &vault->header;
	if (header->slot_count == VAULT_SLOTS)
		return fault_set(fault, FAULT_USAGE, "%s: %d keys open it, and there is no room for more; remove one with: "
		                 "creds key rm ID", vault->name, VAULT_SLOTS);
	struct vault_slot *slot = &header->slots[header->slot_count];
	if (!vault_slot_wrap(slot, header, key, vault->data_key))
		return no_memory(vault, fault);
	header->slot_count++;
	add_note(vault, slot, label);
	return true;
}

static void remove_at(struct vault *vault, size_t index)
{
	struct vault_header *header = &vault->header;
	struct vault_text *text = &vault->text;
	struct vault_note *note = note_of(vault, &header->slots[index]);
	if (note)
		*note = text->notes[--text->note_count];
	header->slot_count--;
	memmove(&header->slots[index], &header->slots[index + 1], (header->slot_count - index) * sizeof *header->slots);
	if (vault->slot_in_use > index)
		vault->slot_in_use--;
}

bool vault_slot_remove(struct vault *vault, size_t index, struct fault *fault)
{
	if (index == vault->slot_in_use)
		return fault_set(fault, FAULT_USAGE, "this is the key that opened %s just now; to remove it, open with another "
		                 "one: creds --key SOURCE key rm ID", vault->name);
	remove_at(vault, index);
	return true;
}

/* The one of `keys` that opens a slot; NULL where none does. */
static const struct vault_key *key_of(const struct vault *vault, const struct vault_slot *slot,
                                      const struct vault_key *keys, size_t count)
{
	unsigned char *unwrapped = (unsigned char *)secret_arena_room(vault->arena, VAULT_DATA_KEY);
	for (size_t i = 0; i < count; i++)
		if (vault_slot_unwrap(slot, &vault->header, &keys[i], unwrapped) == VAULT_OPENED)
			return &keys[i];
	return NULL;
}

static bool wrap_again(struct vault *vault, size_t index, const struct vault_key *key, const unsigned char *data_key,
                       struct fault *fault)
{
	struct vault_slot *slot = &vault->header.slots[index];
	struct vault_note *note = note_of(vault, slot);
	if (!vault_slot_wrap(slot, &vault->header, key, data_key))
		return no_memory(vault, fault);
	if (note)
		memcpy(note->id, slot->id, sizeof note->id);
	return true;
}

bool vault_rekey(struct vault *vault, const struct vault_key *keys, size_t count, bool drop, struct fault *fault)
{
	unsigned char *data_key = (unsigned char *)secret_arena_room(vault->arena, VAULT_DATA_KEY);
	randombytes_buf(data_key, VAULT_DATA_KEY);
	for (size_t i = vault->header.slot_count; i-- > 0;) {
		const struct vault_key *key = key_of(vault, &vault->header.slots[i], keys, count);
		struct vault_slot_info info = vault_slot_info(vault, i);
		if (key && !wrap_again(vault, i, key, data_key, fault))
			return false;
		if (!key && !drop)
			return fault_set(fault, FAULT_USAGE,
			                 "key %.8s (%.*s) is not at hand: give it with --with SOURCE, or leave it out with --drop",
			                 info.id, SPAN_ARGS(info.label));
		if (!key)
			remove_at(vault, i);
	}
	vault->data_key = data_key;
	return true;
}
