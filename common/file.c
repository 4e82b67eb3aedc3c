#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "memory.h"

static bool read_all(int fd, const char *path, size_t limit, struct buffer *out, struct fault *fault)
{
	struct stat status;
	if (fstat(fd, &status) != 0)
		return fault_errno(fault, "%s", path);
	if (!S_ISREG(status.st_mode))
		return fault_set(fault, FAULT_BROKEN, "%s: not a regular file", path);
	size_t start = out->length;
	for (;;) {
		char *room = buffer_room(out, 4096);
		ssize_t count = read(fd, room, 4096);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return fault_errno(fault, "%s", path);
		out->length += (size_t)count;
		out->data[out->length] = 0;
		if (count == 0)
			return true;
		if (out->length - start > limit)
			return fault_set(fault, FAULT_BROKEN, "%s: longer than %zu bytes", path, limit);
	}
}

bool file_read(const char *path, size_t limit, struct buffer *out, struct fault *fault)
{
	/* O_NONBLOCK: a FIFO in the place of a file must not stop us. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return fault_errno(fault, "%s", path);
	bool done = read_all(fd, path, limit, out, fault);
	close(fd);
	return done;
}

bool file_is_fresh(const char *path, unsigned ms)
{
	struct stat status;
	struct timespec now;
	if (stat(path, &status) != 0 || clock_gettime(CLOCK_REALTIME, &now) != 0)
		return false;
	int64_t age = ((int64_t)now.tv_sec - status.st_ctim.tv_sec) * 1000 + (now.tv_nsec - status.st_ctim.tv_nsec) / 1000000;
	return age >= 0 && age < ms;
}

struct file_print file_print(const char *path)
{
	struct stat status;
	if (stat(path, &status) != 0)
		return (struct file_print){0};
	return (struct file_print){.device = status.st_dev, .number = status.st_ino, .changed = status.st_ctim};
}

bool file_print_same(const struct file_print *a, const struct file_print *b)
{
	return a->device == b->device && a->number == b->number && a->changed.tv_sec == b->changed.tv_sec &&
	       a->changed.tv_nsec == b->changed.tv_nsec;
}

bool file_write_all(int fd, struct span bytes)
{
	while (bytes.length > 0) {
		ssize_t count = write(fd, bytes.data, bytes.length);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return false;
		bytes = span_from(bytes, (size_t)count);
	}
	return true;
}

static bool keep_owner(int fd, const char *path, struct fault *fault)
{
	struct stat old, new;
	if (stat(path, &old) != 0)
		return errno == ENOENT ? true : fault_errno(fault, "%s", path);
	if (fstat(fd, &new) != 0)
		return fault_errno(fault, "%s", path);
	if (new.st_uid == old.st_uid && new.st_gid == old.st_gid)
		return true;
	if (fchown(fd, old.st_uid, old.st_gid) != 0)
		return fault_set(fault, FAULT_DENIED,
		                 "%s: belongs to user %u, group %u, and this process may not keep that; run it as that user",
		                 path, (unsigned)old.st_uid, (unsigned)old.st_gid);
	return true;
}

bool file_sync_folder(const char *path, struct fault *fault)
{
	AUTO_FREE char *folder = file_folder(path);
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fault_errno(fault, "%s", folder);
	bool done = fsync(fd) == 0 || fault_errno(fault, "%s", folder);
	close(fd);
	return done;
}

static bool fill(int fd, const char *path, struct span bytes, mode_t mode, struct fault *fault)
{
	bool done = keep_owner(fd, path, fault);
	if (done && (fchmod(fd, mode) != 0 || !file_write_all(fd, bytes) || fsync(fd) != 0))
		done = fault_errno(fault, "cannot write %s", path);
	if (close(fd) != 0 && done)
		done = fault_errno(fault, "cannot write %s", path);
	return done;
}

static bool swap_in(const char *temporary, const char *path, struct fault *fault)
{
	return rename(temporary, path) == 0 || fault_errno(fault, "cannot replace %s", path);
}

bool file_replace(const char *path, struct span bytes, mode_t mode, struct fault *fault)
{
	AUTO_FREE char *temporary = memory_format("%s.XXXXXX", path);
	int fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return fault_errno(fault, "cannot write beside %s", path);
	if (!fill(fd, path, bytes, mode, fault) || !swap_in(temporary, path, fault)) {
		unlink(temporary);
		return false;
	}
	return file_sync_folder(path, fault);
}

bool file_replace_checked(const char *path, const char *temporary, struct span bytes, mode_t mode, file_check *check,
                          void *context, struct fault *fault)
{
	unlink(temporary);
	int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return fault_errno(fault, "cannot write beside %s", path);
	if (!fill(fd, path, bytes, mode, fault) || !check(temporary, context, fault) || !swap_in(temporary, path, fault)) {
		unlink(temporary);
		return false;
	}
	return file_sync_folder(path, fault);
}

/* A name of its own, which goes with the next try where a killed process left it. It is there where another one tries just now. */
bool file_replaceable(const char *path, struct fault *fault)
{
	AUTO_FREE char *temporary = memory_format("%s.try", path);
	if (unlink(temporary) != 0 && errno != ENOENT)
		return fault_errno(fault, "cannot replace files beside %s: %s", path, temporary);
	int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno == EEXIST || fault_errno(fault, "cannot write beside %s", path);
	bool done = keep_owner(fd, path, fault);
	close(fd);
	return (unlink(temporary) == 0 || errno == ENOENT || fault_errno(fault, "cannot replace files beside %s", path)) && done;
}

bool file_make_folder(const char *path, struct fault *fault)
{
	AUTO_FREE char *folder = file_folder(path);
	for (char *slash = folder + 1;; slash++) {
		if (*slash && *slash != '/')
			continue;
		char kept = *slash;
		*slash = 0;
		if (mkdir(folder, 0700) != 0 && errno != EEXIST)
			return fault_errno(fault, "cannot make the folder %s", folder);
		*slash = kept;
		if (!kept)
			return true;
	}
}

char *file_resolve(const char *folder, const char *path)
{
	return path[0] == '/' ? memory_string(path) : memory_format("%s/%s", folder, path);
}

char *file_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (!slash)
		return memory_string(".");
	return memory_span((struct span){path, slash == path ? 1 : (size_t)(slash - path)});
}

char *file_find_program(const char *name)
{
	const char *path = getenv("PATH");
	bool here = strchr(name, '/');
	for (struct span rest = span_of(here ? "" : path ? path : "/bin:/usr/bin"); rest.data;) {
		struct span folder = span_split(&rest, ':');
		char *file = folder.length ? memory_format("%.*s/%s", SPAN_ARGS(folder), name) : memory_string(name);
		if (access(file, X_OK) == 0)
			return file;
		free(file);
	}
	return NULL;
}
