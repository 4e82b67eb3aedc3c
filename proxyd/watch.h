/* Files that may change, come and go, watched through the folders on the way to them (SPEC §11).
 *
 * A file itself is not watched: Vault Agent renames another one into its place, and Kubernetes swaps a link that its folder is
 * reached by. So each folder on a path is watched for the name that leads on, symbolic links are followed, and where something is
 * missing the last folder that is there tells when it comes. One thread. */
#ifndef KEYSTILE_WATCH_H
#define KEYSTILE_WATCH_H

#include <stddef.h>

#include "fault.h"

struct watch;

/* NULL with a fault: FAULT_IO where the system has no more (fs.inotify.max_user_instances). */
struct watch *watch_new(struct fault *fault);
void watch_free(struct watch *watch); /* NULL is fine */

/* Readable: watch_read(). */
int watch_fd(const struct watch *watch);

/* Watches these from here on, and what was watched before no more. Paths are absolute; copied. What changes after this call is
 * told, so whoever looks at the files does so behind it. False with a fault that names the first folder that cannot be watched;
 * all others are. */
bool watch_follow(struct watch *watch, const char *const *paths, size_t count, struct fault *fault);

/* Takes in what the system tells, without waiting. Did something happen to a name on the way to one of the files? Where these
 * lead now is for watch_follow(). */
bool watch_read(struct watch *watch);

#endif
