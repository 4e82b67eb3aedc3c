#include "account.h"

#include <string.h>

void account_begin(struct account *account, struct tallies *tallies, unsigned worker)
{
	*account = (struct account){.tally = tallies_worker(tallies, worker), .worker = worker};
	for (size_t i = 0; i < TALLY_KINDS; i++)
		account->nameless[i] = tallies_first(tallies, (enum tally_kind)i);
}

void account_end(struct account *account)
{
	trace_ring_free(&account->refusals);
}

static struct tally_cells *cells_of(struct account *account, struct tally_entry *entry, enum tally_kind kind)
{
	return &(entry ? entry : account->nameless[kind])->cells[account->worker];
}

static void count_reason(struct tally *tally, const struct audit_record *record)
{
	size_t reason = tally_reason(record->reason);
	tally_add(&tally->reasons[reason][record->verdict], 1);
	if (tally_reasons[reason].limit != TALLY_LIMITS)
		tally_limit_hit(tally, tally_reasons[reason].limit);
}

/* What a client or an upstream broke off half way took the time that it took, and an upgrade ends when somebody is done with it;
 * what is refused takes none, and would hide the others. */
static void observe(struct tally_cells *cells, const struct audit_record *record)
{
	if (record->verdict == AUDIT_DENY || record->status == 101)
		return;
	tally_observe(&cells->duration, record->total_us);
	if (record->first_us > 0)
		tally_observe(&cells->first_byte, record->first_us);
}

static void count_request(struct account *account, const struct audit_record *record)
{
	struct tally_cells *cells = cells_of(account, record->credential_tally, TALLY_CREDENTIAL);
	tally_add(&cells->statuses[tally_status(record->status)], 1);
	tally_add(&cells->verdicts[record->verdict], 1);
	tally_add(&cells_of(account, record->profile_tally, TALLY_PROFILE)->verdicts[record->verdict], 1);
	if (record->injected)
		tally_count(account->tally, TALLY_INJECTED);
	observe(cells, record);
}

static void count(struct account *account, const struct audit_record *record)
{
	struct tally *tally = account->tally;
	tally_add(&tally->ways[record->way_kind][record->verdict], 1);
	tally_add(&tally->counts[TALLY_BYTES_UP], record->bytes_up);
	tally_add(&tally->counts[TALLY_BYTES_DOWN], record->bytes_down);
	if (record->kind == AUDIT_REQUEST)
		count_request(account, record);
	else if (record->kind == AUDIT_TUNNEL)
		tally_add(&tally->tunnels[record->verdict], 1);
	if (record->verdict != AUDIT_ALLOW)
		count_reason(tally, record);
}

void account_note(void *context, const struct audit_record *record)
{
	struct account *account = context;
	if (!account->tally || strcmp(record->event, "end") != 0)
		return;
	count(account, record);
	if (record->verdict != AUDIT_ALLOW)
		trace_ring_add(&account->refusals, trace_new(record, trace_now(), NULL));
}
