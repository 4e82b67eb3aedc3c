/* The life of a connection that libmicrohttpd serves: where it gets a seat, what its socket and its timer tell, and how it
 * goes back to the sniffer while it rests. */
#include "front_h1_internal.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "codec_h1.h"
#include "memory.h"
#include "sniff.h"

#define CALLS 2                  /* one call reads or writes, the next goes on with what that brought, a third sees to the end */
#define VAIN_CALLS 1000          /* that read on where nothing comes of it; of a head it may take 128 bytes in each */
#define REST_TIME 1000           /* ms after a response until a connection leaves libmicrohttpd */
#define END_TIME 1100            /* ms until libmicrohttpd's own time limit of a connection that is to end is over */
#define LEFT_MANY 64             /* connections that left since memory was given back */
#define LEFT_TIME 100            /* ms for the requests that came in front of a client's end to be read */

static struct client *client_of_timer(struct loop_timer *timer)
{
	return (struct client *)((char *)timer - offsetof(struct client, timer));
}

static const struct config_limits *limits_of(const struct client *client)
{
	return &client->front->worker->server->limits;
}

static void set_timer(struct client *client, uint64_t milliseconds)
{
	loop_timer_set(client->front->worker->loop, &client->timer, milliseconds);
}

void front_h1_run_soon(struct client *client, unsigned more)
{
	struct hall *hall = client->hall;
	hall->asked = true;
	if (hall->more < more)
		hall->more = more;
	/* From within a call it is for the next round: who has much to say must not keep others waiting. */
	if (!client->front->running)
		loop_later(client->front->worker->loop, &client->front->run);
}

