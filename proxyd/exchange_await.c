/* Tokens, and values of commands, that are being made: requests that wait for one, and what becomes of a 401 (SPEC §2 Signers). */
#include "exchange_internal.h"

/* A command has 30 s, and so has a token request, and storing a refresh token 30 more; all end with another snapshot. */
#define PATIENCE 65000 /* ms */

void exchange_await(struct exchange *exchange)
{
	exchange_become(exchange, EXCHANGE_AWAITING);
	LIST_INSERT_HEAD(&exchange->worker->awaiting, exchange, awaiting);
	loop_timer_set(exchange->worker->loop, &exchange->timer, PATIENCE);
}

void exchange_await_over(struct exchange *exchange)
{
	LIST_REMOVE(exchange, awaiting);
	loop_timer_stop(exchange->worker->loop, &exchange->timer);
}

/* A reload may have taken away what was judged: it is judged anew, by what holds now. */
void exchange_take_snapshot(struct exchange *exchange)
{
	struct snapshot *old = exchange->snapshot;
	exchange->snapshot = snapshot_ref(exchange->worker->snapshot);
	snapshot_unref(old);
}

void exchange_await_late(struct exchange *exchange)
{
	exchange_await_over(exchange);
	problem_set(&exchange->problem, 503, "token_not_ready",
	            arena_format(&exchange->arena, "credential %s got no secret in time", exchange->judgement.credential->name),
	            "/readyz on the admin listener, and proxyd's log, tell when it has one");
	exchange_answer(exchange);
}

/* Has the worker's snapshot nothing that is news to this one? */
static bool waits_on(const struct exchange *exchange)
{
	const struct snapshot *fresh = exchange->worker->snapshot;
	const struct config_credential *credential = exchange->judgement.credential;
	if (fresh->shared != exchange->snapshot->shared)
		return false;
	if (snapshot_pending(fresh, credential))
		return true;
	return exchange->spent && snapshot_perishable(fresh, credential).number == exchange->spent;
}

static void resume(struct exchange *exchange)
{
	if (waits_on(exchange))
		return;
	exchange_take_snapshot(exchange);
	bool prepared = exchange_prepare(exchange);
	if (!prepared && exchange->judgement.awaits)
		return;
	exchange_await_over(exchange);
	if (prepared)
		exchange_go(exchange);
	else
		exchange_answer(exchange);
}

void exchange_resume_all(struct worker *worker)
{
	struct exchange *next;
	for (struct exchange *exchange = LIST_FIRST(&worker->awaiting); exchange; exchange = next) {
		next = LIST_NEXT(exchange, awaiting);
		resume(exchange);
	}
}

bool exchange_perishes(const struct exchange *exchange)
{
	const struct config_credential *credential = exchange->judgement.credential;
	return credential && exchange->injected && !exchange->spent && !exchange->signer &&
	       snapshot_perishable(exchange->snapshot, credential).number;
}

/* Unless there is another one already, which the worker has not heard of. */
static void spend(struct exchange *exchange, struct perishable used)
{
	struct server *server = exchange->worker->server;
	const struct config_credential *credential = exchange->judgement.credential;
	struct snapshot *current = server_snapshot(server);
	if (current->shared == exchange->snapshot->shared && snapshot_perishable(current, credential).number == used.number)
		server_spend(server, current, credential);
	snapshot_unref(current);
}

bool exchange_is_renewed(struct exchange *exchange, const struct response *response)
{
	if (response->status != 401 || !exchange_perishes(exchange))
		return false;
	struct perishable used = snapshot_perishable(exchange->snapshot, exchange->judgement.credential);
	if (steady_now() < used.firm)
		return false;
	spend(exchange, used);
	if (exchange->bytes_up > 0 && !exchange->replay_whole)
		return false;
	exchange->spent = used.number;
	exchange_release_upstream(exchange);
	exchange_await(exchange);
	resume(exchange);
	return true;
}
