/* The admin listener: /healthz and /readyz (SPEC §12). One thread of its own, on libmicrohttpd.
 *
 * Answers only GET and HEAD, and only where Host is its own address, localhost or one of admin.hosts; 403 otherwise. */
#ifndef KEYSTILE_ADMIN_H
#define KEYSTILE_ADMIN_H

#include "config.h"
#include "snapshot.h"

struct admin;

/* `current` gives the snapshot in use, with a reference that admin gives back. `fd` is a listening socket; admin closes
 * it. NULL with a fault on failure. */
struct admin *admin_start(int fd, const struct config_admin *config, struct snapshot *(*current)(void *context),
                          void *context, struct fault *fault);
void admin_serving(struct admin *admin, bool serving); /* /readyz is 200 only while true */
void admin_stop(struct admin *admin);                  /* NULL is fine */

#endif
