/* Where an environment goes: a file, a device or pipe, or standard output. */
#ifndef KEYSTILE_OUTPUT_H
#define KEYSTILE_OUTPUT_H

#include "fault.h"
#include "span.h"

/* `path` NULL or "-": standard output. A file is replaced as a whole, 0600, through a symbolic link too; what is there
 * and is no file is written to. FAULT_DENIED for a link, pipe or device of another user's (but root's). */
bool output_write(const char *path, struct span text, struct fault *fault);

/* The same, but what a file has stays, and `text` begins on a line of its own behind it. A new file is 0600. */
bool output_append(const char *path, struct span text, struct fault *fault);

#endif
