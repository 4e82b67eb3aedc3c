/* What proxyd gives up once it has what it needs, so that who takes it over gets little: privileges, files, programs, and
 * most of the kernel. In stages, of which each one needs the one before; nothing takes any of it back.
 *
 * 1. isolation_begin(), before anything is read: nothing that is executed gets more rights than proxyd has.
 * 2. isolation_enter(), once listeners and files are open, and while there is one thread:
 *    a. Capabilities go, but for those by which secrets are read and kept (isolation_capabilities.c).
 *    b. Landlock: no writing but where the configuration says so (written.h), no program, no TCP listener, nobody outside
 *       who is signalled or reached by an abstract socket (isolation_files.c). Reading stays: a living configuration may
 *       name any path.
 *    c. seccomp: system calls that a proxy makes; what only an attacker makes ends the process (isolation_calls.c).
 *
 * Where the configuration runs commands (`exec:`), these are its children and keep all that is given up here. They are the
 * operator's and write where they like, so then writing and programs stay open, and 2 comes before the first of them runs,
 * once listeners are open: what a command cannot do shows at once.
 *
 * What this system cannot do is warned of, and proxyd serves all the same. Built with sanitizers, which need more, nothing
 * is given up. */
#ifndef KEYSTILE_ISOLATION_H
#define KEYSTILE_ISOLATION_H

#include <stdint.h>

#include "config.h"

struct isolation_place {
	char *path;
	int how;           /* written.h */
	uint64_t device, number; /* of its folder then; 0: it was not there */
};

/* What was left open. Zeros: everything. */
struct isolation {
	bool writing_given_up, programs_given_up;
	struct isolation_place *places; /* where it may still write */
	size_t count;
};

bool isolation_begin(struct fault *fault);
/* Tells in the log what is given up, and what cannot be. */
void isolation_enter(struct isolation *isolation, const struct config *config);
void isolation_free(struct isolation *isolation);

/* Can another configuration be served with what is left? False with a fault that says what it takes. */
bool isolation_permits(const struct isolation *isolation, const struct config *fresh, struct fault *fault);

/* Puts behind a fault of writing `path` in the way `how` (written.h) that it may be this, and what to do about it. */
#define ISOLATION_RESTART "restart proxyd"
void isolation_explain(const struct isolation *isolation, const char *path, int how, const char *advice, struct fault *fault);

#endif
