/* The request-target and what it says (RFC 9112 §3.2). Pure. */
#ifndef KEYSTILE_TARGET_H
#define KEYSTILE_TARGET_H

#include "authority.h"

enum target_form { TARGET_ORIGIN, TARGET_ABSOLUTE, TARGET_AUTHORITY, TARGET_ASTERISK };

struct target {
	enum target_form form;
	bool tls;                   /* absolute-form: https */
	struct authority authority; /* absolute-form, with the scheme's port where none is written; authority-form */
	struct span path;           /* as it came, without the query; "/" where an absolute-form has none */
	struct span query;          /* as it came, without "?"; data NULL: none */
};

/* Authority-form is told by the method, CONNECT. False where the target cannot be read in one way;
 * the fault says why. The spans point into `text` or are static. */
bool target_parse(struct span method, struct span text, struct target *target, struct fault *fault);

#endif
