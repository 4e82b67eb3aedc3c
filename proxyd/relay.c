#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "memory.h"

#define PIPE_BYTES (64 * 1024)        /* for each way: with the sockets' own, that is what one tunnel holds */
#define ROUND_BYTES (1024 * 1024)     /* of one flow, then others have their turn */
#define COPY_BYTES (16 * 1024)        /* what comes in one piece of fewer bytes is copied */
#define TLS_BYTES (64 * 1024)         /* copied at once towards TLS: records that leave together */
#define THROWN_MOST (16 * 1024 * 1024) /* more than two sockets hold: then it is no echo, and nobody waits for it */
#define SPARES_KEPT 64

struct relay_pipe {
	struct relay_pipe *next;
	int ends[2];
};

struct relay_room {
	struct loop *loop;
	struct relay_pipe *spare;
	size_t spare_count;
	char bytes[TLS_BYTES];
};

/* --- pipes --- */

static struct relay_pipe *take_pipe(struct relay_room *room)
{
	struct relay_pipe *pipe = room->spare;
	if (pipe) {
		room->spare = pipe->next;
		room->spare_count--;
		return pipe;
	}
	pipe = memory_alloc(sizeof *pipe);
	if (pipe2(pipe->ends, O_CLOEXEC | O_NONBLOCK) == 0)
		return pipe;
	free(pipe);
	return NULL;
}

static void free_pipe(struct relay_pipe *pipe)
{
	close(pipe->ends[0]);
	close(pipe->ends[1]);
	free(pipe);
}

/* An empty pipe serves the next one; one that is not would give it another tunnel's bytes. */
static void give_pipe(struct relay_room *room, struct relay_flow *flow)
{
	struct relay_pipe *pipe = flow->pipe;
	flow->pipe = NULL;
	if (!pipe)
		return;
	if (flow->held > 0 || room->spare_count >= SPARES_KEPT) {
		free_pipe(pipe);
		return;
	}
	pipe->next = room->spare;
	room->spare = pipe;
	room->spare_count++;
}

struct relay_room *relay_room_new(struct loop *loop)
{
	struct relay_room *room = memory_alloc(sizeof *room);
	room->loop = loop;
	return room;
}

void relay_room_free(struct relay_room *room)
{
	while (room && room->spare) {
		struct relay_pipe *pipe = room->spare;
		room->spare = pipe->next;
		free_pipe(pipe);
	}
	free(room);
}

/* --- one way --- */

enum step { STEP_MOVED, STEP_NOTHING, STEP_BROKEN_FROM, STEP_BROKEN_TO };

static bool is_pending(const struct relay_flow *flow)
{
	return flow->held > 0 || flow->rest.length > 0;
}

/* What a call of splice(2) says, in an endpoint's words. */
static ssize_t of_splice(ssize_t count)
{
	if (count >= 0)
		return count;
	return errno == EAGAIN ? ENDPOINT_AGAIN : ENDPOINT_BROKEN;
}

/* What a call that gave `count` bytes of the side that a flow comes from tells of it. */
static enum step judge_read(struct relay_flow *flow, ssize_t count, bool may_be_empty)
{
	if (count > 0)
		return STEP_MOVED;
	if (count == 0) {
		flow->ended = true;
		return STEP_MOVED;
	}
	if (count == ENDPOINT_BROKEN)
		return STEP_BROKEN_FROM;
	if (may_be_empty)
		flow->readable = flow->bulk = flow->urgent = false;
	return STEP_NOTHING;
}

static enum step judge_write(struct relay_flow *flow, ssize_t count)
{
	if (count >= 0) {
		flow->bytes += (uint64_t)count;
		return count > 0 ? STEP_MOVED : STEP_NOTHING;
	}
	if (count == ENDPOINT_BROKEN)
		return STEP_BROKEN_TO;
	flow->writable = false;
	return STEP_NOTHING;
}

static enum step copy(struct relay *relay, struct relay_flow *flow, struct endpoint *from, struct endpoint *to)
{
	char *bytes = relay->room->bytes;
	size_t most = to->tls ? TLS_BYTES : COPY_BYTES;
	ssize_t count = endpoint_read(from, bytes, most);
	enum step step = judge_read(flow, count, true);
	if (step != STEP_MOVED || count == 0)
		return step;
	flow->bulk = (size_t)count == most;
	flow->readable = flow->ending || flow->urgent || !endpoint_is_drained(from, (size_t)count, most);
	ssize_t sent = endpoint_write(to, bytes, (size_t)count);
	step = judge_write(flow, sent);
	size_t taken = sent > 0 ? (size_t)sent : 0;
	if (step <= STEP_NOTHING && taken < (size_t)count)
		buffer_append(&flow->rest, bytes + taken, (size_t)count - taken);
	return step;
}

