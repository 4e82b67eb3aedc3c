/* The process as a whole: sockets, workers, the snapshot in use, and an orderly end. */
#ifndef KEYSTILE_SERVER_H
#define KEYSTILE_SERVER_H

#include "admin.h"
#include "worker.h"

/* Opens every listener and the audit file, makes the snapshot, starts workers and admin. Takes `config` over. False with
 * a fault; server_close() then frees what was made. */
bool server_open(struct server *server, struct config *config, struct fault *fault);

/* Reads the secrets again and puts them to use where they changed. */
void server_refresh_secrets(struct server *server);

/* Asks for tokens again that could not be had. */
void server_retry_tokens(struct server *server);

/* Is a command to be run again: before the time of what it gave is over, or since an upstream did not take that? Of the latter
 * server_spend() tells by SERVER_SPENT_SIGNAL to this process. */
bool server_secrets_due(struct server *server);

/* Stops accepting and lets what is under way end, for at most `seconds`; then ends it. */
void server_drain(struct server *server, unsigned seconds);

void server_close(struct server *server);

#endif
