/* Percent-encoding (RFC 3986 §2.1), both ways. Pure. */
#ifndef KEYSTILE_PERCENT_H
#define KEYSTILE_PERCENT_H

#include "span.h"

/* Writes `text` to `out`, which has room for 3 * text.length bytes: unreserved characters and those in `kept` as they
 * are, all others as escapes. Returns how many bytes were written. */
size_t percent_encode(struct span text, const char *kept, char *out);

/* Writes what a form's reader makes of `text` to `out`, which has room for text.length bytes: escapes decoded, with
 * `plus` each "+" as a blank. A "%" without two hex digits stands for itself. Returns how many bytes were written. */
size_t percent_decode(struct span text, bool plus, char *out);

#endif
