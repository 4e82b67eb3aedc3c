#include "table.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

#include "memory.h"

struct table_slot {
	struct span key;
	void *value; /* NULL: free */
	uint64_t hash;
};

static unsigned char hash_key[crypto_shorthash_KEYBYTES];
static pthread_once_t hash_key_made = PTHREAD_ONCE_INIT;

static void make_hash_key(void)
{
	randombytes_buf(hash_key, sizeof hash_key);
}

static uint64_t hash_of(struct span key)
{
	uint64_t hash;
	crypto_shorthash((unsigned char *)&hash, (const unsigned char *)key.data, key.length, hash_key);
	return hash;
}

/* The slot that holds `key`, or the free one where it would go. */
static struct table_slot *slot_of(const struct table *table, struct span key, uint64_t hash)
{
	size_t mask = table->capacity - 1;
	for (size_t i = hash & mask;; i = (i + 1) & mask) {
		struct table_slot *slot = &table->slots[i];
		if (!slot->value || (slot->hash == hash && span_equal(slot->key, key)))
			return slot;
	}
}

static void grow(struct table *table)
{
	struct table old = *table;
	table->capacity = old.capacity ? old.capacity * 2 : 16;
	table->slots = memory_array(table->capacity, sizeof *table->slots);
	for (size_t i = 0; i < old.capacity; i++)
		if (old.slots[i].value)
			*slot_of(table, old.slots[i].key, old.slots[i].hash) = old.slots[i];
	free(old.slots);
}

void *table_put(struct table *table, struct span key, void *value)
{
	pthread_once(&hash_key_made, make_hash_key);
	if ((table->count + 1) * 4 > table->capacity * 3)
		grow(table);
	uint64_t hash = hash_of(key);
	struct table_slot *slot = slot_of(table, key, hash);
	void *before = slot->value;
	if (!before)
		table->count++;
	*slot = (struct table_slot){key, value, hash};
	return before;
}

void *table_get(const struct table *table, struct span key)
{
	return table->count ? slot_of(table, key, hash_of(key))->value : NULL;
}

/* What was pushed on by the one that goes moves up, so that no look-up ends at the hole. */
static void close_hole(struct table *table, size_t hole)
{
	size_t mask = table->capacity - 1;
	for (size_t i = (hole + 1) & mask; table->slots[i].value; i = (i + 1) & mask)
		if (((i - table->slots[i].hash) & mask) >= ((i - hole) & mask)) {
			table->slots[hole] = table->slots[i];
			hole = i;
		}
	table->slots[hole] = (struct table_slot){0};
}

void *table_remove(struct table *table, struct span key)
{
	struct table_slot *slot = table->count ? slot_of(table, key, hash_of(key)) : NULL;
	void *before = slot ? slot->value : NULL;
	if (before) {
		table->count--;
		close_hole(table, (size_t)(slot - table->slots));
	}
	return before;
}

void table_free(struct table *table)
{
	free(table->slots);
	*table = (struct table){0};
}
