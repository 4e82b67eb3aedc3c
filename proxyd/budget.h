/* What a peer may do for nothing: a budget fills with each act, and empties with time and with what is of use. Acts that come
 * and go are no flood; those that only come are. Pure: the caller knows the time. */
#ifndef KEYSTILE_BUDGET_H
#define KEYSTILE_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#define BUDGET_ACT 1000 /* budgets count in thousandths of an act */

struct budget {
	uint64_t spent;
	uint64_t at; /* ms, of the last act */
};

/* One more act, or what is as much (`amount`), at `now` (ms, never less than before); `each_ms` of the budget came back in each
 * millisecond since the last one. False where it is over `most`. */
bool budget_spend(struct budget *budget, uint64_t amount, uint64_t now, uint64_t each_ms, uint64_t most);
/* Something of use was done: so much comes back. */
void budget_earn(struct budget *budget, uint64_t amount);

/* What frames of HTTP/2 that carry nothing may be: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA and CONTINUATION. One
 * that carries something makes the peer acknowledge and ping, and earns some of them. */
#define BUDGET_FRAMES_MOST (2000 * BUDGET_ACT)
#define BUDGET_FRAMES_PER_USE (4 * BUDGET_ACT)
#define BUDGET_FRAMES_EACH_MS 200 /* 200 a second */

#endif
