/* Sizes, times and rates as the configuration writes them: "24KiB", "300s", "600/m". Pure. */
#ifndef KEYSTILE_QUANTITY_H
#define KEYSTILE_QUANTITY_H

#include <stdint.h>

#include "fault.h"
#include "span.h"

/* Bytes: digits and an optional B, KiB, MiB, GiB, KB, MB, GB. FAULT_USAGE names the forms. */
bool quantity_bytes(struct span text, uint64_t *bytes, struct fault *fault);

/* Milliseconds: digits and ms, s, m, h, d; a bare number is refused, since nobody knows what it means. */
bool quantity_duration(struct span text, uint64_t *milliseconds, struct fault *fault);

/* Requests per second, minute or hour: "10/s", "600/m", "5000/h". */
struct rate {
	uint32_t count; /* 0: no limit */
	uint32_t seconds;
};
bool quantity_rate(struct span text, struct rate *rate, struct fault *fault);
/* What stands behind the count of a rate that was read: "/m". Static. */
const char *quantity_rate_unit(struct rate rate);

/* A whole number without sign, from `least` to `most`. */
bool quantity_number(struct span text, uint64_t least, uint64_t most, uint64_t *number, struct fault *fault);

#endif
