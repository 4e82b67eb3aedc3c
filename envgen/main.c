/* envgen: the environment of a sandboxed program. Finds the command in the table and runs it. */
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "options.h"
#include "secret.h"

int main(int count, char **words)
{
	struct fault fault = FAULT_INIT;
	struct options options = {0};
	struct call call = {0};
	log_open("envgen", LOG_INFO);
	const struct command *command = options_read(count, words, &options, &call, &fault);
	bool done = command && secret_start(&fault) && command->run(&call, &fault);
	if (fflush(stdout) != 0 && done)
		done = fault_errno(&fault, "cannot write to standard output");
	if (!done && fault.text[0])
		log_error("%s", fault.text);
	return done ? call.status : EXIT_FAILURE;
}
