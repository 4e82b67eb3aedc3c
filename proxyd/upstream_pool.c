#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "addresses.h"
#include "dial_parent.h"
#include "memory.h"
#include "upstream_connection.h"

#define SPARES_KEPT 64 /* closed connections whose memory waits for the next ones */
#define BODY_BUFFER 16384
#define IDLE_IN_ALL 1024
#define TRUSTED_IDLE 100 /* ms; a connection that was idle for longer is looked at before it is used */

/* ---- bytes ---- */

ssize_t connection_read(struct connection *connection, void *bytes, size_t size)
{
	ssize_t count = endpoint_read(&connection->end, bytes, size);
	if (count > 0 && endpoint_is_drained(&connection->end, (size_t)count, size))
		connection->can_read = connection->peer_closed;
	if (count == 0)
		connection->peer_closed = true;
	if (count < 0)
		connection->can_read = false;
	return count;
}

ssize_t connection_write(struct connection *connection, const void *bytes, size_t size)
{
	ssize_t count = endpoint_write(&connection->end, bytes, size);
	/* A record that was sent in part counts as written. */
	if (count > 0 || connection->end.tls)
		connection->sent_any = true;
	if (count < 0)
		connection->can_write = false;
	return count;
}

bool connection_is_quiet(struct connection *connection)
{
	char byte;
	if (connection->peer_closed)
		return false;
	if (connection->end.tls)
		return connection_read(connection, &byte, 1) == ENDPOINT_AGAIN;
	if (recv(connection->end.fd, &byte, 1, MSG_PEEK) >= 0 || errno != EAGAIN)
		return false;
	connection->can_read = false;
	return true;
}

void connection_close(struct connection *connection)
{
	if (connection->dial)
		dial_cancel(connection->dial);
	connection->dial = NULL;
	loop_watch_remove(connection->pool->loop, &connection->watch);
	endpoint_close(&connection->end);
}

/* ---- origins ---- */

static struct origin_pool **bucket_of(struct upstream_pool *pool, const struct destination *destination)
{
	return &pool->buckets[destination_hash(destination) % DESTINATION_BUCKETS];
}

static struct origin_pool *find_origin(struct upstream_pool *pool, const struct destination *destination)
{
	struct origin_pool *origin = *bucket_of(pool, destination);
	while (origin && !destination_equal(&origin->destination, destination))
		origin = origin->next;
	return origin;
}

/* Holds references to trust, parent and addresses, so that no others can come to the same addresses while it is compared by them. */
static struct origin_pool *make_origin(struct upstream_pool *pool, const struct destination *destination)
{
	struct origin_pool **bucket = bucket_of(pool, destination);
	struct origin_pool *origin = memory_alloc(sizeof *origin);
	origin->destination = *destination;
	origin->destination.profile = NULL;
	tls_trust_ref(origin->destination.trust);
	dial_parent_ref(origin->destination.policy.parent);
	addresses_ref(origin->destination.policy.addresses);
	LIST_INIT(&origin->idle);
	origin->next = *bucket;
	*bucket = origin;
	return origin;
}

static void leave_origin(struct connection *connection)
{
	struct origin_pool *origin = connection->origin;
	connection->origin = NULL;
	if (--origin->members > 0)
		return;
	struct origin_pool **link = bucket_of(connection->pool, &origin->destination);
	while (*link != origin)
		link = &(*link)->next;
	*link = origin->next;
	tls_trust_free(origin->destination.trust);
	dial_parent_unref(origin->destination.policy.parent);
	addresses_unref(origin->destination.policy.addresses);
	free(origin);
}

/* ---- idle connections ---- */

static void unlist_idle(struct connection *connection)
{
	LIST_REMOVE(connection, beside);
	TAILQ_REMOVE(&connection->pool->idle, connection, around);
	connection->origin->idle_count--;
	connection->pool->idle_count--;
}

struct connection *pool_take_idle(struct upstream_pool *pool, const struct destination *destination, bool look)
{
	struct origin_pool *origin = find_origin(pool, destination);
	struct connection *connection;
	while (origin && (connection = LIST_FIRST(&origin->idle))) {
		bool last = origin->members == 1;
		bool trusted = !look && loop_now(pool->loop) - connection->idle_since < TRUSTED_IDLE;
		if (trusted || connection_is_quiet(connection)) {
			unlist_idle(connection);
			connection->state = CONNECTION_HEAD;
			return connection;
		}
		pool_discard(connection);
		if (last)
			return NULL;
	}
	return NULL;
}

