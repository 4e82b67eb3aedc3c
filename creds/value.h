/* What is odd about a value that is still a secret: told when it is stored, never mended (SPEC §2). Pure. */
#ifndef KEYSTILE_VALUE_H
#define KEYSTILE_VALUE_H

#include "span.h"

/* "begins or ends with a blank", "has several lines"; NULL where nothing is odd. */
const char *value_oddity(struct span value);

#endif