static enum step send_rest(struct relay_flow *flow, struct endpoint *to)
{
	if (!flow->writable)
		return STEP_NOTHING;
	struct span left = span_from(buffer_view(&flow->rest), flow->rest_sent);
	ssize_t count = endpoint_write(to, left.data, left.length);
	if (count > 0)
		flow->rest_sent += (size_t)count;
	if (flow->rest_sent == flow->rest.length) {
		buffer_free(&flow->rest);
		flow->rest_sent = 0;
	}
	return judge_write(flow, count);
}

static enum step fill(struct relay_flow *flow, int from)
{
	if (!flow->readable || flow->ended || flow->held >= PIPE_BYTES)
		return STEP_NOTHING;
	ssize_t count = of_splice(splice(from, NULL, flow->pipe->ends[1], NULL, PIPE_BYTES - flow->held,
	                                 SPLICE_F_MOVE | SPLICE_F_NONBLOCK));
	/* With bytes in it, it may be the pipe that has no room: its slots can be full before its bytes are. */
	enum step step = judge_read(flow, count, flow->held == 0);
	if (count > 0)
		flow->held += (size_t)count;
	return step;
}

static enum step drain(struct relay_flow *flow, int to)
{
	if (flow->held == 0 || !flow->writable)
		return STEP_NOTHING;
	ssize_t count =
		of_splice(splice(flow->pipe->ends[0], NULL, to, NULL, flow->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK));
	if (count > 0)
		flow->held -= (size_t)count;
	return judge_write(flow, count);
}

/* Where there is no pipe to be had, all is copied. */
static bool is_spliced(struct relay *relay, struct relay_flow *flow)
{
	if (flow->held > 0)
		return true;
	if (!flow->bulk || flow->urgent || relay->ends[RELAY_CLIENT].tls || relay->ends[RELAY_UPSTREAM].tls)
		return false;
	if (!flow->pipe)
		flow->pipe = take_pipe(relay->room);
	return flow->pipe != NULL;
}

static enum step move(struct relay *relay, struct relay_flow *flow, struct endpoint *from, struct endpoint *to)
{
	if (flow->rest.length > 0)
		return send_rest(flow, to);
	if (!is_spliced(relay, flow))
		return flow->readable && flow->writable && !flow->ended ? copy(relay, flow, from, to) : STEP_NOTHING;
	enum step filled = fill(flow, from->fd);
	if (filled > STEP_NOTHING)
		return filled;
	enum step drained = drain(flow, to->fd);
	return drained > STEP_NOTHING || filled == STEP_NOTHING ? drained : filled;
}

static void drop_pending(struct relay *relay, struct relay_flow *flow)
{
	give_pipe(relay->room, flow);
	flow->held = flow->rest_sent = 0;
	buffer_free(&flow->rest);
}

/* The side that a flow goes to takes no more. What that side said before may still be on its way, so the other flow goes
 * on, to its end or to the error that is behind it. */
static void stop_flow(struct relay *relay, int side)
{
	struct relay_flow *flow = &relay->flows[side];
	drop_pending(relay, flow);
	flow->ended = flow->shut = flow->stopped = true;
	relay->flows[!side].readable = relay->flows[!side].ending = true;
}

static void reset_on_close(struct relay *relay, int side)
{
	endpoint_cut(&relay->ends[side]);
	relay->reset = true;
}

static void pass_on_end(struct relay *relay, int side)
{
	struct relay_flow *flow = &relay->flows[side];
	flow->shut = true;
	if (flow->cut)
		reset_on_close(relay, !side);
	else if (!relay->flows[!side].shut) /* else the close that follows says so */
		endpoint_shut(&relay->ends[!side]);
}

/* For a side that takes no more. Were it left unread, whoever says it could wait for that, and never take what the other flow
 * has for it. True where there is more. */
static bool throw_away(struct relay *relay, int side)
{
	struct relay_flow *flow = &relay->flows[side];
	size_t until = flow->thrown + ROUND_BYTES;
	while (flow->readable && flow->thrown < until && flow->thrown < THROWN_MOST) {
		ssize_t count = endpoint_read(&relay->ends[side], relay->room->bytes, COPY_BYTES);
		flow->readable = count > 0;
		flow->thrown += count > 0 ? (size_t)count : 0;
	}
	if (flow->thrown >= THROWN_MOST)
		reset_on_close(relay, side);
	return flow->readable;
}

/* Moves what can be moved. True where more can be, after others. */
static bool pump(struct relay *relay, int side)
{
	struct relay_flow *flow = &relay->flows[side];
	uint64_t until = flow->bytes + ROUND_BYTES;
	enum step step;
	if (flow->stopped)
		return throw_away(relay, side);
	if (flow->shut)
		return false;
	do {
		step = move(relay, flow, &relay->ends[side], &relay->ends[!side]);
		if (step == STEP_BROKEN_FROM) {
			flow->ended = flow->cut = true;
			step = STEP_MOVED;
		}
	} while (step == STEP_MOVED && flow->bytes < until);
	if (step == STEP_BROKEN_TO)
		stop_flow(relay, side);
	if (flow->held == 0)
		give_pipe(relay->room, flow);
	if (flow->ended && !is_pending(flow) && !flow->shut)
		pass_on_end(relay, side);
	return step == STEP_MOVED || flow->stopped;
}

