/* The closed sets that metrics have as labels: limits, the audit's verdicts and reasons, statuses, ways in. Pure.
 *
 * What stands in none of them is counted as one of "other", so that no client and no upstream can make a label. */
#ifndef KEYSTILE_TALLY_NAMES_H
#define KEYSTILE_TALLY_NAMES_H

#include <stddef.h>
#include <stdint.h>

/* The keys of `limits:`. */
enum tally_limit {
	TALLY_HEAD,
	TALLY_FIELDS,
	TALLY_HEAD_TIME,
	TALLY_CONNECTIONS,
	TALLY_PROFILE_CONNECTIONS,
	TALLY_IDLE,
	TALLY_BODY_IDLE,
	TALLY_RESPONSE_IDLE,
	TALLY_CONNECT,
	TALLY_HANDSHAKE,
	TALLY_TUNNEL_IDLE,
	TALLY_STREAMS,
	TALLY_BODY,
	TALLY_SIGNED_BODY,
	TALLY_LIMITS,
};

enum tally_unit { TALLY_UNIT_BYTES, TALLY_UNIT_COUNT, TALLY_UNIT_TIME };

struct tally_limit_name {
	const char *name;
	enum tally_unit unit;
	size_t offset; /* of its value (bytes, or milliseconds) in struct config_limits */
};
extern const struct tally_limit_name tally_limit_names[TALLY_LIMITS];

/* A reason of the audit. */
struct tally_reason {
	const char *name;
	enum tally_limit limit; /* that was hit; TALLY_LIMITS: none */
};

#define TALLY_REASONS 128 /* room for them; those without a name are none */
extern const struct tally_reason tally_reasons[TALLY_REASONS]; /* the first is "other", the rest is sorted */
size_t tally_reason(const char *reason); /* its index; NULL is "other" */

/* What became of a request, tunnel or connection: the audit's word, and a label. */
enum audit_verdict { AUDIT_ALLOW, AUDIT_DENY, AUDIT_FAIL };
#define AUDIT_VERDICTS 3
const char *audit_verdict_name(enum audit_verdict verdict); /* "allow", "deny", "fail" */

#define TALLY_STATUSES 72 /* none, one for the others of each class, and room for those that are registered */
/* The index of a status; 0: there was no answer. */
size_t tally_status(unsigned status);
/* The label: "200", "5xx", "none"; NULL: nothing has this index. Static. */
const char *tally_status_name(size_t index);

#define TALLY_WAYS 5 /* as enum way_kind; way_name() has their names */

#endif
