/* Connections to origins that may speak HTTP/2: how they are made, and how they end. */
#include <stdio.h>
#include <stdlib.h>

#include "memory.h"
#include "upstream_h2_internal.h"

#define LEAVE_TIME 2000 /* ms for the last frames to be taken */
#define RESTING_MOST 256 /* connections without requests, to whatever origins */

static void set_timer(struct h2_connection *connection, uint64_t milliseconds)
{
	loop_timer_set(connection->room->loop, &connection->timer, milliseconds);
}

/* ---- the end ---- */

static void stop_resting(struct h2_connection *connection)
{
	if (!connection->resting)
		return;
	connection->resting = false;
	loop_timer_stop(connection->room->loop, &connection->timer);
	TAILQ_REMOVE(&connection->room->resting, connection, around);
	connection->room->resting_count--;
}

static void discard(struct h2_connection *connection)
{
	struct h2_origin *origin = connection->origin;
	struct loop *loop = connection->room->loop;
	if (connection->dial)
		dial_cancel(connection->dial);
	loop_watch_remove(loop, &connection->watch);
	loop_timer_stop(loop, &connection->timer);
	loop_later_cancel(loop, &connection->task);
	nghttp2_session_del(connection->session);
	endpoint_close(&connection->end);
	stop_resting(connection);
	outbox_wipe(&connection->outbox);
	LIST_REMOVE(connection, others);
	origin->connection_count--;
	tally_uncount(upstream_pool_tally(connection->room->pool), TALLY_UPSTREAM_NOW);
	free(connection);
	h2_origin_serve(origin);
}

void h2_connection_end(struct h2_connection *connection)
{
	struct h2_request *request;
	if (connection->wrong && !connection->gone) {
		nghttp2_session_terminate_session(connection->session, connection->wrong_code);
		h2_connection_write(connection);
	}
	/* Who fails does not ask for a stream on it again. */
	connection->state = H2_LEAVING;
	while ((request = LIST_FIRST(&connection->requests)))
		h2_request_lost(request, connection);
	discard(connection);
}

void h2_connection_retire(struct h2_connection *connection)
{
	connection->state = H2_LEAVING;
	stop_resting(connection);
}

void h2_connection_leave(struct h2_connection *connection)
{
	if (connection->state != H2_OPEN)
		return;
	h2_connection_retire(connection);
	nghttp2_submit_goaway(connection->session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0);
	h2_connection_soon(connection);
}

/* Nobody gets a stream: who waits hears why. */
static void fail_to_connect(struct h2_connection *connection, enum upstream_failure failure, enum dial_failure dial,
                            const char *text)
{
	h2_origin_fail(connection->origin, failure, dial, text);
	discard(connection);
}

/* ---- time ---- */

void h2_connection_set_time(struct h2_connection *connection)
{
	struct upstream_h2 *room = connection->room;
	bool rests = LIST_EMPTY(&connection->requests);
	if (!connection->greeted || rests == connection->resting)
		return;
	if (!rests) {
		stop_resting(connection);
		return;
	}
	connection->resting = true;
	TAILQ_INSERT_TAIL(&room->resting, connection, around);
	set_timer(connection, connection->state == H2_LEAVING ? LEAVE_TIME : room->limits.idle);
	if (++room->resting_count > RESTING_MOST)
		h2_connection_leave(TAILQ_FIRST(&room->resting));
}

static void late(struct h2_connection *connection, const char *what)
{
	AUTO_FREE char *text = memory_format("%.100s did not %s within %g s", h2_host(connection->origin), what,
	                                     (double)connection->room->limits.handshake / 1000);
	struct h2_request *request;
	while ((request = LIST_FIRST(&connection->requests)))
		h2_request_fail(request, UPSTREAM_HANDSHAKE_TIME, "%s", text);
	fail_to_connect(connection, UPSTREAM_HANDSHAKE_TIME, DIAL_OK, text);
}

static void on_time(struct loop_timer *timer)
{
	struct h2_connection *connection =
		(struct h2_connection *)((char *)timer - offsetof(struct h2_connection, timer));
	if (connection->state == H2_HANDSHAKE)
		late(connection, "finish the TLS handshake");
	else if (!connection->greeted)
		late(connection, "begin to speak HTTP/2, which it chose,");
	else if (connection->state == H2_LEAVING)
		h2_connection_end(connection);
	else
		h2_connection_leave(connection);
}

/* ---- the beginning ---- */

bool h2_connection_is_open(const struct h2_connection *connection)
{
	return connection->state == H2_OPEN && !connection->gone && !connection->wrong;
}

