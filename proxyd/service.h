/* The service manager's side of things: readiness and sockets passed in (sd_notify and sd_listen_fds protocols, own code:
 * both are a few lines, and libsystemd would be a large dependency). */
#ifndef KEYSTILE_SERVICE_H
#define KEYSTILE_SERVICE_H

#include <stddef.h>

#include "fault.h"

/* Sends `state` ("READY=1", "STOPPING=1", "STATUS=…") to $NOTIFY_SOCKET; nothing where it is unset. */
void service_notify(const char *state);

/* The sockets of $LISTEN_FDS, close-on-exec and non-blocking; unsets the variables. Sets `*count`; fds start at 3. False
 * where one of them is of no use. */
#define SERVICE_FIRST_FD 3
#define SERVICE_SOCKETS 1024 /* at most */
bool service_sockets(size_t *count, struct fault *fault);

#endif
