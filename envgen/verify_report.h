/* What is told of clients and targets: a table, or JSON. Pure. */
#ifndef KEYSTILE_VERIFY_REPORT_H
#define KEYSTILE_VERIFY_REPORT_H

#include "buffer.h"
#include "verify.h"

enum verdict {
	VERDICT_RIGHT,
	VERDICT_DETOUR,          /* through the proxy where it should have gone direct: slower, and nothing leaks */
	VERDICT_SILENT,          /* no connection came at all */
	VERDICT_LEAK,            /* past the proxy */
	VERDICT_UNAUTHENTICATED, /* to the proxy, never with its password */
	VERDICT_UNTRIED,         /* https, and the client does none here */
};

enum verdict verdict_of(const struct target *target, const struct outcome *outcome, size_t number);

/* Did every client that ran go the way that it should? */
bool verify_passed(const struct targets *targets, const struct outcome *outcomes);

/* The targets, then the clients: what went right is told together, anything else by itself. */
void verify_write_table(const struct targets *targets, const struct outcome *outcomes, struct buffer *out);
void verify_write_json(const struct targets *targets, const struct outcome *outcomes, struct buffer *out);

#endif
