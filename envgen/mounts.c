#include "mounts.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define AUTO_FD __attribute__((cleanup(close_fd)))

#define HARMLESS (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

/* A tmpfs that is mounted nowhere yet. */
static int new_tmpfs(void)
{
	AUTO_FD int context = fsopen("tmpfs", FSOPEN_CLOEXEC);
	if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "mode", "0555", 0) != 0 ||
	    fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0)
		return -1;
	return fsmount(context, FSMOUNT_CLOEXEC, HARMLESS);
}

static bool write_file(int folder, const char *name, struct span content, mode_t mode)
{
	AUTO_FD int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd >= 0 && file_write_all(fd, content) && fchmod(fd, mode) == 0;
}

static bool make_read_only(int mount)
{
	struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY | HARMLESS};
	return mount_setattr(mount, "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0;
}

static bool put(int mount, int target)
{
	return move_mount(mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0;
}

bool mount_folder(const char *path, const struct mount_file *files, size_t count, struct fault *fault)
{
	AUTO_FD int target = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO_FD int mount = target < 0 ? -1 : new_tmpfs();
	bool done = mount >= 0;
	for (size_t i = 0; done && i < count; i++)
		done = write_file(mount, files[i].name, files[i].content, 0444);
	return (done && make_read_only(mount) && put(mount, target)) || fault_errno(fault, "cannot cover the folder %s", path);
}

/* A single file can be taken out of a tmpfs only while that is mounted somewhere. For this moment it is over a folder that
 * every system has and nothing here looks into. */
static int new_file_mount(struct span content, mode_t mode)
{
	static const char folder[] = "/proc";
	AUTO_FD int mount = new_tmpfs();
	if (mount < 0 || !write_file(mount, "file", content, mode) ||
	    move_mount(mount, "", AT_FDCWD, folder, MOVE_MOUNT_F_EMPTY_PATH) != 0)
		return -1;
	int file = open_tree(mount, "file", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (umount2(folder, MNT_DETACH) == 0 || file < 0)
		return file;
	close(file);
	return -1;
}

bool mount_over_file(const char *path, struct span content, mode_t mode, struct fault *fault)
{
	AUTO_FD int target = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	AUTO_FD int file = target < 0 ? -1 : new_file_mount(content, mode);
	return (file >= 0 && make_read_only(file) && put(file, target)) || fault_errno(fault, "cannot cover the file %s", path);
}

bool mount_on_itself(const char *path, bool read_only, struct fault *fault)
{
	struct mount_attr attributes = {.attr_set = read_only ? MOUNT_ATTR_RDONLY : 0};
	AUTO_FD int target = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	AUTO_FD int mount = target < 0 ? -1
	                               : open_tree(target, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	return (mount >= 0 && mount_setattr(mount, "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0 &&
	        put(mount, target)) || fault_errno(fault, "cannot hold %s in its place", path);
}
