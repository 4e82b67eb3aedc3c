#include "inquiry.h"

#include <stdlib.h>

#include "account.h"
#include "connect.h"
#include "exchange.h"
#include "intercept.h"
#include "memory.h"
#include "monotonic.h"
#include "upgrade.h"

#define PATIENCE 1000 /* ms */

/* Shared by who asks and the workers that were asked; the last one frees it. One that comes late finds it closed. */
struct inquiry {
	atomic_uint references;
	pthread_mutex_t lock;
	pthread_cond_t answered;
	unsigned missing;
	bool closed;
	struct inquiry_result result;
};

static void unref(struct inquiry *inquiry)
{
	if (atomic_fetch_sub(&inquiry->references, 1) != 1)
		return;
	pthread_cond_destroy(&inquiry->answered);
	pthread_mutex_destroy(&inquiry->lock);
	free(inquiry);
}

static void append(struct trace ***list, size_t *count, struct trace **more, size_t more_count)
{
	if (more_count > 0) {
		*list = memory_resize(*list, *count + more_count, sizeof **list);
		memcpy(*list + *count, more, more_count * sizeof *more);
	}
	*count += more_count;
}

static void merge(struct inquiry_result *into, struct inquiry_result *from)
{
	append(&into->live, &into->live_count, from->live, from->live_count);
	append(&into->refusals, &into->refusal_count, from->refusals, from->refusal_count);
	into->live_total += from->live_total;
	free(from->live);
	free(from->refusals);
	*from = (struct inquiry_result){0};
}

/* --- on the worker's thread --- */

static void add_live(void *context, const struct audit_record *record, const char *state)
{
	struct inquiry_result *result = context;
	if (result->live_total++ >= INQUIRY_LIVE)
		return;
	result->live[result->live_count++] = trace_new(record, trace_now() - record->total_us / 1000, state);
}

/* Newest first: of what has the same time that order stays. */
static void list_refusals(const struct trace_ring *ring, struct inquiry_result *result)
{
	result->refusals = memory_array(TRACE_RING, sizeof *result->refusals);
	for (size_t i = 0; i < TRACE_RING; i++) {
		const struct trace *trace = ring->traces[(ring->next + TRACE_RING - 1 - i) % TRACE_RING];
		if (trace)
			result->refusals[result->refusal_count++] = trace_copy(trace);
	}
}

static void look(struct worker *worker, struct inquiry_result *result)
{
	result->live = memory_array(INQUIRY_LIVE, sizeof *result->live);
	exchange_list(worker, add_live, result);
	connect_list(worker, add_live, result);
	intercept_list(worker, add_live, result);
	upgrade_list(worker, add_live, result);
	list_refusals(&worker->account.refusals, result);
}

static void give(struct inquiry *inquiry, struct inquiry_result *result)
{
	pthread_mutex_lock(&inquiry->lock);
	if (!inquiry->closed)
		merge(&inquiry->result, result);
	inquiry->missing--;
	pthread_cond_signal(&inquiry->answered);
	pthread_mutex_unlock(&inquiry->lock);
	inquiry_free(result);
	unref(inquiry);
}

void inquiry_answer(struct worker *worker)
{
	struct inquiry *inquiry = atomic_exchange(&worker->asked, NULL);
	struct inquiry_result result = {0};
	if (!inquiry)
		return;
	look(worker, &result);
	give(inquiry, &result);
}

void inquiry_drop(struct worker *worker)
{
	struct inquiry *inquiry = atomic_exchange(&worker->asked, NULL);
	struct inquiry_result nothing = {0};
	if (inquiry)
		give(inquiry, &nothing);
}

/* --- on the thread of who asks --- */

/* Where the worker ends meanwhile, one of the two drops it: `ended` is set before the worker looks, and looked at here after
 * the inquiry was put. */
static void ask(struct inquiry *inquiry, struct worker *worker)
{
	struct inquiry_result nothing = {0};
	atomic_fetch_add(&inquiry->references, 1);
	pthread_mutex_lock(&inquiry->lock);
	inquiry->missing++;
	pthread_mutex_unlock(&inquiry->lock);
	struct inquiry *old = atomic_exchange(&worker->asked, inquiry);
	if (old)
		give(old, &nothing);
	if (worker_has_ended(worker))
		inquiry_drop(worker);
	else
		loop_wake(worker->loop);
}

/* Under the lock a loop that is there stays there. */
static void ask_all(struct server *server, struct inquiry *inquiry)
{
	pthread_mutex_lock(&server->snapshot_lock);
	for (unsigned i = 0; i < server->worker_count; i++)
		if (server->workers[i].loop)
			ask(inquiry, &server->workers[i]);
	pthread_mutex_unlock(&server->snapshot_lock);
}

static void await(struct inquiry *inquiry, struct inquiry_result *result)
{
	uint64_t end = monotonic_ms() + PATIENCE;
	pthread_mutex_lock(&inquiry->lock);
	for (uint64_t now = monotonic_ms(); inquiry->missing > 0 && now < end; now = monotonic_ms())
		monotonic_wait(&inquiry->answered, &inquiry->lock, end - now);
	inquiry->closed = true;
	*result = inquiry->result;
	pthread_mutex_unlock(&inquiry->lock);
}

static struct inquiry *begin(void)
{
	struct inquiry *inquiry = memory_alloc(sizeof *inquiry);
	atomic_init(&inquiry->references, 1);
	pthread_mutex_init(&inquiry->lock, NULL);
	pthread_cond_init(&inquiry->answered, NULL);
	return inquiry;
}

/* The first ones stay. */
static void cut(struct trace **list, size_t *count, size_t most)
{
	while (*count > most)
		free(list[--*count]);
}

void inquiry_ask(struct server *server, struct inquiry_result *result)
{
	struct inquiry *inquiry = begin();
	ask_all(server, inquiry);
	await(inquiry, result);
	unref(inquiry);
	trace_sort(result->live, result->live_count, true);
	trace_sort(result->refusals, result->refusal_count, false);
	cut(result->live, &result->live_count, INQUIRY_LIVE);
	cut(result->refusals, &result->refusal_count, TRACE_RING);
}

void inquiry_free(struct inquiry_result *result)
{
	cut(result->live, &result->live_count, 0);
	cut(result->refusals, &result->refusal_count, 0);
	free(result->live);
	free(result->refusals);
}
