#include "watch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory.h"
#include "span.h"

#define MOST_LINKS 40 /* on one path, as the kernel has it */
/* A file that is written in place counts once its writer closes it. */
#define EVENTS (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)
#define LOST (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED | IN_Q_OVERFLOW)

/* One folder, and the names in it that lead to files. */
struct folder {
	int number; /* inotify's watch descriptor */
	char **names;
	size_t count, capacity;
};

struct folders {
	struct folder *list;
	size_t count, capacity;
};

struct watch {
	int fd;
	struct folders folders;
};

/* One path while its folders are found. */
struct walk {
	struct watch *watch;
	struct folders *folders;
	char *rest; /* what of the path is still to be walked; owned */
	char folder[PATH_MAX];
	unsigned links;
	struct fault *fault;
	bool good;
};

struct watch *watch_new(struct fault *fault)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (fd < 0) {
		fault_errno(fault, "files cannot be watched (fs.inotify.max_user_instances)");
		return NULL;
	}
	struct watch *watch = memory_alloc(sizeof *watch);
	watch->fd = fd;
	return watch;
}

static void folders_free(struct folders *folders)
{
	for (size_t i = 0; i < folders->count; i++) {
		for (size_t k = 0; k < folders->list[i].count; k++)
			free(folders->list[i].names[k]);
		free(folders->list[i].names);
	}
	free(folders->list);
}

void watch_free(struct watch *watch)
{
	if (!watch)
		return;
	close(watch->fd);
	folders_free(&watch->folders);
	free(watch);
}

int watch_fd(const struct watch *watch)
{
	return watch->fd;
}

static struct folder *find(const struct folders *folders, int number)
{
	for (size_t i = 0; i < folders->count; i++)
		if (folders->list[i].number == number)
			return &folders->list[i];
	return NULL;
}

static bool has_name(const struct folder *folder, const char *name)
{
	for (size_t i = 0; i < folder->count; i++)
		if (!strcmp(folder->names[i], name))
			return true;
	return false;
}

/* ---- which folders ---- */

static bool refuse(struct walk *walk)
{
	if (errno == ENOSPC)
		return fault_errno(walk->fault, "%s cannot be watched (fs.inotify.max_user_watches)", walk->folder);
	if (errno == EACCES)
		return fault_set(walk->fault, FAULT_DENIED, "%s cannot be watched: %s; let user %u, who runs proxyd, read and enter it",
		                 walk->folder, strerror(errno), (unsigned)geteuid());
	return fault_errno(walk->fault, "%s cannot be watched", walk->folder);
}

/* The same folder has the same number, by whatever path. */
static void add_folder(struct walk *walk, const char *name)
{
	int number = inotify_add_watch(walk->watch->fd, walk->folder, EVENTS | IN_ONLYDIR);
	if (number < 0) {
		if (walk->good && errno != ENOENT && errno != ENOTDIR)
			walk->good = refuse(walk);
		return;
	}
	struct folder *folder = find(walk->folders, number);
	if (!folder) {
		struct folders *folders = walk->folders;
		folders->list = memory_grow(folders->list, folders->count, &folders->capacity, sizeof *folders->list);
		folder = &folders->list[folders->count++];
		*folder = (struct folder){.number = number};
	}
	if (has_name(folder, name))
		return;
	folder->names = memory_grow(folder->names, folder->count, &folder->capacity, sizeof *folder->names);
	folder->names[folder->count++] = memory_string(name);
}

/* What a link says stands in its place, in front of what follows. */
static bool follow_link(struct walk *walk, const char *path)
{
	char target[PATH_MAX];
	ssize_t length = readlink(path, target, sizeof target - 1);
	if (length <= 0 || ++walk->links > MOST_LINKS)
		return false;
	target[length] = 0;
	if (target[0] == '/')
		strcpy(walk->folder, "/");
	char *rest = memory_format("%s/%s", target, walk->rest);
	free(walk->rest);
	walk->rest = rest;
	return true;
}

static void leave_folder(struct walk *walk)
{
	char *slash = strrchr(walk->folder, '/');
	slash[slash == walk->folder] = 0;
}

/* One name further. False where the path ends, or what it names is not there. */
static bool step(struct walk *walk)
{
	char path[PATH_MAX];
	struct stat status;
	size_t skip = strspn(walk->rest, "/"), length = strcspn(walk->rest + skip, "/");
	AUTO_FREE char *name = memory_span((struct span){walk->rest + skip, length});
	memmove(walk->rest, walk->rest + skip + length, strlen(walk->rest + skip + length) + 1);
	if (!length)
		return false;
	if (!strcmp(name, "."))
		return true;
	if (!strcmp(name, "..")) {
		leave_folder(walk);
		return true;
	}
	add_folder(walk, name);
	const char *between = walk->folder[1] ? "/" : "";
	if (snprintf(path, sizeof path, "%s%s%s", walk->folder, between, name) >= PATH_MAX || lstat(path, &status) != 0)
		return false;
	if (S_ISLNK(status.st_mode))
		return follow_link(walk, path);
	strcpy(walk->folder, path);
	return S_ISDIR(status.st_mode);
}

/* What was watched and is not any more. */
static void forget(struct watch *watch, const struct folders *fresh)
{
	for (size_t i = 0; i < watch->folders.count; i++)
		if (!find(fresh, watch->folders.list[i].number))
			inotify_rm_watch(watch->fd, watch->folders.list[i].number);
}

bool watch_follow(struct watch *watch, const char *const *paths, size_t count, struct fault *fault)
{
	struct folders fresh = {0};
	bool good = true;
	for (size_t i = 0; i < count; i++) {
		struct walk walk = {.watch = watch, .folders = &fresh, .rest = memory_string(paths[i]), .folder = "/", .fault = fault,
		                    .good = good};
		while (step(&walk))
			continue;
		good = walk.good;
		free(walk.rest);
	}
	forget(watch, &fresh);
	folders_free(&watch->folders);
	watch->folders = fresh;
	return good;
}

/* ---- what is told ---- */

static bool concerns(const struct watch *watch, const struct inotify_event *event)
{
	if (event->mask & LOST)
		return event->mask & IN_Q_OVERFLOW || find(&watch->folders, event->wd);
	const struct folder *folder = find(&watch->folders, event->wd);
	return folder && event->len > 0 && has_name(folder, event->name);
}

bool watch_read(struct watch *watch)
{
	char bytes[16 * (sizeof(struct inotify_event) + NAME_MAX + 1)] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool told = false;
	ssize_t count;
	while ((count = read(watch->fd, bytes, sizeof bytes)) > 0)
		for (char *at = bytes; at < bytes + count;) {
			const struct inotify_event *event = (const void *)at;
			told |= concerns(watch, event);
			at += sizeof *event + event->len;
		}
	return told;
}
