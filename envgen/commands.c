#include "commands.h"

#include <stdint.h>

enum { SUBJECT_OPTIONS = OPTION_CONFIG | OPTION_PROFILE | OPTION_ADVERTISE };

const struct command command_list[] = {
	{NULL, "[--profile P] [--format FORMAT] [-o FILE] [--advertise HOST:PORT]", "write the environment", 0, 0, false,
	 SUBJECT_OPTIONS | OPTION_FORMAT | OPTION_OUTPUT, command_write},
	{"explain", "[HOST] [--json] [--profile P]", "what becomes of a host (direct, proxied, injected, refused), and why", 0, 1,
	 false, SUBJECT_OPTIONS | OPTION_JSON, command_explain},
	{"run", "[--profile P] [--confine] [--best-effort] [--clean] [--keep NAME]... [--ca-over BUNDLE]... [--] CMD...",
	 "run CMD in the environment", 1, SIZE_MAX, true, SUBJECT_OPTIONS | OPTION_RUN, command_run},
	{"verify", "[--profile P] [--advertise HOST:PORT] [--json]", "start this machine's clients, and see which way they go", 0,
	 0, false, SUBJECT_OPTIONS | OPTION_JSON, command_verify},
	{"admin", "[--config FILE]", "where the admin page is, with its token", 0, 0, false, OPTION_CONFIG, command_admin},
};

const size_t command_count = sizeof command_list / sizeof *command_list;
