#include "worker.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "connect.h"
#include "exchange.h"
#include "front_h1.h"
#include "front_h2.h"
#include "front_https.h"
#include "inquiry.h"
#include "intercept.h"
#include "linger.h"
#include "listener.h"
#include "log.h"
#include "memory.h"
#include "relay.h"
#include "sigv4.h"
#include "sniff.h"
#include "upgrade.h"
#include "upstream_h2.h"

struct snapshot *server_snapshot(struct server *server)
{
	pthread_mutex_lock(&server->snapshot_lock);
	struct snapshot *snapshot = snapshot_ref(server->snapshot);
	pthread_mutex_unlock(&server->snapshot_lock);
	return snapshot;
}

void server_count_names(struct server *server, struct snapshot *snapshot)
{
	struct shared_config *shared = snapshot->shared;
	if (server->tallies && shared && !shared->tallies)
		shared->tallies = tallies_map(server->tallies, shared->config);
}

void server_publish(struct server *server, struct snapshot *snapshot)
{
	pthread_mutex_lock(&server->snapshot_lock);
	struct snapshot *old = server->snapshot;
	server_count_names(server, snapshot);
	server->snapshot = snapshot;
	for (unsigned i = 0; i < server->worker_count; i++)
		if (server->workers[i].loop)
			loop_wake(server->workers[i].loop);
	pthread_mutex_unlock(&server->snapshot_lock);
	snapshot_unref(old);
}

void server_publish_minted(struct server *server, const struct config *config, struct minted *minted)
{
	pthread_mutex_lock(&server->making_lock);
	struct snapshot *old = server_snapshot(server);
	if (old->config == config)
		server_publish(server, snapshot_with_minted(old, minted));
	else
		minted_unref(minted);
	snapshot_unref(old);
	pthread_mutex_unlock(&server->making_lock);
}

static void end_if_drained(struct worker *worker)
{
	if (worker->draining && atomic_load(&worker->connections) == 0)
		loop_stop(worker->loop);
}

/* `last`: nobody hands us more from here on. */
static void serve_inbox(struct worker *worker, bool last)
{
	pthread_mutex_lock(&worker->inbox_lock);
	struct handed_connection *list = worker->inbox;
	worker->inbox = NULL;
	worker->inbox_closed |= last;
	pthread_mutex_unlock(&worker->inbox_lock);
	while (list) {
		struct handed_connection *handed = list;
		list = handed->next;
		listener_serve(worker, handed->listener, handed->fd, handed->client);
		free(handed);
	}
}

/* All who have connected are taken in before the first one is closed: with the last one the worker ends. */
static void begin_drain(struct worker *worker)
{
	struct server *server = worker->server;
	worker->draining = true;
	listener_accept_rest(worker);
	listener_accept_stop(worker);
	if (atomic_fetch_add(&server->drains, 1) + 1 == server->worker_count)
		for (size_t i = 0; i < server->listener_count; i++)
			listener_shut(&server->listeners[i]);
	serve_inbox(worker, true);
	upstream_pool_close_idle(worker->pool);
	upstream_h2_close_idle(worker->upstream_h2);
	sniff_drain(worker);
	connect_drain(worker);
	front_h1_drain(worker->front);
	front_https_drain(worker->front_https);
	front_h2_drain(worker->front_h2);
	end_if_drained(worker);
}

/* Of secrets that may have been replaced. */
static void forget_keys(struct worker *worker)
{
	sigv4_cache_free(worker->signing_keys);
	worker->signing_keys = NULL;
}

/* What is under way goes by them from here on, but for what has its memory by the old ones. */
static void take_limits(struct worker *worker)
{
	worker->limits = worker->snapshot->config->limits;
	const struct upstream_limits limits = upstream_limits_of(&worker->limits);
	free(worker->peek);
	worker->peek = memory_alloc((size_t)worker->limits.head + 1);
	dialer_set_limit(worker->dialer, worker->limits.connect);
	upstream_pool_set_limits(worker->pool, limits);
	upstream_h2_set_limits(worker->upstream_h2, limits);
	front_h1_take_limits(worker->front);
	front_h2_take_limits(worker->front_h2);
}