bool front_h1_has_unread(const struct client *client)
{
	char byte;
	return recv(client->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* --- back to the sniffer --- */

/* Takes the socket away from libmicrohttpd, which cannot give it back: under its number it finds one that is over, and
 * ends the connection. False where there is no fd for that. */
static bool leave(struct client *client, uint64_t idle)
{
	struct front_h1 *front = client->front;
	int fd = fcntl(client->fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return false;
	loop_watch_remove(front->worker->loop, &client->watch);
	/* Suspended it is out of libmicrohttpd's epoll. */
	if (dup3(front->over, client->fd, O_CLOEXEC) < 0) {
		close(fd);
		return false;
	}
	loop_timer_stop(front->worker->loop, &client->timer);
	client->moved = true;
	front_h1_forget_next(client);
	front_h1_resume(client);
	front_h1_run_soon(client, 1);
	if (++front->left >= LEFT_MANY)
		loop_timer_set(front->worker->loop, &front->trim, REST_TIME / 2);
	sniff_kept(front->worker, fd, &client->way, idle);
	return true;
}

/* Their memory lies in pieces between others', and would stay with the process. */
static void trim(struct loop_timer *timer)
{
	struct front_h1 *front = (struct front_h1 *)((char *)timer - offsetof(struct front_h1, trim));
	front->left = 0;
	malloc_trim(0);
}

void front_h1_forget_next(struct client *client)
{
	if (client->next)
		exchange_end(client->next, false);
	client->next = NULL;
}

/* Is it a whole and well-formed head, and fits where the connection has its seat? Then it is the next request. */
static bool is_served_here(struct client *client, struct span bytes)
{
	const struct config_limits *limits = limits_of(client);
	const char *why;
	front_h1_forget_next(client);
	client->next = exchange_new(client->front->worker);
	struct arena *arena = exchange_arena(client->next);
	struct request *request = exchange_request(client->next);
	enum codec_result result =
		codec_request_head(arena_span(arena, bytes), (struct codec_limits){(size_t)limits->head, (size_t)limits->fields},
	                       arena, request, &client->next_size, &why);
	return result == CODEC_DONE && front_h1_needs(request, client->next_size) <= client->hall->memory;
}

/* Bytes of a later head are there, and libmicrohttpd has not read them. All that is not to be served here is for the
 * sniffer: it waits for the rest, refuses, or gives the connection a larger seat. */
static void look(struct client *client)
{
	char *bytes = client->front->worker->peek;
	size_t size = client->hall == &client->front->halls[HALL_SMALL] ? LOOK_BYTES : limits_of(client)->head + 1;
	ssize_t count = recv(client->fd, bytes, size, MSG_PEEK | MSG_DONTWAIT);
	client->unread = false;
	if (count <= 0)
		return;
	if (is_served_here(client, (struct span){bytes, (size_t)count})) {
		client->unread = (size_t)count > client->next_size || (size_t)count == size; /* no event will tell of that again */
		client->held = true;
		front_h1_reading(client, true);
		front_h1_resume(client);
		front_h1_run_soon(client, size == LOOK_BYTES ? 0 : CALLS); /* it reads a small head at once */
	} else if (!leave(client, 0)) {
		front_h1_close(client);
	}
}

/* Bytes are looked at that no event will tell of again; without any, the connection ends. */
static void look_last(struct client *client)
{
	look(client);
	if (client->suspended)
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

static void head_begins(struct client *client)
{
	client->head_began = true;
	set_timer(client, limits_of(client)->head_time);
}

/* libmicrohttpd has the beginning of the next head, and perhaps all of it: then it is serving it, or refuses it. */
static void see_to_held(struct client *client)
{
	front_h1_reading(client, true);
	head_begins(client);
	front_h1_run_soon(client, CALLS);
}

/* Suspended, so that libmicrohttpd reads no head that was not looked at. That takes no system call, nor does it to go on:
 * it marks what it resumes as ready, and puts only what is not ready into its epoll. */
static void seat_idle(struct client *client)
{
	uint64_t idle = limits_of(client)->idle;
	set_timer(client, client->left ? LEFT_TIME : idle < 2 * REST_TIME ? idle / 2 : REST_TIME);
	front_h1_suspend(client);
	if (client->front->worker->draining)
		look_last(client);
	else if (client->unread)
		look(client);
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
			front_h1_suspend(client);
		else if (client->held)
			see_to_held(client);
		else if (client->state == CLIENT_IDLE)
			seat_idle(client);
	}
}

/* A line is longer than libmicrohttpd's memory, which then stands still without a word. */
static void give_up(struct client *client)
{
	bool body = client->state == CLIENT_BODY;
	if (body)
		exchange_spoilt(client->exchange);
	else
		worker_note_refusal(client->front->worker, &client->way, "head_too_large", 431);
	front_h1_raw_problem(client, body ? 400 : 431, body ? "malformed_body" : "head_too_large",
	                     body ? "a line of the chunked body is too long" : "the request head is too long for its connection",
	                     body ? "send chunks without extensions" : "send it once the request before it is answered");
	front_h1_close(client);
}

/* No event tells that libmicrohttpd took only some of what there was. */
static void go_on_reading(struct front_h1 *front, const struct hall *hall)
{
	struct client *client;
	LIST_FOREACH (client, &front->reading, list) {
		if (client->hall != hall || client->suspended || !client->unread || client->vain > VAIN_CALLS)
			continue;
		client->unread = front_h1_has_unread(client);
		if (client->unread && ++client->vain <= VAIN_CALLS)
			front_h1_run_soon(client, CALLS);
		else if (client->unread && client->state != CLIENT_RAW && client->state != CLIENT_CLOSE)
			give_up(client);
	}
}

/* --- what the socket and the timer tell --- */

static void on_end(struct client *client)
{
	/* While libmicrohttpd has something to write, it finds out by itself, and may have written all of it already. */
	client->left = true;
	if (!client->exchange || client->state == CLIENT_HEAD) {
		client->gone = true;
		set_timer(client, LEFT_TIME);
	} else if (client->state != CLIENT_REPLY || client->suspended) {
		front_h1_close(client);
	}
}

static void on_bytes(struct client *client)
{
	client->unread = true;
	if (client->state == CLIENT_EXPECT)
		/* It sends the body without having waited. */
		front_h1_resume(client);
	else if (client->state == CLIENT_IDLE && !client->held)
		look(client);
	else if (client->state == CLIENT_IDLE && !client->head_began)
		head_begins(client);
}

static void on_socket(struct loop_watch *watch, uint32_t events)
{
	struct client *client = (struct client *)watch;
	bool resting = client->state == CLIENT_IDLE && client->suspended;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		on_end(client);
	else if (client->state == CLIENT_RAW && (events & EPOLLOUT))
		front_h1_raw_pump(client);
	if ((events & EPOLLIN) && client->state != CLIENT_CLOSE)
		on_bytes(client);
	if (resting && client->suspended && client->left)
		front_h1_close(client);
	else if (!resting && !client->suspended && client->state != CLIENT_CLOSE)
		front_h1_run_soon(client, CALLS);
}

void front_h1_end_soon(struct client *client)
{
	MHD_set_connection_option(client->connection, MHD_CONNECTION_OPTION_TIMEOUT, 1u);
	set_timer(client, END_TIME);
	front_h1_run_soon(client, 1);
}

static void on_time(struct loop_timer *timer)
{
	struct client *client = client_of_timer(timer);
	if (client->state == CLIENT_CLOSE) {
		front_h1_end_soon(client);
		return;
	}
	if (client->state == CLIENT_EXPECT) {
		front_h1_resume(client);
		return;
	}
	/* libmicrohttpd read the beginning of a request, and with it, not knowing, the client's end: it waits for what no event
	 * will tell of. What it has not read may be whole requests. */
	if (client->left && front_h1_has_unread(client)) {
		client->left = false;
		set_timer(client, limits_of(client)->head_time);
		return;
	}
	if (client->left) {
		front_h1_close(client);
		return;
	}
	if (client->state == CLIENT_IDLE && !client->held && leave(client, limits_of(client)->idle))
		return;
	if ((client->state == CLIENT_IDLE && client->head_began) || client->state == CLIENT_HEAD) {
		front_h1_raw_problem(client, 408, "head_late", "the request head was not complete in time",
		                     "send the head at once, or raise limits.head_time");
		worker_note_refusal(client->front->worker, &client->way, "head_late", 408);
	}
	front_h1_close(client);
}

/* --- beginning and end --- */

static void free_client(struct client *client)
{
	struct worker *worker = client->front->worker;
	bool moved = client->moved;
	front_h1_forget_next(client);
	LIST_REMOVE(client, others);
	list_as(client, LISTED_NOWHERE);
	loop_watch_remove(worker->loop, &client->watch);
	loop_timer_stop(worker->loop, &client->timer);
	if (!moved)
		worker_uncount_profile(worker, &client->way);
	buffer_free(&client->raw);
	free(client);
	if (!moved)
		worker_connection_closed(worker);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode what)
{
	struct front_h1 *front = context;
	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		*socket_context = front->adding;
		front->adding->connection = connection;
		return;
	}
	struct client *client = *socket_context;
	if (front->adding == client)
		front->adding = NULL;
	if (client->state == CLIENT_IDLE && client->head_began && !client->gone) /* a request line that it refused */
		worker_note_refusal(front->worker, &client->way, "malformed", 0);
	if (client->exchange)
		exchange_end(client->exchange, false);
	free_client(client);
}

void front_h1_add(struct front_h1 *front, int fd, const struct way *way, size_t memory, bool more)
{
	struct client *client = memory_alloc(sizeof *client);
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	*client = (struct client){.watch = {.fd = -1, .ready = on_socket},
	                          .timer = {.fire = on_time},
	                          .front = front,
	                          .hall = &front->halls[memory > front->halls[HALL_SMALL].memory ? HALL_LARGE : HALL_SMALL],
	                          .fd = fd,
	                          .unread = true,
	                          .more = more,
	                          .way = *way};
	LIST_INSERT_HEAD(&front->clients, client, others);
	set_timer(client, limits_of(client)->head_time);
	front->adding = client;
	enum MHD_Result added = MHD_add_connection(client->hall->daemon, fd, &nobody, sizeof nobody);
	bool over = front->adding == NULL; /* it began and ended: on_connection saw to all of it */
	front->adding = NULL;
	if (over)
		return;
	if (added == MHD_YES && client->connection) {
		loop_watch_add(front->worker->loop, &client->watch, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
		/* A head that it does not read at once it reads in many calls. */
		client->held = true;
		front_h1_reading(client, true);
		front_h1_run_soon(client, CALLS);
		return;
	}
	/* libmicrohttpd closed the fd. */
	free_client(client);
}

/* libmicrohttpd's own epoll is looked at when an event of ours tells that there is something; MHD_get_timeout would say
 * "at once" as long as any request waits for its response. */
static bool run_hall(struct front_h1 *front, struct hall *hall)
{
	for (unsigned call = 0; call < 3 && (hall->asked || hall->more); call++) {
		if (!hall->asked)
			hall->more--;
		hall->asked = false;
		MHD_run(hall->daemon);
		go_on_reading(front, hall);
		see_to_resting(front);
	}
	return hall->asked || hall->more;
}

static void run(struct loop_task *task)
{
	struct front_h1 *front = (struct front_h1 *)((char *)task - offsetof(struct front_h1, run));
	bool more = false;
	front->running = true;
	for (size_t i = 0; i < HALLS; i++)
		more |= run_hall(front, &front->halls[i]);
	front->running = false;
	/* What takes more (a body that goes out in pieces) goes on in the next round. */
	if (more)
		loop_next(front->worker->loop, &front->run);
}

/* MHD_USE_NO_THREAD_SAFETY: a daemon is used by one worker's thread alone. Without it libmicrohttpd 1.0 only queues what
 * MHD_add_connection gets, and starts it in a later MHD_run. 0.9.75 has no name for the flag, and ignores it. */
#define ONE_THREAD (1U << 19)

/* 1.0 is to be strict; what little 0.9.75 would refuse, judge_head refuses with a better answer. */
static int strictness(void)
{
	return front_h1_library_is_lax() ? -1 : 1;
}

static bool open_hall(struct front_h1 *front, struct hall *hall, size_t memory)
{
	hall->memory = memory;
	hall->daemon = MHD_start_daemon(
		ONE_THREAD | MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
		front_h1_on_request, front,
		MHD_OPTION_URI_LOG_CALLBACK, front_h1_on_request_line, front,
		MHD_OPTION_NOTIFY_COMPLETED, front_h1_on_completed, front,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, front,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, memory,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)front->worker->server->limits.connections + 64,
		MHD_OPTION_STRICT_FOR_CLIENT, strictness(),
		MHD_OPTION_END);
	return hall->daemon != NULL;
}

/* A socket whose other end is closed. */
static int make_over(void)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		return -1;
	close(pair[1]);
	return pair[0];
}

struct front_h1 *front_h1_new(struct worker *worker, struct fault *fault)
{
	struct front_h1 *front = memory_alloc(sizeof *front);
	front->worker = worker;
	front->run.run = run;
	front->trim.fire = trim;
	front->over = make_over();
	if (front->over < 0)
		fault_errno(fault, "cannot make a socket");
	else if (open_hall(front, &front->halls[HALL_SMALL], SMALL_MEMORY) &&
	         open_hall(front, &front->halls[HALL_LARGE], front_h1_most_memory(&worker->server->limits)))
		return front;
	else
		fault_set(fault, FAULT_IO, "libmicrohttpd does not start");
	front_h1_free(front);
	return NULL;
}

void front_h1_drain(struct front_h1 *front)
{
	struct client *client;
	LIST_FOREACH (client, &front->clients, others)
		if (client->state == CLIENT_IDLE && client->suspended)
			look_last(client);
}

void front_h1_free(struct front_h1 *front)
{
	struct client *client;
	LIST_FOREACH (client, &front->clients, others)
		front_h1_close(client);
	for (size_t i = 0; i < HALLS; i++) {
		if (!front->halls[i].daemon)
			continue;
		MHD_run(front->halls[i].daemon);
		MHD_stop_daemon(front->halls[i].daemon);
	}
	loop_later_cancel(front->worker->loop, &front->run);
	loop_timer_stop(front->worker->loop, &front->trim);
	if (front->over >= 0)
		close(front->over);
	free(front);
}
