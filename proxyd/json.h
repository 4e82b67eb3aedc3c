/* JSON (RFC 8259) that others wrote: the members of one object. Pure, and the one room that includes jansson.
 *
 * A text may hold a secret, so what it is read into is zeroed when it is freed, and no fault tells a byte of it. Who writes JSON
 * finds that in text.h. */
#ifndef KEYSTILE_JSON_H
#define KEYSTILE_JSON_H

#include <stdint.h>

#include "fault.h"
#include "span.h"

#define JSON_MOST ((size_t)64 << 10) /* bytes of a text that is read */
#define JSON_DEEPEST 32              /* lists and objects in each other */

struct json;

/* Reads a text that is one object and nothing else; a name may stand but once in any object of it. NULL with FAULT_BROKEN:
 * "it is no JSON". */
struct json *json_read(struct span text, struct fault *fault);
void json_end(struct json *json); /* zeroes; NULL is fine */

enum member {
	MEMBER_ABSENT, /* or null */
	MEMBER_GOOD,
	MEMBER_OTHER,  /* there, but of another type, or a number that is not as it is asked for */
};

/* Text, which points into `json`. It has no NUL in it. */
enum member json_member_text(const struct json *json, const char *name, struct span *text);

/* A whole number above 0, also written as 3600.0 or 3.6e3; what is over `most` is `most`. */
enum member json_member_number(const struct json *json, const char *name, uint64_t most, uint64_t *number);

#endif
