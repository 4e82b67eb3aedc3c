/* A hash table from byte strings to pointers: look-ups are flat in the number of entries.
 *
 * Keys are hashed with SipHash under a random key of the process, so nobody outside can choose collisions. The table
 * copies no key: they must outlive it. Values are the caller's. Reading from many threads is safe while nobody writes. */
#ifndef KEYSTILE_TABLE_H
#define KEYSTILE_TABLE_H

#include <stddef.h>

#include "span.h"

struct table_slot;

struct table {
	struct table_slot *slots; /* NULL while empty */
	size_t count, capacity;
};

/* Sets `key` to `value` (not NULL) and returns the value it had before, or NULL. */
void *table_put(struct table *table, struct span key, void *value);
void *table_get(const struct table *table, struct span key); /* NULL where there is none */
void *table_remove(struct table *table, struct span key);           /* the value it had, or NULL */
void table_free(struct table *table);                         /* neither keys nor values */

#endif