void pool_keep(struct connection *connection)
{
	struct upstream_pool *pool = connection->pool;
	struct origin_pool *origin = connection->origin;
	if (origin->idle_count >= pool->limits.idle_connections) {
		pool_discard(connection);
		return;
	}
	if (pool->idle_count >= IDLE_IN_ALL)
		pool_discard(TAILQ_FIRST(&pool->idle));
	connection->state = CONNECTION_IDLE;
	connection->idle_since = loop_now(pool->loop);
	LIST_INSERT_HEAD(&origin->idle, connection, beside);
	TAILQ_INSERT_TAIL(&pool->idle, connection, around);
	origin->idle_count++;
	pool->idle_count++;
	loop_timer_set(pool->loop, &connection->timer, pool->limits.idle);
}

void pool_discard(struct connection *connection)
{
	struct upstream_pool *pool = connection->pool;
	if (connection->state == CONNECTION_IDLE)
		unlist_idle(connection);
	connection_close(connection);
	loop_timer_stop(pool->loop, &connection->timer);
	loop_later_cancel(pool->loop, &connection->task);
	leave_origin(connection);
	tally_uncount(pool->tally, TALLY_UPSTREAM_NOW);
	connection->state = CONNECTION_SPARE;
	LIST_INSERT_HEAD(&pool->spare, connection, spare);
	/* Not at once: whoever called may still look at it. */
	if (++pool->spare_count > SPARES_KEPT)
		loop_later(pool->loop, &pool->trim);
}

static void free_spare(struct upstream_pool *pool)
{
	struct connection *connection = LIST_FIRST(&pool->spare);
	LIST_REMOVE(connection, spare);
	pool->spare_count--;
	buffer_wipe(&connection->out);
	arena_free(&connection->arena);
	free(connection->in);
	free(connection);
}

/* What a rush has left behind goes back. */
static void trim_spares(struct loop_task *task)
{
	struct upstream_pool *pool = (struct upstream_pool *)((char *)task - offsetof(struct upstream_pool, trim));
	while (pool->spare_count > SPARES_KEPT)
		free_spare(pool);
}

/* ---- a connection's life ---- */

static void advance_handshake(struct connection *connection)
{
	struct fault fault = FAULT_INIT;
	switch (tls_handshake(connection->end.tls, &fault)) {
	case TLS_OK:
		h1_established(connection);
		return;
	case TLS_WANT_READ:
	case TLS_WANT_WRITE:
		return;
	case TLS_CLOSED:
	case TLS_FAILED:
		break;
	}
	h1_failed(connection, upstream_tls_failure(&fault), "%.100s: %.200s", connection_host(connection), fault.text);
}

static void unwatchable(struct connection *connection)
{
	connection->error.dial = DIAL_RESOURCES;
	h1_failed(connection, UPSTREAM_DIAL, "the system has no room to watch one more connection");
}

static void ready(struct loop_watch *watch, uint32_t events)
{
	struct connection *connection = CONNECTION_OF(watch, watch);
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		connection->peer_closed = connection->can_read = true;
	if (events & EPOLLIN)
		connection->can_read = true;
	if (events & EPOLLOUT)
		connection->can_write = true;
	switch (connection->state) {
	case CONNECTION_HANDSHAKE:
	case CONNECTION_HEAD:
	case CONNECTION_BODY:
		if (events == EPOLLERR)
			unwatchable(connection);
		else if (connection->state == CONNECTION_HANDSHAKE)
			advance_handshake(connection);
		else
			h1_advance(connection);
		break;
	case CONNECTION_IDLE:
		/* The edge may belong to bytes that were read before it was told. */
		if (connection->can_read && !connection_is_quiet(connection))
			pool_discard(connection);
		break;
	case CONNECTION_SPARE:
	case CONNECTION_DIALLING:
	case CONNECTION_FAILED:
		break;
	}
}

static void timer_fired(struct loop_timer *timer)
{
	struct connection *connection = CONNECTION_OF(timer, timer);
	if (connection->state == CONNECTION_IDLE)
		pool_discard(connection);
	else if (connection->state == CONNECTION_HANDSHAKE)
		h1_failed(connection, UPSTREAM_HANDSHAKE_TIME, "%.100s did not finish the TLS handshake within %g s",
		          connection_host(connection), (double)connection->pool->limits.handshake / 1000);
}

static void start_handshake(struct connection *connection)
{
	struct fault fault = FAULT_INIT;
	const struct destination *to = &connection->origin->destination;
	connection->end.tls = tls_client_new(to->trust, connection->end.fd, to->host.name, false, &fault);
	if (!connection->end.tls) {
		h1_failed(connection, UPSTREAM_TLS, "%.300s", fault.text);
		return;
	}
	connection->state = CONNECTION_HANDSHAKE;
	loop_timer_set(connection->pool->loop, &connection->timer, connection->pool->limits.handshake);
	advance_handshake(connection);
}

