/* The process as a whole: sockets, workers, the snapshot in use, and an orderly end. */
#ifndef KEYSTILE_SERVER_H
#define KEYSTILE_SERVER_H

#include "admin.h"
#include "worker.h"

/* Opens every listener and the audit file, makes the snapshot, starts workers and admin. Takes `config` over. False with
 * a fault; server_close() then frees what was made. */
bool server_open(struct server *server, struct config *config, struct fault *fault);

/* Looks at everything that the configuration names, and puts to use what has changed. A secret's file that was not `still` for so
 * many ms (0: whatever stands there is taken) counts as it was; false where there is one, for another look to come. Blocks
 * (snapshot.h). Main thread. */
bool server_look(struct server *server, unsigned still);
/* The same of what commands gave alone, of which SERVER_WAKE_SIGNAL tells. */
void server_take_commands(struct server *server);
/* Would that find anything? */
bool server_would_look(struct server *server);
/* Puts another configuration to use, which is taken over, also on failure: then all stays as it was. `still` is
 * server_look()'s, which is to follow. */
bool server_take_config(struct server *server, struct config *config, unsigned still, struct fault *fault);

/* Opens the audit file anew, after logrotate; the old one stays on failure. */
bool server_reopen_audit(struct server *server, struct fault *fault);

/* Where a value has expired: what its command gave since, and what was kept back for another secret of the credential. */
void server_take_expired(struct server *server);

/* Lets go of values that were replaced, once upstreams had time to take the new ones. */
void server_forget_former(struct server *server);

/* Asks for tokens again that could not be had, and has all commands run again. */
void server_retry(struct server *server);

/* Stops accepting and lets what is under way end, for at most `seconds`, or until SIGTERM or SIGINT comes once more; then ends
 * it. On the main thread, which has both blocked. */
void server_drain(struct server *server, unsigned seconds);

void server_close(struct server *server);

#endif
