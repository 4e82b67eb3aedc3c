#include "cover.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "memory.h"
#include "mounts.h"

#define SHOWN_LIMIT ((size_t)16 << 20)
#define SHOWN_MOST 4

/* Is `path` the folder, or anywhere below it? Both resolved. */
static bool is_within(const char *path, const char *folder)
{
	size_t length = strcmp(folder, "/") == 0 ? 0 : strlen(folder);
	return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static const char *needed_within(const struct string_list *needed, const char *folder)
{
	for (size_t i = 0; i < needed->count; i++)
		if (is_within(needed->list[i], folder))
			return needed->list[i];
	return NULL;
}

static void add_line(char ***list, size_t *count, size_t *capacity, char *line)
{
	*list = memory_grow(*list, *count, capacity, sizeof **list);
	(*list)[(*count)++] = line;
}

static bool is_covered(const struct cover_plan *plan, const char *path)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->list[i].folder ? is_within(path, plan->list[i].path) : strcmp(path, plan->list[i].path) == 0)
			return true;
	return false;
}

/* What lies within a new folder goes: its mount would hide theirs. */
static void add_cover(struct cover_plan *plan, const char *path, bool folder)
{
	size_t kept = 0;
	if (is_covered(plan, path))
		return;
	for (size_t i = 0; i < plan->count; i++) {
		if (folder && is_within(plan->list[i].path, path))
			free(plan->list[i].path);
		else
			plan->list[kept++] = plan->list[i];
	}
	plan->count = kept;
	plan->list = memory_grow(plan->list, plan->count, &plan->capacity, sizeof *plan->list);
	plan->list[plan->count++] = (struct cover){memory_string(path), folder};
}

/* `path` resolved, where it is a folder; else NULL, with errno. */
static char *resolve_folder(const char *path)
{
	struct stat status;
	if (stat(path, &status) != 0)
		return NULL;
	errno = ENOTDIR;
	return S_ISDIR(status.st_mode) ? realpath(path, NULL) : NULL;
}

/* The nearest folder on the way to `path` that exists, resolved. NULL: nobody gets there (EACCES), the program neither. */
static char *nearest_folder(const char *path)
{
	AUTO_FREE char *folder = file_folder(path);
	char *resolved;
	while (!(resolved = resolve_folder(folder)) && (errno == ENOENT || errno == ENOTDIR) && strcmp(folder, "/") != 0) {
		char *above = file_folder(folder);
		free(folder);
		folder = above;
	}
	return resolved;
}

static void plan_file(struct cover_plan *plan, const char *path, const char *what, const struct string_list *needed)
{
	AUTO_FREE char *folder = nearest_folder(path), *file = realpath(path, NULL);
	if (!folder)
		return;
	const char *use = needed_within(needed, folder);
	if (!use) {
		add_cover(plan, folder, true);
	} else if (file) {
		add_cover(plan, file, false);
		add_line(&plan->until_replaced, &plan->until_replaced_count, &plan->until_replaced_capacity,
		         memory_format("%s (%s) is hidden only until it is replaced: its folder cannot be hidden, since CMD needs "
		                       "%s; move it to a folder of its own, or start CMD in another one", path, what, use));
	} else {
		add_line(&plan->uncovered, &plan->uncovered_count, &plan->uncovered_capacity,
		         memory_format("%s (%s) is not there yet, so nothing can hide it, and the folder %s cannot be hidden, since "
		                       "CMD needs %s; name a file in a folder of its own, and make that folder", path, what, folder,
		                       use));
	}
}

/* A link may lead to a file elsewhere, which has a name of its own. */
static void plan_target(struct cover_plan *plan, const char *path, const char *what, const struct string_list *needed)
{
	AUTO_FREE char *file = realpath(path, NULL);
	if (!file || is_covered(plan, file))
		return;
	plan_file(plan, file, what, needed);
	add_line(&plan->until_replaced, &plan->until_replaced_count, &plan->until_replaced_capacity,
	         memory_format("%s (%s) is a link to %s, and is hidden only until it leads elsewhere; name the file itself",
	                       path, what, file));
}

static bool can_replace(const char *path)
{
	AUTO_FREE char *folder = file_folder(path);
	return access(folder, W_OK) == 0;
}

/* The next "/" that ends a folder on the way to `path`; NULL where there is none. */
static char *next_folder(char *path, char *after)
{
	return strchr((after ? after : path) + 1, '/');
}

/* Whoever can lead a link elsewhere lets a later run cover what is there. Root could with any link of the system. */
static void plan_links(struct cover_plan *plan, const char *path, const char *what)
{
	AUTO_FREE char *way = memory_string(path);
	for (char *end = next_folder(way, NULL); end && geteuid() != 0; end = next_folder(way, end)) {
		struct stat status;
		*end = 0;
		AUTO_FREE char *folder = file_folder(way), *in = realpath(folder, NULL);
		if (in && lstat(way, &status) == 0 && S_ISLNK(status.st_mode) && can_replace(way) && !is_covered(plan, in))
			add_line(&plan->until_replaced, &plan->until_replaced_count, &plan->until_replaced_capacity,
			         memory_format("%s (%s) is hidden in this run; CMD can lead the link %s elsewhere, and a later run would "
			                       "hide what is there; name the folder itself", path, what, way));
		*end = '/';
	}
}

