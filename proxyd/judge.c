#include "judge.h"


#include "judge_internal.h"

/* --- session: none (SPEC §9): no page in a browser may use the proxy --- */

static bool names_localhost(const struct host *host)
{
	return span_equal(host_span(host), SPAN("localhost"));
}

static bool is_loopback_address(const struct host *host)
{
	return host->kind != HOST_NAME && host_is_loopback(host);
}

/* `localhost`, and each loopback address where a wildcard listens, are names of a listener too. */
static bool reaches(const struct authority *listener, const struct host *host)
{
	bool everywhere = host_is_unspecified(&listener->host), here = everywhere || is_loopback_address(&listener->host);
	return host_equal(&listener->host, host) || (here && names_localhost(host)) || (everywhere && is_loopback_address(host));
}

/* Does `authority` name this proxy: `advertise`, or an address that a listener has? Port 0 is any port. */
static bool is_own(const struct judging *judging, const struct authority *authority)
{
	const struct authority *advertise = &judging->snapshot->config->advertise;
	if (advertise->host.length > 0 && host_equal(&advertise->host, &authority->host) &&
	    (authority->port == 0 || authority->port == advertise->port))
		return true;
	for (size_t i = 0; i < judging->own->count; i++) {
		const struct authority *own = &judging->own->addresses[i];
		if ((authority->port == 0 || authority->port == own->port) && reaches(own, &authority->host))
			return true;
	}
	return false;
}

static bool host_is_own(const struct judging *judging)
{
	const struct field *field = fields_find(&judging->request->fields, SPAN("Host"));
	struct authority shown;
	return field && authority_parse(field->value, &shown, NULL) &&
	       (names_localhost(&shown.host) || is_own(judging, &shown));
}

bool judge_browser(const struct judging *judging)
{
	const struct fields *fields = &judging->request->fields;
	if (fields_find(fields, SPAN("Origin")))
		return refuse_browser(judging, "has an Origin field");
	for (size_t i = 0; i < fields->count; i++)
		if (span_equal_nocase(fields->list[i].name, SPAN("Sec-Fetch-Site")) &&
		    !span_equal(fields->list[i].value, SPAN("none")))
			return refuse_browser(judging, "has a Sec-Fetch-Site field other than none");
	return true;
}

static bool judge_sender(const struct judging *judging)
{
	if (!judge_browser(judging))
		return false;
	if (judging->target.form == TARGET_ORIGIN && !judging->way->place && !host_is_own(judging))
		return refuse_browser(judging, "has a Host field that is neither a listener's address nor localhost");
	return true;
}

/* --- a credential --- */

/* The upstream of the credential; behind a wildcard, the host that was asked for. */
void judge_aim_at(struct judgement *judgement, const struct config_credential *credential)
{
	const struct origin *upstream = &credential->upstream;
	judgement->credential = credential;
	judgement->tls = upstream->tls;
	judgement->port = upstream->port;
	if (!upstream->wildcard)
		judgement->host = upstream->host;
	judgement->private_allowed = !upstream->wildcard;
	judgement->loopback_allowed = !upstream->wildcard && names_localhost(&upstream->host);
	judgement->literal_allowed = !upstream->wildcard && upstream->host.kind != HOST_NAME;
}

bool judge_denials(const struct judging *judging)
{
	const struct judgement *judgement = judging->judgement;
	const struct config_host *denial =
		route_denial(judging->snapshot->shared->routes, judgement->profile, &judgement->host, judgement->port);
	return denial ? refuse_denied(judging, denial) : true;
}

static bool judge_token(const struct judging *judging, const struct config_credential *credential)
{
	const struct minted_token *token = minted_get(judging->snapshot->minted, credential);
	if (!token->mints)
		return true;
	uint64_t now = steady_now();
	if (minted_ready(token, now))
		return true;
	/* Where nothing went wrong, one that has just ended is about to be followed by another. */
	judging->judgement->awaits = token->pending || (token->number > 0 && !token->why);
	return refuse_tokenless(judging, credential, token, now);
}

static bool judge_readiness(const struct judging *judging)
{
	const struct config_credential *credential = judging->judgement->credential;
	const struct secrets *secrets = judging->snapshot->secrets;
	const char *why;
	if (!secrets_ready(secrets, credential, &why)) {
		judging->judgement->awaits = secrets_pending(secrets, credential);
		return refuse_unready(judging, credential, why);
	}
	uint64_t now = steady_now();
	for (size_t i = 0; i < secrets_count(credential); i++) {
		const struct secret_value *value = secrets_get(secrets, credential, i);
		if (!secrets_good(value, now)) {
			judging->judgement->awaits = !value->stale; /* likewise: its command is run, or told to fail, by then */
			return refuse_unready(judging, credential, value->stale ? value->stale : "its value has expired");
		}
	}
	return judge_token(judging, credential);
}

