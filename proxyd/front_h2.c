#include "front_h2_internal.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "linger.h"
#include "memory.h"

#define READ_BYTES (16 * 1024)
#define READ_LEAST 1024         /* of what is no body: small frames are much work */
#define END_MOST 8              /* each may end a connection */
#define BEGIN_MOST 2            /* requests at once: each may mean a connection to be made */
#define PIECE_BYTES 1024
#define OUT_BYTES (64 * 1024)   /* written at once */
#define TURNS 4                 /* of each, then others have theirs */
#define LEAVE_TIME 2000         /* ms for the last bytes to be taken */

static struct h2_client *client_of_timer(struct loop_timer *timer)
{
	return (struct h2_client *)((char *)timer - offsetof(struct h2_client, timer));
}

static struct h2_client *client_of_task(struct loop_task *task)
{
	return (struct h2_client *)((char *)task - offsetof(struct h2_client, task));
}

static void set_timer(struct h2_client *client, uint64_t milliseconds)
{
	loop_timer_set(client->front->worker->loop, &client->timer, milliseconds);
}

void front_h2_soon(struct h2_client *client)
{
	loop_later(client->front->worker->loop, &client->task);
}

void front_h2_set_time(struct h2_client *client)
{
	if (client->head_of || client->leaving)
		return;
	if (client->live == 0) {
		client->since = loop_now(client->front->worker->loop);
		set_timer(client, front_h2_limits(client)->idle);
	} else {
		loop_timer_stop(client->front->worker->loop, &client->timer);
	}
}

/* --- the end --- */

/* True once none is left. */
static bool end_streams(struct h2_client *client, unsigned most)
{
	for (unsigned i = 0; i < most && !LIST_EMPTY(&client->streams); i++) {
		struct h2_stream *stream = LIST_FIRST(&client->streams);
		front_h2_end_exchange(stream, stream->whole);
		front_h2_free_stream(stream);
	}
	return LIST_EMPTY(&client->streams);
}

/* Everything but the endpoint, and the count of connections. */
static void take_down(struct h2_client *client)
{
	struct loop *loop = client->front->worker->loop;
	end_streams(client, UINT_MAX);
	loop_watch_remove(loop, &client->watch);
	loop_timer_stop(loop, &client->timer);
	loop_timer_stop(loop, &client->farewell);
	loop_later_cancel(loop, &client->task);
	LIST_REMOVE(client, others);
	if (client->waits)
		TAILQ_REMOVE(&client->front->turns, client, turns);
	nghttp2_session_del(client->session);
	outbox_wipe(&client->outbox);
	worker_way_over(&client->way);
}

/* With what is under way: a reset. */
static void cut(struct h2_client *client)
{
	struct worker *worker = client->front->worker;
	take_down(client);
	endpoint_cut(&client->end);
	endpoint_close(&client->end);
	free(client);
	worker_connection_closed(worker);
}

/* All is written: the client reads it, and the end, before the socket is closed. */
static void leave(struct h2_client *client)
{
	struct worker *worker = client->front->worker;
	int fd = fcntl(client->end.fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0) {
		cut(client);
		return;
	}
	take_down(client);
	endpoint_shut(&client->end);
	endpoint_close(&client->end);
	free(client);
	linger_close(worker, fd, (struct span){"", 0});
}

void front_h2_drain_client(struct h2_client *client)
{
	if (client->draining || client->refused)
		return;
	client->draining = true;
	client->last = nghttp2_session_get_last_proc_stream_id(client->session);
	nghttp2_submit_goaway(client->session, NGHTTP2_FLAG_NONE, client->last, NGHTTP2_NO_ERROR, NULL, 0);
	front_h2_soon(client);
}

/* --- the farewell, where the worker drains (RFC 9113 §6.8) ---
 *
 * First a GOAWAY that names no stream: requests may be on their way. Who has read it asks elsewhere, and DRAIN_GRACE later the
 * second one says which stream was the last. Some clients give up what is under way when they read a GOAWAY, so the first one
 * waits, as long, for the end of a response that no other one is beside; there it goes out with that. */

static void set_farewell(struct h2_client *client, uint64_t milliseconds)
{
	loop_timer_set(client->front->worker->loop, &client->farewell, milliseconds);
}

