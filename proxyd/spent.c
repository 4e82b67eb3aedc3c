#include "spent.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "memory.h"

#define FIRST_PATIENCE UINT64_C(1000) /* ms */
#define MOST_PATIENCE UINT64_C(60000)
#define AT_ONCE 5         /* so many are made anew without a pause: an operator may revoke one more than once */
#define FORGOTTEN 600000  /* ms */

struct spent {
	pthread_mutex_t lock;
	uint64_t *numbers;
	size_t count, capacity;
	size_t forgets; /* the place that the next one takes where all are taken */
};

struct spent *spent_new(void)
{
	struct spent *spent = memory_alloc(sizeof *spent);
	pthread_mutex_init(&spent->lock, NULL);
	return spent;
}

void spent_free(struct spent *spent)
{
	if (!spent)
		return;
	pthread_mutex_destroy(&spent->lock);
	free(spent->numbers);
	free(spent);
}

uint64_t spent_next_number(void)
{
	static atomic_ullong last;
	return atomic_fetch_add(&last, 1) + 1;
}

static size_t place_of(const struct spent *spent, uint64_t number)
{
	size_t place = 0;
	while (place < spent->count && spent->numbers[place] != number)
		place++;
	return place;
}

static void append(struct spent *spent, uint64_t number)
{
	if (spent->count == SPENT_MOST) {
		spent->numbers[spent->forgets++ % SPENT_MOST] = number;
		return;
	}
	spent->numbers = memory_grow(spent->numbers, spent->count, &spent->capacity, sizeof *spent->numbers);
	spent->numbers[spent->count++] = number;
}

void spent_add(struct spent *spent, uint64_t number)
{
	pthread_mutex_lock(&spent->lock);
	if (place_of(spent, number) == spent->count)
		append(spent, number);
	pthread_mutex_unlock(&spent->lock);
}

bool spent_has(struct spent *spent, uint64_t number)
{
	pthread_mutex_lock(&spent->lock);
	bool has = place_of(spent, number) < spent->count;
	pthread_mutex_unlock(&spent->lock);
	return has;
}

void spent_remove(struct spent *spent, uint64_t number)
{
	pthread_mutex_lock(&spent->lock);
	size_t place = place_of(spent, number);
	if (place < spent->count)
		spent->numbers[place] = spent->numbers[--spent->count];
	pthread_mutex_unlock(&spent->lock);
}

unsigned spent_count(unsigned before, uint64_t lived)
{
	return lived < FORGOTTEN ? before + 1 : 1;
}

uint64_t spent_patience(unsigned before)
{
	if (before < AT_ONCE)
		return 0;
	unsigned doubled = before - AT_ONCE;
	uint64_t patience = doubled < 16 ? FIRST_PATIENCE << doubled : MOST_PATIENCE;
	return patience < MOST_PATIENCE ? patience : MOST_PATIENCE;
}
