/* What is written to an endpoint: as much as it takes goes at once, the rest waits here for the next edge. Its owner looks at
 * how much waits before it writes more. */
#ifndef KEYSTILE_OUTBOX_H
#define KEYSTILE_OUTBOX_H

#include "backlog.h"
#include "endpoint.h"

struct outbox {
	struct backlog rest;
};

enum outbox_result {
	OUTBOX_EMPTY,  /* nothing waits: more may be written */
	OUTBOX_WAITS,  /* for the endpoint */
	OUTBOX_BROKEN, /* the endpoint is ENDPOINT_BROKEN: nothing will ever go */
};

/* Behind what waits already. `bytes` are copied where they have to wait. */
enum outbox_result outbox_write(struct outbox *outbox, struct endpoint *end, struct span bytes);
/* Once the endpoint may take more. */
enum outbox_result outbox_flush(struct outbox *outbox, struct endpoint *end);
size_t outbox_size(const struct outbox *outbox); /* bytes that wait */
/* Frees what waits, zeroed. */
void outbox_wipe(struct outbox *outbox);

#endif