static void tell(struct h2_client *client)
{
	client->told = true;
	nghttp2_submit_shutdown_notice(client->session);
	set_farewell(client, DRAIN_GRACE);
}

static bool may_be_told(const struct h2_client *client)
{
	return client->front->worker->draining && !client->told && !client->draining && !client->refused;
}

/* Once in each round, behind the reading: who has asked by then is answered. */
static void bid_farewell(struct h2_client *client)
{
	bool due = client->farewell_due;
	uint64_t grace = client->live ? DRAIN_GRACE : worker_grace(client->front->worker, client->since);
	client->farewell_due = false;
	if (client->told && due)
		front_h2_drain_client(client);
	else if (may_be_told(client) && (due || grace == 0))
		tell(client);
	else if (may_be_told(client) && !client->farewell.link)
		set_farewell(client, grace);
}

static void on_farewell(struct loop_timer *timer)
{
	struct h2_client *client = (struct h2_client *)((char *)timer - offsetof(struct h2_client, farewell));
	client->farewell_due = client->unread = true;
	front_h2_soon(client);
}

/* GOAWAY with this code and text, and the end. The audit has been told why. */
static void send_away(struct h2_client *client, uint32_t code, const char *text)
{
	client->refused = true;
	client->leaving = true;
	nghttp2_submit_goaway(client->session, NGHTTP2_FLAG_NONE,
	                      nghttp2_session_get_last_proc_stream_id(client->session), code, (const uint8_t *)text,
	                      strlen(text));
	set_timer(client, LEAVE_TIME);
	front_h2_soon(client);
}

/* --- writing --- */

/* libnghttp2's next frames; `busy`: before these there were exchanges. */
static ssize_t next_frames(struct h2_client *client, bool busy, const uint8_t **bytes)
{
	ssize_t count = nghttp2_session_mem_send(client->session, bytes);
	if (count != 0 || !busy || client->live > 0 || !may_be_told(client))
		return count;
	tell(client);
	return nghttp2_session_mem_send(client->session, bytes);
}

/* The next frames, into front->out; behind the last GOAWAY nothing follows. */
static bool make_frames(struct h2_client *client, struct buffer *out)
{
	const uint8_t *bytes;
	ssize_t count = 0;
	bool busy = client->live > 0;
	buffer_clear(out);
	while (out->length < OUT_BYTES && !client->parted &&
	       (count = next_frames(client, busy, &bytes)) > 0)
		buffer_append(out, bytes, (size_t)count);
	client->gone |= count < 0;
	return out->length > 0;
}

/* True where there is more to write, and the socket takes it. */
static bool write_some(struct h2_client *client)
{
	struct buffer *out = &client->front->out;
	enum outbox_result result = outbox_flush(&client->outbox, &client->end);
	for (unsigned turn = 0; turn < TURNS && result == OUTBOX_EMPTY; turn++) {
		if (!make_frames(client, out))
			return false;
		result = outbox_write(&client->outbox, &client->end, buffer_view(out));
	}
	client->gone |= result == OUTBOX_BROKEN;
	return result == OUTBOX_EMPTY;
}

/* --- reading --- */