/* --- both --- */

static void stop(struct relay *relay)
{
	struct loop *loop = relay->room->loop;
	loop_timer_stop(loop, &relay->timer);
	loop_later_cancel(loop, &relay->task);
	for (int side = 0; side < RELAY_SIDES; side++) {
		loop_watch_remove(loop, &relay->watches[side]);
		drop_pending(relay, &relay->flows[side]);
	}
}

static void end(struct relay *relay, enum relay_end how)
{
	stop(relay);
	relay->done(relay, how);
}

static enum relay_end broken(int side)
{
	return side == RELAY_CLIENT ? RELAY_CLIENT_BROKEN : RELAY_UPSTREAM_BROKEN;
}

/* Was it reset, did it take no more, for long enough, or has it, being gone for both directions, said its end? */
static bool is_broken(const struct relay *relay, int side)
{
	const struct relay_flow *from = &relay->flows[side], *to = &relay->flows[!side];
	if (!from->shut)
		return to->thrown >= THROWN_MOST;
	return from->cut || (to->stopped && to->shut) || (from->gone && !to->shut);
}

static void pump_both(struct relay *relay)
{
	uint64_t before = relay->flows[0].bytes + relay->flows[1].bytes;
	bool more = false;
	for (int side = 0; side < RELAY_SIDES; side++)
		more |= pump(relay, side);
	/* The first one may have stopped for what the second one says. */
	for (int side = 0; side < RELAY_SIDES; side++)
		more |= relay->flows[!side].stopped && pump(relay, side);
	for (int side = 0; side < RELAY_SIDES; side++)
		if (is_broken(relay, side)) {
			end(relay, broken(side));
			return;
		}
	if (relay->flows[0].shut && relay->flows[1].shut) {
		end(relay, RELAY_BOTH_CLOSED);
		return;
	}
	if (relay->flows[0].bytes + relay->flows[1].bytes > before)
		loop_timer_set(relay->room->loop, &relay->timer, relay->idle);
	if (more)
		loop_next(relay->room->loop, &relay->task);
}

static void on_task(struct loop_task *task)
{
	pump_both((struct relay *)((char *)task - offsetof(struct relay, task)));
}

static void on_idle(struct loop_timer *timer)
{
	struct relay *relay = (struct relay *)((char *)timer - offsetof(struct relay, timer));
	relay_cut(relay);
	end(relay, RELAY_IDLE);
}

static void hear(struct relay *relay, int side, uint32_t events)
{
	struct relay_flow *flow = &relay->flows[side];
	flow->urgent |= (events & EPOLLPRI) != 0;
	flow->readable |= (events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
	flow->ending |= (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
	flow->gone |= (events & (EPOLLHUP | EPOLLERR)) != 0;
	relay->flows[!side].writable |= (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;
	/* TLS may have waited for either. */
	if (relay->ends[side].tls && events)
		flow->readable = relay->flows[!side].writable = true;
}

static void on_side(struct relay *relay, int side, uint32_t events)
{
	hear(relay, side, events);
	pump_both(relay);
}

static void on_client(struct loop_watch *watch, uint32_t events)
{
	on_side((struct relay *)((char *)watch - offsetof(struct relay, watches[RELAY_CLIENT])), RELAY_CLIENT, events);
}

static void on_upstream(struct loop_watch *watch, uint32_t events)
{
	on_side((struct relay *)((char *)watch - offsetof(struct relay, watches[RELAY_UPSTREAM])), RELAY_UPSTREAM, events);
}

void relay_start(struct relay *relay, struct relay_room *room, const uint32_t events[RELAY_SIDES], uint64_t idle,
                 void (*done)(struct relay *relay, enum relay_end end))
{
	relay->watches[RELAY_CLIENT].ready = on_client;
	relay->watches[RELAY_UPSTREAM].ready = on_upstream;
	relay->timer = (struct loop_timer){.fire = on_idle};
	relay->task = (struct loop_task){.run = on_task};
	relay->room = room;
	relay->idle = idle;
	relay->done = done;
	relay->reset = false;
	for (int side = 0; side < RELAY_SIDES; side++)
		relay->flows[side] = (struct relay_flow){.rest = relay->flows[side].rest};
	for (int side = 0; side < RELAY_SIDES; side++)
		hear(relay, side, events[side] | EPOLLOUT);
	loop_timer_set(room->loop, &relay->timer, idle);
	loop_later(room->loop, &relay->task);
}

void relay_prepend(struct relay *relay, int side, struct span bytes)
{
	buffer_append(&relay->flows[side].rest, bytes.data, bytes.length);
}

void relay_stop(struct relay *relay)
{
	if (relay->room)
		stop(relay);
	for (int side = 0; side < RELAY_SIDES; side++)
		buffer_free(&relay->flows[side].rest);
}

void relay_cut(struct relay *relay)
{
	for (int side = 0; relay->room && side < RELAY_SIDES; side++)
		if (!relay->flows[!side].shut)
			reset_on_close(relay, side);
}
