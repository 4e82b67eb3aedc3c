/* What a tunnel, or a connection that was upgraded, stands on, and whether a later configuration has all of that still
 * (SPEC §11). Pure. */
#ifndef KEYSTILE_JUDGE_AGAIN_H
#define KEYSTILE_JUDGE_AGAIN_H

#include "judge.h"

/* Its strings are whoever's it was made of. */
struct standing {
	const char *profile;
	unsigned session; /* as in struct way_place */
	uint32_t token_version;
	const char *credential;   /* NULL: an allowed host, or what is inside is judged by itself */
	const char *token_prefix; /* NULL: none */
	bool reverse;             /* by a token of the credential itself */
	struct authority place;
};

/* Of what was judged, and allowed, by this snapshot. `place`: what settled the profile of its connection; NULL: its own
 * token. */
struct standing judge_standing(const struct snapshot *snapshot, const struct judgement *judgement, const struct way_place *place);
/* Of what a CONNECT settled. */
struct standing judge_standing_of_place(const struct way_place *place);

/* NULL where the profile, the token, and the credential or the host are still there; `*judgement` is then what the
 * credential reaches now, or where there is none what a CONNECT to the place would get. Else the audit's reason; static.
 * What is in `*judgement` is the snapshot's, or in `arena`. */
const char *judge_lost(const struct snapshot *fresh, const struct standing *standing, struct arena *arena,
                       struct judgement *judgement);

#endif
