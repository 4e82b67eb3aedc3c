/* What comes between two requests of a connection, and who reads the next one: a head is looked at before libmicrohttpd may
 * read it, and whose reading stands still is read on. */
#include "front_h1_internal.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "codec_h1.h"

#define FEW_CALLS 8     /* that read on where nothing comes of it, before it is asked why */
#define VAIN_CALLS 1000 /* that read on where nothing comes of it; of a head it may take 128 bytes in each */
#define REST_TIME 1000  /* ms after a response until a connection leaves libmicrohttpd */

bool front_h1_has_unread(const struct client *client)
{
	char byte;
	return recv(client->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void front_h1_forget_next(struct client *client)
{
	if (client->next)
		exchange_end(client->next, false);
	client->next = NULL;
}

void front_h1_head_begins(struct client *client)
{
	client->head_began = true;
	front_h1_set_timer(client, front_h1_limits(client)->head_time);
}

/* Is it a whole and well-formed head, and fits where the connection has its seat? Then it is the next request. */
static bool is_served_here(struct client *client, struct span bytes)
{
	const struct config_limits *limits = front_h1_limits(client);
	const char *why;
	front_h1_forget_next(client);
	client->next = exchange_new(client->front->worker);
	struct arena *arena = exchange_arena(client->next);
	struct request *request = exchange_request(client->next);
	enum codec_result result =
		codec_request_head(arena_span(arena, bytes), (struct codec_limits){(size_t)limits->head, (size_t)limits->fields},
	                       arena, request, &client->next_size, &why);
	/* A CONNECT behind a 407 is for the sniffer. */
	if (way_takes_connect(&client->way) && span_equal(request->method, SPAN("CONNECT")))
		return false;
	return result == CODEC_DONE && front_h1_needs(request, client->next_size) <= client->hall->memory;
}

void front_h1_look(struct client *client)
{
	char *bytes = client->front->worker->peek;
	bool small = client->hall == &client->front->halls[0];
	size_t most = (size_t)front_h1_limits(client)->head + 1, size = small && LOOK_BYTES < most ? LOOK_BYTES : most;
	ssize_t count = recv(client->fd, bytes, size, MSG_PEEK | MSG_DONTWAIT);
	client->unread = false;
	if (count <= 0)
		return;
	if (is_served_here(client, (struct span){bytes, (size_t)count})) {
		/* A small head is read at once. Of what else is there no event will tell again. */
		client->unread = (size_t)count > client->next_size || !small || (size_t)count == size;
		client->held = true;
		if (!client->left)
			front_h1_head_begins(client);
		front_h1_reading(client, true);
		front_h1_resume(client);
		front_h1_run_soon(client, small ? 0 : CALLS); /* it reads a small head at once */
	} else if (!front_h1_leave(client, 0)) {
		front_h1_close(client);
	}
}

void front_h1_look_last(struct client *client)
{
	uint64_t grace = worker_grace(client->front->worker, client->since);
	front_h1_look(client);
	if (client->suspended && client->state == CLIENT_IDLE && grace > 0)
		front_h1_set_timer(client, grace);
	else if (client->suspended)
		front_h1_close(client);
}

/* Has libmicrohttpd read the beginning of the next request already? It moved that to the start of its memory, whose rest is
 * zero; a NUL in front of a request is no request, and not nothing. */
static bool holds_bytes(const struct client *client)
{
	static const char nothing[8];
	return client->memory && memcmp(client->memory, nothing, sizeof nothing) != 0;
}

static void list_as(struct client *client, enum listed listed)
{
	struct front_h1 *front = client->front;
	if (client->listed != LISTED_NOWHERE)
		LIST_REMOVE(client, list);
	client->listed = listed;
	if (listed == LISTED_RESTING)
		LIST_INSERT_HEAD(&front->resting, client, list);
	else if (listed == LISTED_READING)
		LIST_INSERT_HEAD(&front->reading, client, list);
}

void front_h1_reading(struct client *client, bool reading)
{
	client->vain = 0;
	list_as(client, reading ? LISTED_READING : LISTED_NOWHERE);
}

void front_h1_rest(struct client *client)
{
	list_as(client, LISTED_RESTING);
}

/* libmicrohttpd has the beginning of the next head, and perhaps all of it: then it is serving it, or refuses it. */
static void see_to_held(struct client *client)
{
	front_h1_reading(client, true);
	front_h1_head_begins(client);
	front_h1_run_soon(client, CALLS);
}

/* Suspended, so that libmicrohttpd reads no head that was not looked at. That takes no system call, nor does it to go on:
 * it marks what it resumes as ready, and puts only what is not ready into its epoll. */
static void seat_idle(struct client *client)
{
	uint64_t idle = front_h1_limits(client)->idle;
	client->since = loop_now(client->front->worker->loop);
	front_h1_set_timer(client, client->left ? LEFT_TIME : idle < 2 * REST_TIME ? idle / 2 : REST_TIME);
	front_h1_suspend(client);
	if (client->front->worker->draining)
		front_h1_look_last(client);
	else if (client->unread)
		front_h1_look(client);
}

/* Who came to the end of a request, or of a response, in this call of libmicrohttpd. Suspended within its own call a
 * connection would be read from, in vain, as soon as it is resumed. */
static void see_to_resting(struct front_h1 *front)
{
	struct client *client;
	while ((client = LIST_FIRST(&front->resting))) {
		bool between = client->state == CLIENT_IDLE || client->state == CLIENT_HEAD;
		list_as(client, LISTED_NOWHERE);
		client->held = between && holds_bytes(client);
		if (client->state == CLIENT_WAIT)
			front_h1_wait(client);
		else if (client->held)
			see_to_held(client);
		else if (client->state == CLIENT_IDLE)
			seat_idle(client);
	}
}

/* A line is longer than libmicrohttpd's memory, which then stands still without a word. */
static void give_up(struct client *client)
{
	if (client->state == CLIENT_BODY) {
		exchange_spoilt(client->exchange);
		front_h1_raw_problem(client, 400, "malformed_body", "a line of the chunked body is too long",
		                     "send chunks without extensions");
	} else {
		worker_note_refusal(client->front->worker, &client->way, "head_too_large", 431);
		front_h1_raw_problem(client, 431, "head_too_large", "the request head is too long for its connection",
		                     "send it once the request before it is answered");
	}
	front_h1_close(client);
}

/* It reads no further while the client does not take what is written; that it does again, an event tells. */
static bool waits_for_room(const struct client *client)
{
	struct pollfd room = {.fd = client->fd, .events = POLLOUT};
	return poll(&room, 1, 0) == 0;
}

/* No event tells that libmicrohttpd took only some of what there was. */
static void go_on_reading(struct front_h1 *front, const struct hall *hall)
{
	struct client *client;
	LIST_FOREACH (client, &front->reading, list) {
		if (client->hall != hall || client->suspended || !client->unread || client->vain > VAIN_CALLS)
			continue;
		client->unread = front_h1_has_unread(client);
		if (!client->unread || (client->vain > FEW_CALLS && waits_for_room(client)))
			continue;
		if (++client->vain <= VAIN_CALLS)
			front_h1_run_soon(client, CALLS);
		else if (client->state != CLIENT_RAW && client->state != CLIENT_CLOSE)
			give_up(client);
	}
}

void front_h1_called(struct front_h1 *front, const struct hall *hall)
{
	go_on_reading(front, hall);
	see_to_resting(front);
}
