/* /status (SPEC §12): how things stand, as JSON, for the page and for whoever asks. It shows what the audit shows, and
 * names of the configuration; no secret, no token, no query. */
#ifndef KEYSTILE_STATUS_H
#define KEYSTILE_STATUS_H

#include "worker.h"

/* For admin's thread: asks the workers, and waits for a second at most. */
void status_write(struct server *server, bool serving, struct buffer *out);

#endif
