/* Prometheus's text format, version 0.0.4, and OpenMetrics 1.0, which differs in the names of counters and in its end. Pure. */
#ifndef KEYSTILE_EXPOSITION_H
#define KEYSTILE_EXPOSITION_H

#include <stdint.h>

#include "buffer.h"

#define EXPOSITION_TEXT "text/plain; version=0.0.4; charset=utf-8"
#define EXPOSITION_OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"

struct exposition {
	struct buffer *out;
	bool openmetrics;
	const char *family; /* the one that samples are of */
};

enum exposition_type { EXPOSITION_COUNTER, EXPOSITION_GAUGE, EXPOSITION_HISTOGRAM };

/* Begins a family: all its samples follow, before the next one. The name of a counter ends in "_total". */
void exposition_family(struct exposition *exposition, enum exposition_type type, const char *name, const char *help);

struct exposition_label {
	const char *name, *value; /* name NULL: no more of them */
};

#define EXPOSITION_LABELS 4

/* One sample of the family, by at most EXPOSITION_LABELS labels, which are escaped; `labels` may be NULL. */
void exposition_sample(struct exposition *exposition, const struct exposition_label *labels, uint64_t value);
void exposition_seconds(struct exposition *exposition, const struct exposition_label *labels, uint64_t microseconds);

/* A histogram: `counts` has one more than `bounds`, in microseconds, for what is beyond the last; each its own, not added up. */
void exposition_histogram(struct exposition *exposition, const struct exposition_label *labels, const uint64_t *bounds,
                          const uint64_t *counts, size_t bound_count, uint64_t microseconds);

void exposition_end(struct exposition *exposition);

#endif
