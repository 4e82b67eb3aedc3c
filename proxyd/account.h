/* One worker's account of what it did: every audit record is counted, and the last refusals are kept, whether there is an audit
 * file or not. The worker's own thread; others read the counts (tally.h). */
#ifndef KEYSTILE_ACCOUNT_H
#define KEYSTILE_ACCOUNT_H

#include "tally.h"
#include "trace.h"

struct account {
	struct tally *tally;              /* the worker's; NULL: nothing is counted */
	unsigned worker;                  /* its number */
	struct tally_entry *nameless[TALLY_KINDS];
	struct trace_ring refusals;
};

void account_begin(struct account *account, struct tallies *tallies, unsigned worker);
void account_end(struct account *account);

/* For audit_listen(): `context` is the account. */
void account_note(void *context, const struct audit_record *record);

#endif
