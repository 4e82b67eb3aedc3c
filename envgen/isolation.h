/* How `envgen run` puts CMD apart: what --confine and --ca-over ask for, done to this process, which then becomes CMD. */
#ifndef KEYSTILE_ISOLATION_H
#define KEYSTILE_ISOLATION_H

#include "commands.h"
#include "cover.h"
#include "ports.h"

struct isolation {
	const struct options *options; /* confine, best_effort, ca_over */
	struct guarded guarded;
	struct string_list needed;
	struct cover_plan plan;
	char *ca, *bundle; /* what proxyd writes for clients to trust; NULL: nobody knows where */
	struct port_set ports;
};

/* Looks up all of it, but for the ports, which are the caller's to fill. `isolation` starts as zeros. */
void isolation_prepare(const struct config *config, const struct options *options, const char *program,
                       struct isolation *isolation);

/* Warns of what CMD can get at where --confine is not given, and of what that cannot do about root where it is. */
void isolation_tell(const struct isolation *isolation);

/* Does it, to this process; there is no way back. Where the system cannot do a part of --confine, that is a fault, or a
 * warning with --best-effort; what is hidden is told. --ca-over is done or a fault. No key may be in memory any more: the
 * process becomes dumpable. */
bool isolation_apply(const struct isolation *isolation, struct fault *fault);

void isolation_free(struct isolation *isolation);

#endif
