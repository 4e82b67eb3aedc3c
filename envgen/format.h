/* How an environment is written down: one row of a table for each format that SPEC §6 names. Pure. */
#ifndef KEYSTILE_FORMAT_H
#define KEYSTILE_FORMAT_H

#include "buffer.h"
#include "environment.h"

struct format {
	const char *name;
	const char *summary; /* for --help */
	/* Appends one variable. Returns NULL, or why this format cannot hold it. */
	const char *(*write)(const struct variable *variable, struct buffer *out);
	const char *start, *between, *end; /* of the whole, and between two variables */
	bool lines;                        /* it can hold a value with line breaks */
	const char *comment;               /* what begins a comment line; NULL: there are none */
	size_t most;                       /* bytes of NAME=value that its readers take */
	bool job;                          /* for a CI job: appended to a file that the job names, with its tokens masked */
};

extern const struct format format_list[];
extern const size_t format_count;

/* FAULT_USAGE where there is none of that name. */
const struct format *format_find(const char *name, struct fault *fault);

/* Appends the whole environment to `out`, which the caller wipes. What the format cannot hold is added to what the
 * environment leaves out. */
void format_write(const struct format *format, struct environment *environment, struct buffer *out);

/* Appends the workflow commands that make a GitHub runner hide the environment's tokens in its log. */
void format_masks(const struct environment *environment, struct buffer *out);

#endif
