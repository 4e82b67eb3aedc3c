/* The presets, compiled in from presets/NAME.yaml. */
#ifndef KEYSTILE_PRESET_H
#define KEYSTILE_PRESET_H

#include "span.h"

struct preset {
	const char *name;
	const char *file; /* "presets/openai.yaml", for messages */
	const char *text; /* the YAML: one mapping, as a credential has it */
	size_t length;
};

extern const struct preset preset_list[]; /* sorted by name; generated at build time */
extern const size_t preset_count;

const struct preset *preset_find(struct span name); /* or NULL */

#endif
