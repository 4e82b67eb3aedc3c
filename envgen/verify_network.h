/* Namespaces in which a client meets nothing of this machine's network (unshare(2), namespaces(7)). */
#ifndef KEYSTILE_VERIFY_NETWORK_H
#define KEYSTILE_VERIFY_NETWORK_H

#include "fault.h"
#include "verify.h"

/* For the calling process, which has one thread and no key in memory: a mount namespace of its own (namespace.h). `folder` (empty, there) becomes a file system in memory. /etc/hosts has the names of `targets` and nothing
 * else, and no name server is asked. FAULT_DENIED says what the kernel, or a sandbox around, did not let it do. */
bool isolate_names(const char *folder, const struct targets *targets, struct fault *fault);

/* Undoes the folder's file system and removes the folder. Nothing else keeps it busy once the clients have ended. */
void isolate_end(const char *folder);

/* For a process below that: a network namespace in which every address is this host's own. */
bool isolate_network(struct fault *fault);

#endif
