/* Landlock (landlock(7)): what a thread, and all that it starts from then on, gives up for good: files, TCP ports, and what
 * lies outside of what is so confined. By system calls, since <linux/landlock.h> of an older system does not know what
 * newer kernels can.
 *
 * A ruleset names what is taken away; rules give back some of it. */
#ifndef KEYSTILE_LANDLOCK_H
#define KEYSTILE_LANDLOCK_H

#include <stdint.h>

#include "fault.h"

/* Of files, with the version that brought each; those without one came with the first, of Linux 5.13. */
enum landlock_files {
	LANDLOCK_EXECUTE = 1 << 0,
	LANDLOCK_WRITE_FILE = 1 << 1,
	LANDLOCK_REMOVE_FOLDER = 1 << 4,
	LANDLOCK_REMOVE_FILE = 1 << 5,
	LANDLOCK_MAKE_CHAR = 1 << 6,
	LANDLOCK_MAKE_FOLDER = 1 << 7,
	LANDLOCK_MAKE_FILE = 1 << 8,
	LANDLOCK_MAKE_SOCKET = 1 << 9,
	LANDLOCK_MAKE_FIFO = 1 << 10,
	LANDLOCK_MAKE_BLOCK = 1 << 11,
	LANDLOCK_MAKE_LINK = 1 << 12, /* symbolic */
	LANDLOCK_REFER = 1 << 13,        /* 2: rename and link between folders; before that nobody confined could */
	LANDLOCK_TRUNCATE = 1 << 14,     /* 3 */
	LANDLOCK_IOCTL_DEVICE = 1 << 15, /* 5 */
};

enum landlock_ports {
	LANDLOCK_BIND_TCP = 1 << 0,    /* 4 */
	LANDLOCK_CONNECT_TCP = 1 << 1, /* 4 */
};

enum landlock_scopes {
	LANDLOCK_ABSTRACT_SOCKETS = 1 << 0, /* 6: connecting to those of processes outside */
	LANDLOCK_SIGNALS = 1 << 1,          /* 6: to processes outside */
};

/* The versions that brought something. */
#define LANDLOCK_WITH_PORTS 4  /* Linux 6.7 */
#define LANDLOCK_WITH_SCOPES 6 /* Linux 6.12 */

struct landlock {
	uint64_t files, ports, scopes;
};

/* Which version this kernel has, from 1. 0 where it has none: then `fault` says so, and what is `lost`, a half sentence such
 * as "TCP connects cannot be limited". `since` is the Linux that can do what is wanted. */
int landlock_version(const char *lost, const char *since, struct fault *fault);

/* What of `wanted` a kernel with that version can take away. */
struct landlock landlock_known(const struct landlock *wanted, int version);

/* A ruleset, which the caller closes; -1 with errno. */
int landlock_new(const struct landlock *taken);
/* Gives back some of it: of files, on what `path` is or has beneath it (of what is no folder, only what files can have);
 * of TCP ports, on one. False with errno. */
bool landlock_allow_path(int ruleset, const char *path, uint64_t files);
bool landlock_allow_port(int ruleset, uint16_t port, uint64_t ports);
/* From here on. The thread has no_new_privs, or CAP_SYS_ADMIN. False with errno. */
bool landlock_restrict(int ruleset);

#endif
