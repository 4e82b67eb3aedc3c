/* The end of the process as its clients see it: nobody new, and time for what is under way. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "commands.h"
#include "log.h"
#include "minter.h"
#include "monotonic.h"
#include "server.h"

#define ONE_SIGNAL 1000   /* ms: a launcher may pass on what a terminal has sent to all, and both are one wish */
#define LAST_ANSWER 2000  /* ms that a token endpoint has beyond all others: the next refresh token may be on its way */

/* By a clock that is not set meanwhile. */
struct drain {
	uint64_t began, end; /* monotonic_ms() */
	bool hurried; /* the operator asked once more */
};

static bool is_over(const struct drain *drain)
{
	return drain->hurried || monotonic_ms() >= drain->end;
}

/* Until something ended, which SERVER_WAKE_SIGNAL tells, somebody asks once more, or time is over. False then. */
static bool wait_for_news(struct drain *drain)
{
	int64_t left = (int64_t)(drain->end - monotonic_ms());
	struct timespec time = {.tv_sec = left > 0 ? left / 1000 : 0, .tv_nsec = left > 0 ? left % 1000 * 1000000 : 0};
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SERVER_WAKE_SIGNAL);
	int number = sigtimedwait(&signals, NULL, &time);
	if (number < 0)
		return errno == EINTR;
	if (number != SERVER_WAKE_SIGNAL && monotonic_ms() - drain->began >= ONE_SIGNAL)
		drain->hurried = true;
	return !is_over(drain);
}

static bool workers_have_ended(const struct server *server)
{
	for (unsigned i = 0; i < server->worker_count; i++)
		if (!worker_has_ended(&server->workers[i]))
			return false;
	return true;
}

static bool minter_is_over(const struct server *server)
{
	return minter_has_ended(server->minter);
}

static bool wait_until(bool (*have_ended)(const struct server *server), struct server *server, struct drain *drain)
{
	bool more = !is_over(drain), ended;
	while (!(ended = have_ended(server)) && more) {
		more = wait_for_news(drain);
		server_take_commands(server); /* a request may wait for one */
	}
	return ended;
}

static void drain_workers(struct server *server, struct drain *drain)
{
	for (unsigned i = 0; i < server->worker_count; i++)
		worker_drain(&server->workers[i]);
	bool ended = wait_until(workers_have_ended, server, drain);
	for (unsigned i = 0; i < server->worker_count; i++)
		worker_end(&server->workers[i]);
	if (!ended && drain->hurried)
		log_warning("asked to stop once more: ended what was still under way");
	else if (!ended)
		log_warning("ended what was still under way after %llu s", (unsigned long long)(drain->end - drain->began) / 1000);
}

static void drain_minter(struct server *server, struct drain *drain)
{
	minter_stop(server->minter);
	if (!wait_until(minter_is_over, server, drain)) {
		*drain = (struct drain){.began = monotonic_ms(), .end = monotonic_ms() + LAST_ANSWER};
		wait_until(minter_is_over, server, drain);
	}
	minter_end(server->minter);
	server->minter = NULL;
}

void server_drain(struct server *server, unsigned seconds)
{
	struct drain drain = {.began = monotonic_ms()};
	drain.end = drain.began + (uint64_t)seconds * 1000;
	atomic_store(&server->draining, true);
	if (server->admin)
		admin_serving(server->admin, false);
	drain_workers(server, &drain);
	commands_stop(server->commands);
	drain_minter(server, &drain);
}
