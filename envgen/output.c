#include "output.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "memory.h"

static bool write_to(const char *path, struct span text, struct fault *fault)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return fault_errno(fault, "cannot write to %s", path);
	bool done = file_write_all(fd, text) || fault_errno(fault, "cannot write to %s", path);
	if (close(fd) != 0 && done)
		done = fault_errno(fault, "cannot write to %s", path);
	return done;
}

bool output_write(const char *path, struct span text, struct fault *fault)
{
	struct stat status;
	if (!path || strcmp(path, "-") == 0)
		return file_write_all(STDOUT_FILENO, text) || fault_errno(fault, "cannot write to standard output");
	if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
		return write_to(path, text, fault);
	/* The file that a link leads to is replaced, not the link: /dev/stdout is one. */
	AUTO_FREE char *target = realpath(path, NULL);
	AUTO_FREE char *folder = file_folder(target ? target : path);
	if (access(folder, F_OK) != 0)
		return fault_errno(fault, "cannot write %s: its folder %s", path, folder);
	return file_replace(target ? target : path, text, 0600, fault);
}
