#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "memory.h"
#include "monotonic.h"

#define ROUND_EVENTS 128
#define TICK 10     /* ms */
#define SLOTS 1024u /* a power of two: the wheel turns once in 10.24 s, what is due later waits for its round */

struct loop {
	int epoll, wake;
	bool stopping;
	uint64_t now;
	struct loop_watch wake_watch;
	void (*on_wake)(void *context);
	void *wake_context;
	/* Events of the current round; an entry whose watch was removed is set to NULL. */
	struct epoll_event events[ROUND_EVENTS];
	int event_count;
	struct loop_task *tasks, **tasks_end;
	struct loop_task *portions; /* for the next round */
	uint64_t tick;    /* the last tick whose slot was looked at */
	uint64_t soonest; /* no set timer is due before this tick */
	size_t timers;
	struct loop_timer *wheel[SLOTS];
};

static void wake_ready(struct loop_watch *watch, uint32_t events)
{
	struct loop *loop = (struct loop *)((char *)watch - offsetof(struct loop, wake_watch));
	uint64_t count;
	(void)events;
	if (read(loop->wake, &count, sizeof count) == sizeof count && loop->on_wake)
		loop->on_wake(loop->wake_context);
}

struct loop *loop_new(struct fault *fault)
{
	struct loop *loop = memory_alloc(sizeof *loop);
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->epoll < 0 || loop->wake < 0) {
		fault_errno(fault, "cannot make an event loop");
		loop_free(loop);
		return NULL;
	}
	loop->now = monotonic_ms();
	loop->tick = loop->now / TICK;
	loop->soonest = UINT64_MAX;
	loop->tasks_end = &loop->tasks;
	loop->wake_watch = (struct loop_watch){.fd = -1, .ready = wake_ready};
	loop_watch_add(loop, &loop->wake_watch, loop->wake, EPOLLIN);
	return loop;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	if (loop->epoll >= 0)
		close(loop->epoll);
	if (loop->wake >= 0)
		close(loop->wake);
	free(loop);
}

uint64_t loop_now(const struct loop *loop)
{
	return loop->now;
}

void loop_stop(struct loop *loop)
{
	loop->stopping = true;
}

void loop_wake(struct loop *loop)
{
	uint64_t one = 1;
	if (write(loop->wake, &one, sizeof one) < 0) {
		/* The counter is full: a wake is under way already. */
	}
}

void loop_on_wake(struct loop *loop, void (*on_wake)(void *context), void *context)
{
	loop->on_wake = on_wake;
	loop->wake_context = context;
}

void loop_watch_add(struct loop *loop, struct loop_watch *watch, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};
	watch->fd = fd;
	watch->events = events;
	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) == 0)
		return;
	/* Out of watches or memory: told to the owner as an error of the fd, once it is back in the loop. */
	if (loop->event_count < ROUND_EVENTS)
		loop->events[loop->event_count++] = (struct epoll_event){.events = EPOLLERR, .data.ptr = watch};
}

void loop_watch_change(struct loop *loop, struct loop_watch *watch, uint32_t events)
{
	if (watch->fd < 0 || watch->events == events)
		return;
	struct epoll_event event = {.events = events, .data.ptr = watch};
	watch->events = events;
	epoll_ctl(loop->epoll, EPOLL_CTL_MOD, watch->fd, &event);
}

/* Its events of this round are not told any more. */
static void forget_events(struct loop *loop, const struct loop_watch *watch)
{
	for (int i = 0; i < loop->event_count; i++)
		if (loop->events[i].data.ptr == watch)
			loop->events[i].data.ptr = NULL;
}

void loop_watch_take(struct loop *loop, struct loop_watch *old, struct loop_watch *fresh, uint32_t events)
{
	fresh->fd = old->fd;
	fresh->events = ~events;
	old->fd = -1;
	forget_events(loop, old);
	loop_watch_change(loop, fresh, events);
}

void loop_watch_remove(struct loop *loop, struct loop_watch *watch)
{
	if (watch->fd < 0)
		return;
	epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
	watch->fd = -1;
	forget_events(loop, watch);
}

static void timer_link(struct loop *loop, struct loop_timer *timer)
{
	uint64_t tick = timer->due / TICK + 1;
	if (tick <= loop->tick)
		tick = loop->tick + 1;
	if (tick < loop->soonest)
		loop->soonest = tick;
	struct loop_timer **slot = &loop->wheel[tick % SLOTS];
	timer->next = *slot;
	if (*slot)
		(*slot)->link = &timer->next;
	timer->link = slot;
	*slot = timer;
}

