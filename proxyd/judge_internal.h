/* What the files of the judge share: judge.c (who asks, for what), judge_path.c (the path and its rules), judge_refuse.c
 * (what is told to whom is refused). */
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
	const struct judge_listener *own;
	const struct request *request;
	struct arena *arena;
	struct judgement *judgement;
	struct problem *problem;
	struct target target;
};

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

/* Each sets judging->problem and returns false. */
bool refuse_target(const struct judging *judging, const char *why);
bool refuse_connect(const struct judging *judging);
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
bool refuse_path_token(const struct judging *judging);
bool refuse_unready(const struct judging *judging, const struct config_credential *credential, const char *why);

#endif
