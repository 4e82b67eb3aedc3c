/* Rotation overlap (SPEC §11): a request that one of two values did not open the door for is sent once more with the other. */
#include "exchange_internal.h"
#include "former.h"

void exchange_choose_value(struct exchange *exchange)
{
	const struct config_credential *credential = exchange->judgement.credential;
	const struct former *former = exchange->snapshot->former;
	/* Sent once more it may be by a snapshot that has lost the other value meanwhile. */
	bool wanted = exchange->rotated ? exchange->by_former : credential && former_preferred(former, credential);
	exchange->by_former = wanted && credential && former_has(former, credential, steady_now());
	exchange->judgement.former = exchange->by_former;
}

/* A request that began before the value was replaced has the other one in the worker's snapshot. */
static bool is_outdated(const struct exchange *exchange)
{
	const struct snapshot *own = exchange->snapshot, *fresh = exchange->worker->snapshot;
	const struct config_credential *credential = exchange->judgement.credential;
	return fresh->shared == own->shared && fresh->secrets != own->secrets && secrets_differ(own->secrets, fresh->secrets, credential) &&
	       former_has(fresh->former, credential, steady_now());
}

bool exchange_has_other(const struct exchange *exchange)
{
	const struct config_credential *credential = exchange->judgement.credential;
	return credential && exchange->injected && !exchange->rotated && !exchange->signer &&
	       (former_has(exchange->snapshot->former, credential, steady_now()) || is_outdated(exchange));
}

/* The next request begins with the one that was taken. */
static void note_taken(const struct exchange *exchange)
{
	if (exchange->rotated)
		former_prefer(exchange->snapshot->former, exchange->judgement.credential, exchange->by_former);
}

bool exchange_is_rotated(struct exchange *exchange, const struct response *response)
{
	if (response->status != 401) {
		note_taken(exchange);
		return false;
	}
	if (!exchange_has_other(exchange) || (exchange->bytes_up > 0 && !exchange->replay_whole))
		return false;
	exchange_release_upstream(exchange);
	exchange->by_former = !is_outdated(exchange) && !exchange->by_former;
	exchange->rotated = true;
	tally_count(exchange->worker->account.tally, TALLY_ROTATIONS);
	exchange_take_snapshot(exchange);
	exchange_set_out(exchange);
	return true;
}
