/* The clock that nobody sets, and that stands while the machine sleeps: for waits, deadlines and measured times. What expires
 * elsewhere wants proxyd's steady.h, what is told a date. */
#ifndef KEYSTILE_MONOTONIC_H
#define KEYSTILE_MONOTONIC_H

#include <stdint.h>

uint64_t monotonic_ms(void);
uint64_t monotonic_us(void);

#endif
