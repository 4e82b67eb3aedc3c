/* The parts of isolation.h, in the order in which they are entered. Each says in `told` what it gave up, with a comma in
 * front, and warns of what it could not. */
#ifndef KEYSTILE_ISOLATION_INTERNAL_H
#define KEYSTILE_ISOLATION_INTERNAL_H

#include <sys/types.h>

#include "buffer.h"
#include "isolation.h"

/* Has what libraries load late loaded now: code cannot be mapped later. */
void isolation_load_libraries(void);

/* To whom files belong that proxyd replaces, itself first. */
struct isolation_owner {
	uid_t user;
	gid_t group;
};

struct isolation_owners {
	struct isolation_owner *list;
	size_t count, capacity;
};

/* Of the files of the configuration that are there; free(list). */
void isolation_find_owners(const struct config *config, struct isolation_owners *owners);

/* `gives`: files are given to others, by `exec:` or to one of the owners. */
void isolation_drop_capabilities(bool gives, struct buffer *told);

/* `commands`: programs are run, and may write. */
void isolation_limit_files(struct isolation *isolation, const struct config *config, bool commands, struct buffer *told);

/* Files are given to none but `owners`. */
void isolation_limit_calls(bool commands, const struct isolation_owners *owners, struct buffer *told);

#endif
