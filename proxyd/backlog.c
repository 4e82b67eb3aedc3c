#include "backlog.h"

/* What was taken makes room before any is asked for: else a backlog that never runs empty would grow with all that passes. */
static void close_up(struct backlog *backlog, size_t size)
{
	struct buffer *bytes = &backlog->bytes;
	if (backlog->taken == 0 || bytes->length + size < bytes->capacity)
		return;
	bytes->length -= backlog->taken;
	memmove(bytes->data, bytes->data + backlog->taken, bytes->length);
	backlog->taken = 0;
}

void backlog_add(struct backlog *backlog, const void *bytes, size_t size)
{
	close_up(backlog, size);
	buffer_append(&backlog->bytes, bytes, size);
}

struct span backlog_view(const struct backlog *backlog)
{
	return span_from(buffer_view(&backlog->bytes), backlog->taken);
}

void backlog_drop(struct backlog *backlog, size_t size)
{
	backlog->taken += size;
	if (backlog_size(backlog) > 0)
		return;
	buffer_clear(&backlog->bytes);
	backlog->taken = 0;
}

size_t backlog_take(struct backlog *backlog, void *bytes, size_t size)
{
	struct span waiting = span_head(backlog_view(backlog), size);
	if (waiting.length == 0)
		return 0;
	memcpy(bytes, waiting.data, waiting.length);
	backlog_drop(backlog, waiting.length);
	return waiting.length;
}

void backlog_free(struct backlog *backlog)
{
	buffer_free(&backlog->bytes);
	backlog->taken = 0;
}
