/* Listening sockets: made at start (or passed in by the service manager), shared by all workers. */
#ifndef KEYSTILE_LISTENER_H
#define KEYSTILE_LISTENER_H

#include <sys/types.h>

#include "config.h"
#include "worker.h"

struct listener {
	int fd;
	enum listener_kind kind;
	const char *profile; /* transparent */
	const char *path;    /* unix: removed at the end, where it is still this one: */
	dev_t device;
	ino_t inode;
	bool passed_in;      /* by the service manager: neither bound nor unlinked here */
};

/* Is each socket that the service manager passed one of the configuration's listeners? On another, clients would connect
 * and wait for nobody. */
bool listener_check_passed(const struct config *config, const int *passed, size_t passed_count, struct fault *fault);

/* Binds and listens. An address in use is a fault that names it; a stale unix socket is replaced only where nobody
 * accepts. `passed` are sockets of the service manager, matched by address; a matched one is taken over. */
bool listener_open(const struct config_listener *config, const int *passed, size_t passed_count,
                   struct listener *listener, struct fault *fault);
/* Nobody finds a unix socket any more; whoever is connected stays. */
void listener_remove(const struct listener *listener);
void listener_close(struct listener *listener); /* and removes it */

/* On a worker's thread: takes part in accepting, and no more. */
void listener_accept_start(struct worker *worker);
void listener_accept_stop(struct worker *worker);
/* Takes in those who have connected already. What a service manager passed in stays with it: who waits there is served by
 * the next process. */
void listener_accept_rest(struct worker *worker);

/* From here on nobody can connect. Does nothing to a socket of the service manager. */
void listener_shut(struct listener *listener);

/* Starts to serve an accepted connection (fd taken over) of this client (as in struct way) on this worker's thread. */
void listener_serve(struct worker *worker, struct listener *listener, int fd, const char *client);

#endif
