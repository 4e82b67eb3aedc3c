/* The event loop: watches, timers and deferred work, and what an owner may do from within a callback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "loop.h"

static struct loop *loop;
static unsigned fired[8], fired_count;

static int set_up(void **state)
{
	struct fault fault = FAULT_INIT;
	(void)state;
	loop = loop_new(&fault);
	fired_count = 0;
	return loop ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	loop_free(loop);
	return 0;
}

struct numbered_timer {
	struct loop_timer timer;
	unsigned number;
	bool last;
	uint64_t at;
};

static void note_timer(struct loop_timer *timer)
{
	struct numbered_timer *numbered = (struct numbered_timer *)timer;
	fired[fired_count++] = numbered->number;
	numbered->at = loop_now(loop);
	if (numbered->last)
		loop_stop(loop);
}

/* In the order of their times, never early; one that is set later moves, one that is stopped stays quiet. */
static void timers_fire_in_order(void **state)
{
	struct numbered_timer timers[] = {
		{{.fire = note_timer}, 0, true, 0}, {{.fire = note_timer}, 1, false, 0},
		{{.fire = note_timer}, 2, false, 0}, {{.fire = note_timer}, 3, false, 0},
	};
	uint64_t start = loop_now(loop);
	(void)state;
	loop_timer_set(loop, &timers[0].timer, 120);
	loop_timer_set(loop, &timers[1].timer, 20);
	loop_timer_set(loop, &timers[2].timer, 10);
	loop_timer_set(loop, &timers[3].timer, 40);
	loop_timer_set(loop, &timers[2].timer, 80); /* later: found out when its slot comes round */
	loop_timer_stop(loop, &timers[3].timer);
	loop_run(loop);
	assert_int_equal(fired_count, 3);
	assert_int_equal(fired[2], 0);
	/* A machine that was busy for so long that both were due in one round may take them in either order. */
	if (timers[1].at < start + 80) {
		assert_int_equal(fired[0], 1);
		assert_int_equal(fired[1], 2);
	}
	assert_true(timers[1].at >= start + 20);
	assert_true(timers[2].at >= start + 80);
	assert_true(timers[0].at >= start + 120);
}

/* An earlier time takes effect at once, and a time beyond a turn of the wheel does not fire with its slot. */
static void timers_move_forward(void **state)
{
	struct numbered_timer far = {{.fire = note_timer}, 1, false, 0}, soon = {{.fire = note_timer}, 2, true, 0};
	(void)state;
	loop_timer_set(loop, &far.timer, 10240 + 30); /* shares the slot of 30 ms */
	loop_timer_set(loop, &soon.timer, 9000);
	loop_timer_set(loop, &soon.timer, 60);
	loop_run(loop);
	assert_int_equal(fired_count, 1);
	assert_int_equal(fired[0], 2);
	loop_timer_stop(loop, &far.timer);
}

struct pair {
	struct loop_watch watch;
	struct pair *other;
};

static void remove_both(struct loop_watch *watch, uint32_t events)
{
	struct pair *pair = (struct pair *)watch;
	(void)events;
	fired_count++;
	loop_watch_remove(loop, &pair->other->watch);
	loop_watch_remove(loop, &pair->watch);
	loop_stop(loop);
}

/* Both are ready in one round; whichever runs first removes the other, which must not run then. */
static void a_removed_watch_is_not_called(void **state)
{
	struct pair a = {{.fd = -1, .ready = remove_both}, NULL}, b = {{.fd = -1, .ready = remove_both}, NULL};
	int first = eventfd(1, EFD_NONBLOCK), second = eventfd(1, EFD_NONBLOCK);
	(void)state;
	a.other = &b;
	b.other = &a;
	loop_watch_add(loop, &a.watch, first, EPOLLIN);
	loop_watch_add(loop, &b.watch, second, EPOLLIN);
	loop_run(loop);
	assert_int_equal(fired_count, 1);
	close(first);
	close(second);
}

static void note_error(struct loop_watch *watch, uint32_t events)
{
	fired_count++;
	assert_true(events & EPOLLERR);
	loop_watch_remove(loop, watch);
	loop_stop(loop);
}

static void a_watch_that_cannot_be_made_is_an_error(void **state)
{
	struct loop_watch watch = {.fd = -1, .ready = note_error};
	(void)state;
	loop_watch_add(loop, &watch, 1 << 20, EPOLLIN);
	loop_run(loop);
	assert_int_equal(fired_count, 1);
}

struct numbered_task {
	struct loop_task task;
	unsigned number;
	struct numbered_task *then;
};

static void note_task(struct loop_task *task)
{
	struct numbered_task *numbered = (struct numbered_task *)task;
	fired[fired_count++] = numbered->number;
	if (numbered->then)
		loop_later(loop, &numbered->then->task);
	else
		loop_stop(loop);
}

static void tasks_run_once_and_in_order(void **state)
{
	struct numbered_task last = {{.run = note_task}, 3, NULL};
	struct numbered_task a = {{.run = note_task}, 1, &last}, dropped = {{.run = note_task}, 2, NULL};
	(void)state;
	loop_later(loop, &a.task);
	loop_later(loop, &dropped.task);
	loop_later(loop, &a.task);
	loop_later_cancel(loop, &dropped.task);
	loop_wake(loop);
	loop_run(loop);
	assert_int_equal(fired_count, 2);
	assert_int_equal(fired[0], 1);
	assert_int_equal(fired[1], 3);
}

static void stop_on_wake(void *context)
{
	(*(unsigned *)context)++;
	loop_stop(loop);
}

static void *wake(void *context)
{
	loop_wake(context);
	return NULL;
}

static void another_thread_ends_the_wait(void **state)
{
	unsigned woken = 0;
	pthread_t thread;
	(void)state;
	loop_on_wake(loop, stop_on_wake, &woken);
	pthread_create(&thread, NULL, wake, loop);
	loop_run(loop);
	pthread_join(thread, NULL);
	assert_int_equal(woken, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(timers_fire_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(timers_move_forward, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_removed_watch_is_not_called, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_watch_that_cannot_be_made_is_an_error, set_up, tear_down),
		cmocka_unit_test_setup_teardown(tasks_run_once_and_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_thread_ends_the_wait, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