static void timer_unlink(struct loop_timer *timer)
{
	*timer->link = timer->next;
	if (timer->next)
		timer->next->link = timer->link;
	timer->next = NULL;
	timer->link = NULL;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t milliseconds)
{
	uint64_t due = loop->now + milliseconds;
	if (timer->link) {
		/* A later time is found out when the slot comes round. */
		if (due >= timer->due) {
			timer->due = due;
			return;
		}
		timer_unlink(timer);
	} else {
		loop->timers++;
	}
	timer->due = due;
	timer_link(loop, timer);
}

void loop_timer_stop(struct loop *loop, struct loop_timer *timer)
{
	if (!timer->link)
		return;
	timer_unlink(timer);
	loop->timers--;
}

/* Takes the slot's list over first: what fires may set and stop any timer. */
static void run_slot(struct loop *loop, struct loop_timer **slot)
{
	struct loop_timer *list = *slot;
	*slot = NULL;
	if (list)
		list->link = &list;
	while (list) {
		struct loop_timer *timer = list;
		timer_unlink(timer);
		if (timer->due > loop->now) {
			timer_link(loop, timer);
			continue;
		}
		loop->timers--;
		timer->fire(timer);
	}
}

static void run_timers(struct loop *loop)
{
	uint64_t last = loop->now / TICK;
	if (last - loop->tick > SLOTS)
		loop->tick = last - SLOTS;
	while (loop->tick < last) {
		loop->tick++;
		run_slot(loop, &loop->wheel[loop->tick % SLOTS]);
	}
}

void loop_later(struct loop *loop, struct loop_task *task)
{
	if (task->queued)
		return;
	task->queued = true;
	task->next = NULL;
	*loop->tasks_end = task;
	loop->tasks_end = &task->next;
}

void loop_next(struct loop *loop, struct loop_task *task)
{
	if (task->queued)
		return;
	task->queued = true;
	task->next = loop->portions;
	loop->portions = task;
}

static bool take_out(struct loop_task **link, struct loop_task *task)
{
	while (*link && *link != task)
		link = &(*link)->next;
	if (!*link)
		return false;
	*link = task->next;
	return true;
}

void loop_later_cancel(struct loop *loop, struct loop_task *task)
{
	if (!task->queued)
		return;
	task->queued = false;
	if (take_out(&loop->portions, task))
		return;
	take_out(&loop->tasks, task);
	loop->tasks_end = &loop->tasks;
	while (*loop->tasks_end)
		loop->tasks_end = &(*loop->tasks_end)->next;
}

static void queue_portions(struct loop *loop)
{
	struct loop_task *list = loop->portions;
	loop->portions = NULL;
	while (list) {
		struct loop_task *task = list;
		list = task->next;
		task->queued = false;
		loop_later(loop, task);
	}
}

/* What a task puts off again runs in the same round, behind the others. */
static void run_tasks(struct loop *loop)
{
	while (loop->tasks) {
		struct loop_task *task = loop->tasks;
		loop->tasks = task->next;
		if (!loop->tasks)
			loop->tasks_end = &loop->tasks;
		task->queued = false;
		task->run(task);
	}
}

/* The wheel has no order: the first occupied slot bounds the sleep, and what waits for a later turn wakes us in vain. */
static uint64_t first_occupied(const struct loop *loop)
{
	for (unsigned i = 1; i <= SLOTS; i++)
		if (loop->wheel[(loop->tick + i) % SLOTS])
			return loop->tick + i;
	return UINT64_MAX;
}

static int wait_limit(struct loop *loop)
{
	if (loop->event_count > 0 || loop->portions || loop->tasks)
		return 0;
	if (loop->timers == 0)
		return -1;
	if (loop->soonest <= loop->tick)
		loop->soonest = first_occupied(loop);
	uint64_t due = loop->soonest * TICK;
	return due > loop->now ? (int)(due - loop->now) : 0;
}

static void run_events(struct loop *loop)
{
	for (int i = 0; i < loop->event_count; i++) {
		struct loop_watch *watch = loop->events[i].data.ptr;
		if (watch)
			watch->ready(watch, loop->events[i].events);
	}
	loop->event_count = 0;
}

void loop_run(struct loop *loop)
{
	while (!loop->stopping) {
		int room = ROUND_EVENTS - loop->event_count;
		int count = room > 0 ? epoll_wait(loop->epoll, loop->events + loop->event_count, room, wait_limit(loop)) : 0;
		loop->now = monotonic_ms();
		if (count > 0)
			loop->event_count += count;
		queue_portions(loop);
		run_events(loop);
		run_timers(loop);
		run_tasks(loop);
	}
	loop->stopping = false;
}
