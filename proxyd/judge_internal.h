/* What the files of the judge share: judge.c (who asks, for what), judge_connect.c (tunnels), judge_path.c (the path and its
 * rules), judge_refuse.c (what is told to whom is refused), judge_again.c (what stands
 * open under a later configuration). */
#ifndef KEYSTILE_JUDGE_INTERNAL_H
#define KEYSTILE_JUDGE_INTERNAL_H

#include "authenticate.h"
#include "judge.h"
#include "path.h"
#include "route.h"
#include "target.h"

/* One request while it is judged. */
struct judging {
	const struct snapshot *snapshot;
	const struct judge_listener *own; /* NULL for a CONNECT */
	const struct way *way;            /* the same */
	const struct request *request;
	struct arena *arena;
	struct judgement *judgement;
	struct problem *problem;
	struct target target;
};

/* --- judge.c --- */

/* Whose proxy token came with the request; under `session: none`, the one profile. NULL: nobody's that is known. */
const struct config_profile *judge_proxy_profile(const struct judging *judging, struct shown *shown);
/* No page in a browser may use the proxy: for `session: none`. */
bool judge_browser(const struct judging *judging);
/* Is there a `!pattern` against the judgement's host? */
bool judge_denials(const struct judging *judging);
/* The profile's entry for the judgement's host, and its rules. */
bool judge_allowed_host(const struct judging *judging);
/* The first of the profile's credentials for the judgement's host under which the request falls, and its rules. */
bool judge_credential_host(const struct judging *judging);
/* The upstream of the credential, and what it lets be dialled. */
void judge_aim_at(struct judgement *judgement, const struct config_credential *credential);
/* What judgement->entry lets be dialled. */
void judge_allow_entry(struct judgement *judgement);

/* --- judge_connect.c: a request inside a tunnel --- */

bool judge_inside(const struct judging *judging);

/* --- judge_path.c --- */

/* The canonical form of `path`, in the arena, by the options of the entry that it is for. */
enum path_result judge_canonical(const struct judging *judging, struct span path, bool encoded_slash,
                                 const struct rules *rules, struct span *canonical);

/* Sets judgement->path and prefix: the upstream's path, the template of a path injection (in place of what the agent has
 * there), and the rest. */
void judge_compose(const struct judging *judging, const struct config_credential *credential, struct span rest);

/* Do the rules, those of judgement->credential or judgement->entry, allow judgement->path? Else 403. */
bool judge_rules(const struct judging *judging, const struct rules *rules, bool encoded_slash);

/* Does a secret of the credential go into the path? */
bool judge_puts_in_path(const struct config_credential *credential);

/* Writes {secret} where a session token stands in judgement->path. Was there one? */
bool judge_hide_tokens(const struct judging *judging);

/* No session token may stand in a path where it would go on: 400. */
bool judge_tokenless(const struct judging *judging);

/* --- judge_refuse.c: each sets judging->problem and returns false --- */

bool refuse_target(const struct judging *judging, const char *why);
bool refuse_connect(const struct judging *judging);
bool refuse_authority(const struct judging *judging, const char *why);
bool refuse_content(const struct judging *judging);
bool refuse_tunnel(const struct judging *judging, const struct config_credential *credential);
bool refuse_misdirected(const struct judging *judging, const char *what);
bool refuse_profile(const struct judging *judging, struct span name);
bool refuse_revoked(const struct judging *judging);
bool refuse_trace(const struct judging *judging);
bool refuse_method(const struct judging *judging);
bool refuse_browser(const struct judging *judging, const char *what);
bool refuse_name(const struct judging *judging, struct span name);
bool refuse_wildcard(const struct judging *judging, const struct config_credential *credential);
bool refuse_token(const struct judging *judging, const struct config_credential *credential, const struct shown *shown);
bool refuse_proxy_token(const struct judging *judging, const struct shown *shown);
bool refuse_path(const struct judging *judging, enum path_result result);
bool refuse_prefix(const struct judging *judging);
bool refuse_host(const struct judging *judging);
bool refuse_denied(const struct judging *judging, const struct config_host *denial);
bool refuse_rule(const struct judging *judging, struct rules_verdict verdict);
bool refuse_override(const struct judging *judging, const struct field *field);
bool refuse_source(const struct judging *judging, const struct field *field);
bool refuse_path_token(const struct judging *judging);
/* 503 with the time at which a token will be asked for again, where none is. */
bool refuse_tokenless(const struct judging *judging, const struct config_credential *credential,
                      const struct minted_token *token, uint64_t now);
bool refuse_unready(const struct judging *judging, const struct config_credential *credential, const char *why);

#endif
