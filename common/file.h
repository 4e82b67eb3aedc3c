/* Whole files: read with a bound, written so that a reader finds the old content or the new, never a part. */
#ifndef KEYSTILE_FILE_H
#define KEYSTILE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#include "buffer.h"
#include "fault.h"

/* Appends the content of `path` to `out`. Faults: FAULT_MISSING, FAULT_DENIED, FAULT_IO; FAULT_BROKEN where it is no
 * regular file or longer than `limit` bytes. `out` may then hold a part; the caller wipes it if it may be a secret. */
bool file_read(const char *path, size_t limit, struct buffer *out, struct fault *fault);

/* Was it, or what a link there leads to, made, written, moved or given other rights within the last `ms`? By the date: what lies in
 * the future was not. False where nothing is. */
bool file_is_fresh(const char *path, unsigned ms);

/* Which file a path leads to, and when that was last changed; all 0 where it leads to none. */
struct file_print {
	dev_t device;
	ino_t number;
	struct timespec changed;
};
struct file_print file_print(const char *path);
bool file_print_same(const struct file_print *a, const struct file_print *b);

/* Replaces `path` by `bytes`: a temporary file in the same folder with `mode`, fsync, rename, fsync of the folder.
 * On any failure the old file stands and the temporary one is gone. An existing file's owner and group are kept, or the
 * write is refused (FAULT_DENIED). */
bool file_replace(const char *path, struct span bytes, mode_t mode, struct fault *fault);

/* The same for writers that hold a lock: the temporary file has a name of its own, so that what a killed writer left
 * behind goes with the next write, and `check` reads it back before it takes the old one's place. */
typedef bool file_check(const char *temporary, void *context, struct fault *fault);
bool file_replace_checked(const char *path, const char *temporary, struct span bytes, mode_t mode, file_check *check,
                          void *context, struct fault *fault);

/* Could file_replace_checked() write beside `path` now? A file is made there and removed again, since what forbids it need not show
 * in the folder's mode: a file system that is read-only, another owner, what this process gave up. */
bool file_replaceable(const char *path, struct fault *fault);

/* Makes what was renamed or made in the folder of `path` last. */
bool file_sync_folder(const char *path, struct fault *fault);

/* Writes all of `bytes` to `fd`, through short writes and EINTR. */
bool file_write_all(int fd, struct span bytes);

/* Creates the folder of a path and what is missing above it, 0700. */
bool file_make_folder(const char *path, struct fault *fault);

/* `path` as seen from `folder`: itself where it is absolute, else folder/path. The caller frees it. */
char *file_resolve(const char *folder, const char *path);

/* The folder part of a path, "." where there is none. The caller frees it. */
char *file_folder(const char *path);

/* What execvp(3) runs: `name` itself where it has a "/", else where PATH leads, of which an empty element is the working
 * folder (POSIX). NULL where it finds nothing. The caller frees it. */
char *file_find_program(const char *name);

#endif
