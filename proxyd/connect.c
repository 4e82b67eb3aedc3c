#include "connect.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "connect_internal.h"
#include "memory.h"
#include "monotonic.h"
#include "rates.h"
#include "refusal.h"
#include "sniff.h"
#include "tunnel.h"

static void on_client(struct loop_watch *watch, uint32_t events);
static void on_upstream(struct loop_watch *watch, uint32_t events);
static void on_late(struct loop_timer *timer);

/* --- the audit --- */

static struct audit_record record_of(const struct connect *connect, const char *event, enum audit_verdict verdict)
{
	const struct judgement *judgement = &connect->judgement;
	uint64_t now = monotonic_us();
	struct audit_record record = {
		.event = event,
		.kind = AUDIT_TUNNEL,
		.way_kind = connect->way.kind,
		.profile = judgement->profile ? judgement->profile->name : connect->way.profile,
		.client = connect->way.client,
		.way = way_name(connect->way.kind),
		.credential = judgement->credential ? judgement->credential->name : NULL,
		.method = connect->redirected ? (struct span){0} : SPAN("CONNECT"),
		.port = judgement->port,
		.verdict = verdict,
		.rule = connect->problem.rule,
		.bytes_up = connect->relay.flows[RELAY_CLIENT].bytes,
		.bytes_down = connect->relay.flows[RELAY_UPSTREAM].bytes,
		.first_us = connect->connected ? connect->connected - connect->started : 0,
		.total_us = now - connect->started,
	};
	memcpy(record.id, connect->id, sizeof record.id);
	if (judgement->host.length > 0)
		record.host = host_span(&judgement->host);
	return record;
}

static bool start_is_noted(struct connect *connect)
{
	struct audit_record record = record_of(connect, "start", AUDIT_ALLOW);
	return audit_start(connect->worker->audit, &record, &connect->problem);
}

void connect_note_end(struct connect *connect, enum audit_verdict verdict, const char *reason, unsigned status)
{
	struct audit_record record = record_of(connect, "end", verdict);
	record.reason = reason;
	record.status = status;
	audit_write(connect->worker->audit, &record);
}

static const char *state_text(const struct connect *connect)
{
	static const char *const texts[] = {
		[CONNECT_NAMING] = "asking for a name", [CONNECT_DIALLING] = "connecting",
		[CONNECT_LISTENING] = "waiting for the client", [CONNECT_FLOWING] = "tunnel",
	};
	return texts[connect->state];
}

void connect_list(struct worker *worker, exchange_teller *tell, void *context)
{
	struct connect *connect;
	LIST_FOREACH(connect, &worker->connects, others) {
		struct audit_record record = record_of(connect, "start", AUDIT_ALLOW);
		tell(context, &record, state_text(connect));
	}
}

/* --- the end --- */

/* Frees all but the client's fd, which is not watched any more. */
int connect_take_client(struct connect *connect)
{
	struct loop *loop = connect->worker->loop;
	int client = connect->client;
	if (connect->state == CONNECT_FLOWING)
		tally_uncount(connect->worker->account.tally, TALLY_TUNNELS_NOW);
	relay_stop(&connect->relay);
	for (int side = 0; side < RELAY_SIDES; side++)
		loop_watch_remove(loop, &connect->relay.watches[side]);
	loop_timer_stop(loop, &connect->timer);
	if (connect->dial)
		dial_cancel(connect->dial);
	if (connect->upstream >= 0)
		close(connect->upstream);
	LIST_REMOVE(connect, others);
	snapshot_unref(connect->snapshot);
	arena_free(&connect->arena);
	free(connect);
	return client;
}

/* `last` goes to the client as its last word; it may be empty. */
void connect_close(struct connect *connect, struct span last)
{
	struct worker *worker = connect->worker;
	bool lingers = connect->state == CONNECT_FLOWING && tunnel_has_unread(&connect->relay);
	worker_way_over(&connect->way);
	tunnel_close_client(worker, connect_take_client(connect), lingers, last);
}

void connect_end(struct connect *connect, enum audit_verdict verdict, const char *reason)
{
	/* Connected and said nothing: nothing was asked. */
	if (connect->state != CONNECT_NAMING || connect->spoke)
		connect_note_end(connect, verdict, reason, connect->connected && !connect->redirected ? 200 : 0);
	connect_close(connect, (struct span){0});
}

void connect_refuse(struct connect *connect)
{
	AUTO_BUFFER struct buffer out = {0};
	const struct problem *problem = &connect->problem;
	if (connect->redirected) {
		connect_refuse_redirected(connect);
		return;
	}
	connect_note_end(connect, audit_verdict_of(problem->status), problem->reason, problem->status);
	refusal_write(problem, true, &out);
	connect_close(connect, buffer_view(&out));
}

/* --- events --- */

