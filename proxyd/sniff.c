#include "sniff.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "connect.h"
#include "front_h1.h"
#include "front_h2.h"
#include "linger.h"
#include "opening.h"
#include "refusal.h"

struct sniff {
	struct loop_watch watch;
	struct loop_timer timer; /* limits.head_time */
	LIST_ENTRY(sniff) others;
	struct worker *worker;
	struct way way;
	uint64_t since; /* when it came here, loop_now() */
	int fd;
	size_t looked; /* bytes that were judged, and are not enough */
	bool kept;     /* not its first request */
};

/* Takes the fd out of the sniffer, which is gone then. */
static int end(struct sniff *sniff)
{
	int fd = sniff->fd;
	loop_watch_remove(sniff->worker->loop, &sniff->watch);
	loop_timer_stop(sniff->worker->loop, &sniff->timer);
	LIST_REMOVE(sniff, others);
	slab_give(&sniff->worker->sniff_slab, sniff);
	return fd;
}

static void close_unanswered(struct sniff *sniff)
{
	struct worker *worker = sniff->worker;
	worker_way_over(&sniff->way);
	close(end(sniff));
	worker_connection_closed(worker);
}

static void close_silently(struct sniff *sniff, const char *reason)
{
	worker_note_refusal(sniff->worker, &sniff->way, reason, 0);
	close_unanswered(sniff);
}

static void refuse(struct sniff *sniff, const struct problem *problem)
{
	struct worker *worker = sniff->worker;
	AUTO_BUFFER struct buffer out = {0};
	refusal_write(problem, true, &out);
	worker_note_refusal(worker, &sniff->way, problem->reason, problem->status);
	worker_way_over(&sniff->way);
	linger_close(worker, end(sniff), buffer_view(&out));
}

/* Redirected plain HTTP leads to the host that its first request names; where that names none (HTTP/1.0), to the original
 * destination. A port is not the client's to choose: the judge compares it. */
static void settle_host(const struct way *way, const struct request *request)
{
	if (!way->place || !way->place->open)
		return;
	const struct field *field = fields_find(&request->fields, SPAN("host"));
	struct authority shown;
	way->place->open = false;
	if (field && authority_parse(field->value, &shown, NULL))
		way->place->target.host = shown.host;
}

/* The socket stays watched, and is connect's from here on. */
static void hand_to_connect(struct sniff *sniff, const struct opening *opening)
{
	connect_start(sniff->worker, &sniff->watch, &sniff->way, &opening->request, opening->size);
	end(sniff);
}

static void hand_to_h2(struct sniff *sniff)
{
	struct worker *worker = sniff->worker;
	struct way way = sniff->way;
	struct endpoint bare = {.fd = end(sniff)};
	front_h2_start(worker, &bare, &way);
}

/* `more`: bytes behind the head are there. */
static void hand_to_h1(struct sniff *sniff, const struct opening *opening, bool more)
{
	struct worker *worker = sniff->worker;
	size_t memory = front_h1_needs(&opening->request, opening->size);
	if (memory <= front_h1_most_memory(worker->front)) {
		struct way way = sniff->way;
		front_h1_add(worker->front, end(sniff), &way, memory, more);
		return;
	}
	struct problem problem = {0};
	problem_set(&problem, 431, "too_many_cookies", "the request has more cookies than fit beside it",
	            "send fewer or shorter cookies, or raise limits.head");
	refuse(sniff, &problem);
}

static void decide(struct sniff *sniff, const struct opening *opening, size_t size)
{
	switch (opening->kind) {
	case OPENING_WAIT:
		break;
	case OPENING_HTTP:
		settle_host(&sniff->way, &opening->request);
		hand_to_h1(sniff, opening, size > opening->size);
		break;
	case OPENING_H2:
		hand_to_h2(sniff);
		break;
	case OPENING_CONNECT:
		hand_to_connect(sniff, opening);
		break;
	case OPENING_REFUSE:
		refuse(sniff, &opening->problem);
		break;
	case OPENING_ALIEN:
		close_silently(sniff, opening->problem.reason);
		break;
	case OPENING_GONE:
		close_unanswered(sniff);
		break;
	}
}

