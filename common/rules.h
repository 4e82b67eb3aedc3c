/* Rules such as "allow GET,POST /v1/models": first match wins, none matches: deny, no rules: allow (SPEC §2 Rules). Pure. */
#ifndef KEYSTILE_RULES_H
#define KEYSTILE_RULES_H

#include "fault.h"
#include "span.h"

struct rule {
	bool allow;
	char **methods; /* NULL: every method */
	size_t method_count;
	char *pattern; /* the path pattern, canonical but for "*" and "**" */
	char *text;    /* as written, for messages and the audit */
};

struct rules {
	struct rule *list;
	size_t count;
};

/* Appends one rule. FAULT_USAGE says what is wrong and what a rule looks like. `*` stays within a segment, `**` crosses
 * them; a `**` that is the last segment matches the path above it too: with /v1/ in front of it, /v1 itself. Methods are
 * case-sensitive tokens (RFC 9110 §9.1), "*" is all. */
bool rules_add(struct rules *rules, struct span text, struct fault *fault);

struct rules rules_copy(const struct rules *rules);
void rules_free(struct rules *rules);

struct rules_verdict {
	bool allow;
	const struct rule *rule; /* the one that decided; NULL: there are none, or none matched */
};

/* `path` is canonical (path.h). With `encoded_slash` a path that has "%2F" is judged twice, with it as "/" and as a
 * letter, and must be allowed both times; `rule` is then that of the refusal, or of the reading as "/". The time it
 * takes is bounded by path length times pattern length. A rule that denies the path without its parameters ("/a;x/b" is
 * "/a/b" to Tomcat and its like) denies it with them. */
struct rules_verdict rules_judge(const struct rules *rules, struct span method, struct span path, bool encoded_slash);

/* A rule that would allow this request, for a hint: "allow GET /v1/models". The caller frees it. */
char *rules_hint(struct span method, struct span path);

#endif
