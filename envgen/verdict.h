/* What becomes of a request for a host, in the environment of one profile: the proxy's judgement as far as the host alone
 * decides it, and NO_PROXY as known clients read it. Pure. */
#ifndef KEYSTILE_VERDICT_H
#define KEYSTILE_VERDICT_H

#include "buffer.h"
#include "environment.h"

enum verdict_kind {
	VERDICT_DIRECT,   /* clients that honour NO_PROXY go there by themselves */
	VERDICT_PROXIED,  /* through the proxy, nothing injected */
	VERDICT_INJECTED, /* a credential's host: through the proxy, with its secret */
	VERDICT_REFUSED,  /* the proxy says 403 */
};

struct verdict {
	enum verdict_kind kind;
	const char *rule;   /* the entry of `hosts:` as written, or the credential's name; NULL: there is none */
	struct mark mark;   /* of the rule */
	struct buffer why;  /* one line */
	bool *differs;      /* for each of client_list: does it go the other way, past the proxy or through it? */
	size_t differ_count;
};

/* The look-ups for one profile. */
struct verdicts;

/* What `request` points into must outlive the look-ups; its key is not needed. */
struct verdicts *verdicts_new(const struct environment_request *request);
void verdicts_free(struct verdicts *verdicts); /* NULL is fine */

/* `port_written`: the URL says the port, which some clients compare then. The caller frees the verdict. */
void verdicts_judge(const struct verdicts *verdicts, const struct host *host, uint16_t port, bool port_written,
                    struct verdict *verdict);
void verdict_free(struct verdict *verdict);

/* Do two credentials have the same host and port? Then one verdict tells of both. */
bool verdict_same_host(const struct config_credential *a, const struct config_credential *b);

const char *verdict_name(enum verdict_kind kind); /* "direct" and so on */

#endif
