#include "namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buffer.h"
#include "file.h"
#include "memory.h"

#define MAP_LIMIT 65536

static bool write_file(pid_t pid, const char *name, struct span text)
{
	AUTO_FREE char *path = memory_format("/proc/%d/%s", (int)pid, name);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text.data, text.length) == (ssize_t)text.length;
	if (fd >= 0)
		close(fd);
	return done;
}

/* The identity map of all that this namespace knows: each line of ours says from where, to where, how many. */
static bool read_map(const char *path, struct buffer *map)
{
	AUTO_BUFFER struct buffer text = {0};
	if (!file_read(path, MAP_LIMIT, &text, NULL))
		return false;
	for (struct span rest = buffer_view(&text); rest.length > 0;) {
		struct span line = span_split(&rest, '\n');
		unsigned inside, outside, count;
		if (line.length > 0 && sscanf(line.data, "%u %u %u", &inside, &outside, &count) == 3)
			buffer_format(map, "%u %u %u\n", inside, inside, count);
	}
	return map->length > 0;
}

/* All users and groups where this process may map them (root), else its own, for which groups must be given up. */
static bool write_maps(pid_t pid)
{
	AUTO_BUFFER struct buffer users = {0}, groups = {0}, user = {0}, group = {0};
	if (read_map("/proc/self/uid_map", &users) && read_map("/proc/self/gid_map", &groups) &&
	    write_file(pid, "gid_map", buffer_view(&groups)) && write_file(pid, "uid_map", buffer_view(&users)))
		return true;
	buffer_format(&user, "%u %u 1\n", (unsigned)geteuid(), (unsigned)geteuid());
	buffer_format(&group, "%u %u 1\n", (unsigned)getegid(), (unsigned)getegid());
	return write_file(pid, "setgroups", SPAN("deny")) && write_file(pid, "uid_map", buffer_view(&user)) &&
	       write_file(pid, "gid_map", buffer_view(&group));
}

/* Maps are written from outside the new namespace: who unshared itself has no rights left where the maps begin. The child
 * waits until its parent has unshared; it exits with the errno of what failed. */
static pid_t start_mapper(int *go)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0)
		return -1;
	pid_t parent = getpid(), child = fork();
	if (child == 0) {
		char byte;
		close(ends[1]);
		if (read(ends[0], &byte, 1) != 1)
			_exit(0);
		_exit(write_maps(parent) ? 0 : errno & 0xff);
	}
	close(ends[0]);
	if (child < 0)
		close(ends[1]);
	*go = ends[1];
	return child;
}

static int end_mapper(pid_t child, int go, bool unshared)
{
	int status = 0;
	if (unshared && write(go, "", 1) != 1)
		status = EPIPE << 8;
	close(go);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

static bool unshare_user(struct fault *fault)
{
	int go;
	pid_t child = start_mapper(&go);
	if (child < 0)
		return fault_errno(fault, "cannot start a process to map users");
	bool unshared = unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0;
	int why = errno, error = end_mapper(child, go, unshared);
	errno = unshared ? error : why;
	if (unshared && !error)
		return true;
	return fault_errno(fault, "cannot make a user namespace (unshare(2); the kernel may forbid it by sysctl "
	                   "user.max_user_namespaces, kernel.unprivileged_userns_clone or "
	                   "kernel.apparmor_restrict_unprivileged_userns, a container by its seccomp profile)");
}

bool namespace_enter(struct fault *fault)
{
	if (unshare(CLONE_NEWNS) != 0 && !unshare_user(fault))
		return false;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 ||
	       fault_errno(fault, "cannot keep mounts to this program alone");
}

bool namespace_lock(struct fault *fault)
{
	if (!unshare_user(fault))
		return false;
	return prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0) == 0 || fault_errno(fault, "cannot give up CAP_SYS_ADMIN");
}

bool namespace_possible(struct fault *fault)
{
	int ends[2], status = 0;
	struct fault why = FAULT_INIT;
	if (pipe2(ends, O_CLOEXEC) != 0)
		return fault_errno(fault, "cannot try whether there are namespaces");
	pid_t child = fork();
	if (child == 0) {
		bool done = namespace_enter(&why) && namespace_lock(&why);
		_exit(write(ends[1], &why, sizeof why) != (ssize_t)sizeof why || !done);
	}
	close(ends[1]);
	if (child < 0 || read(ends[0], &why, sizeof why) != (ssize_t)sizeof why)
		fault_set(&why, FAULT_IO, "cannot try whether there are namespaces");
	close(ends[0]);
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	why.text[sizeof why.text - 1] = 0;
	return (child > 0 && status == 0) || fault_set(fault, why.code, "%s", why.text);
}
