/* One thread's event loop: epoll, timers, and work put off to the end of a round.
 *
 * Everything here belongs to one thread, but for loop_wake(). Watches, timers and tasks are embedded in their owners'
 * structs: nothing is allocated, and an owner may remove or free itself from within any callback. */
#ifndef KEYSTILE_LOOP_H
#define KEYSTILE_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "fault.h"

struct loop;

struct loop_watch {
	int fd;          /* -1 while not watched */
	uint32_t events; /* as last asked for */
	void (*ready)(struct loop_watch *watch, uint32_t events);
};

struct loop_timer {
	struct loop_timer *next, **link; /* NULL while not set */
	uint64_t due;                    /* ms, loop_now()'s clock */
	void (*fire)(struct loop_timer *timer);
};

struct loop_task {
	struct loop_task *next;
	bool queued;
	void (*run)(struct loop_task *task);
};

struct loop *loop_new(struct fault *fault); /* NULL on failure */
void loop_free(struct loop *loop);

/* Runs until loop_stop(); may be run again. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* From any thread: ends the current wait, and `on_wake` of the loop runs. */
void loop_wake(struct loop *loop);
void loop_on_wake(struct loop *loop, void (*on_wake)(void *context), void *context);

/* Monotonic milliseconds, read once per round. */
uint64_t loop_now(const struct loop *loop);

/* `events` are epoll's (EPOLLIN | EPOLLET …). Adding an fd that cannot be watched ends in an immediate EPOLLERR. */
void loop_watch_add(struct loop *loop, struct loop_watch *watch, int fd, uint32_t events);
void loop_watch_change(struct loop *loop, struct loop_watch *watch, uint32_t events);
/* `fresh` takes the place of `old`, which is not watched any more. An edge-triggered event that is still true comes again. */
void loop_watch_take(struct loop *loop, struct loop_watch *old, struct loop_watch *fresh, uint32_t events);
void loop_watch_remove(struct loop *loop, struct loop_watch *watch); /* before the fd is closed; fine when not watched */

/* (Re)sets a timer. Accuracy is 10 ms, never early. Setting a later time on a set timer costs a store. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t milliseconds);
void loop_timer_stop(struct loop *loop, struct loop_timer *timer);

/* Runs `task` once, after the events of this round and before the next wait. Fine to call when queued. */
void loop_later(struct loop *loop, struct loop_task *task);
/* Runs `task` once, after the events of the next round, for which the loop does not wait: for work that comes in portions
 * and lets others have their turn between them. */
void loop_next(struct loop *loop, struct loop_task *task);
void loop_later_cancel(struct loop *loop, struct loop_task *task);

#endif
