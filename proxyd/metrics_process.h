/* The metrics that every process has, by the names that Prometheus's own clients give them: a sidecar has no other exporter. */
#ifndef KEYSTILE_METRICS_PROCESS_H
#define KEYSTILE_METRICS_PROCESS_H

#include <time.h>

#include "exposition.h"

/* What the system does not tell (no /proc) is left out. */
void metrics_process(struct exposition *exposition, time_t started);

#endif
