/* envgen without a command: writes the environment where it belongs. */
#include <stdlib.h>

#include "commands.h"
#include "format.h"
#include "log.h"
#include "output.h"
#include "subject.h"

/* Where a format for a CI job goes is what the job's runner says, unless -o says another place. */
static bool write_for_job(const char *path, const struct environment *environment, struct span text, struct fault *fault)
{
	AUTO_WIPE struct buffer masks = {0};
	if (!path)
		path = getenv("GITHUB_ENV");
	if (!path || !*path)
		return fault_set(fault, FAULT_USAGE, "--format github: GITHUB_ENV is not set, so this is no step of a GitHub job; say "
		                 "where to append with -o FILE");
	format_masks(environment, &masks);
	/* Masked before anything could show them */
	return output_append(NULL, buffer_view(&masks), fault) && output_append(path, text, fault);
}

static bool write_environment(const struct environment_request *request, const struct format *format,
                              const char *path, struct fault *fault)
{
	struct environment environment = {0};
	AUTO_WIPE struct buffer text = {0};
	bool done = environment_make(request, &environment, fault);
	if (done) {
		format_write(format, &environment, &text);
		done = format->job ? write_for_job(path, &environment, buffer_view(&text), fault)
		                   : output_write(path, buffer_view(&text), fault);
	}
	for (size_t i = 0; done && i < environment.left_out_count; i++)
		log_warning("left out: %s", environment.left_out[i]);
	environment_free(&environment);
	return done;
}

bool command_write(struct call *call, struct fault *fault)
{
	const struct options *options = call->options;
	AUTO_SUBJECT struct subject subject = {0};
	const struct format *format = format_find(options->format ? options->format : "sh", fault);
	if (!format || !subject_load(options, SUBJECT_PROFILE | SUBJECT_ADVERTISE | SUBJECT_KEY, &subject, fault))
		return false;
	subject.request.most = format->most;
	return write_environment(&subject.request, format, options->output, fault);
}
