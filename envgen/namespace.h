/* A mount namespace of one's own, without being root where the kernel allows it, and how what is mounted in it stays. */
#ifndef KEYSTILE_NAMESPACE_H
#define KEYSTILE_NAMESPACE_H

#include "fault.h"

/* A mount namespace of this process alone, in a user namespace of its own where it may not make one otherwise. Users and
 * groups stay who they are; where only its own can be mapped, all others look like nobody. */
bool namespace_enter(struct fault *fault);

/* One more user and mount namespace, inside: all mounts so far are locked (mount_namespaces(7)), so that no right that can
 * be had in there takes one away, and processes outside can neither be traced nor seen through /proc/PID/root
 * (ptrace(2)). CAP_SYS_ADMIN goes for good. The process must be dumpable, or /proc/PID is not its own. */
bool namespace_lock(struct fault *fault);

/* Can a process like this one do both? A child tries. */
bool namespace_possible(struct fault *fault);

#endif