/* --- origin-form: /NAME/rest --- */

static const struct config_profile *profile_by_token(const struct judging *judging,
                                                     const struct config_credential *credential, struct span rest,
                                                     struct shown *shown)
{
	const struct snapshot *snapshot = judging->snapshot;
	if (snapshot->config->session.none)
		return &snapshot->config->profiles[0];
	const struct token_entry *entry = authenticate_reverse(snapshot->shared->tokens, credential, judging->request, rest,
	                                                       judging->target.query, judging->arena, shown);
	return entry ? entry->profile : NULL;
}

/* "/NAME/rest" without its first "/": the name, and in `*rest` what is behind it, "/" included. */
static struct span take_name(struct span path, struct span *rest)
{
	struct span behind = span_from(path, 1);
	struct span name = span_split(&behind, '/');
	*rest = behind.data ? (struct span){behind.data - 1, behind.length + 1} : (struct span){"", 0};
	return name;
}

static bool judge_reverse(const struct judging *judging)
{
	const struct snapshot *snapshot = judging->snapshot;
	struct judgement *judgement = judging->judgement;
	struct shown shown = {0};
	struct span rest, canonical = {"", 0};
	judgement->way = WAY_REVERSE;
	struct span name = take_name(judging->target.path, &rest);
	const struct config_credential *credential = route_name(snapshot->shared->routes, name);
	if (!credential)
		return refuse_name(judging, name);
	enum path_result result =
		rest.length ? judge_canonical(judging, rest, credential->encoded_slash, &credential->rules, &canonical) : PATH_OK;
	judge_aim_at(judgement, credential);
	judge_compose(judging, credential, canonical);
	judgement->profile = profile_by_token(judging, credential, canonical, &shown);
	/* A template of a path that is none cannot be looked for, so neither can a token in it. */
	if (!judgement->profile && result != PATH_OK && judge_puts_in_path(credential))
		return refuse_path(judging, result);
	if (!judgement->profile)
		return refuse_token(judging, credential, &shown);
	if (!route_has(snapshot->shared->routes, judgement->profile, credential))
		return refuse_name(judging, name);
	if (credential->upstream.wildcard)
		return refuse_wildcard(judging, credential);
	if (result != PATH_OK)
		return refuse_path(judging, result);
	return judge_denials(judging) && judge_tokenless(judging) &&
	       judge_rules(judging, &credential->rules, credential->encoded_slash) &&
	       judge_readiness(judging);
}

/* --- absolute-form --- */

/* The canonical path, made once for all credentials of a host that want it in the same way. */
struct reading {
	bool known;
	enum path_result result;
	struct span path;
};
#define READINGS 4

static const struct reading *read_path(const struct judging *judging, const struct config_credential *credential,
                                       struct reading readings[READINGS])
{
	struct reading *reading = &readings[2 * credential->encoded_slash + (credential->rules.count > 0)];
	if (!reading->known)
		reading->result = judge_canonical(judging, judging->target.path, credential->encoded_slash, &credential->rules,
		                                  &reading->path);
	reading->known = true;
	return reading;
}

/* One of the credentials that serve this host: does the request fall under it, and do its rules allow it? `*tried` is set
 * where it fell under it; the problem then says why it was not allowed. */
static bool try_credential(const struct judging *judging, const struct config_credential *credential,
                           const struct reading *reading, bool *tried)
{
	if (reading->result != PATH_OK)
		return refuse_path(judging, reading->result);
	struct span base = span_of(credential->upstream.path);
	if (!path_has_prefix(reading->path, base))
		return false;
	*tried = true;
	judging->judgement->credential = credential;
	judging->judgement->path = reading->path;
	if (judge_puts_in_path(credential))
		judge_compose(judging, credential, span_from(reading->path, base.length));
	return judge_rules(judging, &credential->rules, credential->encoded_slash);
}

bool judge_credential_host(const struct judging *judging)
{
	struct judgement *judgement = judging->judgement;
	const struct config_credential **list;
	const struct config_credential *told = NULL;
	struct problem first = {0};
	struct reading readings[READINGS] = {0};
	size_t count = route_credentials(judging->snapshot->shared->routes, judgement->profile, &judgement->host,
	                                 judgement->port, judging->arena, &list);
	if (count == 0)
		return refuse_host(judging);
	for (size_t i = 0; i < count; i++) {
		bool tried = false;
		if (try_credential(judging, list[i], read_path(judging, list[i], readings), &tried)) {
			*judging->problem = (struct problem){0};
			judge_aim_at(judgement, list[i]);
			return judge_tokenless(judging) && judge_readiness(judging);
		}
		/* Of several refusals, the one of the credential that comes first tells most. */
		if (judging->problem->status && (!first.status || (first.status == 400 && tried))) {
			first = *judging->problem;
			told = judgement->credential;
		}
		*judging->problem = (struct problem){0};
		judgement->credential = NULL;
	}
	if (!first.status)
		return refuse_prefix(judging);
	*judging->problem = first;
	judgement->credential = told;
	return false;
}

