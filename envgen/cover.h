/* How guarded paths (guarded.h) are hidden from a program.
 *
 * A mount lies on a file, not on its name: when the file is replaced by renaming, as everybody replaces secrets, the mount
 * is gone and the new file is seen, in every namespace. So what is covered is the folder of each path, as a whole, which
 * serves for files that come later too. Where the program needs something in that folder, a file alone is covered, and
 * that is told; where there is no file yet, nothing can be.
 *
 * A later run finds what it covers by name. So that no program gives the name to another folder, each folder on the way
 * that it could rename is mounted on itself: what is mounted on cannot be renamed (rename(2), EBUSY). */
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
	struct cover *held; /* outer before inner; a file is held read-only */
	size_t held_count, held_capacity;
	char **until_replaced; /* a line for each that a later change uncovers */
	size_t until_replaced_count, until_replaced_capacity;
	char **uncovered; /* a line for each path that cannot be */
	size_t uncovered_count, uncovered_capacity;
};

/* `needed`: absolute paths that the program needs, resolved; a folder that is one or holds one stays. `kept` is a
 * file that the program may read and not change. Looks at the disk and changes nothing. `plan` starts as zeros. */
void cover_plan(const struct guarded *guarded, const struct string_list *needed, const char *kept,
                struct cover_plan *plan);

/* Mounts all that is held; before anything is covered, since what is covered lies within. Paths that are open, the working
 * folder too, still lead to what was there before. */
bool cover_hold(const struct cover_plan *plan, struct fault *fault);

/* Mounts one of them. Of `shown` (paths that the program may read, or NULL) those that lie directly in a
 * covered folder are in it as copies. */
bool cover_mount(const struct cover *cover, const struct string_list *shown, struct fault *fault);

void cover_plan_free(struct cover_plan *plan);

#endif
