/* The clock that nobody sets, and that stands while the machine sleeps: for waits, deadlines and measured times. What expires
 * elsewhere wants proxyd's steady.h, what is told a date. */
#ifndef KEYSTILE_MONOTONIC_H
#define KEYSTILE_MONOTONIC_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

uint64_t monotonic_ms(void);
uint64_t monotonic_us(void);

/* pthread_cond_wait() for at most so many ms; UINT64_MAX: without end. False: they are over. */
bool monotonic_wait(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t milliseconds);

#endif
