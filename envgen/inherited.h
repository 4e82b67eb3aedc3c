/* The environment of a program that envgen runs: what it makes, and what stays of the caller's. Pure. */
#ifndef KEYSTILE_INHERITED_H
#define KEYSTILE_INHERITED_H

#include "environment.h"
#include "known.h"

struct inherited_request {
	const struct environment *made;
	const struct known *known;
	char *const *from;        /* "NAME=value", NULL at the end */
	bool clean;               /* of `from` only PATH, HOME, TERM, LANG, TZ and `keep` stay */
	const char *const *keep;
	size_t keep_count;
};

struct inherited {
	char **environment; /* for execve(2); values may hold tokens */
	size_t count;
	char **unset;       /* names that were in `from` and are not in `environment`, each once */
	size_t unset_count;
};

/* FAULT_USAGE where a name to keep is none, is known, or is set by what is made. `inherited` starts as zeros, and is
 * freed either way. */
bool inherited_make(const struct inherited_request *request, struct inherited *inherited, struct fault *fault);
void inherited_free(struct inherited *inherited); /* wipes the values */

#endif