static void on_relayed(struct relay *relay, enum relay_end how)
{
	struct tunnel_end told = tunnel_end_of(how);
	connect_end((struct connect *)relay, told.verdict, told.reason);
}

void connect_flow(struct connect *connect)
{
	loop_timer_stop(connect->worker->loop, &connect->timer);
	connect->state = CONNECT_FLOWING;
	tally_count(connect->worker->account.tally, TALLY_TUNNELS);
	tally_count(connect->worker->account.tally, TALLY_TUNNELS_NOW);
	connect->relay.ends[RELAY_CLIENT] = (struct endpoint){.fd = connect->client};
	connect->relay.ends[RELAY_UPSTREAM] = (struct endpoint){.fd = connect->upstream};
	relay_start(&connect->relay, connect->worker->relays, connect->heard, connect_limits(connect)->tunnel_idle, on_relayed);
}

/* While the upstream is dialled: a client that went away ends that. What it said is looked at later. */
static void notice_end(struct connect *connect, uint32_t events)
{
	char byte;
	if ((events & (EPOLLHUP | EPOLLERR)) || (!connect->named && recv(connect->client, &byte, 1, MSG_PEEK) == 0))
		connect_end(connect, AUDIT_FAIL, "client_gone");
}

static bool listens(const struct connect *connect)
{
	return connect->state == CONNECT_LISTENING || connect->state == CONNECT_NAMING;
}

static void on_client(struct loop_watch *watch, uint32_t events)
{
	struct connect *connect = (struct connect *)((char *)watch - offsetof(struct connect, relay.watches[RELAY_CLIENT]));
	connect->heard[RELAY_CLIENT] |= events;
	if (connect->state == CONNECT_DIALLING && (events & CONNECT_ENDED))
		notice_end(connect, events);
	else if (listens(connect) && (events & (EPOLLIN | CONNECT_ENDED)))
		connect_look(connect);
}

/* The upstream will say no more. On a named port it may listen on, to what the client has yet to say. */
static void pass_on_end(struct connect *connect, uint32_t events)
{
	if (!connect->named || (events & (EPOLLHUP | EPOLLERR))) {
		connect_end(connect, AUDIT_FAIL, "upstream_cut");
		return;
	}
	connect->told_end = true;
	shutdown(connect->client, SHUT_WR);
}

/* On a named port a server may speak first, and then all that follows just flows. Elsewhere its words wait for the
 * client's. */
static void on_upstream(struct loop_watch *watch, uint32_t events)
{
	struct connect *connect = (struct connect *)((char *)watch - offsetof(struct connect, relay.watches[RELAY_UPSTREAM]));
	char byte;
	connect->heard[RELAY_UPSTREAM] |= events;
	bool spoke = (events & EPOLLIN) && (!(events & CONNECT_ENDED) || recv(connect->upstream, &byte, 1, MSG_PEEK) > 0);
	if (spoke && connect->named)
		connect_flow(connect);
	else if (events & CONNECT_ENDED)
		pass_on_end(connect, events);
}

static void on_late(struct loop_timer *timer)
{
	struct connect *connect = (struct connect *)((char *)timer - offsetof(struct connect, timer));
	const char *silent = connect->worker->draining ? "shutdown" : "tunnel_idle";
	connect_end(connect, AUDIT_FAIL, connect->spoke ? "first_bytes_late" : silent);
}

/* --- the beginning --- */

static bool say_established(struct connect *connect)
{
	static const struct span established = SPAN("HTTP/1.1 200 Connection established\r\n\r\n");
	return connect->redirected ||
	       send(connect->client, established.data, established.length, MSG_NOSIGNAL) == (ssize_t)established.length;
}

static void establish(struct connect *connect)
{
	connect->connected = monotonic_us();
	connect->since = loop_now(connect->worker->loop);
	connect->state = CONNECT_LISTENING;
	if (!say_established(connect)) {
		connect_end(connect, AUDIT_FAIL, "client_gone");
		return;
	}
	loop_timer_set(connect->worker->loop, &connect->timer,
	               connect->named ? connect_limits(connect)->tunnel_idle : connect_limits(connect)->idle);
	if (connect->heard[RELAY_CLIENT] & (EPOLLIN | CONNECT_ENDED)) /* it came before: no event tells again */
		connect_look(connect);
}

static void on_dialled(void *context, const struct dial_result *result)
{
	struct connect *connect = context;
	connect->dial = NULL;
	if (result->failure != DIAL_OK) {
		dial_problem(result->failure, arena_format(&connect->arena, "%s", result->text), &connect->problem);
		connect_refuse(connect);
		return;
	}
	connect->upstream = result->fd;
	if (connect_is_revoked(connect))
		return;
	loop_watch_add(connect->worker->loop, &connect->relay.watches[RELAY_UPSTREAM], result->fd, RELAY_EVENTS);
	establish(connect);
}

