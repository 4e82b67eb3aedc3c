/* How guarded paths (guarded.h) are hidden from a program.
 *
 * A mount lies on a file, not on its name: when the file is replaced by renaming, as everybody replaces secrets, the mount
 * is gone and the new file is seen, in every namespace. So what is covered is the folder of each path, as a whole, which
 * serves for files that come later too. Where the program needs something in that folder, a file alone is covered, and
 * that is told; where there is no file yet, nothing can be. */
#ifndef KEYSTILE_COVER_H
#define KEYSTILE_COVER_H

#include "guarded.h"

struct cover {
	char *path; /* resolved */
	bool folder;
};

struct cover_plan {
	struct cover *list; /* none lies within a folder of another */
	size_t count, capacity;
	char **until_replaced; /* a line for each file that is covered alone */
	size_t until_replaced_count, until_replaced_capacity;
	char **uncovered; /* a line for each path that cannot be */
	size_t uncovered_count, uncovered_capacity;
};

/* `needed`: absolute paths that the program needs, resolved; a folder that is one or holds one stays. Looks at the disk and
 * changes nothing. `plan` starts as zeros. */
void cover_plan(const struct guarded *guarded, const struct string_list *needed, struct cover_plan *plan);

/* Mounts one of them. Of `shown` (paths that the program may read, or NULL) those that lie directly in a
 * covered folder are in it as copies. */
bool cover_mount(const struct cover *cover, const struct string_list *shown, struct fault *fault);

void cover_plan_free(struct cover_plan *plan);

#endif
