/* The admin listener (SPEC §12). One thread of its own, on libmicrohttpd.
 *
 * Answers only GET and HEAD, and only where Host is its own address, localhost or one of admin.hosts; 403 otherwise. /healthz,
 * /readyz and /metrics are for all; what tells of agents and their requests is for who comes by a unix socket, whose mode says
 * who that is, or shows the admin token of the current session key. Under `session: none` there is no such token: over TCP these
 * pages are closed, since any agent reaches loopback. */
#ifndef KEYSTILE_ADMIN_H
#define KEYSTILE_ADMIN_H

#include "config.h"
#include "worker.h"

struct admin;

/* `server` is served once it has a snapshot, and outlives admin. `fd` is a listening socket; admin closes it. NULL with a fault on
 * failure. */
struct admin *admin_start(int fd, const struct config_admin *config, struct server *server, struct fault *fault);
void admin_serving(struct admin *admin, bool serving); /* /readyz is 200 only while true */
void admin_stop(struct admin *admin);                  /* NULL is fine */

#endif
