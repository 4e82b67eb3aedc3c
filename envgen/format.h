/* How an environment is written down: one row of a table for each format that SPEC §6 names. Pure. */
#ifndef KEYSTILE_FORMAT_H
#define KEYSTILE_FORMAT_H

#include "buffer.h"
#include "environment.h"

struct format {
	const char *name;
	/* Appends one variable; false where this format cannot hold it. NULL: the format is not built yet. */
	bool (*write)(const struct variable *variable, struct buffer *out);
	const char *comment; /* what begins a comment line; NULL: there are none */
};

extern const struct format format_list[];
extern const size_t format_count;

/* FAULT_USAGE where there is none of that name, or it is not built yet. */
const struct format *format_find(const char *name, struct fault *fault);

/* Appends the whole environment to `out`, which the caller wipes. What the format cannot hold is added to what the
 * environment leaves out. */
void format_write(const struct format *format, struct environment *environment, struct buffer *out);

#endif