static void on_readable(struct loop_watch *watch, uint32_t events)
{
	struct sniff *sniff = (struct sniff *)watch;
	struct worker *worker = sniff->worker;
	struct arena arena = {0};
	/* One byte over the limit, so that a head of just its size is told from a longer one. */
	ssize_t count = recv(sniff->fd, worker->peek, (size_t)worker->limits.head + 1, MSG_PEEK);
	if (count < 0 && (errno == EAGAIN || errno == EINTR) && !(events & (EPOLLERR | EPOLLHUP)))
		return;
	struct span bytes = {worker->peek, count > 0 ? (size_t)count : 0};
	bool eof = count <= 0 || (events & EPOLLRDHUP);
	if ((sniff->kept || worker->draining) && sniff->looked == 0 && bytes.length > 0)
		loop_timer_set(worker->loop, &sniff->timer, worker->limits.head_time);
	bool news = eof || opening_is_news(bytes, sniff->looked, &worker->limits);
	sniff->looked = bytes.length;
	if (!news)
		return;
	struct opening opening;
	opening_look(&worker->limits, &sniff->way, bytes, sniff->kept, eof, &arena, &opening);
	decide(sniff, &opening, bytes.length);
	arena_free(&arena);
}

static bool is_silent(const struct sniff *sniff)
{
	char byte;
	return recv(sniff->fd, &byte, 1, MSG_PEEK) <= 0;
}

static void on_late(struct loop_timer *timer)
{
	struct sniff *sniff = (struct sniff *)((char *)timer - offsetof(struct sniff, timer));
	if (is_silent(sniff)) {
		/* Connected and said nothing: nobody waits for an answer. */
		tally_limit_hit(sniff->worker->account.tally, sniff->kept ? TALLY_IDLE : TALLY_HEAD_TIME);
		close_unanswered(sniff);
		return;
	}
	struct problem late = {0};
	opening_is_late(&late);
	refuse(sniff, &late);
}

static void start(struct worker *worker, int fd, const struct way *way, bool kept, uint64_t time)
{
	worker->sniff_slab.size = sizeof(struct sniff);
	struct sniff *sniff = slab_take(&worker->sniff_slab);
	*sniff = (struct sniff){.watch = {.fd = -1, .ready = on_readable},
	                        .timer = {.fire = on_late},
	                        .worker = worker,
	                        .way = *way,
	                        .since = loop_now(worker->loop),
	                        .fd = fd,
	                        .kept = kept};
	LIST_INSERT_HEAD(&worker->sniffs, sniff, others);
	loop_timer_set(worker->loop, &sniff->timer, time);
	loop_watch_add(worker->loop, &sniff->watch, fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
}

void sniff_start(struct worker *worker, int fd, const struct way *way)
{
	start(worker, fd, way, false, worker->limits.head_time);
}

void sniff_kept(struct worker *worker, int fd, const struct way *way, uint64_t idle)
{
	start(worker, fd, way, true, idle);
}

static void drain_silent(struct sniff *sniff)
{
	uint64_t grace = worker_grace(sniff->worker, sniff->since);
	if (grace > 0)
		loop_timer_set(sniff->worker->loop, &sniff->timer, grace);
	else
		close_unanswered(sniff);
}

void sniff_drain(struct worker *worker)
{
	for (struct sniff *sniff = LIST_FIRST(&worker->sniffs), *next; sniff; sniff = next) {
		next = LIST_NEXT(sniff, others);
		if (is_silent(sniff))
			drain_silent(sniff);
		else
			on_readable(&sniff->watch, EPOLLIN);
	}
}

void sniff_end_all(struct worker *worker)
{
	while (!LIST_EMPTY(&worker->sniffs))
		close_unanswered(LIST_FIRST(&worker->sniffs));
}
