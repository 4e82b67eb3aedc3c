#include "connect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client_hello.h"
#include "first_bytes.h"
#include "intercept.h"
#include "memory.h"
#include "refusal.h"
#include "relay.h"
#include "sniff.h"
#include "tunnel.h"

#define ENDED (EPOLLRDHUP | EPOLLHUP | EPOLLERR)

enum connect_state {
	CONNECT_DIALLING,  /* allowed; the upstream is not connected yet */
	CONNECT_LISTENING, /* 200 is out; the first bytes will tell what it is */
	CONNECT_FLOWING,   /* relayed */
};

struct connect {
	struct relay relay; /* its watches are ours until it starts */
	struct loop_timer timer;
	LIST_ENTRY(connect) others;
	struct worker *worker;
	struct snapshot *snapshot;
	struct arena arena;
	struct way way;
	struct judgement judgement;
	struct problem problem;
	struct dial *dial;
	enum connect_state state;
	int client, upstream; /* -1: not connected */
	bool named;          /* the entry names the port, it is not one of the web's, and there are no rules */
	bool spoke;          /* the client said something that does not tell yet */
	bool told_end;       /* the upstream ended before anybody spoke, and the client knows */
	size_t wanted;       /* bytes of it, before there is more to tell */
	uint32_t heard[RELAY_SIDES]; /* what the watches told so far */
	uint64_t started, connected; /* microseconds, audit_clock() */
	char id[20];
};

static void on_client(struct loop_watch *watch, uint32_t events);
static void on_upstream(struct loop_watch *watch, uint32_t events);
static void on_late(struct loop_timer *timer);

static const struct config_limits *limits_of(const struct connect *connect)
{
	return &connect->worker->server->limits;
}

/* --- the audit --- */

