#include "landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	CREATE_RULESET = 444, /* the same numbers on every architecture */
	ADD_RULE = 445,
	RESTRICT_SELF = 446,
	VERSION_FLAG = 1,
	RULE_PATH = 1,
	RULE_PORT = 2,
};

#define FILE_RIGHTS (LANDLOCK_EXECUTE | LANDLOCK_WRITE_FILE | LANDLOCK_TRUNCATE | LANDLOCK_IOCTL_DEVICE)

struct path_rule {
	uint64_t allowed;
	int32_t parent;
} __attribute__((packed));

struct port_rule {
	uint64_t allowed, port;
};

int landlock_version(const char *lost, const char *since, struct fault *fault)
{
	long version = syscall(CREATE_RULESET, NULL, 0, VERSION_FLAG);
	if (version > 0)
		return (int)version;
	if (version < 0 && errno == EOPNOTSUPP)
		fault_set(fault, FAULT_MISSING, "Landlock is turned off, so %s; add landlock to `lsm=` of the kernel's command line",
		          lost);
	else
		fault_set(fault, FAULT_MISSING, "this kernel has no Landlock, or a sandbox keeps it away, so %s; %s can", lost, since);
	return 0;
}

/* Which version brought what. */
static const struct {
	int version;
	struct landlock rights;
} brought[] = {
	{2, {.files = LANDLOCK_REFER}},
	{3, {.files = LANDLOCK_TRUNCATE}},
	{LANDLOCK_WITH_PORTS, {.ports = LANDLOCK_BIND_TCP | LANDLOCK_CONNECT_TCP}},
	{5, {.files = LANDLOCK_IOCTL_DEVICE}},
	{LANDLOCK_WITH_SCOPES, {.scopes = LANDLOCK_ABSTRACT_SOCKETS | LANDLOCK_SIGNALS}},
};

struct landlock landlock_known(const struct landlock *wanted, int version)
{
	struct landlock known = *wanted;
	for (size_t i = 0; i < sizeof brought / sizeof *brought; i++) {
		if (version >= brought[i].version)
			continue;
		known.files &= ~brought[i].rights.files;
		known.ports &= ~brought[i].rights.ports;
		known.scopes &= ~brought[i].rights.scopes;
	}
	return known;
}

/* A kernel takes a longer struct than its own where the rest is zeros. */
int landlock_new(const struct landlock *taken)
{
	return (int)syscall(CREATE_RULESET, taken, sizeof *taken, 0);
}

bool landlock_allow_path(int ruleset, const char *path, uint64_t files)
{
	struct stat status;
	struct path_rule rule = {files, open(path, O_PATH | O_CLOEXEC)};
	if (rule.parent < 0)
		return false;
	bool done = fstat(rule.parent, &status) == 0;
	if (done && !S_ISDIR(status.st_mode))
		rule.allowed &= FILE_RIGHTS;
	done = done && syscall(ADD_RULE, ruleset, RULE_PATH, &rule, 0) == 0;
	int error = errno;
	close(rule.parent);
	errno = error;
	return done;
}

bool landlock_allow_port(int ruleset, uint16_t port, uint64_t ports)
{
	struct port_rule rule = {ports, port};
	return syscall(ADD_RULE, ruleset, RULE_PORT, &rule, 0) == 0;
}

bool landlock_restrict(int ruleset)
{
	return syscall(RESTRICT_SELF, ruleset, 0) == 0;
}