static bool is_held(const struct cover_plan *plan, const char *path)
{
	for (size_t i = 0; i < plan->held_count; i++)
		if (strcmp(plan->held[i].path, path) == 0)
			return true;
	return false;
}

static void add_held(struct cover_plan *plan, const char *path, bool folder)
{
	if (is_held(plan, path))
		return;
	plan->held = memory_grow(plan->held, plan->held_count, &plan->held_capacity, sizeof *plan->held);
	plan->held[plan->held_count++] = (struct cover){memory_string(path), folder};
}

static void hold_way(struct cover_plan *plan, const char *path)
{
	AUTO_FREE char *way = memory_string(path);
	for (char *end = next_folder(way, NULL); end; end = next_folder(way, end)) {
		*end = 0;
		if (can_replace(way))
			add_held(plan, way, true);
		*end = '/';
	}
}

static void plan_held(struct cover_plan *plan, const char *kept)
{
	AUTO_FREE char *file = kept ? realpath(kept, NULL) : NULL;
	for (size_t i = 0; i < plan->count; i++)
		hold_way(plan, plan->list[i].path);
	if (!file || is_covered(plan, file))
		return;
	hold_way(plan, file);
	if (can_replace(file) || access(file, W_OK) == 0)
		add_held(plan, file, false);
}

static void plan_folder(struct cover_plan *plan, const char *path, const char *what, const struct string_list *needed)
{
	AUTO_FREE char *folder = resolve_folder(path);
	const char *use = folder ? needed_within(needed, folder) : NULL;
	if (!folder)
		return;
	if (!use)
		add_cover(plan, folder, true);
	else
		add_line(&plan->uncovered, &plan->uncovered_count, &plan->uncovered_capacity,
		         memory_format("%s (%s) cannot be hidden, since CMD needs %s; choose another folder", path, what, use));
}

void cover_plan(const struct guarded *guarded, const struct string_list *needed, const char *kept,
                struct cover_plan *plan)
{
	for (size_t i = 0; i < guarded->count; i++) {
		const struct guarded_path *one = &guarded->list[i];
		(one->folder ? plan_folder : plan_file)(plan, one->path, one->what, needed);
	}
	for (size_t i = 0; i < guarded->count; i++)
		if (!guarded->list[i].folder)
			plan_target(plan, guarded->list[i].path, guarded->list[i].what, needed);
	for (size_t i = 0; i < guarded->count; i++)
		plan_links(plan, guarded->list[i].path, guarded->list[i].what);
	plan_held(plan, kept);
}

bool cover_hold(const struct cover_plan *plan, struct fault *fault)
{
	for (size_t i = 0; i < plan->held_count; i++)
		if (!mount_on_itself(plan->held[i].path, !plan->held[i].folder, fault))
			return false;
	return true;
}

static bool show(const char *path, const char *folder, struct buffer *content, struct mount_file *file)
{
	AUTO_FREE char *resolved = path ? realpath(path, NULL) : NULL;
	AUTO_FREE char *in = resolved ? file_folder(resolved) : NULL;
	if (!in || strcmp(in, folder) != 0 || !file_read(resolved, SHOWN_LIMIT, content, NULL))
		return false;
	*file = (struct mount_file){strrchr(path, '/') + 1, buffer_view(content)};
	return true;
}

bool cover_mount(const struct cover *cover, const struct string_list *shown, struct fault *fault)
{
	struct mount_file files[SHOWN_MOST];
	struct buffer contents[SHOWN_MOST] = {0};
	size_t count = 0;
	if (!cover->folder)
		return mount_over_file(cover->path, SPAN(""), 0, fault);
	for (size_t i = 0; i < shown->count && count < SHOWN_MOST; i++)
		count += show(shown->list[i], cover->path, &contents[count], &files[count]);
	bool done = mount_folder(cover->path, files, count, fault);
	for (size_t i = 0; i < SHOWN_MOST; i++)
		buffer_free(&contents[i]);
	return done;
}

static void free_covers(struct cover *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(list[i].path);
	free(list);
}

static void free_lines(char **list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(list[i]);
	free(list);
}

void cover_plan_free(struct cover_plan *plan)
{
	free_covers(plan->list, plan->count);
	free_covers(plan->held, plan->held_count);
	free_lines(plan->until_replaced, plan->until_replaced_count);
	free_lines(plan->uncovered, plan->uncovered_count);
	*plan = (struct cover_plan){0};
}
