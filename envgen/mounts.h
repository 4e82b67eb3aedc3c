/* Mounts in this process's own namespace (namespace.h) that hide what is there, or hold it where it is. What hides
 * is read-only and holds no device and no program. */
#ifndef KEYSTILE_MOUNTS_H
#define KEYSTILE_MOUNTS_H

#include "fault.h"
#include "span.h"

#include <sys/types.h>

/* A file that a hidden folder has all the same: a copy, which everybody may read. */
struct mount_file {
	const char *name;
	struct span content;
};

/* Hides the folder `path` (resolved, existing) behind one that has `files` and nothing else. */
bool mount_folder(const char *path, const struct mount_file *files, size_t count, struct fault *fault);

/* Hides the file `path` (resolved, existing, of whatever kind) behind one with `content` and `mode`. The mount lies on the
 * file as it is now: where somebody replaces that by rename(2), in whatever namespace, the new file is seen. */
bool mount_over_file(const char *path, struct span content, mode_t mode, struct fault *fault);

/* Mounts `path` (resolved, existing), with all that is mounted within, on itself: no program in this namespace can rename or
 * remove it, and where it is to be read only, nor change it. A rename from within to without is then one between file
 * systems (EXDEV). */
bool mount_on_itself(const char *path, bool read_only, struct fault *fault);

#endif
