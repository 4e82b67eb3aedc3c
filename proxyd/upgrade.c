#include "upgrade.h"

#include <stdlib.h>

#include "judge_again.h"
#include "memory.h"
#include "monotonic.h"
#include "relay.h"
#include "tunnel.h"

struct upgrade {
	struct relay relay;
	LIST_ENTRY(upgrade) others;
	struct worker *worker;
	struct switched switched; /* its endpoint is the relay's */
	struct way way;
	bool through_parent; /* it is connected to a parent proxy */
};

/* With `audit: { required: true }` the exchange's own line stands there already. */
static void note_start(struct upgrade *upgrade)
{
	struct worker *worker = upgrade->worker;
	upgrade->switched.record.client = upgrade->way.client;
	if (!audit_required(worker->server->audit))
		audit_write(worker->audit, &upgrade->switched.record);
}

static struct audit_record record_of(const struct upgrade *upgrade)
{
	struct audit_record record = upgrade->switched.record;
	record.bytes_up = upgrade->relay.flows[RELAY_CLIENT].bytes;
	record.bytes_down = upgrade->relay.flows[RELAY_UPSTREAM].bytes;
	record.total_us = monotonic_us() - upgrade->switched.started;
	return record;
}

static void note_end(const struct upgrade *upgrade, enum audit_verdict verdict, const char *reason)
{
	struct audit_record record = record_of(upgrade);
	record.event = "end";
	record.verdict = verdict;
	record.reason = reason;
	audit_write(upgrade->worker->audit, &record);
}

void upgrade_list(struct worker *worker, exchange_teller *tell, void *context)
{
	struct upgrade *upgrade;
	LIST_FOREACH(upgrade, &worker->upgrades, others) {
		struct audit_record record = record_of(upgrade);
		tell(context, &record, "upgraded");
	}
}

static void end(struct upgrade *upgrade, enum audit_verdict verdict, const char *reason)
{
	struct worker *worker = upgrade->worker;
	struct relay *relay = &upgrade->relay;
	struct endpoint client = relay->ends[RELAY_CLIENT];
	bool lingers = tunnel_has_unread(relay);
	note_end(upgrade, verdict, reason);
	relay_stop(relay);
	endpoint_close(&relay->ends[RELAY_UPSTREAM]);
	worker_way_over(&upgrade->way);
	tally_uncount(worker->account.tally, TALLY_UPGRADES_NOW);
	LIST_REMOVE(upgrade, others);
	snapshot_unref(upgrade->switched.snapshot);
	arena_free(&upgrade->switched.arena);
	free(upgrade);
	tls_close(client.tls);
	tunnel_close_client(worker, client.fd, lingers, (struct span){0});
}

static void on_relayed(struct relay *relay, enum relay_end how)
{
	struct tunnel_end told = tunnel_end_of(how);
	end((struct upgrade *)relay, told.verdict, told.reason);
}

/* NULL: it may go on. */
static const char *lost(const struct upgrade *upgrade, struct arena *arena)
{
	const struct switched *switched = &upgrade->switched;
	const struct standing standing = judge_standing(switched->snapshot, &switched->judgement, upgrade->way.place);
	const struct snapshot *fresh = upgrade->worker->snapshot;
	int reached = upgrade->through_parent ? -1 : upgrade->relay.ends[RELAY_UPSTREAM].fd;
	struct judgement now;
	const char *why = judge_lost(fresh, &standing, arena, &now);
	if (why)
		return why;
	return tunnel_reaches_refused(reached, dial_policy_of(&now, fresh)) ? "address_refused" : NULL;
}

/* Is it the end? */
static bool is_revoked(struct upgrade *upgrade)
{
	struct arena arena = {0};
	bool later = upgrade->switched.snapshot->shared != upgrade->worker->snapshot->shared;
	const char *why = later ? lost(upgrade, &arena) : NULL;
	if (why) {
		relay_cut(&upgrade->relay);
		end(upgrade, AUDIT_DENY, why);
	}
	arena_free(&arena);
	return why;
}

void upgrade_start(struct worker *worker, const struct endpoint *client, const struct way *way,
                   struct exchange *exchange, struct span early)
{
	static const uint32_t nothing_heard[RELAY_SIDES];
	struct upgrade *upgrade = memory_alloc(sizeof *upgrade);
	struct switched *switched = &upgrade->switched;
	struct relay *relay = &upgrade->relay;
	upgrade->worker = worker;
	upgrade->way = *way;
	exchange_switch(exchange, switched);
	upgrade->through_parent = dial_policy_of(&switched->judgement, switched->snapshot).parent;
	LIST_INSERT_HEAD(&worker->upgrades, upgrade, others);
	note_start(upgrade);
	tally_count(worker->account.tally, TALLY_UPGRADES);
	tally_count(worker->account.tally, TALLY_UPGRADES_NOW);
	relay->ends[RELAY_CLIENT] = *client;
	relay->ends[RELAY_UPSTREAM] = switched->upstream;
	relay_prepend(relay, RELAY_CLIENT, early);
	relay_prepend(relay, RELAY_UPSTREAM, buffer_view(&switched->behind));
	buffer_free(&switched->behind);
	/* The reload may have come behind the 101. */
	if (is_revoked(upgrade))
		return;
	for (int side = 0; side < RELAY_SIDES; side++) {
		relay->watches[side].fd = -1;
		loop_watch_add(worker->loop, &relay->watches[side], relay->ends[side].fd, RELAY_EVENTS);
	}
	relay_start(relay, worker->relays, nothing_heard, worker->limits.tunnel_idle, on_relayed);
}

void upgrade_end_revoked(struct worker *worker)
{
	for (struct upgrade *upgrade = LIST_FIRST(&worker->upgrades), *next; upgrade; upgrade = next) {
		next = LIST_NEXT(upgrade, others);
		is_revoked(upgrade);
	}
}

void upgrade_follow(struct worker *worker)
{
	struct upgrade *upgrade;
	LIST_FOREACH (upgrade, &worker->upgrades, others) {
		struct snapshot **held = &upgrade->switched.snapshot;
		if ((*held)->shared != worker->snapshot->shared)
			continue;
		snapshot_unref(*held);
		*held = snapshot_ref(worker->snapshot);
	}
}

void upgrade_end_all(struct worker *worker)
{
	while (!LIST_EMPTY(&worker->upgrades)) {
		struct upgrade *upgrade = LIST_FIRST(&worker->upgrades);
		relay_cut(&upgrade->relay);
		end(upgrade, AUDIT_FAIL, "shutdown");
	}
}