/* A reload took away what some of them stand on (SPEC §11). */
static void end_revoked(struct worker *worker)
{
	connect_end_revoked(worker);
	intercept_end_revoked(worker);
	upgrade_end_revoked(worker);
}

static void let_follow(struct worker *worker)
{
	connect_follow(worker);
	intercept_follow(worker);
	upgrade_follow(worker);
}

static void take_snapshot(struct worker *worker)
{
	struct snapshot *old = worker->snapshot;
	worker->snapshot = server_snapshot(worker->server);
	if (worker->snapshot != old) {
		forget_keys(worker);
		if (worker->snapshot->config != old->config)
			take_limits(worker);
		if (worker->snapshot->shared != old->shared)
			end_revoked(worker);
		let_follow(worker);
		exchange_resume_all(worker);
	}
	snapshot_unref(old);
}

static void on_wake(void *context)
{
	struct worker *worker = context;
	take_snapshot(worker);
	serve_inbox(worker, false);
	inquiry_answer(worker);
	if (atomic_load(&worker->drain_asked) && !worker->draining)
		begin_drain(worker);
	if (atomic_load(&worker->stop_asked))
		loop_stop(worker->loop);
}

static bool make_rooms(struct worker *worker, struct fault *fault)
{
	struct server *server = worker->server;
	if (!(worker->loop = loop_new(fault)))
		return false;
	loop_on_wake(worker->loop, on_wake, worker);
	worker->snapshot = server_snapshot(server);
	worker->limits = worker->snapshot->config->limits;
	worker->dialer = dialer_new(worker->loop, server->own_dial, server->own_dial_count, worker->limits.connect, fault);
	if (!worker->dialer)
		return false;
	const struct upstream_limits limits = upstream_limits_of(&worker->limits);
	worker->pool = upstream_pool_new(worker->loop, worker->dialer, limits);
	upstream_pool_count(worker->pool, worker->account.tally);
	worker->upstream_h2 = upstream_h2_new(worker->loop, worker->dialer, worker->pool, limits, fault);
	if (!worker->upstream_h2)
		return false;
	worker->audit = audit_writer_new(server->audit, worker->loop);
	audit_listen(worker->audit, account_note, &worker->account);
	worker->relays = relay_room_new(worker->loop);
	worker->peek = memory_alloc((size_t)worker->limits.head + 1);
	worker->front = front_h1_new(worker, fault);
	worker->front_https = front_https_new(worker);
	worker->front_h2 = worker->front ? front_h2_new(worker, fault) : NULL;
	return worker->front_h2 != NULL;
}

static void free_rooms(struct worker *worker)
{
	listener_accept_stop(worker);
	sniff_end_all(worker);
	connect_end_all(worker);
	intercept_end_all(worker);
	linger_end_all(worker);
	if (worker->front)
		front_h1_free(worker->front);
	if (worker->front_https)
		front_https_free(worker->front_https);
	upgrade_end_all(worker);
	if (worker->front_h2)
		front_h2_free(worker->front_h2);
	exchange_free_spares(worker);
	relay_room_free(worker->relays);
	sigv4_cache_free(worker->signing_keys);
	upstream_h2_free(worker->upstream_h2);
	if (worker->pool)
		upstream_pool_free(worker->pool);
	if (worker->dialer)
		dialer_free(worker->dialer);
	if (worker->audit)
		audit_writer_free(worker->audit);
	snapshot_unref(worker->snapshot);
	pthread_mutex_lock(&worker->server->snapshot_lock); /* who publishes wakes every loop that is there */
	loop_free(worker->loop);
	worker->loop = NULL;
	pthread_mutex_unlock(&worker->server->snapshot_lock);
	account_end(&worker->account);
	free(worker->peek);
	slab_free(&worker->sniff_slab);
}

static void *run(void *context)
{
	struct worker *worker = context;
	listener_accept_start(worker);
	loop_run(worker->loop);
	atomic_store(&worker->ended, true);
	inquiry_drop(worker); /* one that comes later finds that it has ended */
	kill(getpid(), SERVER_WAKE_SIGNAL);
	return NULL;
}

