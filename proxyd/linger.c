#include "linger.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "memory.h"

#define LINGER_TIME 2000
#define LINGER_BYTES (1024 * 1024)
#define LINGER_TURNS 4 /* reads; then others have theirs */

struct linger_state {
	struct loop_watch watch;
	struct loop_timer timer;
	LIST_ENTRY(linger_state) others;
	struct worker *worker;
	size_t discarded;
	int fd;
};

static void end(struct linger_state *state)
{
	struct worker *worker = state->worker;
	loop_watch_remove(worker->loop, &state->watch);
	loop_timer_stop(worker->loop, &state->timer);
	LIST_REMOVE(state, others);
	close(state->fd);
	free(state);
	worker_connection_closed(worker);
}

static void on_timer(struct loop_timer *timer)
{
	end((struct linger_state *)((char *)timer - offsetof(struct linger_state, timer)));
}

static void on_readable(struct loop_watch *watch, uint32_t events)
{
	struct linger_state *state = (struct linger_state *)((char *)watch - offsetof(struct linger_state, watch));
	char bytes[16384];
	(void)events;
	for (unsigned turn = 0; turn < LINGER_TURNS; turn++) {
		ssize_t count = recv(state->fd, bytes, sizeof bytes, 0);
		if (count < 0 && (errno == EINTR || errno == EAGAIN))
			return;
		if (count <= 0 || (state->discarded += (size_t)count) > LINGER_BYTES) {
			end(state);
			return;
		}
	}
}

void linger_close(struct worker *worker, int fd, struct span last)
{
	while (last.length > 0) {
		ssize_t count = send(fd, last.data, last.length, MSG_NOSIGNAL);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			break;
		last = span_from(last, (size_t)count);
	}
	shutdown(fd, SHUT_WR);
	struct linger_state *state = memory_alloc(sizeof *state);
	*state = (struct linger_state){
		.watch = {.fd = -1, .ready = on_readable}, .timer = {.fire = on_timer}, .worker = worker, .fd = fd};
	LIST_INSERT_HEAD(&worker->lingers, state, others);
	loop_timer_set(worker->loop, &state->timer, LINGER_TIME);
	loop_watch_add(worker->loop, &state->watch, fd, EPOLLIN);
}

void linger_end_all(struct worker *worker)
{
	while (!LIST_EMPTY(&worker->lingers))
		end(LIST_FIRST(&worker->lingers));
}
