/* What is under way, and what was refused last: asked of every worker through its own loop, since nobody else may look at what
 * it has. Costs a worker that nobody asks nothing. */
#ifndef KEYSTILE_INQUIRY_H
#define KEYSTILE_INQUIRY_H

#include "trace.h"
#include "worker.h"

#define INQUIRY_LIVE 200 /* told of; all are counted */

struct inquiry;

/* What the workers said that answered within a second. */
struct inquiry_result {
	struct trace **live, **refusals; /* the oldest first; the newest first, TRACE_RING at most */
	size_t live_count, live_total, refusal_count;
};

/* From admin's thread. The caller frees the result with inquiry_free(). */
void inquiry_ask(struct server *server, struct inquiry_result *result);
void inquiry_free(struct inquiry_result *result);

/* On the worker's thread: answers, if somebody asked. */
void inquiry_answer(struct worker *worker);
/* The worker has ended, as worker_has_ended() says by now: whoever asked waits no more. */
void inquiry_drop(struct worker *worker);

#endif
