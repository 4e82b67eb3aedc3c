#include "sniff.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "codec_h1.h"
#include "connect.h"
#include "front_h1.h"
#include "front_h2.h"
#include "linger.h"
#include "refusal.h"

#define H2_LINE SPAN("PRI * HTTP/2.0\r\n") /* of the preface, the part that looks like a request */

struct sniff {
	struct loop_watch watch;
	struct loop_timer timer; /* limits.head_time */
	LIST_ENTRY(sniff) others;
	struct worker *worker;
	struct way way;
	int fd;
	size_t looked; /* bytes that were judged, and are not enough */
	bool kept;     /* not its first request */
};

enum verdict { VERDICT_WAIT, VERDICT_HTTP, VERDICT_H2, VERDICT_CONNECT, VERDICT_REFUSE, VERDICT_NO_HTTP, VERDICT_GONE };

struct finding {
	enum verdict verdict;
	unsigned status;    /* VERDICT_REFUSE */
	const char *reason; /* word for the audit */
	const char *detail;
	const char *hint;
	unsigned char byte; /* VERDICT_NO_HTTP */
	size_t memory;      /* VERDICT_HTTP: what the head takes of libmicrohttpd's */
	bool more;          /* VERDICT_HTTP: bytes behind the head are there */
	struct request request; /* VERDICT_CONNECT; spans into the bytes and the arena */
	size_t size;            /* VERDICT_CONNECT: of the head */
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
	worker_way_over(worker, &sniff->way);
	close(end(sniff));
	worker_connection_closed(worker);
}

static void close_silently(struct sniff *sniff, const char *reason)
{
	worker_note_refusal(sniff->worker, &sniff->way, reason, 0);
	close_unanswered(sniff);
}

static void refuse(struct sniff *sniff, const struct finding *finding)
{
	struct worker *worker = sniff->worker;
	AUTO_BUFFER struct buffer out = {0};
	struct problem problem = {0};
	problem_set(&problem, finding->status, finding->reason, finding->detail, finding->hint);
	refusal_write(&problem, true, &out);
	worker_note_refusal(worker, &sniff->way, finding->reason, finding->status);
	worker_way_over(worker, &sniff->way);
	linger_close(worker, end(sniff), buffer_view(&out));
}

static bool starts_token(unsigned char byte)
{
	return text_is_token((struct span){(const char *)&byte, 1});
}

