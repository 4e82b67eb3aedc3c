/* What we answer ourselves: RFC 9457 problem details with a Proxy-Status (RFC 9209) (SPEC §8). */
#ifndef KEYSTILE_PROBLEM_H
#define KEYSTILE_PROBLEM_H

#include "arena.h"
#include "message.h"

struct problem {
	unsigned status;      /* 0: none */
	const char *reason;   /* static word for audit and metrics: "no_rule", "bad_token" */
	const char *error;    /* static RFC 9209 §2.3 error type: "http_request_denied"; NULL: "http_request_error" */
	const char *detail;   /* one sentence: what was wrong and where; in the exchange's arena or static */
	const char *hint;     /* what to do; NULL: nothing helps */
	const char *rule;     /* text of the rule that denied, for the audit; NULL */
	unsigned retry_after; /* seconds; 0: no field */
	bool close;           /* the client's connection ends behind this answer */
	struct span allow;    /* 405: the Allow field; empty: none */
};

/* Sets all of it; detail and hint are formatted by the caller (arena_format). Returns false. */
bool problem_set(struct problem *problem, unsigned status, const char *reason, const char *detail, const char *hint);

/* The standard title of a status: "Forbidden". Static; "" where unknown. */
const char *problem_title(unsigned status);

/* Builds head and body in `arena`: application/problem+json, Proxy-Status, WWW-Authenticate on 401 and
 * Proxy-Authenticate on 407, Retry-After, Allow, `Cache-Control: no-store`. */
void problem_response(const struct problem *problem, struct arena *arena, struct response *response, struct span *body);

#endif
