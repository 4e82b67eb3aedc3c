#include "intercept.h"

#include <stdlib.h>

#include "front_h2.h"
#include "front_https.h"
#include "judge_again.h"
#include "log.h"
#include "memory.h"
#include "mint_leaf.h"
#include "monotonic.h"
#include "relay.h"
#include "trusts.h"
#include "tunnel.h"

enum intercept_state {
	INTERCEPT_REACHING,  /* http2: tunnel: the upstream is dialled, and shakes hands */
	INTERCEPT_HANDSHAKE, /* with the client */
	INTERCEPT_PASSING,   /* http2: tunnel: HTTP/2 that nobody here reads is relayed */
};

struct intercept {
	struct relay relay; /* first; its watches are ours until it starts */
	struct loop_timer timer;
	LIST_ENTRY(intercept) others;
	struct worker *worker;
	struct way way;
	enum intercept_state state;
	enum http2_mode http2;
	struct snapshot *snapshot; /* a reference */
	struct dial *dial;
	bool through_parent; /* it is connected to a parent proxy */
	uint32_t heard[RELAY_SIDES];
	uint64_t started;          /* monotonic_us() */
	char id[20];
};

static struct endpoint *client_of(struct intercept *intercept)
{
	return &intercept->relay.ends[RELAY_CLIENT];
}

/* --- the audit --- */

static struct audit_record record_of(const struct intercept *intercept, const char *event, struct tunnel_end told)
{
	struct audit_record record = {
		.event = event,
		.kind = AUDIT_TUNNEL,
		.way_kind = WAY_INTERCEPT,
		.profile = intercept->way.profile,
		.client = intercept->way.client,
		.way = way_name(WAY_INTERCEPT),
		.host = host_span(&intercept->way.place->target.host),
		.port = intercept->way.place->target.port,
		.verdict = told.verdict,
		.reason = told.reason,
		.bytes_up = intercept->relay.flows[RELAY_CLIENT].bytes,
		.bytes_down = intercept->relay.flows[RELAY_UPSTREAM].bytes,
		.total_us = monotonic_us() - intercept->started,
	};
	memcpy(record.id, intercept->id, sizeof record.id);
	return record;
}

static void note(const struct intercept *intercept, const char *event, struct tunnel_end told)
{
	struct audit_record record = record_of(intercept, event, told);
	audit_write(intercept->worker->audit, &record);
}

void intercept_list(struct worker *worker, exchange_teller *tell, void *context)
{
	static const char *const states[] = {
		[INTERCEPT_REACHING] = "connecting", [INTERCEPT_HANDSHAKE] = "shaking hands", [INTERCEPT_PASSING] = "tunnel",
	};
	struct intercept *intercept;
	LIST_FOREACH(intercept, &worker->intercepts, others) {
		struct audit_record record = record_of(intercept, "start", (struct tunnel_end){AUDIT_ALLOW, NULL});
		tell(context, &record, states[intercept->state]);
	}
}

/* --- the end --- */

/* Frees all but the client's endpoint, which is not watched any more. */
static struct endpoint take_client(struct intercept *intercept)
{
	struct loop *loop = intercept->worker->loop;
	struct endpoint client = *client_of(intercept);
	if (intercept->state == INTERCEPT_PASSING)
		tally_uncount(intercept->worker->account.tally, TALLY_TUNNELS_NOW);
	relay_stop(&intercept->relay);
	for (int side = 0; side < RELAY_SIDES; side++)
		loop_watch_remove(loop, &intercept->relay.watches[side]);
	loop_timer_stop(loop, &intercept->timer);
	if (intercept->dial)
		dial_cancel(intercept->dial);
	endpoint_close(&intercept->relay.ends[RELAY_UPSTREAM]);
	snapshot_unref(intercept->snapshot);
	LIST_REMOVE(intercept, others);
	free(intercept);
	return client;
}