/* Room for the first request is there before their SETTINGS say how many they take; the others wait for that. */
bool h2_connection_takes_one(struct h2_connection *connection)
{
	if (!h2_connection_is_open(connection))
		return false;
	uint32_t most = nghttp2_session_get_remote_settings(connection->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
	if (!connection->greeted)
		most = 1;
	if (connection->streams == 0 && connection->opened > 0 && !h2_connection_is_quiet(connection))
		return false;
	return connection->streams < (most < H2_STREAMS_MOST ? most : H2_STREAMS_MOST);
}

static void speak_h1(struct h2_connection *connection)
{
	struct h2_origin *origin = connection->origin;
	loop_watch_remove(connection->room->loop, &connection->watch);
	h2_origin_remember(origin);
	upstream_pool_adopt(connection->room->pool, &origin->destination, &connection->end);
	fail_to_connect(connection, UPSTREAM_ONLY_H1, DIAL_OK, "the upstream chose HTTP/1.1");
}

static void established(struct h2_connection *connection)
{
	if (!tls_is_h2(connection->end.tls)) {
		speak_h1(connection);
		return;
	}
	if (!h2_session_start(connection)) {
		fail_to_connect(connection, UPSTREAM_DIAL, DIAL_RESOURCES, "libnghttp2 does not start");
		return;
	}
	connection->state = H2_OPEN;
	connection->unread = true;
	set_timer(connection, connection->room->limits.handshake);
	h2_connection_soon(connection);
	h2_origin_serve(connection->origin);
}

static void advance_handshake(struct h2_connection *connection)
{
	struct fault fault = FAULT_INIT;
	char text[320];
	switch (tls_handshake(connection->end.tls, &fault)) {
	case TLS_OK:
		established(connection);
		return;
	case TLS_WANT_READ:
	case TLS_WANT_WRITE:
		return;
	case TLS_CLOSED:
	case TLS_FAILED:
		break;
	}
	snprintf(text, sizeof text, "%.100s: %.200s", h2_host(connection->origin), fault.text);
	fail_to_connect(connection, upstream_tls_failure(&fault), DIAL_OK, text);
}

static void ready(struct loop_watch *watch, uint32_t events)
{
	struct h2_connection *connection = (struct h2_connection *)watch;
	connection->unread = true;
	if (connection->state == H2_HANDSHAKE && events == EPOLLERR)
		fail_to_connect(connection, UPSTREAM_DIAL, DIAL_RESOURCES, "the system has no room to watch one more connection");
	else if (connection->state == H2_HANDSHAKE)
		advance_handshake(connection);
	else
		h2_connection_serve(connection);
}

static void dialled(void *context, const struct dial_result *result)
{
	struct h2_connection *connection = context;
	const struct destination *to = &connection->origin->destination;
	struct fault fault = FAULT_INIT;
	connection->dial = NULL;
	if (result->failure != DIAL_OK) {
		fail_to_connect(connection, UPSTREAM_DIAL, result->failure, result->text);
		return;
	}
	connection->end.fd = result->fd;
	connection->state = H2_HANDSHAKE;
	loop_watch_add(connection->room->loop, &connection->watch, connection->end.fd,
	               EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	set_timer(connection, connection->room->limits.handshake);
	connection->end.tls = tls_client_new(to->trust, connection->end.fd, to->host.name, true, &fault);
	if (connection->end.tls)
		advance_handshake(connection);
	else
		fail_to_connect(connection, UPSTREAM_TLS, DIAL_OK, fault.text);
}

void h2_connect(struct h2_origin *origin, const char *profile)
{
	const struct destination *to = &origin->destination;
	struct h2_connection *connection = memory_alloc(sizeof *connection);
	*connection = (struct h2_connection){.watch = {.fd = -1, .ready = ready},
	                                     .timer = {.fire = on_time},
	                                     .task = {.run = h2_connection_run},
	                                     .room = origin->room,
	                                     .origin = origin,
	                                     .state = H2_DIALLING,
	                                     .end = {.fd = -1}};
	LIST_INSERT_HEAD(&origin->connections, connection, others);
	origin->connection_count++;
	tally_count(upstream_pool_tally(connection->room->pool), TALLY_UPSTREAM_NEW);
	tally_count(upstream_pool_tally(connection->room->pool), TALLY_UPSTREAM_NOW);
	connection->dial = dial_start(origin->room->dialer, &to->host, to->port, to->policy, profile, dialled, connection);
}
