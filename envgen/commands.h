/* The commands of envgen: a table, and what every command is given.
 *
 * A command is added with a row in commands.c, a function in a file of its own (`explain.c` has command_explain), its
 * declaration here, and, where it takes options that no other has: an enum value and a member here, and a row in
 * options.c. What commands share (configuration, profile, address, key) comes from subject.h. */
#ifndef KEYSTILE_COMMANDS_H
#define KEYSTILE_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>

#include "fault.h"

/* What a command may be given; --help and --version go with all of them. */
enum command_option {
	OPTION_CONFIG = 1,
	OPTION_PROFILE = 2,
	OPTION_ADVERTISE = 4,
	OPTION_FORMAT = 8,
	OPTION_OUTPUT = 16,
	OPTION_JSON = 32,
	OPTION_RUN = 64, /* --confine, --best-effort, --clean, --keep, --ca-over */
};

/* What an option gave that may be given several times. */
struct option_words {
	const char *list[64];
	size_t count;
};

struct options {
	const char *config, *profile, *advertise, *format, *output; /* NULL: not given */
	bool json, confine, best_effort, clean;
	struct option_words keep, ca_over;
	unsigned given; /* of enum command_option */
};

struct call {
	const struct options *options;
	char **words; /* behind the command's name, and NULL behind the last */
	size_t count;
	int status;   /* what envgen exits with where the command was done; 0 if it leaves it alone */
};

struct command {
	const char *name; /* NULL: of the command line without a command */
	const char *usage, *summary;
	size_t least, most; /* words behind the name */
	bool program;       /* they are a command line of its own: what begins with "-" behind the first is not ours */
	unsigned options;   /* of enum command_option */
	/* False: failed; the fault says why, or has no text where all was told. */
	bool (*run)(struct call *call, struct fault *fault);
};

extern const struct command command_list[]; /* the one without a name first */
extern const size_t command_count;

/* write.c: without a command */
bool command_write(struct call *call, struct fault *fault);

/* admin.c */
bool command_admin(struct call *call, struct fault *fault);

/* explain.c */
bool command_explain(struct call *call, struct fault *fault);

/* names.c */
bool command_names(struct call *call, struct fault *fault);

/* run.c */
bool command_run(struct call *call, struct fault *fault);

/* verify.c */
bool command_verify(struct call *call, struct fault *fault);

#endif