static void end(struct intercept *intercept)
{
	struct worker *worker = intercept->worker;
	struct way way = intercept->way;
	bool lingers = intercept->state == INTERCEPT_PASSING && tunnel_has_unread(&intercept->relay);
	struct endpoint client = take_client(intercept);
	tls_close(client.tls);
	worker_way_over(&way);
	tunnel_close_client(worker, client.fd, lingers, (struct span){0});
}

/* For what no front has the end of. */
static void finish(struct intercept *intercept, struct tunnel_end told)
{
	note(intercept, "end", told);
	end(intercept);
}

static void fail(struct intercept *intercept, const char *reason)
{
	finish(intercept, (struct tunnel_end){AUDIT_FAIL, reason});
}

/* --- HTTP/2 that passes (http2: tunnel) --- */

static void on_passed(struct relay *relay, enum relay_end how)
{
	finish((struct intercept *)relay, tunnel_end_of(how));
}

static void pass(struct intercept *intercept)
{
	struct worker *worker = intercept->worker;
	intercept->state = INTERCEPT_PASSING;
	tally_count(worker->account.tally, TALLY_TUNNELS);
	tally_count(worker->account.tally, TALLY_TUNNELS_NOW);
	note(intercept, "start", (struct tunnel_end){AUDIT_ALLOW, NULL});
	relay_start(&intercept->relay, worker->relays, intercept->heard, worker->limits.tunnel_idle, on_passed);
}

static void let_go_of_upstream(struct intercept *intercept)
{
	loop_watch_remove(intercept->worker->loop, &intercept->relay.watches[RELAY_UPSTREAM]);
	endpoint_close(&intercept->relay.ends[RELAY_UPSTREAM]);
	intercept->heard[RELAY_UPSTREAM] = 0;
}

static void greet_client(struct intercept *intercept, bool h2);

/* What the origin chose is what the client is offered. */
static void greet_upstream(struct intercept *intercept)
{
	struct fault fault = FAULT_INIT;
	struct tls *tls = intercept->relay.ends[RELAY_UPSTREAM].tls;
	enum tls_result result = tls_handshake(tls, &fault);
	if (result == TLS_WANT_READ || result == TLS_WANT_WRITE)
		return;
	if (result != TLS_OK) {
		log_info("%s: %s", intercept->way.place->target.host.name, fault.text);
		fail(intercept, "upstream_certificate");
		return;
	}
	bool h2 = tls_is_h2(tls);
	if (!h2)
		let_go_of_upstream(intercept);
	greet_client(intercept, h2);
}

static void on_upstream(struct loop_watch *watch, uint32_t events)
{
	struct intercept *intercept =
		(struct intercept *)((char *)watch - offsetof(struct intercept, relay.watches[RELAY_UPSTREAM]));
	intercept->heard[RELAY_UPSTREAM] |= events;
	if (intercept->state == INTERCEPT_REACHING)
		greet_upstream(intercept);
}

static void on_dialled(void *context, const struct dial_result *result)
{
	struct intercept *intercept = context;
	struct worker *worker = intercept->worker;
	struct endpoint *upstream = &intercept->relay.ends[RELAY_UPSTREAM];
	struct fault fault = FAULT_INIT;
	struct problem problem = {0};
	const char *why = NULL;
	intercept->dial = NULL;
	if (result->failure != DIAL_OK) {
		dial_problem(result->failure, result->text, &problem);
		finish(intercept, (struct tunnel_end){audit_verdict_of(problem.status), problem.reason});
		return;
	}
	upstream->fd = result->fd;
	struct tls_trust *trust = snapshot_trust(intercept->snapshot, NULL, &why);
	upstream->tls = trust ? tls_client_new(trust, result->fd, intercept->way.place->target.host.name, true, &fault) : NULL;
	if (!upstream->tls) {
		log_warning("%s: %s", intercept->way.place->target.host.name, why ? why : fault.text);
		fail(intercept, "trust_unavailable");
		return;
	}
	loop_watch_add(worker->loop, &intercept->relay.watches[RELAY_UPSTREAM], result->fd, RELAY_EVENTS);
}

