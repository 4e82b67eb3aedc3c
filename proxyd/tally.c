#include "tally.h"

#include <pthread.h>
#include <stdlib.h>

#include "config.h"
#include "memory.h"
#include "table.h"

/* From what a rule refuses at once to an answer that streams for minutes. */
const uint64_t tally_bounds[TALLY_BOUNDS] = {
	1000,    2500,    5000,    10000,    25000,    50000,    100000,    250000,    500000,
	1000000, 2500000, 5000000, 10000000, 30000000, 60000000, 120000000, 300000000,
};

struct tallies {
	unsigned workers;
	struct tally *tallies;
	pthread_mutex_t lock; /* of who adds an entry; who walks the lists needs none */
	struct kind {
		struct tally_entry *first, *last;
		struct table by_name;
	} kinds[TALLY_KINDS];
};

static struct tally_entry *new_entry(struct tallies *tallies, struct kind *kind, const char *name)
{
	struct tally_entry *entry = memory_alloc(sizeof *entry);
	atomic_init(&entry->next, NULL);
	entry->name = memory_string(name);
	entry->cells = memory_array(tallies->workers, sizeof *entry->cells);
	table_put(&kind->by_name, span_of(entry->name), entry);
	return entry;
}

struct tallies *tallies_new(unsigned workers)
{
	struct tallies *tallies = memory_alloc(sizeof *tallies);
	tallies->workers = workers;
	tallies->tallies = memory_array(workers, sizeof *tallies->tallies);
	pthread_mutex_init(&tallies->lock, NULL);
	for (size_t i = 0; i < TALLY_KINDS; i++)
		tallies->kinds[i].first = tallies->kinds[i].last = new_entry(tallies, &tallies->kinds[i], "");
	return tallies;
}

static void free_kind(struct kind *kind)
{
	for (struct tally_entry *entry = kind->first, *next; entry; entry = next) {
		next = entry->next;
		free(entry->cells);
		free(entry->name);
		free(entry);
	}
	table_free(&kind->by_name);
}

void tallies_free(struct tallies *tallies)
{
	if (!tallies)
		return;
	for (size_t i = 0; i < TALLY_KINDS; i++)
		free_kind(&tallies->kinds[i]);
	pthread_mutex_destroy(&tallies->lock);
	free(tallies->tallies);
	free(tallies);
}

struct tally *tallies_worker(struct tallies *tallies, unsigned worker)
{
	return &tallies->tallies[worker];
}

unsigned tallies_workers(const struct tallies *tallies)
{
	return tallies->workers;
}

uint64_t tallies_sum(const struct tallies *tallies, enum tally_count count)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < tallies->workers; i++)
		sum += tally_read(&tallies->tallies[i].counts[count]);
	return sum;
}

uint64_t tallies_verdicts(const struct tallies *tallies, const struct tally_entry *entry, enum audit_verdict verdict)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < tallies->workers; i++)
		sum += tally_read(&entry->cells[i].verdicts[verdict]);
	return sum;
}

struct tally_entry *tallies_first(const struct tallies *tallies, enum tally_kind kind)
{
	return tallies->kinds[kind].first;
}

/* A new one is whole before those who walk the list can see it. */
static struct tally_entry *find(struct tallies *tallies, enum tally_kind which, const char *name)
{
	struct kind *kind = &tallies->kinds[which];
	struct tally_entry *entry = table_get(&kind->by_name, span_of(name));
	if (entry)
		return entry;
	entry = new_entry(tallies, kind, name);
	atomic_store_explicit(&kind->last->next, entry, memory_order_release);
	kind->last = entry;
	return entry;
}

struct tally_map *tallies_map(struct tallies *tallies, const struct config *config)
{
	struct tally_map *map = memory_alloc(sizeof *map);
	map->credentials = memory_array(config->credential_count, sizeof *map->credentials);
	map->profiles = memory_array(config->profile_count, sizeof *map->profiles);
	pthread_mutex_lock(&tallies->lock);
	for (size_t i = 0; i < config->credential_count; i++)
		map->credentials[i] = find(tallies, TALLY_CREDENTIAL, config->credentials[i].name);
	for (size_t i = 0; i < config->profile_count; i++)
		map->profiles[i] = find(tallies, TALLY_PROFILE, config->profiles[i].name);
	pthread_mutex_unlock(&tallies->lock);
	return map;
}

void tally_map_free(struct tally_map *map)
{
	if (!map)
		return;
	free(map->credentials);
	free(map->profiles);
	free(map);
}

void tally_observe(struct tally_histogram *histogram, uint64_t microseconds)
{
	size_t at = 0;
	while (at < TALLY_BOUNDS && microseconds > tally_bounds[at])
		at++;
	tally_add(&histogram->buckets[at], 1);
	tally_add(&histogram->microseconds, microseconds);
}