bool connect_admit(struct connect *connect)
{
	const struct config_profile *profile = connect->judgement.profile;
	return worker_admit(connect->worker, &connect->way, connect->snapshot, profile, &connect->arena, &connect->problem) &&
	       rates_take(connect->snapshot->shared->rates, profile, NULL, monotonic_us(), &connect->arena, &connect->problem) &&
	       start_is_noted(connect);
}

/* RFC 9110 §11.7.1: the client may try again, on the same connection where HTTP lets it stay. */
static void ask_for_token(struct connect *connect)
{
	AUTO_BUFFER struct buffer out = {0};
	struct worker *worker = connect->worker;
	struct way way = connect->way;
	way.kind = WAY_REVERSE;
	connect_note_end(connect, AUDIT_DENY, connect->problem.reason, connect->problem.status);
	refusal_write(&connect->problem, false, &out);
	if (send(connect->client, out.data, out.length, MSG_NOSIGNAL) != (ssize_t)out.length)
		connect_close(connect, (struct span){0});
	else
		sniff_kept(worker, connect_take_client(connect), &way, worker->limits.idle);
}

void connect_go(struct connect *connect)
{
	struct judgement *judgement = &connect->judgement;
	if (judgement->intercept) {
		establish(connect);
		return;
	}
	connect->state = CONNECT_DIALLING;
	connect->named = connect_is_named(judgement);
	const struct dial_policy policy = dial_policy_of(judgement, connect->snapshot);
	connect->through_parent = policy.parent;
	connect->dial = dial_start(connect->worker->dialer, &judgement->host, judgement->port, policy, judgement->profile->name,
	                           on_dialled, connect);
}

struct connect *connect_new(struct worker *worker, int fd, const struct way *way)
{
	struct connect *connect = memory_alloc(sizeof *connect);
	*connect = (struct connect){.timer = {.fire = on_late},
	                            .worker = worker,
	                            .snapshot = snapshot_ref(worker->snapshot),
	                            .way = *way,
	                            .state = CONNECT_DIALLING,
	                            .client = fd,
	                            .upstream = -1,
	                            .started = monotonic_us()};
	connect->relay.watches[RELAY_CLIENT] = (struct loop_watch){.fd = -1, .ready = on_client};
	connect->relay.watches[RELAY_UPSTREAM] = (struct loop_watch){.fd = -1, .ready = on_upstream};
	LIST_INSERT_HEAD(&worker->connects, connect, others);
	audit_id(worker->audit, connect->id);
	return connect;
}

void connect_start(struct worker *worker, struct loop_watch *watch, const struct way *way, const struct request *request,
                   size_t size)
{
	struct connect *connect = connect_new(worker, watch->fd, way);
	connect->way.kind = WAY_CONNECT;
	loop_watch_take(worker->loop, watch, &connect->relay.watches[RELAY_CLIENT], RELAY_EVENTS);
	/* All of it was just peeked at, into the same place. */
	bool read = recv(connect->client, worker->peek, size, 0) == (ssize_t)size;
	bool stays = !worker->draining && request->minor > 0 && !fields_list_has(&request->fields, SPAN("connection"), SPAN("close"));
	if (!read)
		connect_end(connect, AUDIT_FAIL, "client_gone");
	else if (judge_connect(connect->snapshot, request, &connect->arena, &connect->judgement, &connect->problem) &&
	         connect_admit(connect))
		connect_go(connect);
	else if (connect->problem.status == 407 && stays)
		ask_for_token(connect);
	else
		connect_refuse(connect);
}

static void drain_silent(struct connect *connect)
{
	uint64_t grace = worker_grace(connect->worker, connect->since);
	if (grace > 0)
		loop_timer_set(connect->worker->loop, &connect->timer, grace);
	else
		connect_end(connect, AUDIT_FAIL, "shutdown");
}

void connect_drain(struct worker *worker)
{
	char byte;
	for (struct connect *connect = LIST_FIRST(&worker->connects), *next; connect; connect = next) {
		next = LIST_NEXT(connect, others);
		if (!listens(connect) || connect->spoke || connect->named)
			continue;
		if (recv(connect->client, &byte, 1, MSG_PEEK) > 0)
			connect_look(connect);
		else
			drain_silent(connect);
	}
}

/* It asked and was told nothing yet. */
static void refuse_at_shutdown(struct connect *connect)
{
	problem_set(&connect->problem, 503, "shutdown", "the proxy ended before the host had answered",
	            "try again once proxyd runs again");
	connect->problem.retry_after = 1;
	connect_refuse(connect);
}

void connect_end_all(struct worker *worker)
{
	while (!LIST_EMPTY(&worker->connects)) {
		struct connect *connect = LIST_FIRST(&worker->connects);
		relay_cut(&connect->relay);
		if (connect->state == CONNECT_DIALLING)
			refuse_at_shutdown(connect);
		else
			connect_end(connect, AUDIT_FAIL, "shutdown");
	}
}
