/* Who gets which connection: the origins, the requests that wait, and the origins that speak HTTP/1.1 only. */
#include <stdlib.h>

#include "addresses.h"
#include "dial_parent.h"
#include "memory.h"
#include "upstream_h2_internal.h"

#define CONNECTIONS_MOST 32           /* to one origin; what comes when all their streams are in use goes by HTTP/1.1 */
#define PLAIN_TIME (5 * 60 * 1000)    /* ms after which an origin that spoke HTTP/1.1 is asked again */
#define PLAIN_MOST 512                /* that are remembered */

static struct h2_origin **bucket_of(struct upstream_h2 *room, const struct destination *destination)
{
	return &room->buckets[destination_hash(destination) % DESTINATION_BUCKETS];
}

static struct h2_origin *find(struct upstream_h2 *room, const struct destination *destination)
{
	struct h2_origin *origin = *bucket_of(room, destination);
	while (origin && !destination_equal(&origin->destination, destination))
		origin = origin->next;
	return origin;
}

struct h2_origin *h2_origin_get(struct upstream_h2 *room, const struct destination *destination)
{
	struct h2_origin *origin = find(room, destination);
	if (origin)
		return origin;
	struct h2_origin **bucket = bucket_of(room, destination);
	origin = memory_alloc(sizeof *origin);
	origin->room = room;
	origin->destination = *destination;
	origin->destination.profile = NULL;
	tls_trust_ref(origin->destination.trust);
	dial_parent_ref(origin->destination.policy.parent);
	addresses_ref(origin->destination.policy.addresses);
	LIST_INIT(&origin->connections);
	TAILQ_INIT(&origin->waiting);
	origin->next = *bucket;
	*bucket = origin;
	return origin;
}

static void free_unused(struct h2_origin *origin)
{
	if (origin->connection_count > 0 || origin->plain_until || !TAILQ_EMPTY(&origin->waiting))
		return;
	struct h2_origin **link = bucket_of(origin->room, &origin->destination);
	while (*link != origin)
		link = &(*link)->next;
	*link = origin->next;
	tls_trust_free(origin->destination.trust);
	dial_parent_unref(origin->destination.policy.parent);
	addresses_unref(origin->destination.policy.addresses);
	free(origin);
}

/* ---- HTTP/1.1 only ---- */

bool upstream_h2_offers(struct upstream_h2 *room, const struct destination *destination)
{
	const struct h2_origin *origin = destination->tls ? find(room, destination) : NULL;
	return destination->tls && (!origin || !origin->plain_until);
}

static void set_forget(struct upstream_h2 *room)
{
	const struct h2_origin *first = TAILQ_FIRST(&room->plain);
	uint64_t now = loop_now(room->loop);
	if (first)
		loop_timer_set(room->loop, &room->forget, first->plain_until > now ? first->plain_until - now : 0);
	else
		loop_timer_stop(room->loop, &room->forget);
}

static void forget(struct h2_origin *origin)
{
	origin->plain_until = 0;
	TAILQ_REMOVE(&origin->room->plain, origin, others);
	origin->room->plain_count--;
}

static void forget_first(struct upstream_h2 *room)
{
	struct h2_origin *first = TAILQ_FIRST(&room->plain);
	forget(first);
	free_unused(first);
	set_forget(room);
}

void h2_origin_remember(struct h2_origin *origin)
{
	struct upstream_h2 *room = origin->room;
	if (origin->plain_until)
		forget(origin);
	else if (room->plain_count >= PLAIN_MOST)
		forget_first(room);
	origin->plain_until = loop_now(room->loop) + PLAIN_TIME;
	TAILQ_INSERT_TAIL(&room->plain, origin, others);
	room->plain_count++;
	set_forget(room);
}

void h2_origin_forget_first(struct loop_timer *timer)
{
	forget_first((struct upstream_h2 *)((char *)timer - offsetof(struct upstream_h2, forget)));
}

void h2_origin_forget_all(struct upstream_h2 *room)
{
	while (!TAILQ_EMPTY(&room->plain))
		forget_first(room);
}

/* ---- connections for those who wait ---- */

static bool is_too_old(const struct h2_connection *connection, const struct h2_request *request)
{
	return request->fresh && connection->opened > 0;
}

static struct h2_connection *find_room(const struct h2_origin *origin, const struct h2_request *request)
{
	struct h2_connection *connection;
	LIST_FOREACH (connection, &origin->connections, others)
		if (h2_connection_takes_one(connection) && !is_too_old(connection, request))
			return connection;
	return NULL;
}

/* Will it have a stream for the request? One that has none open, and gives none, is no worse than another would be. */
static bool is_awaited(const struct h2_connection *connection, const struct h2_request *request)
{
	if (connection->state < H2_OPEN)
		return true;
	return h2_connection_is_open(connection) && !is_too_old(connection, request) &&
	       (!connection->greeted || connection->streams == 0);
}

static bool needs_connection(const struct h2_origin *origin, const struct h2_request *request)
{
	const struct h2_connection *connection;
	LIST_FOREACH (connection, &origin->connections, others)
		if (is_awaited(connection, request))
			return false;
	return true;
}

void h2_origin_serve(struct h2_origin *origin)
{
	struct h2_request *request;
	struct h2_connection *connection;
	while ((request = TAILQ_FIRST(&origin->waiting)) && (connection = find_room(origin, request))) {
		TAILQ_REMOVE(&origin->waiting, request, in_line);
		h2_request_open(request, connection);
	}
	if (!request || !needs_connection(origin, request))
		free_unused(origin);
	else if (origin->connection_count < CONNECTIONS_MOST)
		h2_connect(origin, request->profile);
	else /* an agent that keeps streams open keeps no other one waiting */
		h2_origin_fail(origin, UPSTREAM_ONLY_H1, DIAL_OK, "the upstream has no stream to spare");
}

void h2_origin_fail(struct h2_origin *origin, enum upstream_failure failure, enum dial_failure dial, const char *text)
{
	struct h2_request *request;
	while ((request = TAILQ_FIRST(&origin->waiting))) {
		request->error.dial = dial;
		h2_request_fail(request, failure, "%s", text);
	}
}