static struct finding of_codec(enum codec_result result, const char *why, struct arena *arena,
                               const struct config_limits *limits)
{
	struct problem problem = {0};
	if (result == CODEC_MORE || result == CODEC_DONE)
		return (struct finding){.verdict = result == CODEC_MORE ? VERDICT_WAIT : VERDICT_HTTP};
	refusal_of_head(result, why, limits, arena, &problem);
	return (struct finding){.verdict = VERDICT_REFUSE,
	                        .status = problem.status,
	                        .reason = problem.reason,
	                        .detail = problem.detail,
	                        .hint = problem.hint};
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

static struct finding no_h2(const char *detail, const char *hint)
{
	return (struct finding){.verdict = VERDICT_REFUSE, .status = 501, .reason = "h2c", .detail = detail, .hint = hint};
}

/* HTTP/2 by prior knowledge: only as a connection's beginning (RFC 9113 §3.3). A tunnel has a host of its own, whose TLS
 * tells whether it speaks HTTP/2: by ALPN, and in no other way (§3.2). */
static struct finding of_preface(const struct way *way, struct span bytes, bool kept, bool eof)
{
	if (way->tls)
		return no_h2("HTTP/2 inside TLS needs ALPN, and this handshake did not agree on h2 there",
		             "name h2 in ALPN, or speak HTTP/1.1 here; an entry with http2: off offers HTTP/1.1 alone");
	if (way->place)
		return no_h2("HTTP/2 inside a tunnel needs TLS", "name h2 in the ALPN of TLS, or speak HTTP/1.1 here");
	if (kept)
		return no_h2("HTTP/2 can begin only with its connection", "speak HTTP/1.1 here");
	if (span_starts(bytes, FRONT_H2_PREFACE))
		return (struct finding){.verdict = VERDICT_H2};
	if (span_starts(FRONT_H2_PREFACE, bytes))
		return (struct finding){.verdict = eof ? VERDICT_GONE : VERDICT_WAIT};
	return (struct finding){.verdict = VERDICT_REFUSE,
	                        .status = 400,
	                        .reason = "malformed",
	                        .detail = "the connection begins like HTTP/2, and not with the whole of its preface",
	                        .hint = "send the 24 bytes of RFC 9113 section 3.4, or speak HTTP/1.1"};
}

/* A first line of three words, with neither a target in any form nor a version: who speaks so reads no answer in HTTP. */
static bool is_other_protocol(struct span bytes)
{
	struct span line = span_split(&bytes, '\n');
	bool named = line.length > 0 && memchr(line.data, '/', line.length);
	struct span method = span_split(&line, ' '), target = span_split(&line, ' ');
	return !named && line.data && text_is_token(method) && target.length > 0 && target.data[0] != '*';
}

/* Judges the first bytes. `kept`: of a later request; `eof`: nothing will follow them. */
static struct finding look(struct worker *worker, const struct way *way, struct span bytes, bool kept, bool eof,
                           struct arena *arena)
{
	const struct config_limits *limits = &worker->server->limits;
	unsigned char first = bytes.length ? (unsigned char)bytes.data[0] : 0;
	if (bytes.length == 0)
		return (struct finding){.verdict = eof ? VERDICT_GONE : VERDICT_WAIT};
	if (!starts_token(first) && first != '\r')
		return (struct finding){.verdict = VERDICT_NO_HTTP, .byte = first};
	if (span_starts(bytes, H2_LINE))
		return of_preface(way, bytes, kept, eof);
	struct request request = {0};
	size_t used = 0;
	const char *why = NULL;
	enum codec_result result = codec_request_head(
		bytes, (struct codec_limits){(size_t)limits->head, (size_t)limits->fields}, arena, &request, &used, &why);
	if (result == CODEC_BAD && is_other_protocol(bytes))
		return (struct finding){.verdict = VERDICT_NO_HTTP, .byte = first};
	struct finding finding = of_codec(result, why, arena, limits);
	if (finding.verdict == VERDICT_WAIT && eof)
		return (struct finding){.verdict = VERDICT_GONE};
	if (finding.verdict != VERDICT_HTTP)
		return finding;
	settle_host(way, &request);
	if (way_takes_connect(way) && span_equal(request.method, SPAN("CONNECT")))
		return (struct finding){.verdict = VERDICT_CONNECT, .request = request, .size = used};
	finding.memory = front_h1_needs(&request, used);
	finding.more = bytes.length > used;
	if (finding.memory <= front_h1_most_memory(limits))
		return finding;
	return (struct finding){.verdict = VERDICT_REFUSE,
	                        .status = 431,
	                        .reason = "too_many_cookies",
	                        .detail = "the request has more cookies than fit beside it",
	                        .hint = "send fewer or shorter cookies, or raise limits.head"};
}

/* The socket stays watched, and is connect's from here on. */
static void hand_to_connect(struct sniff *sniff, const struct finding *finding)
{
	connect_start(sniff->worker, &sniff->watch, &sniff->way, &finding->request, finding->size);
	end(sniff);
}

static void hand_to_h2(struct sniff *sniff)
{
	struct worker *worker = sniff->worker;
	struct way way = sniff->way;
	struct endpoint bare = {.fd = end(sniff)};
	front_h2_start(worker, &bare, &way);
}

static void decide(struct sniff *sniff, const struct finding *finding)
{
	struct worker *worker = sniff->worker;
	char reason[32];
	switch (finding->verdict) {
	case VERDICT_WAIT:
		break;
	case VERDICT_HTTP: {
		struct way way = sniff->way;
		front_h1_add(worker->front, end(sniff), &way, finding->memory, finding->more);
		break;
	}
	case VERDICT_H2:
		hand_to_h2(sniff);
		break;
	case VERDICT_CONNECT:
		hand_to_connect(sniff, finding);
		break;
	case VERDICT_REFUSE:
		refuse(sniff, finding);
		break;
	case VERDICT_NO_HTTP:
		snprintf(reason, sizeof reason, "first_byte_0x%02x", finding->byte);
		close_silently(sniff, reason);
		break;
	case VERDICT_GONE:
		close_unanswered(sniff);
		break;
	}
}

/* Can the new bytes change what is known? Within a line only what may not stand there does, so a head that comes byte by
 * byte costs no more than its lines. */
static bool is_news(const struct sniff *sniff, struct span bytes)
{
	if (sniff->looked == 0 || bytes.data[sniff->looked - 1] == '\r')
		return true;
	for (size_t i = sniff->looked; i < bytes.length; i++)
		if (((unsigned char)bytes.data[i] < ' ' && bytes.data[i] != '\t') || bytes.data[i] == 0x7f)
			return true;
	return bytes.length >= sniff->worker->server->limits.head;
}

static void on_readable(struct loop_watch *watch, uint32_t events)
{
	struct sniff *sniff = (struct sniff *)watch;
	struct worker *worker = sniff->worker;
	struct arena arena = {0};
	/* One byte over the limit, so that a head of just its size is told from a longer one. */
	ssize_t count = recv(sniff->fd, worker->peek, (size_t)worker->server->limits.head + 1, MSG_PEEK);
	if (count < 0 && (errno == EAGAIN || errno == EINTR) && !(events & (EPOLLERR | EPOLLHUP)))
		return;
	struct span bytes = {worker->peek, count > 0 ? (size_t)count : 0};
	bool eof = count <= 0 || (events & EPOLLRDHUP);
	if (sniff->kept && sniff->looked == 0 && bytes.length > 0)
		loop_timer_set(worker->loop, &sniff->timer, worker->server->limits.head_time);
	if (!eof && !is_news(sniff, bytes)) {
		sniff->looked = bytes.length;
		return;
	}
	struct finding finding = look(worker, &sniff->way, bytes, sniff->kept, eof, &arena);
	sniff->looked = bytes.length;
	decide(sniff, &finding);
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
		close_unanswered(sniff);
		return;
	}
	const struct finding late = {.verdict = VERDICT_REFUSE,
	                             .status = 408,
	                             .reason = "head_late",
	                             .detail = "the request head was not complete in time",
	                             .hint = "send the head at once, or raise limits.head_time"};
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
	                        .fd = fd,
	                        .kept = kept};
	LIST_INSERT_HEAD(&worker->sniffs, sniff, others);
	loop_timer_set(worker->loop, &sniff->timer, time);
	loop_watch_add(worker->loop, &sniff->watch, fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
}

void sniff_start(struct worker *worker, int fd, const struct way *way)
{
	start(worker, fd, way, false, worker->server->limits.head_time);
}

void sniff_kept(struct worker *worker, int fd, const struct way *way, uint64_t idle)
{
	start(worker, fd, way, true, idle);
}

void sniff_drain(struct worker *worker)
{
	for (struct sniff *sniff = LIST_FIRST(&worker->sniffs), *next; sniff; sniff = next) {
		next = LIST_NEXT(sniff, others);
		if (is_silent(sniff))
			close_unanswered(sniff);
		else
			on_readable(&sniff->watch, EPOLLIN);
	}
}

void sniff_end_all(struct worker *worker)
{
	while (!LIST_EMPTY(&worker->sniffs))
		close_unanswered(LIST_FIRST(&worker->sniffs));
}