void judge_allow_entry(struct judgement *judgement)
{
	judgement->private_allowed = judgement->entry->pattern.kind == PATTERN_EXACT;
	judgement->literal_allowed = judgement->host.kind != HOST_NAME;
}

bool judge_allowed_host(const struct judging *judging)
{
	struct judgement *judgement = judging->judgement;
	const struct config_host *entry =
		route_host(judging->snapshot->shared->routes, judgement->profile, &judgement->host, judgement->port);
	if (!entry)
		return refuse_host(judging);
	enum path_result result = judge_canonical(judging, judging->target.path, entry->encoded_slash, &entry->rules,
	                                          &judgement->path);
	if (result != PATH_OK)
		return refuse_path(judging, result);
	judgement->entry = entry;
	judge_allow_entry(judgement);
	return judge_tokenless(judging) && judge_rules(judging, &entry->rules, entry->encoded_slash);
}

const struct config_profile *judge_proxy_profile(const struct judging *judging, struct shown *shown)
{
	const struct snapshot *snapshot = judging->snapshot;
	if (snapshot->config->session.none)
		return &snapshot->config->profiles[0];
	const struct token_entry *entry =
		authenticate_proxy(snapshot->shared->tokens, judging->request, judging->arena, shown);
	return entry ? entry->profile : NULL;
}

static bool judge_forward(const struct judging *judging)
{
	struct judgement *judgement = judging->judgement;
	const struct target *target = &judging->target;
	struct shown shown = {0};
	judgement->way = WAY_FORWARD;
	judgement->host = target->authority.host;
	judgement->port = target->authority.port;
	judgement->tls = target->tls;
	judgement->profile = judge_proxy_profile(judging, &shown);
	if (!judgement->profile)
		return refuse_proxy_token(judging, &shown);
	if (!judge_denials(judging))
		return false;
	return route_credential_host(judging->snapshot->shared->routes, &judgement->host, judgement->port)
	               ? judge_credential_host(judging)
	               : judge_allowed_host(judging);
}

/* "delete" would pass a rule that denies DELETE, and some servers take the one for the other. */
static bool judge_method(const struct judging *judging)
{
	static const struct span known[] = {SPAN("GET"),    SPAN("HEAD"),    SPAN("POST"),  SPAN("PUT"),    SPAN("PATCH"),
	                                    SPAN("DELETE"), SPAN("OPTIONS"), SPAN("TRACE"), SPAN("CONNECT")};
	struct span method = judging->request->method;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (span_equal_nocase(method, known[i]))
			return span_equal(method, known[i]) || refuse_method(judging);
	return true;
}

static bool judge_by_way(const struct judging *judging)
{
	if (judging->way->place)
		return judge_inside(judging);
	bool here = judging->target.form == TARGET_ORIGIN || is_own(judging, &judging->target.authority);
	return here ? judge_reverse(judging) : judge_forward(judging);
}

bool judge_request(const struct snapshot *snapshot, const struct judge_listener *own, const struct way *way,
                   const struct request *request, struct arena *arena, struct judgement *judgement,
                   struct problem *problem)
{
	struct fault fault = FAULT_INIT;
	struct judging judging = {
		.snapshot = snapshot,
		.own = own,
		.way = way,
		.request = request,
		.arena = arena,
		.judgement = judgement,
		.problem = problem,
	};
	judgement->way = way->kind;
	if (!judge_method(&judging))
		return false;
	if (!target_parse(request->method, request->target, &judging.target, &fault))
		return refuse_target(&judging, fault.text);
	judgement->query = judging.target.query;
	if (judging.target.form == TARGET_AUTHORITY) {
		judgement->way = WAY_CONNECT;
		judgement->host = judging.target.authority.host;
		judgement->port = judging.target.authority.port;
		return refuse_connect(&judging);
	}
	if (judging.target.form == TARGET_ASTERISK)
		return refuse_target(&judging, "the request target `*` names no credential");
	if (span_equal(request->method, SPAN("TRACE")))
		return refuse_trace(&judging);
	if (snapshot->config->session.none && !judge_sender(&judging))
		return false;
	if (judge_by_way(&judging))
		return true;
	judge_hide_tokens(&judging); /* from the audit */
	return false;
}
