/* What is told of one request, tunnel or refusal in /status: a copy of its audit record, and the ring of the last refusals.
 *
 * It holds what the audit shows, cut as there, so it holds no secret and no query. */
#ifndef KEYSTILE_TRACE_H
#define KEYSTILE_TRACE_H

#include "audit.h"

struct trace {
	uint64_t time;          /* milliseconds since 1970: a refusal's, or the beginning of what is under way */
	const char *state;      /* under way: static; else NULL */
	const char *way;        /* static */
	const char *profile, *client, *credential, *method, *host, *path, *rule, *reason; /* NULL: not there */
	char id[20];
	uint16_t port;
	enum audit_verdict verdict;
	unsigned status;
	uint64_t bytes_up, bytes_down;
};

uint64_t trace_now(void); /* as `time` is */
/* One block, with all its texts: free() frees it. */
struct trace *trace_new(const struct audit_record *record, uint64_t time, const char *state);
struct trace *trace_copy(const struct trace *trace);

#define TRACE_RING 100

/* The last of one worker, who alone touches it. */
struct trace_ring {
	struct trace *traces[TRACE_RING];
	size_t next; /* where the next one goes, in place of the oldest */
};

void trace_ring_add(struct trace_ring *ring, struct trace *trace); /* taken over */
void trace_ring_free(struct trace_ring *ring);

/* The newest first; with `oldest`, the oldest. */
void trace_sort(struct trace **list, size_t count, bool oldest);

#endif
