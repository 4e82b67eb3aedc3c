/* Values that an upstream answered with 401, and that are to be made anew: minted tokens, and what commands printed (SPEC §2
 * Signers). Each such value has a number of its own; any thread may say that one is spent, and the one who makes it takes the
 * number out when it has begun to make another. */
#ifndef KEYSTILE_SPENT_H
#define KEYSTILE_SPENT_H

#include <stdbool.h>
#include <stdint.h>

struct spent;

struct spent *spent_new(void);
void spent_free(struct spent *spent); /* NULL is fine */

/* A number that no value of this process had before. */
uint64_t spent_next_number(void);

#define SPENT_MOST 4096

/* Of more than SPENT_MOST the first ones are forgotten. A late 401 may add one whose value is gone, which nobody takes out. */
void spent_add(struct spent *spent, uint64_t number);
bool spent_has(struct spent *spent, uint64_t number); /* false for 0 */
void spent_remove(struct spent *spent, uint64_t number);

/* How many values are spent now, one soon after another, where `before` were before this one, which is spent after it lived for so
 * many milliseconds. */
unsigned spent_count(unsigned before, uint64_t lived);

/* For how long, in milliseconds, a value stays after it was made though upstreams answer 401, where so many before it were
 * spent: an agent that provokes 401s must not have the issuer asked at its own pace. */
uint64_t spent_patience(unsigned before);

#endif