static void watch(struct connection *connection)
{
	loop_watch_add(connection->pool->loop, &connection->watch, connection->end.fd,
	               EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

static void dialled(void *context, const struct dial_result *result)
{
	struct connection *connection = context;
	connection->dial = NULL;
	if (result->failure != DIAL_OK) {
		connection->error.dial = result->failure;
		h1_failed(connection, UPSTREAM_DIAL, "%s", result->text);
		return;
	}
	connection->end.fd = result->fd;
	connection->can_write = true;
	watch(connection);
	if (connection->origin->destination.tls)
		start_handshake(connection);
	else
		h1_established(connection);
}

static struct connection *take_spare(struct upstream_pool *pool)
{
	struct connection *connection = LIST_FIRST(&pool->spare);
	if (connection) {
		LIST_REMOVE(connection, spare);
		pool->spare_count--;
		return connection;
	}
	connection = memory_alloc(sizeof *connection);
	connection->pool = pool;
	connection->end.fd = -1;
	connection->watch = (struct loop_watch){.fd = -1, .ready = ready};
	connection->timer.fire = timer_fired;
	connection->task.run = h1_run_task;
	return connection;
}

/* It has room for a head of the limit, and content behind that. */
static void take_limits(struct connection *connection)
{
	size_t size = connection->pool->limits.head.head + BODY_BUFFER;
	connection->head_limits = connection->pool->limits.head;
	if (size == connection->in_size)
		return;
	connection->in = memory_resize(connection->in, size, 1);
	connection->in_size = size;
}

static struct connection *take_member(struct upstream_pool *pool, const struct destination *destination)
{
	struct connection *connection = take_spare(pool);
	struct origin_pool *origin = find_origin(pool, destination);
	connection->origin = origin ? origin : make_origin(pool, destination);
	connection->origin->members++;
	take_limits(connection);
	tally_count(pool->tally, TALLY_UPSTREAM_NOW);
	connection->can_read = connection->can_write = connection->peer_closed = false;
	return connection;
}

void upstream_pool_adopt(struct upstream_pool *pool, const struct destination *destination, struct endpoint *end)
{
	struct connection *connection = take_member(pool, destination);
	connection->end = *end;
	*end = (struct endpoint){.fd = -1};
	/* What came before the watch is told by it. */
	connection->can_write = true;
	watch(connection);
	pool_keep(connection);
}

struct connection *pool_connect(struct upstream_pool *pool, const struct destination *destination)
{
	struct connection *connection = take_member(pool, destination);
	tally_count(pool->tally, TALLY_UPSTREAM_NEW);
	connection->state = CONNECTION_DIALLING;
	connection->dial = dial_start(pool->dialer, &destination->host, destination->port, destination->policy,
	                              destination->profile, dialled, connection);
	return connection;
}

struct upstream_limits upstream_limits_of(const struct config_limits *limits)
{
	return (struct upstream_limits){
		.head = {.head = (size_t)limits->head, .fields = (size_t)limits->fields},
		.handshake = limits->handshake,
		.idle = limits->idle,
		.idle_connections = 512,
	};
}

void upstream_pool_set_limits(struct upstream_pool *pool, struct upstream_limits limits)
{
	pool->limits = limits;
}

struct upstream_pool *upstream_pool_new(struct loop *loop, struct dialer *dialer, struct upstream_limits limits)
{
	struct upstream_pool *pool = memory_alloc(sizeof *pool);
	pool->loop = loop;
	pool->dialer = dialer;
	pool->limits = limits;
	TAILQ_INIT(&pool->idle);
	LIST_INIT(&pool->spare);
	pool->trim.run = trim_spares;
	return pool;
}

void upstream_pool_count(struct upstream_pool *pool, struct tally *tally)
{
	pool->tally = tally;
}

struct tally *upstream_pool_tally(const struct upstream_pool *pool)
{
	return pool->tally;
}

void upstream_pool_close_idle(struct upstream_pool *pool)
{
	while (!TAILQ_EMPTY(&pool->idle))
		pool_discard(TAILQ_FIRST(&pool->idle));
}

void upstream_pool_free(struct upstream_pool *pool)
{
	if (!pool)
		return;
	upstream_pool_close_idle(pool);
	loop_later_cancel(pool->loop, &pool->trim);
	while (!LIST_EMPTY(&pool->spare))
		free_spare(pool);
	free(pool);
}
