/* Traffic that was redirected here (SPEC §3, transparent listeners): who connected knows of no proxy. What a CONNECT would have
 * said, the TLS server name or the `Host` says, and where that is missing the address that was to be reached. */
#include "connect_internal.h"
#include "log.h"

static bool judge_place(struct connect *connect, const struct authority *place)
{
	connect->judgement = (struct judgement){0};
	connect->problem = (struct problem){0};
	return judge_redirected(connect->snapshot, span_of(connect->way.profile), place, &connect->arena, &connect->judgement,
	                        &connect->problem);
}

/* As SPEC §4 after the 200: on a port that an entry names, the upstream may be the one that speaks first. */
static bool is_served_at_once(struct connect *connect)
{
	return judge_place(connect, &connect->original) && connect_is_named(&connect->judgement);
}

static void wait_for_name(struct connect *connect)
{
	connect->state = CONNECT_NAMING;
	connect->since = loop_now(connect->worker->loop);
	connect->judgement = (struct judgement){.host = connect->original.host, .port = connect->original.port};
	connect->problem = (struct problem){0};
	loop_timer_set(connect->worker->loop, &connect->timer, connect_limits(connect)->head_time);
}

void connect_start_redirected(struct worker *worker, int fd, const struct way *way, const struct authority *original)
{
	struct connect *connect = connect_new(worker, fd, way);
	connect->redirected = true;
	connect->original = *original;
	loop_watch_add(worker->loop, &connect->relay.watches[RELAY_CLIENT], fd, RELAY_EVENTS);
	if (!is_served_at_once(connect))
		wait_for_name(connect);
	else if (connect_admit(connect))
		connect_go(connect);
	else
		connect_refuse(connect);
}

void connect_named(struct connect *connect, const struct host *name)
{
	struct authority place = connect->original;
	if (name)
		place.host = *name;
	loop_timer_stop(connect->worker->loop, &connect->timer);
	if (judge_place(connect, &place) && connect_admit(connect))
		connect_go(connect);
	else
		connect_refuse(connect);
}

void connect_refuse_redirected(struct connect *connect)
{
	const struct problem *problem = &connect->problem;
	log_debug("%s, redirected: %s", connect->way.client, problem->detail ? problem->detail : problem->reason);
	connect_note_end(connect, audit_verdict_of(problem->status), problem->reason, 0);
	if (connect->tls)
		connect_alert(connect, TLS_ACCESS_DENIED);
	else
		connect_close(connect, (struct span){0});
}
