#include "output.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "memory.h"

static bool is_standard(const char *path)
{
	return !path || strcmp(path, "-") == 0;
}

static bool write_standard(struct span text, struct fault *fault)
{
	return file_write_all(STDOUT_FILENO, text) || fault_errno(fault, "cannot write to standard output");
}

/* A last line that has no end yet gets one. */
static bool end_line(int fd)
{
	char last = '\n';
	off_t size = lseek(fd, 0, SEEK_END);
	if (size > 0 && pread(fd, &last, 1, size - 1) != 1)
		return false;
	return last == '\n' || file_write_all(fd, SPAN("\n"));
}

static bool write_to(const char *path, int flags, struct span text, struct fault *fault)
{
	int fd = open(path, flags | O_CLOEXEC | O_NOCTTY, 0600);
	if (fd < 0)
		return fault_errno(fault, "cannot write to %s", path);
	bool done = (!(flags & O_APPEND) || end_line(fd)) && file_write_all(fd, text);
	if (!done)
		fault_errno(fault, "cannot write to %s", path);
	if (close(fd) != 0 && done)
		done = fault_errno(fault, "cannot write to %s", path);
	return done;
}

/* Whoever may write in the folder could have put a link, a pipe or a device there, to have it followed with the rights of
 * whoever runs envgen. What is a file is replaced, whosever it is. */
static bool refuse_foreign(const char *path, bool *link, struct fault *fault)
{
	struct stat status;
	bool there = lstat(path, &status) == 0;
	*link = there && S_ISLNK(status.st_mode);
	if (!there || S_ISREG(status.st_mode) || status.st_uid == 0 || status.st_uid == geteuid())
		return true;
	return fault_set(fault, FAULT_DENIED, "%s is a link, a pipe or a device that another user made; remove it, or write "
	                 "elsewhere", path);
}

/* Is something there that is no file, a device or a pipe? */
static bool is_special(const char *path)
{
	struct stat status;
	return stat(path, &status) == 0 && !S_ISREG(status.st_mode);
}

bool output_append(const char *path, struct span text, struct fault *fault)
{
	bool link;
	if (is_standard(path))
		return write_standard(text, fault);
	if (!refuse_foreign(path, &link, fault))
		return false;
	return write_to(path, (is_special(path) ? O_WRONLY : O_RDWR | O_APPEND | O_CREAT) | (link ? 0 : O_NOFOLLOW), text, fault);
}

bool output_write(const char *path, struct span text, struct fault *fault)
{
	bool link;
	if (is_standard(path))
		return write_standard(text, fault);
	if (!refuse_foreign(path, &link, fault))
		return false;
	if (is_special(path))
		return write_to(path, O_WRONLY | (link ? 0 : O_NOFOLLOW), text, fault);
	/* The file that a link leads to is replaced, not the link: /dev/stdout is one. */
	AUTO_FREE char *target = link ? realpath(path, NULL) : NULL;
	AUTO_FREE char *folder = file_folder(target ? target : path);
	if (access(folder, F_OK) != 0)
		return fault_errno(fault, "cannot write %s: its folder %s", path, folder);
	return file_replace(target ? target : path, text, 0600, fault);
}
