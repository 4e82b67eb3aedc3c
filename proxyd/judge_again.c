/* What stands open while the configuration is replaced (SPEC §11): may it go on? */
#include "judge_again.h"

#include "config.h"
#include "judge_internal.h"
#include "route.h"
#include "snapshot.h"
#include "text.h"

struct standing judge_standing(const struct snapshot *snapshot, const struct judgement *judgement, const struct way_place *place)
{
	unsigned own = judgement->way == WAY_TRANSPARENT ? WAY_NO_TOKEN : snapshot_session(snapshot);
	return (struct standing){
		.profile = judgement->profile->name,
		.session = place ? place->session : own,
		.token_version = place ? place->token_version : judgement->profile->token_version,
		.credential = judgement->credential ? judgement->credential->name : NULL,
		.token_prefix = judgement->way == WAY_REVERSE ? judgement->credential->env.token_prefix : NULL,
		.reverse = judgement->way == WAY_REVERSE,
		.place = {judgement->host, judgement->port},
	};
}

struct standing judge_standing_of_place(const struct way_place *place)
{
	return (struct standing){.profile = place->profile, .session = place->session, .token_version = place->token_version,
	                         .place = place->target};
}

static const char *lost_credential(const struct snapshot *fresh, const struct config_profile *profile,
                                   const struct standing *standing, struct judgement *judgement)
{
	const struct config_credential *credential = config_credential(fresh->config, span_of(standing->credential));
	if (!credential || !route_has(fresh->shared->routes, profile, credential))
		return "credential_revoked";
	if (standing->reverse && !text_same(credential->env.token_prefix, standing->token_prefix))
		return "token_revoked";
	if (!config_owns(credential, &standing->place.host, standing->place.port) ||
	    route_denial(fresh->shared->routes, profile, &standing->place.host, standing->place.port))
		return "host_revoked";
	judge_aim_at(judgement, credential);
	return NULL;
}

const char *judge_lost(const struct snapshot *fresh, const struct standing *standing, struct arena *arena,
                       struct judgement *judgement)
{
	const struct config_profile *profile = config_profile(fresh->config, span_of(standing->profile));
	struct problem problem = {0};
	if (!profile)
		return "profile_revoked";
	if (snapshot_revokes(fresh, profile, standing->session, standing->token_version))
		return "token_revoked";
	*judgement = (struct judgement){0};
	bool allowed = judge_redirected(fresh, span_of(standing->profile), &standing->place, arena, judgement, &problem);
	if (standing->credential)
		return lost_credential(fresh, profile, standing, judgement);
	return allowed ? NULL : "host_revoked";
}