static void reach(struct intercept *intercept, const struct judgement *judgement)
{
	const struct way_place *place = intercept->way.place;
	struct worker *worker = intercept->worker;
	const struct dial_policy policy = dial_policy_of(judgement, intercept->snapshot);
	intercept->through_parent = policy.parent;
	intercept->dial = dial_start(worker->dialer, &place->target.host, place->target.port, policy, place->profile, on_dialled,
	                             intercept);
	loop_timer_set(worker->loop, &intercept->timer, worker->limits.connect + worker->limits.handshake);
}

/* --- behind the handshake --- */

/* What is in the client's TLS goes to the front that speaks its protocol. */
static void hand_over(struct intercept *intercept, void (*front)(struct worker *, struct endpoint *, const struct way *))
{
	struct worker *worker = intercept->worker;
	struct way way = intercept->way;
	struct endpoint client = take_client(intercept);
	front(worker, &client, &way);
}

/* A second ClientHello could have another name than the one that was judged. */
static bool name_agrees(struct intercept *intercept)
{
	const struct host *host = &intercept->way.place->target.host;
	const char *name = tls_server_name(client_of(intercept)->tls);
	struct host shown;
	if (!name)
		return host->kind != HOST_NAME;
	return host_parse(span_of(name), &shown, NULL) && host_equal(&shown, host);
}

static void established(struct intercept *intercept)
{
	loop_timer_stop(intercept->worker->loop, &intercept->timer);
	if (!name_agrees(intercept))
		finish(intercept, (struct tunnel_end){AUDIT_DENY, "sni_mismatch"});
	else if (!tls_is_h2(client_of(intercept)->tls))
		hand_over(intercept, front_https_start);
	else if (intercept->http2 == HTTP2_TUNNEL)
		pass(intercept);
	else
		hand_over(intercept, front_h2_start);
}

/* --- the handshake --- */

static void shake_hands(struct intercept *intercept)
{
	struct fault fault = FAULT_INIT;
	switch (tls_handshake(client_of(intercept)->tls, &fault)) {
	case TLS_OK:
		established(intercept);
		break;
	case TLS_WANT_READ:
	case TLS_WANT_WRITE:
		break;
	case TLS_CLOSED:
	case TLS_FAILED:
		log_info("%s, in a tunnel to %s: %s", intercept->way.client, intercept->way.place->target.host.name, fault.text);
		fail(intercept, "tls_handshake");
		break;
	}
}

static void on_client(struct loop_watch *watch, uint32_t events)
{
	struct intercept *intercept =
		(struct intercept *)((char *)watch - offsetof(struct intercept, relay.watches[RELAY_CLIENT]));
	intercept->heard[RELAY_CLIENT] |= events;
	if (intercept->state == INTERCEPT_HANDSHAKE)
		shake_hands(intercept);
	else if (events & (EPOLLHUP | EPOLLERR))
		fail(intercept, "client_gone");
}

static void on_late(struct loop_timer *timer)
{
	struct intercept *intercept = (struct intercept *)((char *)timer - offsetof(struct intercept, timer));
	fail(intercept, intercept->state == INTERCEPT_REACHING ? "handshake_timeout" : "tls_handshake_late");
}

static struct tls *new_session(struct intercept *intercept, bool h2, struct fault *fault)
{
	struct mint *mint = intercept->snapshot->shared->mint;
	if (!mint) {
		fault_set(fault, FAULT_MISSING, "the configuration intercepts nothing any more");
		return NULL;
	}
	struct leaf *leaf = mint_get(mint, &intercept->way.place->target.host, fault);
	struct tls *tls = leaf ? tls_server_new(leaf, client_of(intercept)->fd, h2, fault) : NULL;
	leaf_free(leaf);
	return tls;
}

