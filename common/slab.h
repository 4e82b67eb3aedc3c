/* Many small things of one size that come and go: side by side in blocks, so that a thousand of them take a thousand times
 * their size, whatever was freed around them. Blocks stay until the end. */
#ifndef KEYSTILE_SLAB_H
#define KEYSTILE_SLAB_H

#include <stddef.h>

struct slab {
	size_t size; /* of an item, set by the owner; at least a pointer's */
	void *spare; /* the first of a list */
	void *blocks;
};

void *slab_take(struct slab *slab); /* zeroed */
void slab_give(struct slab *slab, void *item);
void slab_free(struct slab *slab); /* nothing of it may be in use */

#endif
