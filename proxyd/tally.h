/* What is counted, for /metrics and /status: numbers that workers add to without a lock, and that are summed when they are read.
 *
 * Each number has one cell for each worker, written by that worker alone and read by anybody, so adding is a load and a store.
 * What is counted by credential or profile is so by its name: an entry lives as long as the registry, whatever becomes of
 * the configuration, and one that comes back goes on counting. The configuration alone makes entries, never what a client says. */
#ifndef KEYSTILE_TALLY_H
#define KEYSTILE_TALLY_H

#include <stdatomic.h>

#include "tally_names.h"

#define TALLY_BOUNDS 17 /* of a histogram; behind them is what is beyond the last */

/* Of all workers, whatever the credential. */
enum tally_count {
	TALLY_BYTES_UP,
	TALLY_BYTES_DOWN,
	TALLY_INJECTED,
	TALLY_SCRUB_FINDS,
	TALLY_SCRUB_UNREAD,
	TALLY_ROTATIONS,
	TALLY_TUNNELS,          /* that flowed, with `http2: tunnel` */
	TALLY_UPGRADES,
	TALLY_UPSTREAM_NEW,
	TALLY_UPSTREAM_REUSED,  /* requests on a connection that had served before */
	TALLY_TUNNELS_NOW,      /* these three are of the moment: they go up and down */
	TALLY_UPGRADES_NOW,
	TALLY_UPSTREAM_NOW,
	TALLY_COUNTS,
};

/* One worker's. */
struct tally {
	atomic_ullong counts[TALLY_COUNTS];
	atomic_ullong limits[TALLY_LIMITS];
	atomic_ullong reasons[TALLY_REASONS][AUDIT_VERDICTS];
	atomic_ullong ways[TALLY_WAYS][AUDIT_VERDICTS];
	atomic_ullong tunnels[AUDIT_VERDICTS]; /* CONNECT and what was redirected, by their ends */
};

struct tally_histogram {
	atomic_ullong buckets[TALLY_BOUNDS + 1]; /* each one's own, not added up */
	atomic_ullong microseconds;
};

/* What is counted by one name, of one worker. */
struct tally_cells {
	atomic_ullong statuses[TALLY_STATUSES];
	atomic_ullong verdicts[AUDIT_VERDICTS];
	struct tally_histogram duration, first_byte;
};

enum tally_kind { TALLY_CREDENTIAL, TALLY_PROFILE, TALLY_KINDS };

struct tally_entry {
	_Atomic(struct tally_entry *) next; /* the one that came after */
	char *name;                         /* "" for what has no credential, or no profile, that the configuration knows */
	struct tally_cells *cells;          /* one for each worker */
};

struct config;
struct tallies; /* the registry: one for the process */

struct tallies *tallies_new(unsigned workers);
void tallies_free(struct tallies *tallies); /* NULL is fine */
struct tally *tallies_worker(struct tallies *tallies, unsigned worker);
unsigned tallies_workers(const struct tallies *tallies);
uint64_t tallies_sum(const struct tallies *tallies, enum tally_count count);
uint64_t tallies_verdicts(const struct tallies *tallies, const struct tally_entry *entry, enum audit_verdict verdict);

/* The first of all entries of a kind, "". Lists only grow: any thread may walk them. */
struct tally_entry *tallies_first(const struct tallies *tallies, enum tally_kind kind);

/* The entries of one configuration, by the numbers of its credentials and profiles; made where the names are new. */
struct tally_map {
	struct tally_entry **credentials, **profiles;
};
struct tally_map *tallies_map(struct tallies *tallies, const struct config *config);
void tally_map_free(struct tally_map *map); /* the entries stay; NULL is fine */

/* On the cell's own worker. Where it is given, a tally may be NULL: then nothing is counted. */
static inline void tally_add(atomic_ullong *cell, uint64_t more)
{
	atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + more, memory_order_relaxed);
}

static inline uint64_t tally_read(const atomic_ullong *cell)
{
	return atomic_load_explicit(cell, memory_order_relaxed);
}

static inline void tally_count(struct tally *tally, enum tally_count count)
{
	if (tally)
		tally_add(&tally->counts[count], 1);
}

static inline void tally_uncount(struct tally *tally, enum tally_count count)
{
	if (tally)
		tally_add(&tally->counts[count], UINT64_MAX);
}

static inline void tally_limit_hit(struct tally *tally, enum tally_limit limit)
{
	if (tally)
		tally_add(&tally->limits[limit], 1);
}

/* The upper bounds of a histogram's buckets, in microseconds. */
extern const uint64_t tally_bounds[TALLY_BOUNDS];
void tally_observe(struct tally_histogram *histogram, uint64_t microseconds);

#endif
