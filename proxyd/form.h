/* Query parameters as servers read them (WHATWG URL §5.1, application/x-www-form-urlencoded). Pure. */
#ifndef KEYSTILE_FORM_H
#define KEYSTILE_FORM_H

#include "span.h"

/* Is `encoded`, read as a name of a query, `plain`? "+" is a blank, an escape is its byte; a malformed escape stands for
 * itself, as most servers take it. */
bool form_equal(struct span encoded, struct span plain);

/* Decodes `encoded` that way into `out`, which has room for as many bytes; returns how many there are. */
size_t form_decode(struct span encoded, char *out);

#endif