static struct audit_record record_of(const struct connect *connect, const char *event, enum audit_verdict verdict)
{
	const struct judgement *judgement = &connect->judgement;
	uint64_t now = audit_clock();
	struct audit_record record = {
		.event = event,
		.profile = judgement->profile ? judgement->profile->name : NULL,
		.client = connect->way.client,
		.way = way_name(WAY_CONNECT),
		.credential = judgement->credential ? judgement->credential->name : NULL,
		.method = SPAN("CONNECT"),
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

static void note_end(struct connect *connect, enum audit_verdict verdict, const char *reason, unsigned status)
{
	struct audit_record record = record_of(connect, "end", verdict);
	record.reason = reason;
	record.status = status;
	audit_write(connect->worker->audit, &record);
}

/* --- the end --- */

/* Frees all but the client's fd, which is not watched any more. */
static int take_client(struct connect *connect)
{
	struct loop *loop = connect->worker->loop;
	int client = connect->client;
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
static void close_both(struct connect *connect, struct span last)
{
	struct worker *worker = connect->worker;
	bool lingers = connect->state == CONNECT_FLOWING && tunnel_has_unread(&connect->relay);
	worker_way_over(worker, &connect->way);
	tunnel_close_client(worker, take_client(connect), lingers, last);
}

static void end(struct connect *connect, enum audit_verdict verdict, const char *reason)
{
	note_end(connect, verdict, reason, connect->connected ? 200 : 0);
	close_both(connect, (struct span){0});
}

static void refuse(struct connect *connect)
{
	AUTO_BUFFER struct buffer out = {0};
	const struct problem *problem = &connect->problem;
	note_end(connect, audit_verdict_of(problem->status), problem->reason, problem->status);
	refusal_write(problem, true, &out);
	close_both(connect, buffer_view(&out));
}

/* --- what the client says first --- */

static void flow(struct connect *connect);

/* What the CONNECT settled, for whoever has the connection from here on. */
static struct way settle_way(struct connect *connect)
{
	struct way way = connect->way;
	way.kind = WAY_CONNECT;
	way.place = memory_alloc(sizeof *way.place);
	way.place->target = (struct authority){connect->judgement.host, connect->judgement.port};
	snprintf(way.place->profile, sizeof way.place->profile, "%s", connect->judgement.profile->name);
	way.profile = way.place->profile;
	note_end(connect, AUDIT_ALLOW, NULL, 200);
	return way;
}

static void hand_to_http(struct connect *connect)
{
	struct worker *worker = connect->worker;
	struct way way = settle_way(connect);
	sniff_start(worker, take_client(connect), &way);
}

static void hand_to_intercept(struct connect *connect)
{
	struct worker *worker = connect->worker;
	enum http2_mode http2 = connect->judgement.http2;
	struct way way = settle_way(connect);
	intercept_start(worker, take_client(connect), &way, http2);
}

/* A TLS alert (RFC 8446 §6, RFC 6066 §3): unrecognized_name, fatal. */
static void refuse_name(struct connect *connect, const char *reason)
{
	static const char alert[] = {0x15, 3, 3, 0, 2, 2, 112};
	note_end(connect, AUDIT_DENY, reason, 200);
	close_both(connect, (struct span){alert, sizeof alert});
}

/* The name must be the CONNECT's, and to an address goes none (RFC 6066 §3). False where more bytes must tell. */
static bool judge_hello(struct connect *connect, struct span bytes)
{
	struct client_hello hello;
	const struct host *host = &connect->judgement.host;
	struct arena arena = {0};
	const char *why;
	if (bytes.length < connect->wanted && connect->wanted <= limits_of(connect)->head + 1)
		return false;
	enum hello_result result = client_hello_read(bytes, &arena, &hello, &why);
	arena_free(&arena);
	connect->wanted = hello.wanted;
	if (result == HELLO_MORE && hello.wanted <= limits_of(connect)->head + 1)
		return false;
	if (result == HELLO_MORE)
		refuse_name(connect, "client_hello_too_large");
	else if (result == HELLO_BAD)
		refuse_name(connect, "client_hello_malformed");
	else if (hello.named != (host->kind == HOST_NAME))
		refuse_name(connect, hello.named ? "sni_for_address" : "sni_missing");
	else if (hello.named && !host_equal(&hello.name, host))
		refuse_name(connect, "sni_mismatch");
	else if (connect->judgement.intercept)
		hand_to_intercept(connect);
	else
		flow(connect);
	return true;
}

static void refuse_byte(struct connect *connect, unsigned char byte)
{
	char reason[32];
	snprintf(reason, sizeof reason, "first_byte_0x%02x", byte);
	end(connect, AUDIT_DENY, reason);
}

/* False where more bytes must tell. */
static bool judge_first(struct connect *connect, struct span bytes)
{
	enum first_bytes first = first_bytes_judge(bytes, connect->named);
	if (!connect->spoke)
		loop_timer_set(connect->worker->loop, &connect->timer, limits_of(connect)->head_time);
	connect->spoke = true;
	if (first == FIRST_TLS)
		return judge_hello(connect, bytes);
	if (first == FIRST_HTTP && connect->told_end)
		end(connect, AUDIT_FAIL, "upstream_cut");
	else if (first == FIRST_HTTP)
		hand_to_http(connect);
	else if (first == FIRST_OTHER && connect->named)
		flow(connect);
	else if (first == FIRST_OTHER || bytes.length > limits_of(connect)->head)
		refuse_byte(connect, (unsigned char)bytes.data[0]);
	else
		return false;
	return true;
}

static bool client_ended(const struct connect *connect)
{
	return connect->heard[RELAY_CLIENT] & EPOLLRDHUP;
}

/* The client says no more: what is here is all there is to judge. On a named port that may be all of a request that is no
 * HTTP, or nothing, to a server that speaks first. */
static void judge_end(struct connect *connect, struct span bytes)
{
	bool tls = bytes.length > 0 && first_bytes_judge(bytes, connect->named) == FIRST_TLS;
	if (connect->named && !tls)
		flow(connect);
	else
		end(connect, AUDIT_FAIL, "client_gone");
}

static void look(struct connect *connect)
{
	struct worker *worker = connect->worker;
	ssize_t count = recv(connect->client, worker->peek, (size_t)worker->server->limits.head + 1, MSG_PEEK);
	struct span bytes = {worker->peek, count > 0 ? (size_t)count : 0};
	if (count < 0 && errno != EAGAIN && errno != EINTR)
		end(connect, AUDIT_FAIL, "client_gone");
	else if (count > 0 ? judge_first(connect, bytes) : count < 0)
		return;
	else if (client_ended(connect) || count == 0)
		judge_end(connect, bytes);
}

/* --- events --- */

static void on_relayed(struct relay *relay, enum relay_end how)
{
	struct tunnel_end told = tunnel_end_of(how);
	end((struct connect *)relay, told.verdict, told.reason);
}

static void flow(struct connect *connect)
{
	loop_timer_stop(connect->worker->loop, &connect->timer);
	connect->state = CONNECT_FLOWING;
	connect->relay.ends[RELAY_CLIENT] = (struct endpoint){.fd = connect->client};
	connect->relay.ends[RELAY_UPSTREAM] = (struct endpoint){.fd = connect->upstream};
	relay_start(&connect->relay, connect->worker->relays, connect->heard, limits_of(connect)->tunnel_idle, on_relayed);
}

/* While the upstream is dialled: a client that went away ends that. What it said is looked at later. */
static void notice_end(struct connect *connect, uint32_t events)
{
	char byte;
	if ((events & (EPOLLHUP | EPOLLERR)) || (!connect->named && recv(connect->client, &byte, 1, MSG_PEEK) == 0))
		end(connect, AUDIT_FAIL, "client_gone");
}

static void on_client(struct loop_watch *watch, uint32_t events)
{
	struct connect *connect = (struct connect *)((char *)watch - offsetof(struct connect, relay.watches[RELAY_CLIENT]));
	connect->heard[RELAY_CLIENT] |= events;
	if (connect->state == CONNECT_DIALLING && (events & ENDED))
		notice_end(connect, events);
	else if (connect->state == CONNECT_LISTENING && (events & (EPOLLIN | ENDED)))
		look(connect);
}

/* The upstream will say no more. On a named port it may listen on, to what the client has yet to say. */
static void pass_on_end(struct connect *connect, uint32_t events)
{
	if (!connect->named || (events & (EPOLLHUP | EPOLLERR))) {
		end(connect, AUDIT_FAIL, "upstream_cut");
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
	bool spoke = (events & EPOLLIN) && (!(events & ENDED) || recv(connect->upstream, &byte, 1, MSG_PEEK) > 0);
	if (spoke && connect->named)
		flow(connect);
	else if (events & ENDED)
		pass_on_end(connect, events);
}

static void on_late(struct loop_timer *timer)
{
	struct connect *connect = (struct connect *)((char *)timer - offsetof(struct connect, timer));
	end(connect, AUDIT_FAIL, connect->spoke ? "first_bytes_late" : "tunnel_idle");
}

/* --- the beginning --- */

static void establish(struct connect *connect)
{
	static const struct span established = SPAN("HTTP/1.1 200 Connection established\r\n\r\n");
	connect->connected = audit_clock();
	connect->state = CONNECT_LISTENING;
	if (send(connect->client, established.data, established.length, MSG_NOSIGNAL) != (ssize_t)established.length) {
		end(connect, AUDIT_FAIL, "client_gone");
		return;
	}
	loop_timer_set(connect->worker->loop, &connect->timer,
	               connect->named ? limits_of(connect)->tunnel_idle : limits_of(connect)->idle);
	if (connect->heard[RELAY_CLIENT] & (EPOLLIN | ENDED)) /* it came before: no event tells again */
		look(connect);
}

static void on_dialled(void *context, const struct dial_result *result)
{
	struct connect *connect = context;
	connect->dial = NULL;
	if (result->failure != DIAL_OK) {
		dial_problem(result->failure, arena_format(&connect->arena, "%s", result->text), &connect->problem);
		refuse(connect);
		return;
	}
	connect->upstream = result->fd;
	loop_watch_add(connect->worker->loop, &connect->relay.watches[RELAY_UPSTREAM], result->fd, RELAY_EVENTS);
	establish(connect);
}

static bool prepare(struct connect *connect, const struct request *request)
{
	const struct judgement *judgement = &connect->judgement;
	return judge_connect(connect->snapshot, request, &connect->arena, &connect->judgement, &connect->problem) &&
	       worker_admit(connect->worker, &connect->way, judgement->profile, &connect->arena, &connect->problem) &&
	       start_is_noted(connect);
}

/* RFC 9110 §11.7.1: the client may try again, on the same connection where HTTP lets it stay. */
static void ask_for_token(struct connect *connect)
{
	AUTO_BUFFER struct buffer out = {0};
	struct worker *worker = connect->worker;
	struct way way = connect->way;
	note_end(connect, AUDIT_DENY, connect->problem.reason, connect->problem.status);
	refusal_write(&connect->problem, false, &out);
	if (send(connect->client, out.data, out.length, MSG_NOSIGNAL) != (ssize_t)out.length)
		close_both(connect, (struct span){0});
	else
		sniff_kept(worker, take_client(connect), &way, worker->server->limits.idle);
}

static void dial(struct connect *connect)
{
	struct judgement *judgement = &connect->judgement;
	uint16_t named = judgement->entry->pattern.port;
	/* Rules judge requests: what is none must not go past them. */
	connect->named = named != 0 && named != 80 && named != 443 && judgement->entry->rules.count == 0;
	connect->dial = dial_start(connect->worker->dialer, &judgement->host, judgement->port,
	                           dial_policy_of(judgement, connect->snapshot->shared->routes), judgement->profile->name,
	                           on_dialled, connect);
}

static struct connect *new_connect(struct worker *worker, struct loop_watch *watch, const struct way *way)
{
	struct connect *connect = memory_alloc(sizeof *connect);
	*connect = (struct connect){.timer = {.fire = on_late},
	                            .worker = worker,
	                            .snapshot = snapshot_ref(worker->snapshot),
	                            .way = *way,
	                            .client = watch->fd,
	                            .upstream = -1,
	                            .started = audit_clock()};
	connect->relay.watches[RELAY_CLIENT] = (struct loop_watch){.fd = -1, .ready = on_client};
	connect->relay.watches[RELAY_UPSTREAM] = (struct loop_watch){.fd = -1, .ready = on_upstream};
	loop_watch_take(worker->loop, watch, &connect->relay.watches[RELAY_CLIENT], RELAY_EVENTS);
	LIST_INSERT_HEAD(&worker->connects, connect, others);
	audit_id(worker->audit, connect->id);
	return connect;
}

void connect_start(struct worker *worker, struct loop_watch *watch, const struct way *way, const struct request *request,
                   size_t size)
{
	struct connect *connect = new_connect(worker, watch, way);
	/* All of it was just peeked at, into the same place. */
	bool read = recv(connect->client, worker->peek, size, 0) == (ssize_t)size;
	bool stays = !worker->draining && request->minor > 0 && !fields_list_has(&request->fields, SPAN("connection"), SPAN("close"));
	if (!read)
		end(connect, AUDIT_FAIL, "client_gone");
	else if (prepare(connect, request) && connect->judgement.intercept)
		establish(connect);
	else if (!connect->problem.status)
		dial(connect);
	else if (connect->problem.status == 407 && stays)
		ask_for_token(connect);
	else
		refuse(connect);
}

void connect_drain(struct worker *worker)
{
	char byte;
	for (struct connect *connect = LIST_FIRST(&worker->connects), *next; connect; connect = next) {
		next = LIST_NEXT(connect, others);
		if (connect->state != CONNECT_LISTENING || connect->spoke || connect->named)
			continue;
		if (recv(connect->client, &byte, 1, MSG_PEEK) > 0)
			look(connect);
		else
			end(connect, AUDIT_FAIL, "shutdown");
	}
}

/* It asked and was told nothing yet. */
static void refuse_at_shutdown(struct connect *connect)
{
	problem_set(&connect->problem, 503, "shutdown", "the proxy ended before the host had answered",
	            "try again once proxyd runs again");
	connect->problem.retry_after = 1;
	refuse(connect);
}

void connect_end_all(struct worker *worker)
{
	while (!LIST_EMPTY(&worker->connects)) {
		struct connect *connect = LIST_FIRST(&worker->connects);
		relay_cut(&connect->relay);
		if (connect->state == CONNECT_DIALLING)
			refuse_at_shutdown(connect);
		else
			end(connect, AUDIT_FAIL, "shutdown");
	}
}
