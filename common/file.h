/* Whole files: read with a bound, written so that a reader finds the old content or the new, never a part. */
#ifndef KEYSTILE_FILE_H
#define KEYSTILE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "buffer.h"
#include "fault.h"

/* Appends the content of `path` to `out`. Faults: FAULT_MISSING, FAULT_DENIED, FAULT_IO; FAULT_BROKEN where it is no
 * regular file or longer than `limit` bytes. `out` may then hold a part; the caller wipes it if it may be a secret. */
bool file_read(const char *path, size_t limit, struct buffer *out, struct fault *fault);

/* Replaces `path` by `bytes`: a temporary file in the same folder with `mode`, fsync, rename, fsync of the folder.
 * On any failure the old file stands and the temporary one is gone. An existing file's owner and group are kept, or the
 * write is refused (FAULT_DENIED). */
bool file_replace(const char *path, struct span bytes, mode_t mode, struct fault *fault);

/* Writes all of `bytes` to `fd`, through short writes and EINTR. */
bool file_write_all(int fd, struct span bytes);

/* Creates the folder of a path and what is missing above it, 0700. */
bool file_make_folder(const char *path, struct fault *fault);

/* `path` as seen from `folder`: itself where it is absolute, else folder/path. The caller frees it. */
char *file_resolve(const char *folder, const char *path);

/* The folder part of a path, "." where there is none. The caller frees it. */
char *file_folder(const char *path);

#endif