bool worker_prepare(struct worker *worker, struct server *server, unsigned number, struct fault *fault)
{
	worker->server = server;
	worker->number = number;
	pthread_mutex_init(&worker->inbox_lock, NULL);
	TAILQ_INIT(&worker->exchanges);
	if (server->tallies)
		account_begin(&worker->account, server->tallies, number);
	if (make_rooms(worker, fault))
		return true;
	free_rooms(worker);
	return false;
}

bool worker_start(struct worker *worker, struct fault *fault)
{
	/* Signals are the main thread's. */
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int error = pthread_create(&worker->thread, NULL, run, worker);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return error == 0 || fault_set(fault, FAULT_IO, "cannot start a worker thread: %s", strerror(error));
}

void worker_drain(struct worker *worker)
{
	atomic_store(&worker->drain_asked, true);
	loop_wake(worker->loop);
}

bool worker_has_ended(const struct worker *worker)
{
	return atomic_load(&worker->ended);
}

void worker_end(struct worker *worker)
{
	atomic_store(&worker->stop_asked, true);
	loop_wake(worker->loop);
	pthread_join(worker->thread, NULL);
	free_rooms(worker);
}

bool worker_hand(struct worker *worker, struct listener *listener, int fd, const char *client)
{
	struct handed_connection *handed = memory_alloc(sizeof *handed);
	handed->listener = listener;
	handed->fd = fd;
	snprintf(handed->client, sizeof handed->client, "%s", client);
	pthread_mutex_lock(&worker->inbox_lock);
	bool open = !worker->inbox_closed;
	if (open) {
		handed->next = worker->inbox;
		worker->inbox = handed;
		atomic_fetch_add(&worker->connections, 1);
		loop_wake(worker->loop); /* there as long as the lock is ours: with the inbox open the worker has not ended */
	}
	pthread_mutex_unlock(&worker->inbox_lock);
	if (!open)
		free(handed);
	return open;
}

static void uncount_profile(struct way *way)
{
	if (way->counted)
		atomic_fetch_sub(&way->counted->connections, 1);
	headcount_unref(way->counted);
	way->counted = NULL;
}

bool worker_admit(struct worker *worker, struct way *way, const struct snapshot *snapshot,
                  const struct config_profile *profile, struct arena *arena, struct problem *problem)
{
	struct headcount *count = snapshot->shared->headcounts[profile->number];
	uint64_t most = worker->limits.profile_connections;
	if (way->counted == count)
		return true;
	uncount_profile(way);
	if (atomic_fetch_add(&count->connections, 1) < most) {
		way->counted = headcount_ref(count);
		return true;
	}
	atomic_fetch_sub(&count->connections, 1);
	problem_set(problem, 503, "too_many_profile_connections",
	            arena_format(arena, "all %llu connections of profile %s are in use", (unsigned long long)most, profile->name),
	            "close connections that are idle, or raise limits.profile_connections");
	problem->retry_after = 1;
	return false;
}

void worker_way_over(struct way *way)
{
	uncount_profile(way);
	free(way->place);
	way->place = NULL;
}

static void note_end(struct worker *worker, const struct way *way, enum audit_verdict verdict, const char *reason,
                     unsigned status)
{
	struct audit_record record = {
		.event = "end", .kind = AUDIT_CONNECTION, .way_kind = way->kind, .client = way->client, .way = way_name(way->kind),
		.profile = way->profile,
		.verdict = verdict, .reason = reason, .status = status};
	if (way->place) {
		record.host = host_span(&way->place->target.host);
		record.port = way->place->target.port;
	}
	audit_id(worker->audit, record.id);
	audit_write(worker->audit, &record);
}

void worker_note_refusal(struct worker *worker, const struct way *way, const char *reason, unsigned status)
{
	note_end(worker, way, audit_verdict_of(status), reason, status);
}

void worker_note_failure(struct worker *worker, const struct way *way, const char *reason)
{
	note_end(worker, way, AUDIT_FAIL, reason, 0);
}

uint64_t worker_grace(const struct worker *worker, uint64_t since)
{
	uint64_t age = loop_now(worker->loop) - since;
	return age < DRAIN_GRACE ? DRAIN_GRACE - age : 0;
}

void worker_connection_closed(struct worker *worker)
{
	atomic_fetch_sub(&worker->connections, 1);
	atomic_fetch_sub(&worker->server->connections, 1);
	end_if_drained(worker);
}