/* What makes libnghttp2 give up: it takes no further byte, and does not say why to the client. */
static void accuse_of(struct h2_client *client, int error)
{
	static const struct {
		int error;
		uint32_t code;
		const char *text;
	} rows[] = {
		{NGHTTP2_ERR_FLOODED, NGHTTP2_ENHANCE_YOUR_CALM, "too many frames whose acknowledgement is not read"},
		{NGHTTP2_ERR_TOO_MANY_CONTINUATIONS, NGHTTP2_ENHANCE_YOUR_CALM, "a header block in too many frames"},
		{NGHTTP2_ERR_BAD_CLIENT_MAGIC, NGHTTP2_PROTOCOL_ERROR, "the connection does not begin with the preface of HTTP/2"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (error == rows[i].error)
			front_h2_accuse(client, rows[i].code, rows[i].text);
	client->gone |= !client->wrong;
}

static void accused(struct h2_client *client)
{
	worker_note_refusal(client->front->worker, &client->way, front_h2_reason(client->wrong_code), 0);
	send_away(client, client->wrong_code, client->wrong);
}

static void take(struct h2_client *client, const uint8_t *bytes, size_t size)
{
	front_h2_count_bytes(client, size);
	ssize_t used = nghttp2_session_mem_recv(client->session, bytes, size);
	if (used < 0)
		accuse_of(client, (int)used);
	if (client->wrong)
		accused(client);
}

/* Bodies are read in larger and larger pieces. */
static void set_appetite(struct h2_client *client, size_t count)
{
	if (client->carried < count / 2)
		client->appetite = READ_LEAST;
	else if (client->appetite < READ_BYTES)
		client->appetite *= 2;
	client->carried = 0;
}

static bool is_read(const struct h2_client *client)
{
	return client->unread && !client->gone && !client->refused && TAILQ_EMPTY(&client->asked);
}

static void read_some(struct h2_client *client)
{
	uint8_t bytes[READ_BYTES];
	unsigned turns = client->appetite == READ_BYTES ? TURNS : 1;
	for (unsigned turn = 0; turn < turns && is_read(client); turn++) {
		ssize_t count = endpoint_read(&client->end, bytes, client->appetite);
		if (count == 0 || count == ENDPOINT_BROKEN) {
			client->gone = true;
		} else if (count == ENDPOINT_AGAIN) {
			client->unread = false;
		} else {
			client->unread = client->ended || !endpoint_is_drained(&client->end, (size_t)count, client->appetite);
			take(client, bytes, (size_t)count);
			set_appetite(client, (size_t)count);
		}
	}
}

static void begin_some(struct h2_client *client)
{
	for (unsigned i = 0; i < BEGIN_MOST && !TAILQ_EMPTY(&client->asked) && !client->gone && !client->refused; i++)
		front_h2_begin(client);
}

/* --- one round --- */

/* What the exchanges gave up: told to the client as an internal error, which is no end of the response. */
static void abort_streams(struct h2_client *client)
{
	struct h2_stream *stream;
	client->aborts = false;
	LIST_FOREACH (stream, &client->streams, others) {
		if (!stream->aborted || !stream->exchange)
			continue;
		front_h2_reset(stream, NGHTTP2_INTERNAL_ERROR);
		front_h2_end_exchange(stream, false);
	}
	front_h2_set_time(client);
}

static bool is_over(const struct h2_client *client)
{
	if (outbox_size(&client->outbox) > 0)
		return false;
	return client->parted ||
	       (!nghttp2_session_want_read(client->session) && !nghttp2_session_want_write(client->session));
}

/* Until its turn comes again nothing is read, or begun, for it. */
static void wait_for_turn(struct h2_client *client)
{
	struct front_h2 *front = client->front;
	if (!client->waits)
		TAILQ_INSERT_TAIL(&front->turns, client, turns);
	client->waits = true;
	loop_next(front->worker->loop, &front->turn);
}

/* Its streams end first, a few at a time: nothing is read or written meanwhile. */
static void depart(struct h2_client *client)
{
	if (client->waits)
		return;
	if (!end_streams(client, END_MOST))
		wait_for_turn(client);
	else if (client->gone)
		cut(client);
	else
		leave(client);
}

/* The client may be freed behind it. */
static void serve(struct h2_client *client)
{
	bool more = false, turn = !client->waits;
	if (turn)
		read_some(client);
	bid_farewell(client);
	if (client->aborts)
		abort_streams(client);
	if (!client->gone)
		more = write_some(client);
	if (client->wrong && !client->refused)
		accused(client);
	/* Behind the resets and the GOAWAY that what was read has led to. */
	if (turn && !is_over(client))
		begin_some(client);
	if (client->gone || is_over(client))
		depart(client);
	else if (more || (!client->refused && (client->unread || !TAILQ_EMPTY(&client->asked))))
		wait_for_turn(client);
}

static void run_turn(struct loop_task *task)
{
	struct front_h2 *front = (struct front_h2 *)((char *)task - offsetof(struct front_h2, turn));
	struct h2_client *client = TAILQ_FIRST(&front->turns);
	if (!client)
		return;
	TAILQ_REMOVE(&front->turns, client, turns);
	client->waits = false;
	serve(client);
	if (!TAILQ_EMPTY(&front->turns))
		loop_next(front->worker->loop, task);
}

static void run(struct loop_task *task)
{
	serve(client_of_task(task));
}

static void on_socket(struct loop_watch *watch, uint32_t events)
{
	struct h2_client *client = (struct h2_client *)watch;
	client->ended |= (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
	client->unread |= (events & EPOLLIN) || client->ended || client->end.tls;
	serve(client);
}

static void too_late(struct h2_client *client)
{
	worker_note_failure(client->front->worker, &client->way, "head_late");
	send_away(client, NGHTTP2_ENHANCE_YOUR_CALM,
	          "the request head was not complete in time; send it at once, or raise limits.head_time");
}

static void be_idle_no_more(struct h2_client *client)
{
	tally_limit_hit(client->front->worker->account.tally, TALLY_IDLE);
	front_h2_drain_client(client);
}

static void on_time(struct loop_timer *timer)
{
	struct h2_client *client = client_of_timer(timer);
	if (client->leaving) {
		cut(client);
		return;
	}
	if (client->head_of)
		too_late(client);
	else
		be_idle_no_more(client);
	client->leaving = true;
	set_timer(client, LEAVE_TIME);
	front_h2_soon(client);
}

/* --- the beginning --- */

static bool greet(struct h2_client *client)
{
	const struct config_limits *limits = front_h2_limits(client);
	const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t)limits->streams},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)limits->head},
	};
	/* So wide that a stream whose upstream is slow keeps no other one waiting. */
	int32_t window = (int32_t)limits->streams * H2_WINDOW;
	return nghttp2_submit_settings(client->session, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof *settings) == 0 &&
	       nghttp2_session_set_local_window_size(client->session, NGHTTP2_FLAG_NONE, 0, window) == 0;
}

