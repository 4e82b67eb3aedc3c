/* Milliseconds of a clock that nobody sets, and that runs while the machine sleeps: for values that are good for some time, since
 * what has expired at its issuer has expired here. By the date, which an operator or NTP may set, all of them could expire in one
 * moment, or none for hours. */
#ifndef KEYSTILE_STEADY_H
#define KEYSTILE_STEADY_H

#include <stdint.h>

uint64_t steady_now(void);
/* What the calendar says at a time of that clock, in seconds since 1970. */
uint64_t steady_date(uint64_t at);

#endif