static void greet_client(struct intercept *intercept, bool h2)
{
	struct fault fault = FAULT_INIT;
	struct worker *worker = intercept->worker;
	intercept->state = INTERCEPT_HANDSHAKE;
	client_of(intercept)->tls = new_session(intercept, h2, &fault);
	if (!client_of(intercept)->tls) {
		log_warning("%s, in a tunnel to %s: %s", intercept->way.client, intercept->way.place->target.host.name, fault.text);
		fail(intercept, "no_certificate");
		return;
	}
	loop_timer_set(worker->loop, &intercept->timer, worker->limits.handshake);
	if (intercept->heard[RELAY_CLIENT]) /* the hello was told of while the upstream was reached */
		shake_hands(intercept);
}

void intercept_start(struct worker *worker, int fd, const struct way *way, const struct judgement *judgement,
                     struct snapshot *snapshot)
{
	struct intercept *intercept = memory_alloc(sizeof *intercept);
	*intercept = (struct intercept){.timer = {.fire = on_late},
	                                .worker = worker,
	                                .way = *way,
	                                .http2 = judgement->http2,
	                                .snapshot = snapshot_ref(snapshot),
	                                .started = monotonic_us()};
	intercept->way.kind = WAY_INTERCEPT;
	intercept->way.tls = true;
	intercept->relay.watches[RELAY_CLIENT] = (struct loop_watch){.fd = -1, .ready = on_client};
	intercept->relay.watches[RELAY_UPSTREAM] = (struct loop_watch){.fd = -1, .ready = on_upstream};
	intercept->relay.ends[RELAY_CLIENT] = (struct endpoint){.fd = fd};
	intercept->relay.ends[RELAY_UPSTREAM] = (struct endpoint){.fd = -1};
	audit_id(worker->audit, intercept->id);
	LIST_INSERT_HEAD(&worker->intercepts, intercept, others);
	loop_watch_add(worker->loop, &intercept->relay.watches[RELAY_CLIENT], fd, RELAY_EVENTS);
	if (intercept->http2 == HTTP2_TUNNEL)
		reach(intercept, judgement);
	else
		greet_client(intercept, intercept->http2 == HTTP2_ON);
}

/* NULL: it may go on. */
static const char *lost(const struct intercept *intercept, struct arena *arena)
{
	const struct snapshot *fresh = intercept->worker->snapshot;
	const struct standing standing = judge_standing_of_place(intercept->way.place);
	struct judgement now;
	const char *why = judge_lost(fresh, &standing, arena, &now);
	bool passes = intercept->http2 == HTTP2_TUNNEL;
	int reached = intercept->through_parent ? -1 : intercept->relay.ends[RELAY_UPSTREAM].fd;
	if (why)
		return why;
	if (!now.intercept || passes != (now.http2 == HTTP2_TUNNEL))
		return "host_revoked";
	return tunnel_reaches_refused(reached, dial_policy_of(&now, fresh)) ? "address_refused" : NULL;
}

void intercept_end_revoked(struct worker *worker)
{
	for (struct intercept *intercept = LIST_FIRST(&worker->intercepts), *next; intercept; intercept = next) {
		struct arena arena = {0};
		next = LIST_NEXT(intercept, others);
		const char *why = lost(intercept, &arena);
		if (why && intercept->state == INTERCEPT_PASSING)
			relay_cut(&intercept->relay);
		if (why)
			finish(intercept, (struct tunnel_end){AUDIT_DENY, why});
		arena_free(&arena);
	}
}

/* While the upstream is dialled, what it may reach is the old one's. */
void intercept_follow(struct worker *worker)
{
	struct intercept *intercept;
	LIST_FOREACH (intercept, &worker->intercepts, others) {
		if (intercept->dial || intercept->snapshot->shared != worker->snapshot->shared)
			continue;
		snapshot_unref(intercept->snapshot);
		intercept->snapshot = snapshot_ref(worker->snapshot);
	}
}

void intercept_end_all(struct worker *worker)
{
	while (!LIST_EMPTY(&worker->intercepts)) {
		struct intercept *intercept = LIST_FIRST(&worker->intercepts);
		if (intercept->state == INTERCEPT_PASSING)
			relay_cut(&intercept->relay);
		fail(intercept, "shutdown");
	}
}
