#include "outbox.h"

enum outbox_result outbox_write(struct outbox *outbox, struct endpoint *end, struct span bytes)
{
	if (outbox_size(outbox) > 0) {
		buffer_span(&outbox->rest, bytes);
		return OUTBOX_WAITS;
	}
	ssize_t count = endpoint_write(end, bytes.data, bytes.length);
	if (count == ENDPOINT_BROKEN)
		return OUTBOX_BROKEN;
	struct span left = span_from(bytes, count > 0 ? (size_t)count : 0);
	if (left.length == 0)
		return OUTBOX_EMPTY;
	buffer_span(&outbox->rest, left);
	return outbox_flush(outbox, end); /* an edge tells of room only where there was none */
}

enum outbox_result outbox_flush(struct outbox *outbox, struct endpoint *end)
{
	while (outbox_size(outbox) > 0) {
		struct span left = span_from(buffer_view(&outbox->rest), outbox->sent);
		ssize_t count = endpoint_write(end, left.data, left.length);
		if (count < 0)
			return count == ENDPOINT_BROKEN ? OUTBOX_BROKEN : OUTBOX_WAITS;
		outbox->sent += (size_t)count;
	}
	outbox_wipe(outbox);
	return OUTBOX_EMPTY;
}

size_t outbox_size(const struct outbox *outbox)
{
	return outbox->rest.length - outbox->sent;
}

void outbox_wipe(struct outbox *outbox)
{
	buffer_wipe(&outbox->rest);
	outbox->sent = 0;
}
