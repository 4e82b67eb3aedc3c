/* /metrics (SPEC §12): all that is counted, and how things stand, for Prometheus. docs/proxyd.8 has the table.
 *
 * Labels are names of the configuration, and closed sets (tally_names.h). Nothing of what clients say, no path and no value. */
#ifndef KEYSTILE_METRICS_H
#define KEYSTILE_METRICS_H

#include "worker.h"

/* For admin's thread. `openmetrics`: in that format. */
void metrics_write(struct server *server, bool openmetrics, struct buffer *out);

#endif
