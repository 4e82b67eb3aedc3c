/* The command line: options, and the command that they are for. */
#ifndef KEYSTILE_OPTIONS_H
#define KEYSTILE_OPTIONS_H

#include "commands.h"

/* Reads all of it; FAULT_USAGE says what is wrong with it. `call` and `options` point into `words`. --help and --version
 * are answered here, and end the program. */
const struct command *options_read(int count, char **words, struct options *options, struct call *call,
                                   struct fault *fault);

#endif
