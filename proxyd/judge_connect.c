/* CONNECT, and the requests inside a tunnel (SPEC §4). */
#include "judge_internal.h"

static bool judge_content(const struct judging *judging)
{
	const struct body_framing *body = &judging->request->body;
	return body->kind == BODY_NONE || (body->kind == BODY_LENGTH && body->length == 0) || refuse_content(judging);
}

/* Of the profile's credentials for the judgement's host, the first that intercepts; else one with an endpoint; else any. NULL:
 * the profile has none. HTTP/2 is off where it is off for any of them: which one a request is for is known later. */
static const struct config_credential *credential_of_tunnel(const struct judging *judging)
{
	struct judgement *judgement = judging->judgement;
	const struct config_credential **list, *chosen = NULL;
	size_t count = route_credentials(judging->snapshot->shared->routes, judgement->profile, &judgement->host,
	                                 judgement->port, judging->arena, &list);
	for (size_t i = 0; i < count; i++) {
		bool better = !chosen || (list[i]->intercept && !chosen->intercept) ||
		              (list[i]->intercept == chosen->intercept && chosen->upstream.wildcard && !list[i]->upstream.wildcard);
		if (list[i]->http2 == HTTP2_OFF)
			judgement->http2 = HTTP2_OFF;
		if (better)
			chosen = list[i];
	}
	return chosen;
}

/* A credential host of any credential in the file: the way out is told to whom has the credential, and nobody else. */
static bool judge_credential_tunnel(const struct judging *judging)
{
	struct judgement *judgement = judging->judgement;
	const struct config_credential *credential = credential_of_tunnel(judging);
	if (!credential)
		return refuse_host(judging);
	judgement->credential = credential;
	judgement->intercept = credential->intercept;
	return credential->intercept || refuse_tunnel(judging, credential);
}

static bool judge_entry(const struct judging *judging)
{
	struct judgement *judgement = judging->judgement;
	judgement->entry =
		route_host(judging->snapshot->shared->routes, judgement->profile, &judgement->host, judgement->port);
	if (!judgement->entry)
		return refuse_host(judging);
	judge_allow_entry(judgement);
	judgement->intercept = judgement->entry->intercept;
	judgement->http2 = judgement->entry->http2;
	return true;
}

static bool is_credential_host(const struct judging *judging)
{
	const struct judgement *judgement = judging->judgement;
	return route_credential_host(judging->snapshot->shared->routes, &judgement->host, judgement->port);
}

static bool judge_way_through(const struct judging *judging)
{
	if (!judge_denials(judging))
		return false;
	return is_credential_host(judging) ? judge_credential_tunnel(judging) : judge_entry(judging);
}

static bool judge_tunnel(const struct judging *judging)
{
	struct judgement *judgement = judging->judgement;
	struct shown shown = {0};
	if (judging->snapshot->config->session.none && !judge_browser(judging))
		return false;
	/* In front of the token: after a 407 the connection stays, and content would be read as a request. */
	if (!judge_content(judging))
		return false;
	judgement->profile = judge_proxy_profile(judging, &shown);
	if (!judgement->profile)
		return refuse_proxy_token(judging, &shown);
	return judge_way_through(judging);
}

bool judge_connect(const struct snapshot *snapshot, const struct request *request, struct arena *arena,
                   struct judgement *judgement, struct problem *problem)
{
	struct fault fault = FAULT_INIT;
	struct judging judging = {
		.snapshot = snapshot, .request = request, .arena = arena, .judgement = judgement, .problem = problem};
	judgement->way = WAY_CONNECT;
	if (!target_parse(request->method, request->target, &judging.target, &fault))
		return refuse_authority(&judging, fault.text);
	judgement->host = judging.target.authority.host;
	judgement->port = judging.target.authority.port;
	return judge_tunnel(&judging);
}

bool judge_redirected(const struct snapshot *snapshot, struct span profile, const struct authority *place,
                      struct arena *arena, struct judgement *judgement, struct problem *problem)
{
	struct judging judging = {.snapshot = snapshot, .arena = arena, .judgement = judgement, .problem = problem};
	judgement->way = WAY_TRANSPARENT;
	judgement->host = place->host;
	judgement->port = place->port;
	judgement->profile = config_profile(snapshot->config, profile);
	return judgement->profile ? judge_way_through(&judging) : refuse_profile(&judging, profile);
}

/* --- inside --- */

static bool names_place(const struct judging *judging, const struct authority *named, bool tls)
{
	const struct authority *place = &judging->way->place->target;
	uint16_t port = named->port ? named->port : authority_usual_port(judging->way->tls);
	return tls == judging->way->tls && port == place->port && host_equal(&named->host, &place->host);
}

/* Whatever it names, the connection leads to one host: nothing else is sent there, nor from there to another. */
static bool judge_place(const struct judging *judging)
{
	const struct target *target = &judging->target;
	const struct field *field = fields_find(&judging->request->fields, SPAN("Host"));
	struct authority shown;
	if (target->form == TARGET_ABSOLUTE && !names_place(judging, &target->authority, target->tls))
		return refuse_misdirected(judging, "request target");
	if (field && !(authority_parse(field->value, &shown, NULL) && names_place(judging, &shown, judging->way->tls)))
		return refuse_misdirected(judging, "Host field");
	return true;
}

bool judge_inside(const struct judging *judging)
{
	struct judgement *judgement = judging->judgement;
	const struct way_place *place = judging->way->place;
	judgement->host = place->target.host;
	judgement->port = place->target.port;
	judgement->tls = judging->way->tls;
	judgement->profile = config_profile(judging->snapshot->config, span_of(place->profile));
	if (!judgement->profile)
		return refuse_profile(judging, span_of(place->profile));
	if (snapshot_revokes(judging->snapshot, judgement->profile, place->session, place->token_version))
		return refuse_revoked(judging);
	if (!judge_place(judging) || !judge_denials(judging))
		return false;
	if (!is_credential_host(judging))
		return judge_allowed_host(judging);
	/* A later configuration may not intercept any more. Redirected plain HTTP is as good as absolute-form. */
	const struct config_credential *credential = credential_of_tunnel(judging);
	if (credential && !credential->intercept && judging->way->kind != WAY_TRANSPARENT) {
		judgement->credential = credential;
		return refuse_tunnel(judging, credential);
	}
	return judge_credential_host(judging);
}
