/* The judge: who asks, for what, and may they (SPEC §2, §3, §9). From a request head to a judgement or a problem.
 *
 * Works on the request as the front parsed it (already checked by codec_request_check) and on a snapshot; does no I/O.
 * Everything that it returns lives in `arena`, in the snapshot, or in the request. */
#ifndef KEYSTILE_JUDGE_H
#define KEYSTILE_JUDGE_H

#include "message.h"
#include "problem.h"
#include "snapshot.h"
#include "way.h"

struct judgement {
	enum way_kind way;                          /* WAY_REVERSE or WAY_FORWARD on an open listener; else the way's own */
	const struct config_profile *profile;       /* NULL: not known (a refusal before authentication) */
	const struct config_credential *credential; /* NULL: an allowed host, nothing is injected */
	const struct config_host *entry;            /* the allowed host's entry; NULL with a credential */
	bool tls;                                   /* how to reach it */
	struct host host;
	uint16_t port;
	struct span path;    /* as judged and as sent (upstream path and rest), canonical; where a path is injected, "{secret}"
	                      * stands in the place of each secret of its template: "/bot{secret}/getMe" */
	struct span query;   /* as it came, without "?"; data NULL: none */
	size_t prefix;       /* index of the path template that applies, for INJECT_PATH */
	const char *rule;    /* text of the rule that allowed; NULL: none */
	bool intercept;      /* of a CONNECT: TLS in the tunnel is ended here (SPEC §5), and nothing is dialled for it */
	enum http2_mode http2; /* which protocols it is offered there */
	bool former;         /* not the judge's: sent with the value that was replaced (former.h) */
	bool awaits;         /* refused for now: a token is being made, which is worth waiting for */
	bool private_allowed, loopback_allowed, literal_allowed; /* see struct dial_policy */
};

/* The addresses at which an absolute-form request means this proxy itself. */
struct judge_listener {
	const struct authority *addresses; /* every TCP listener's but admin's */
	size_t count;
};

/* True with `*judgement`, or false with `*problem`; `*judgement` then holds what was known, for the audit.
 *
 * - origin-form (or an absolute-form that names `advertise` or one of `own`): reverse endpoint /NAME/rest. 404 no such
 *   credential, 401 token, 403 rules.
 * - absolute-form http or https: Proxy-Authorization alone (407); credential host → credential; allowed host; else 403.
 * - session: none: no tokens; Origin, Sec-Fetch-Site and Host are checked (SPEC §9).
 * - inside a CONNECT: profile and host are the way's; a target or a Host that names another: 421.
 * - a secret that is not ready: 503 with Retry-After and the reason. TRACE: 405. CONNECT: 501. */
bool judge_request(const struct snapshot *snapshot, const struct judge_listener *own, const struct way *way,
                   const struct request *request, struct arena *arena, struct judgement *judgement,
                   struct problem *problem);

/* May the client have a tunnel to the authority of this CONNECT (RFC 9110 §9.3.6, SPEC §4.1 to §4.3)? As above; with true,
 * `*judgement` has the profile, the host, its entry or credential, and what may be dialled. 400 malformed, 407 token, 403 the
 * rest. */
bool judge_connect(const struct snapshot *snapshot, const struct request *request, struct arena *arena,
                   struct judgement *judgement, struct problem *problem);

/* The same for a connection that was redirected to a listener of this profile, and is to go to `place`; no token is asked for.
 * 403 where the configuration does not have the profile any more. */
bool judge_redirected(const struct snapshot *snapshot, struct span profile, const struct authority *place,
                      struct arena *arena, struct judgement *judgement, struct problem *problem);

#endif
