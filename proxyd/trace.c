#include "trace.h"

#include <stdlib.h>
#include <time.h>

#include "memory.h"

#define TEXTS 8

uint64_t trace_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* As the record has them, cut as the audit cuts them. */
static void list_texts(const struct audit_record *record, struct span texts[TEXTS])
{
	const struct span list[TEXTS] = {
		span_of(record->profile), span_of(record->client), span_of(record->credential), record->method,
		record->host,             record->path,            span_of(record->rule),       span_of(record->reason),
	};
	for (size_t i = 0; i < TEXTS; i++)
		texts[i] = audit_cut(list[i]);
}

static const char **field_of(struct trace *trace, size_t index)
{
	const char **const fields[TEXTS] = {&trace->profile, &trace->client, &trace->credential, &trace->method,
	                                    &trace->host,    &trace->path,   &trace->rule,       &trace->reason};
	return fields[index];
}

static struct trace *with_texts(const struct trace *head, const struct span texts[TEXTS])
{
	size_t size = sizeof *head;
	for (size_t i = 0; i < TEXTS; i++)
		size += texts[i].length + 1;
	struct trace *trace = memory_resize(NULL, size, 1);
	char *at = (char *)(trace + 1);
	*trace = *head;
	for (size_t i = 0; i < TEXTS; i++) {
		*field_of(trace, i) = texts[i].data ? at : NULL;
		if (!texts[i].data)
			continue;
		memcpy(at, texts[i].data, texts[i].length);
		at += texts[i].length;
		*at++ = 0;
	}
	return trace;
}

struct trace *trace_new(const struct audit_record *record, uint64_t time, const char *state)
{
	struct span texts[TEXTS];
	struct trace head = {
		.time = time,
		.state = state,
		.way = record->way,
		.port = record->port,
		.verdict = record->verdict,
		.status = record->status,
		.bytes_up = record->bytes_up,
		.bytes_down = record->bytes_down,
	};
	memcpy(head.id, record->id, sizeof head.id);
	list_texts(record, texts);
	return with_texts(&head, texts);
}

struct trace *trace_copy(const struct trace *trace)
{
	struct span texts[TEXTS];
	struct trace head = *trace;
	for (size_t i = 0; i < TEXTS; i++)
		texts[i] = span_of(*field_of(&head, i));
	return with_texts(trace, texts);
}

void trace_ring_add(struct trace_ring *ring, struct trace *trace)
{
	free(ring->traces[ring->next]);
	ring->traces[ring->next] = trace;
	ring->next = (ring->next + 1) % TRACE_RING;
}

void trace_ring_free(struct trace_ring *ring)
{
	for (size_t i = 0; i < TRACE_RING; i++)
		free(ring->traces[i]);
}

static int compare_oldest(const void *a, const void *b)
{
	const struct trace *first = *(struct trace *const *)a, *second = *(struct trace *const *)b;
	return (first->time > second->time) - (first->time < second->time);
}

static int compare_newest(const void *a, const void *b)
{
	return compare_oldest(b, a);
}

void trace_sort(struct trace **list, size_t count, bool oldest)
{
	if (count > 0)
		qsort(list, count, sizeof *list, oldest ? compare_oldest : compare_newest);
}
