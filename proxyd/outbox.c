#include "outbox.h"

enum outbox_result outbox_write(struct outbox *outbox, struct endpoint *end, struct span bytes)
{
	if (outbox_size(outbox) > 0) {
		backlog_add(&outbox->rest, bytes.data, bytes.length);
		return OUTBOX_WAITS;
	}
	ssize_t count = endpoint_write(end, bytes.data, bytes.length);
	if (count == ENDPOINT_BROKEN)
		return OUTBOX_BROKEN;
	struct span left = span_from(bytes, count > 0 ? (size_t)count : 0);
	if (left.length == 0)
		return OUTBOX_EMPTY;
	backlog_add(&outbox->rest, left.data, left.length);
	return outbox_flush(outbox, end); /* an edge tells of room only where there was none */
}

enum outbox_result outbox_flush(struct outbox *outbox, struct endpoint *end)
{
	while (outbox_size(outbox) > 0) {
		struct span left = backlog_view(&outbox->rest);
		ssize_t count = endpoint_write(end, left.data, left.length);
		if (count < 0)
			return count == ENDPOINT_BROKEN ? OUTBOX_BROKEN : OUTBOX_WAITS;
		backlog_drop(&outbox->rest, (size_t)count);
	}
	outbox_wipe(outbox);
	return OUTBOX_EMPTY;
}

size_t outbox_size(const struct outbox *outbox)
{
	return backlog_size(&outbox->rest);
}

void outbox_wipe(struct outbox *outbox)
{
	buffer_wipe(&outbox->rest.bytes);
	backlog_free(&outbox->rest);
}