void front_h2_start(struct worker *worker, struct endpoint *end, const struct way *way)
{
	struct front_h2 *front = worker->front_h2;
	struct h2_client *client = memory_alloc(sizeof *client);
	*client = (struct h2_client){.watch = {.fd = -1, .ready = on_socket},
	                             .timer = {.fire = on_time},
	                             .task = {.run = run},
	                             .farewell = {.fire = on_farewell},
	                             .front = front,
	                             .end = *end,
	                             .way = *way,
	                             .appetite = READ_LEAST,
	                             .unread = true};
	TAILQ_INIT(&client->asked);
	*end = (struct endpoint){.fd = -1};
	if (nghttp2_session_server_new2(&client->session, front->callbacks, client, front->option) != 0)
		abort(); /* memory is out */
	LIST_INSERT_HEAD(&front->clients, client, others);
	loop_watch_add(worker->loop, &client->watch, client->end.fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	front_h2_set_time(client);
	client->gone = !greet(client);
	front_h2_soon(client);
}

struct front_h2 *front_h2_new(struct worker *worker, struct fault *fault)
{
	struct front_h2 *front = memory_alloc(sizeof *front);
	front->worker = worker;
	front->turn.run = run_turn;
	TAILQ_INIT(&front->turns);
	if (!front_h2_make_callbacks(&front->callbacks) || nghttp2_option_new(&front->option) != 0) {
		fault_set(fault, FAULT_IO, "libnghttp2 does not start");
		front_h2_free(front);
		return NULL;
	}
	/* Windows open by what the exchanges take. */
	nghttp2_option_set_no_auto_window_update(front->option, 1);
	front_h2_take_limits(front);
	return front;
}

void front_h2_take_limits(struct front_h2 *front)
{
	const struct config_limits *limits = &front->worker->limits;
	/* A head may come in pieces of this size; libnghttp2 counts each read of a piece's beginning, too. */
	nghttp2_option_set_max_continuations(front->option, 16 + (size_t)limits->head / PIECE_BYTES);
	/* An upstream's head has limits.head of its own, and we add a field. */
	nghttp2_option_set_max_send_header_block_length(front->option, 2 * (size_t)limits->head + OUT_BYTES);
}

void front_h2_drain(struct front_h2 *front)
{
	struct h2_client *client;
	LIST_FOREACH (client, &front->clients, others) {
		client->unread = true;
		front_h2_soon(client);
	}
}

void front_h2_free(struct front_h2 *front)
{
	while (!LIST_EMPTY(&front->clients))
		cut(LIST_FIRST(&front->clients));
	loop_later_cancel(front->worker->loop, &front->turn);
	nghttp2_session_callbacks_del(front->callbacks);
	nghttp2_option_del(front->option);
	buffer_free(&front->out);
	free(front);
}
