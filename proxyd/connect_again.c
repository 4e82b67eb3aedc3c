/* Tunnels under a configuration that came later (SPEC §11). */
#include "connect_internal.h"
#include "judge_again.h"
#include "tunnel.h"

/* Does it go another way from here on? By `http2: tunnel` requests go past what judges them. */
static bool goes_elsewhere(const struct judgement *was, const struct judgement *now)
{
	bool passed = was->http2 == HTTP2_TUNNEL, passes = now->http2 == HTTP2_TUNNEL;
	return now->intercept != was->intercept || passes != passed || connect_is_named(now) != connect_is_named(was);
}

/* NULL: it may go on. */
static const char *lost(struct connect *connect, struct arena *arena)
{
	const struct snapshot *fresh = connect->worker->snapshot;
	const struct judgement *was = &connect->judgement;
	struct standing standing = judge_standing(connect->snapshot, was, NULL);
	struct judgement now;
	standing.credential = NULL; /* what is inside is judged by itself */
	const char *why = judge_lost(fresh, &standing, arena, &now);
	if (why)
		return why;
	if (goes_elsewhere(was, &now))
		return "host_revoked";
	int reached = connect->through_parent ? -1 : connect->upstream;
	return tunnel_reaches_refused(reached, dial_policy_of(&now, fresh)) ? "address_refused" : NULL;
}

static void take_snapshot(struct connect *connect)
{
	snapshot_unref(connect->snapshot);
	connect->snapshot = snapshot_ref(connect->worker->snapshot);
}

static void end_revoked(struct connect *connect, const char *why)
{
	if (connect->state == CONNECT_DIALLING && !connect->redirected) {
		problem_set(&connect->problem, 403, why, "a new configuration does not allow this tunnel any more",
		            "source envgen's output again");
		connect_refuse(connect);
		return;
	}
	relay_cut(&connect->relay);
	connect_end(connect, AUDIT_DENY, why);
}

bool connect_is_revoked(struct connect *connect)
{
	struct arena arena = {0};
	bool later = connect->snapshot->shared != connect->worker->snapshot->shared;
	const char *why = later ? lost(connect, &arena) : NULL;
	if (why)
		end_revoked(connect, why);
	arena_free(&arena);
	return why;
}

void connect_end_revoked(struct worker *worker)
{
	for (struct connect *connect = LIST_FIRST(&worker->connects), *next; connect; connect = next) {
		next = LIST_NEXT(connect, others);
		if (connect->state == CONNECT_NAMING) /* nothing of what it waits for has been judged yet */
			take_snapshot(connect);
		else
			connect_is_revoked(connect);
	}
}

/* While it is dialled, what it may reach is the old one's. */
void connect_follow(struct worker *worker)
{
	struct connect *connect;
	LIST_FOREACH (connect, &worker->connects, others)
		if (!connect->dial && connect->snapshot->shared == worker->snapshot->shared)
			take_snapshot(connect);
}
