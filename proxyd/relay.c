#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "memory.h"

#define PIPE_BYTES (64 * 1024)        /* for each way: with the sockets' own, that is what one tunnel holds */
#define ROUND_BYTES (1024 * 1024)     /* of one flow, then others have their turn */
#define COPY_BYTES (16 * 1024)        /* what comes in one piece of fewer bytes is copied */
#define SPARES_KEPT 64

struct relay_pipe {
	struct relay_pipe *next;
	int ends[2];
};

struct relay_room {
	struct loop *loop;
	struct relay_pipe *spare;
	size_t spare_count;
	char bytes[COPY_BYTES];
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

enum step { STEP_MOVED, STEP_NOTHING, STEP_BROKEN_FROM, STEP_BROKEN_TO, STEP_NO_PIPE };

/* What a call that gave `count` bytes of the side that a flow comes from tells of it. */
static enum step judge_read(struct relay_flow *flow, ssize_t count, bool may_be_empty)
{
	if (count > 0)
		return STEP_MOVED;
	if (count == 0) {
		flow->ended = true;
		return STEP_MOVED;
	}
	if (errno != EAGAIN && errno != EINTR)
		return STEP_BROKEN_FROM;
	if (may_be_empty && errno == EAGAIN)
		flow->readable = flow->bulk = false;
	return STEP_NOTHING;
}

static enum step judge_write(struct relay_flow *flow, ssize_t count)
{
	if (count >= 0) {
		flow->bytes += (uint64_t)count;
		return count > 0 ? STEP_MOVED : STEP_NOTHING;
	}
	if (errno != EAGAIN && errno != EINTR)
		return STEP_BROKEN_TO;
	flow->writable &= errno != EAGAIN;
	return STEP_NOTHING;
}

/* What the socket did not take waits in a pipe: it is empty, and has room for all that is ever copied. */
static enum step keep(struct relay *relay, struct relay_flow *flow, const char *bytes, size_t count)
{
	if (!flow->pipe && !(flow->pipe = take_pipe(relay->room)))
		return STEP_NO_PIPE;
	flow->held = count;
	return write(flow->pipe->ends[1], bytes, count) == (ssize_t)count ? STEP_MOVED : STEP_NO_PIPE;
}

static enum step copy(struct relay *relay, struct relay_flow *flow, int from, int to)
{
	char *bytes = relay->room->bytes;
	ssize_t count = recv(from, bytes, COPY_BYTES, 0);
	enum step step = judge_read(flow, count, true);
	if (step != STEP_MOVED || count == 0)
		return step;
	flow->bulk = count == COPY_BYTES;
	/* Less than was asked for is all there was, and more will be told; but for an end, that was told with it. */
	flow->readable = flow->bulk || flow->ending;
	ssize_t sent = send(to, bytes, (size_t)count, MSG_NOSIGNAL);
	step = judge_write(flow, sent);
	if (step > STEP_NOTHING || sent == count)
		return step;
	size_t taken = sent > 0 ? (size_t)sent : 0;
	return keep(relay, flow, bytes + taken, (size_t)count - taken);
}

static enum step fill(struct relay *relay, struct relay_flow *flow, int from)
{
	if (!flow->readable || flow->ended || flow->held >= PIPE_BYTES)
		return STEP_NOTHING;
	if (!flow->pipe && !(flow->pipe = take_pipe(relay->room)))
		return STEP_NO_PIPE;
	ssize_t count = splice(from, NULL, flow->pipe->ends[1], NULL, PIPE_BYTES - flow->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
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
	ssize_t count = splice(flow->pipe->ends[0], NULL, to, NULL, flow->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (count > 0)
		flow->held -= (size_t)count;
	return judge_write(flow, count);
}

static enum step move(struct relay *relay, struct relay_flow *flow, int from, int to)
{
	if (flow->held == 0 && !flow->bulk && flow->readable && flow->writable && !flow->ended)
		return copy(relay, flow, from, to);
	enum step filled = fill(relay, flow, from);
	if (filled > STEP_NOTHING)
		return filled;
	enum step drained = drain(flow, to);
	return drained > STEP_NOTHING || filled == STEP_NOTHING ? drained : filled;
}

/* Moves what can be moved. STEP_MOVED: more can be, after others. */
static enum step pump(struct relay *relay, int side)
{
	struct relay_flow *flow = &relay->flows[side];
	int from = relay->fds[side], to = relay->fds[!side];
	uint64_t until = flow->bytes + ROUND_BYTES;
	enum step step;
	do
		step = move(relay, flow, from, to);
	while (step == STEP_MOVED && flow->bytes < until);
	if (flow->held == 0)
		give_pipe(relay->room, flow);
	if (flow->ended && flow->held == 0 && !flow->shut) {
		flow->shut = true;
		if (!relay->flows[!side].shut) /* else the close that follows says so */
			shutdown(to, SHUT_WR);
	}
	return step;
}

/* --- both --- */

static void stop(struct relay *relay)
{
	struct loop *loop = relay->room->loop;
	loop_timer_stop(loop, &relay->timer);
	loop_later_cancel(loop, &relay->task);
	for (int side = 0; side < RELAY_SIDES; side++) {
		loop_watch_remove(loop, &relay->watches[side]);
		give_pipe(relay->room, &relay->flows[side]);
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

/* A step of the flow from `side` failed. A cut must not look like an end, so it is passed on as a reset. */
static void fail(struct relay *relay, enum step step, int side)
{
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	int failed = step == STEP_BROKEN_FROM ? side : !side;
	if (step == STEP_NO_PIPE) {
		end(relay, RELAY_NO_PIPE);
		return;
	}
	setsockopt(relay->fds[!failed], SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	end(relay, broken(failed));
}

/* Did a side that takes nothing more say its end, and the other one has all of it? */
static bool is_gone(const struct relay *relay, int side)
{
	return relay->flows[side].gone && relay->flows[side].shut && !relay->flows[!side].shut;
}

static void pump_both(struct relay *relay)
{
	uint64_t before = relay->flows[0].bytes + relay->flows[1].bytes;
	bool more = false;
	for (int side = 0; side < RELAY_SIDES; side++) {
		enum step step = pump(relay, side);
		if (step > STEP_NOTHING) {
			fail(relay, step, side);
			return;
		}
		more |= step == STEP_MOVED;
	}
	if (relay->flows[0].shut && relay->flows[1].shut) {
		end(relay, RELAY_BOTH_CLOSED);
		return;
	}
	for (int side = 0; side < RELAY_SIDES; side++)
		if (is_gone(relay, side)) {
			end(relay, broken(side));
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
	end((struct relay *)((char *)timer - offsetof(struct relay, timer)), RELAY_IDLE);
}

static void hear(struct relay *relay, int side, uint32_t events)
{
	struct relay_flow *flow = &relay->flows[side];
	flow->readable |= (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
	flow->ending |= (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
	flow->gone |= (events & (EPOLLHUP | EPOLLERR)) != 0;
	relay->flows[!side].writable |= (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;
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
	for (int side = 0; side < RELAY_SIDES; side++) {
		relay->fds[side] = relay->watches[side].fd;
		relay->flows[side] = (struct relay_flow){0};
	}
	for (int side = 0; side < RELAY_SIDES; side++)
		hear(relay, side, events[side] | EPOLLOUT);
	loop_timer_set(room->loop, &relay->timer, idle);
	loop_later(room->loop, &relay->task);
}

void relay_stop(struct relay *relay)
{
	if (relay->room)
		stop(relay);
}
