/* envgen without a command: writes the environment where it belongs. */
#include <stdlib.h>

#include "commands.h"
#include "format.h"
#include "log.h"
#include "output.h"
#include "subject.h"

static bool write_environment(const struct environment_request *request, const struct format *format,
                              const char *path, struct fault *fault)
{
	struct environment environment = {0};
	AUTO_WIPE struct buffer text = {0};
	bool done = environment_make(request, &environment, fault);
	if (done) {
		format_write(format, &environment, &text);
		done = output_write(path, buffer_view(&text), fault);
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
	return format && subject_load(options, SUBJECT_PROFILE | SUBJECT_ADVERTISE | SUBJECT_KEY, &subject, fault) &&
	       write_environment(&subject.request, format, options->output, fault);
}
