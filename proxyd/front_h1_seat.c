/* The life of a connection that libmicrohttpd serves: where it gets a seat, what its socket and its timer tell, and how it
 * goes back to the sniffer while it rests. */
#include "front_h1_internal.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "endpoint.h"
#include "log.h"
#include "memory.h"
#include "sniff.h"
#include "upgrade.h"

#define END_TIME 1100 /* ms until libmicrohttpd's own time limit of a connection that is to end is over */
#define LEFT_MANY 64  /* connections that left since memory was given back */
#define TRIM_TIME 500 /* ms after the last of these */

static struct client *client_of_timer(struct loop_timer *timer)
{
	return (struct client *)((char *)timer - offsetof(struct client, timer));
}

const struct config_limits *front_h1_limits(const struct client *client)
{
	return &client->front->worker->limits;
}

void front_h1_set_timer(struct client *client, uint64_t milliseconds)
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

/* --- out of libmicrohttpd --- */

/* libmicrohttpd cannot give the socket back: under its number it finds one that is over, and ends the connection. -1 where
 * there is no fd for that. */
static int take_socket(struct client *client)
{
	struct front_h1 *front = client->front;
	int fd = fcntl(client->fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return -1;
	loop_watch_remove(front->worker->loop, &client->watch);
	/* Suspended it is out of libmicrohttpd's epoll. */
	if (dup3(front->over, client->fd, O_CLOEXEC) < 0) {
		close(fd);
		return -1;
	}
	loop_timer_stop(front->worker->loop, &client->timer);
	client->moved = true;
	front_h1_forget_next(client);
	if (++front->left >= LEFT_MANY)
		loop_timer_set(front->worker->loop, &front->trim, TRIM_TIME);
	return fd;
}

bool front_h1_leave(struct client *client, uint64_t idle)
{
	int fd = take_socket(client);
	if (fd < 0)
		return false;
	front_h1_resume(client);
	front_h1_run_soon(client, 1);
	sniff_kept(client->front->worker, fd, &client->way, idle);
	return true;
}

/* It counts as suspended, until it is told that the new protocol has ended. For libmicrohttpd that is now. */
void front_h1_on_switch(void *context, struct MHD_Connection *connection, void *request_context, const char *bytes,
                        size_t size, MHD_socket fd, struct MHD_UpgradeResponseHandle *handle)
{
	struct client *client = request_context;
	struct exchange *exchange = client->exchange;
	int taken = take_socket(client);
	(void)context;
	(void)connection;
	(void)fd;
	client->state = CLIENT_CLOSE;
	if (taken >= 0) {
		const struct endpoint end = {.fd = taken};
		endpoint_send_at_once(taken); /* libmicrohttpd leaves it as its own writes want it */
		client->exchange = NULL;
		upgrade_start(client->front->worker, &end, &client->way, exchange, (struct span){bytes, size});
	}
	MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
	front_h1_run_soon(client, 1);
}

/* Their memory lies in pieces between others', and would stay with the process. */
static void trim(struct loop_timer *timer)
{
	struct front_h1 *front = (struct front_h1 *)((char *)timer - offsetof(struct front_h1, trim));
	front->left = 0;
	malloc_trim(0);
}

/* --- what the socket and the timer tell --- */

static void on_end(struct client *client)
{
	/* While libmicrohttpd has something to write, it finds out by itself, and may have written all of it already. */
	client->left = true;
	if (!client->exchange || client->state == CLIENT_HEAD) {
		client->gone = true;
		front_h1_set_timer(client, LEFT_TIME);
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
		front_h1_look(client);
	else if (client->state == CLIENT_IDLE && !client->head_began)
		front_h1_head_begins(client);
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
	front_h1_set_timer(client, END_TIME);
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
		front_h1_set_timer(client, front_h1_limits(client)->head_time);
		return;
	}
	if (client->left) {
		front_h1_close(client);
		return;
	}
	if (client->state == CLIENT_IDLE && !client->held && !client->front->worker->draining &&
	    front_h1_leave(client, front_h1_limits(client)->idle))
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
	front_h1_reading(client, false);
	loop_watch_remove(worker->loop, &client->watch);
	loop_timer_stop(worker->loop, &client->timer);
	if (!moved)
		worker_way_over(&client->way);
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

#define BESIDE (16 * 1024) /* what a response head takes beside a request head of limits.head */

static size_t wanted_memory(const struct front_h1 *front)
{
	return (size_t)front->worker->limits.head + BESIDE;
}

size_t front_h1_most_memory(const struct front_h1 *front)
{
	size_t wanted = wanted_memory(front), most = front->halls[front->hall_count - 1].memory;
	return wanted < most ? wanted : most;
}

static struct hall *hall_for(struct front_h1 *front, size_t memory)
{
	size_t at = 0;
	while (at + 1 < front->hall_count && memory > front->halls[at].memory)
		at++;
	return &front->halls[at];
}

void front_h1_add(struct front_h1 *front, int fd, const struct way *way, size_t memory, bool more)
{
	struct client *client = memory_alloc(sizeof *client);
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	*client = (struct client){.watch = {.fd = -1, .ready = on_socket},
	                          .timer = {.fire = on_time},
	                          .front = front,
	                          .hall = hall_for(front, memory),
	                          .fd = fd,
	                          .unread = true,
	                          .more = more,
	                          .way = *way};
	LIST_INSERT_HEAD(&front->clients, client, others);
	front_h1_set_timer(client, front_h1_limits(client)->head_time);
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
		front_h1_called(front, hall);
	}
	return hall->asked || hall->more;
}

static void run(struct loop_task *task)
{
	struct front_h1 *front = (struct front_h1 *)((char *)task - offsetof(struct front_h1, run));
	bool more = false;
	front->running = true;
	for (size_t i = 0; i < front->hall_count; i++)
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

#define MOST_CONNECTIONS (1U << 20) /* the listeners count them, for all workers */

static bool open_hall(struct front_h1 *front, size_t memory)
{
	struct hall *hall = &front->halls[front->hall_count];
	hall->memory = memory;
	hall->daemon = MHD_start_daemon(
		ONE_THREAD | MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE, 0, NULL, NULL,
		front_h1_on_request, front,
		MHD_OPTION_URI_LOG_CALLBACK, front_h1_on_request_line, front,
		MHD_OPTION_NOTIFY_COMPLETED, front_h1_on_completed, front,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, front,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, memory,
		MHD_OPTION_CONNECTION_LIMIT, MOST_CONNECTIONS,
		MHD_OPTION_STRICT_FOR_CLIENT, strictness(),
		MHD_OPTION_END);
	front->hall_count += hall->daemon != NULL;
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
	else if (open_hall(front, SMALL_MEMORY) && open_hall(front, wanted_memory(front)))
		return front;
	else
		fault_set(fault, FAULT_IO, "libmicrohttpd does not start");
	front_h1_free(front);
	return NULL;
}

void front_h1_take_limits(struct front_h1 *front)
{
	size_t memory = wanted_memory(front);
	if (memory <= front->halls[front->hall_count - 1].memory)
		return;
	if (front->hall_count == HALLS || !open_hall(front, memory))
		log_warning("limits.head is greater than can be served without a restart: heads that are too large for the one before "
		            "get 431");
}

void front_h1_drain(struct front_h1 *front)
{
	struct client *client;
	LIST_FOREACH (client, &front->clients, others)
		if (client->state == CLIENT_IDLE && client->suspended)
			front_h1_look_last(client);
}

void front_h1_free(struct front_h1 *front)
{
	struct client *client;
	LIST_FOREACH (client, &front->clients, others)
		front_h1_close(client);
	for (size_t i = 0; i < front->hall_count; i++) {
		MHD_run(front->halls[i].daemon);
		MHD_stop_daemon(front->halls[i].daemon);
	}
	loop_later_cancel(front->worker->loop, &front->run);
	loop_timer_stop(front->worker->loop, &front->trim);
	if (front->over >= 0)
		close(front->over);
	free(front);
}
