#include "front_https_internal.h"

#include <stdlib.h>

#include "memory.h"
#include "opening.h"
#include "refusal.h"
#include "upgrade.h"

#define LAST_TIME 2000 /* ms that a client may go on sending once it has its last answer, as in front_h1 */

void front_https_soon(struct https_client *client)
{
	loop_later(client->front->worker->loop, &client->task);
}

void front_https_set_timer(struct https_client *client, uint64_t milliseconds)
{
	loop_timer_set(client->front->worker->loop, &client->timer, milliseconds);
}

void front_https_write(struct https_client *client, struct span bytes)
{
	client->gone |= outbox_write(&client->outbox, &client->end, bytes) == OUTBOX_BROKEN;
}

/* --- the end --- */

void front_https_end_exchange(struct https_client *client, bool delivered)
{
	if (client->exchange)
		exchange_end(client->exchange, delivered);
	client->exchange = NULL;
	client->responds = client->headed = client->said = client->expects = false;
	backlog_free(&client->pending);
}

/* Everything but the endpoint, the way and the count of connections. */
static void take_down(struct https_client *client)
{
	struct loop *loop = client->front->worker->loop;
	front_https_end_exchange(client, false);
	loop_watch_remove(loop, &client->watch);
	loop_timer_stop(loop, &client->timer);
	loop_later_cancel(loop, &client->task);
	LIST_REMOVE(client, others);
	backlog_free(&client->in);
	outbox_wipe(&client->outbox);
}

static void end(struct https_client *client)
{
	struct worker *worker = client->front->worker;
	take_down(client);
	worker_way_over(&client->way);
	endpoint_close(&client->end);
	free(client);
	worker_connection_closed(worker);
}

/* Not all that should have gone has, and no end may look like one. */
static void cut(struct https_client *client)
{
	endpoint_cut(&client->end);
	end(client);
}

void front_https_part(struct https_client *client)
{
	client->state = HTTPS_PARTING;
	front_https_set_timer(client, LAST_TIME);
	front_https_soon(client);
}

void front_https_refuse(struct https_client *client, const struct problem *problem)
{
	AUTO_BUFFER struct buffer out = {0};
	worker_note_refusal(client->front->worker, &client->way, problem->reason, problem->status);
	refusal_write(problem, true, &out);
	front_https_write(client, buffer_view(&out));
	front_https_part(client);
}

/* The protocol that the 101 leads to. */
static void switch_over(struct https_client *client)
{
	struct worker *worker = client->front->worker;
	struct exchange *exchange = client->exchange;
	struct endpoint end = client->end;
	AUTO_BUFFER struct buffer early = {0};
	buffer_span(&early, backlog_view(&client->in));
	client->exchange = NULL;
	take_down(client);
	upgrade_start(worker, &end, &client->way, exchange, buffer_view(&early));
	free(client);
}

/* --- one round --- */

/* The response is with the kernel: on to the next request. */
static void delivered(struct https_client *client)
{
	front_https_end_exchange(client, true);
	if (client->closes)
		front_https_part(client);
	else
		front_https_rest(client);
}

/* True where the connection is over. */
static bool parts(struct https_client *client)
{
	if (outbox_size(&client->outbox) > 0)
		return false;
	if (!client->shut)
		endpoint_shut(&client->end);
	client->shut = true;
	return client->ended && !client->unread;
}

/* Its end was told, nothing that it could take is here, and what it may have said since is of no use. */
static bool has_left(const struct https_client *client)
{
	return client->ended && outbox_size(&client->outbox) == 0 && (client->exchange || !client->unread);
}

/* Is there something that it should have got, and has not? */
static bool is_owed(const struct https_client *client)
{
	return client->exchange || outbox_size(&client->outbox) > 0;
}

static bool is_idle(const struct https_client *client)
{
	return client->state == HTTPS_HEAD && backlog_size(&client->in) == 0 && !client->unread;
}

/* Its next request may be on its way. */
static void part_soon(struct https_client *client)
{
	uint64_t grace = worker_grace(client->front->worker, client->since);
	if (grace > 0)
		front_https_set_timer(client, grace);
	else
		front_https_part(client);
}

static bool answer(struct https_client *client)
{
	client->gone |= outbox_flush(&client->outbox, &client->end) == OUTBOX_BROKEN;
	bool more = front_https_reply(client);
	if (client->said && !client->gone && outbox_size(&client->outbox) == 0)
		delivered(client);
	return more;
}

/* Reads and writes what it can; true where there is more to do, after others. */
static bool work(struct https_client *client)
{
	bool more = front_https_read(client);
	if (!client->gone)
		more |= answer(client);
	if (client->front->worker->draining && is_idle(client))
		part_soon(client);
	return more || (client->state == HTTPS_HEAD && (client->unread || backlog_size(&client->in) > client->looked));
}

/* The client may be freed behind it. */
static void serve(struct https_client *client)
{
	bool more = work(client);
	if (is_owed(client) && (client->gone || has_left(client)))
		cut(client);
	else if (client->switches)
		switch_over(client);
	else if (client->gone || (client->state == HTTPS_PARTING ? parts(client) : has_left(client)))
		end(client); /* no reset: what it was sent may still be on its way */
	else if (more)
		loop_next(client->front->worker->loop, &client->task);
}

static void run(struct loop_task *task)
{
	serve((struct https_client *)((char *)task - offsetof(struct https_client, task)));
}

static void on_socket(struct loop_watch *watch, uint32_t events)
{
	struct https_client *client = (struct https_client *)watch;
	client->ended |= (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
	client->unread = true; /* TLS may have waited for either */
	serve(client);
}

static void on_time(struct loop_timer *timer)
{
	struct https_client *client = (struct https_client *)((char *)timer - offsetof(struct https_client, timer));
	struct problem late = {0};
	if (client->expects) {
		front_https_proceed(client);
	} else if (client->shut) {
		end(client);
	} else if (client->state == HTTPS_PARTING) {
		cut(client);
	} else if (backlog_size(&client->in) > 0) {
		opening_is_late(&late);
		front_https_refuse(client, &late);
	} else {
		tally_limit_hit(client->front->worker->account.tally, TALLY_IDLE);
		front_https_part(client);
	}
}

/* --- the beginning --- */

void front_https_start(struct worker *worker, struct endpoint *end, const struct way *way)
{
	struct https_client *client = memory_alloc(sizeof *client);
	*client = (struct https_client){.watch = {.fd = -1, .ready = on_socket},
	                                .timer = {.fire = on_time},
	                                .task = {.run = run},
	                                .front = worker->front_https,
	                                .end = *end,
	                                .way = *way,
	                                .since = loop_now(worker->loop),
	                                .unread = true};
	*end = (struct endpoint){.fd = -1};
	LIST_INSERT_HEAD(&client->front->clients, client, others);
	loop_watch_add(worker->loop, &client->watch, client->end.fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	front_https_set_timer(client, worker->limits.head_time);
	front_https_soon(client);
}

struct front_https *front_https_new(struct worker *worker)
{
	struct front_https *front = memory_alloc(sizeof *front);
	front->worker = worker;
	return front;
}

void front_https_drain(struct front_https *front)
{
	struct https_client *client;
	LIST_FOREACH (client, &front->clients, others) {
		client->unread = true;
		front_https_soon(client);
	}
}

void front_https_free(struct front_https *front)
{
	while (!LIST_EMPTY(&front->clients))
		cut(LIST_FIRST(&front->clients));
	buffer_free(&front->out);
	free(front);
}
