#include "slab.h"

#include <string.h>

#include "memory.h"

#define ITEMS 32

/* In front of a block's items stands the pointer to the block before. */
static size_t head_size(void)
{
	return _Alignof(max_align_t) > sizeof(void *) ? _Alignof(max_align_t) : sizeof(void *);
}

static void add_block(struct slab *slab)
{
	size_t size = (slab->size + head_size() - 1) / head_size() * head_size();
	char *block = memory_alloc(head_size() + ITEMS * size);
	*(void **)block = slab->blocks;
	slab->blocks = block;
	for (size_t i = ITEMS; i-- > 0;)
		slab_give(slab, block + head_size() + i * size);
}

void *slab_take(struct slab *slab)
{
	if (!slab->spare)
		add_block(slab);
	void *item = slab->spare;
	slab->spare = *(void **)item;
	return memset(item, 0, slab->size);
}

void slab_give(struct slab *slab, void *item)
{
	*(void **)item = slab->spare;
	slab->spare = item;
}

void slab_free(struct slab *slab)
{
	while (slab->blocks) {
		void *block = slab->blocks;
		slab->blocks = *(void **)block;
		free(block);
	}
	slab->spare = NULL;
}
