/* Bytes that wait: put in at the end, taken from the front, by whoever is slower. Its owner bounds how many wait; the memory
 * is the power of two above that. Pure. */
#ifndef KEYSTILE_BACKLOG_H
#define KEYSTILE_BACKLOG_H

#include "buffer.h"

struct backlog {
	struct buffer bytes;
	size_t taken; /* of `bytes` */
};

static inline size_t backlog_size(const struct backlog *backlog)
{
	return backlog->bytes.length - backlog->taken;
}

void backlog_add(struct backlog *backlog, const void *bytes, size_t size);
/* Those that wait; valid until the next call. */
struct span backlog_view(const struct backlog *backlog);
/* So many of them are done with. */
void backlog_drop(struct backlog *backlog, size_t size);
/* Copies up to `size` of them, and drops these; returns how many. */
size_t backlog_take(struct backlog *backlog, void *bytes, size_t size);
void backlog_free(struct backlog *backlog);

#endif
