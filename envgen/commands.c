#include "commands.h"

#include <stdint.h>

enum { SUBJECT_OPTIONS = OPTION_CONFIG | OPTION_PROFILE | OPTION_ADVERTISE };

#define SUBJECT_USAGE "[--profile P] [--advertise HOST:PORT] [--config FILE]"

const struct command command_list[] = {
	{NULL, SUBJECT_USAGE " [--format FORMAT] [-o FILE]", "write the environment", 0, 0, false,
	 SUBJECT_OPTIONS | OPTION_FORMAT | OPTION_OUTPUT, command_write},
	{"explain", "[HOST] " SUBJECT_USAGE " [--json]", "what becomes of a host (direct, proxied, injected, refused), and why", 0, 1,
	 false, SUBJECT_OPTIONS | OPTION_JSON, command_explain},
	{"run", SUBJECT_USAGE " [--confine] [--best-effort] [--clean] [--keep NAME]... [--ca-over BUNDLE]... [--] CMD...",
	 "run CMD in the environment", 1, SIZE_MAX, true, SUBJECT_OPTIONS | OPTION_RUN, command_run},
	{"verify", SUBJECT_USAGE " [--json]", "start this machine's clients, and see which way they go", 0,
	 0, false, SUBJECT_OPTIONS | OPTION_JSON, command_verify},
	{"names", "profiles|credentials|secrets [--config FILE]", "what the configuration calls its own, one a line", 1, 1, false,
	 OPTION_CONFIG, command_names},
	{"admin", "[--config FILE]", "where the admin page is, with its token", 0, 0, false, OPTION_CONFIG, command_admin},
};

const size_t command_count = sizeof command_list / sizeof *command_list;
