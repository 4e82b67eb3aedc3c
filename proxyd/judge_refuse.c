/* What is told of a refusal: what was wrong, and what to do. Whoever has shown no token is told nothing of the
 * configuration but which names are credentials, and where their tokens go. */
#include <stdlib.h>

#include "judge_internal.h"

#define SHOWN_BYTES 200 /* of what the client sent */
#define NAMES_SHOWN 16

#define METHODS "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

static struct span cut(struct span text)
{
	return span_head(text, SHOWN_BYTES);
}

static const char *address_of(const struct judging *judging)
{
	char text[AUTHORITY_TEXT];
	authority_format(&judging->judgement->host, judging->judgement->port, text);
	return arena_copy(judging->arena, text, strlen(text));
}

bool refuse_target(const struct judging *judging, const char *why)
{
	return problem_set(judging->problem, 400, "malformed_target", arena_format(judging->arena, "%s", why),
	                   "send /NAME/path with NAME a credential, or http://host/path with Proxy-Authorization");
}

bool refuse_connect(const struct judging *judging)
{
	judging->problem->close = true;
	return problem_set(judging->problem, 501, "connect", "CONNECT is taken as the first request of a connection alone",
	                   "open a new connection to the proxy for the tunnel");
}

bool refuse_authority(const struct judging *judging, const char *why)
{
	return problem_set(judging->problem, 400, "malformed_target", arena_format(judging->arena, "%s", why),
	                   "send CONNECT host:port, the host's name in its plain form");
}

bool refuse_content(const struct judging *judging)
{
	return problem_set(judging->problem, 400, "connect_content", "a CONNECT with content can be read in two ways",
	                   "leave out Content-Length and Transfer-Encoding: what is behind the head is the tunnel's");
}

/* The endpoint that leads where the tunnel would have led, and the variable that carries it. */
static const char *endpoint_words(const struct judging *judging, const struct config_credential *credential)
{
	const struct authority *advertise = &judging->snapshot->config->advertise;
	const struct string_list *variables = &credential->env.base_url;
	char address[AUTHORITY_TEXT];
	const char *carrier = variables->count ? arena_format(judging->arena, ", which %s carries", variables->list[0]) : "";
	if (advertise->host.length == 0)
		return arena_format(judging->arena, "use the endpoint of credential %s, /%s/%s", credential->name, credential->name,
		                    carrier);
	authority_format(&advertise->host, advertise->port, address);
	return arena_format(judging->arena, "use the endpoint of credential %s, http://%s/%s/%s", credential->name, address,
	                    credential->name, carrier);
}

bool refuse_tunnel(const struct judging *judging, const struct config_credential *credential)
{
	return problem_set(judging->problem, 403, "credential_host",
	                   arena_format(judging->arena, "%s is the host of credential %s, whose secret goes in where proxyd reads "
	                                                "the request, and in a tunnel it does not", address_of(judging),
	                                credential->name),
	                   credential->upstream.wildcard
	                           ? "send the request itself to the proxy: GET https://host/path HTTP/1.1"
	                           : endpoint_words(judging, credential));
}

bool refuse_misdirected(const struct judging *judging, const char *what)
{
	return problem_set(judging->problem, 421, "misdirected",
	                   arena_format(judging->arena, "the %s names another host than %s, to which this connection leads", what,
	                                address_of(judging)),
	                   "use a connection of its own for each host");
}

bool refuse_profile(const struct judging *judging, struct span name)
{
	return problem_set(judging->problem, 403, "no_profile",
	                   arena_format(judging->arena, "the connection is for profile %.*s, which the configuration has no more",
	                                SPAN_ARGS(name)),
	                   "source envgen's output again");
}

bool refuse_revoked(const struct judging *judging)
{
	judging->problem->close = true;
	return problem_set(judging->problem, 403, "token_revoked",
	                   arena_format(judging->arena, "the token by which profile %s had this connection is no longer valid",
	                                judging->judgement->profile->name),
	                   "source envgen's output again, and connect anew");
}

bool refuse_trace(const struct judging *judging)
{
	judging->problem->allow = SPAN(METHODS);
	return problem_set(judging->problem, 405, "trace", "TRACE would send back what was injected",
	                   "use another method");
}

bool refuse_method(const struct judging *judging)
{
	return problem_set(judging->problem, 400, "method_case",
	                   arena_format(judging->arena, "the method `%.*s` has small letters, and methods are told apart by case",
	                                SPAN_ARGS(cut(judging->request->method))),
	                   "write the method in capitals, like GET");
}

bool refuse_browser(const struct judging *judging, const char *what)
{
	return problem_set(judging->problem, 403, "browser",
	                   arena_format(judging->arena, "under `session: none` a request that %s is refused, since a page in a "
	                                                "browser could have sent it", what),
	                   "ask by the listener's own address without such fields, or set session.key and send tokens");
}

/* "profile coder has /openai/, /github/": what has an endpoint. */
static const char *list_names(const struct judging *judging, const struct config_profile *profile)
{
	char *text = arena_format(judging->arena, "profile %s has", profile->name);
	size_t count = 0;
	for (size_t i = 0; i < profile->credential_count; i++) {
		const struct config_credential *credential = profile->credentials[i];
		if (!credential->upstream.wildcard && count++ < NAMES_SHOWN)
			text = arena_format(judging->arena, "%s%s /%s/", text, count > 1 ? "," : "", credential->name);
	}
	return count == 0            ? arena_format(judging->arena, "%s no endpoints", text)
	       : count > NAMES_SHOWN ? arena_format(judging->arena, "%s and %zu more", text, count - NAMES_SHOWN)
	                             : text;
}

bool refuse_name(const struct judging *judging, struct span name)
{
	const struct snapshot *snapshot = judging->snapshot;
	const struct config_profile *profile = judging->judgement->profile;
	const char *hint = "the path begins with the name of a credential: /NAME/path";
	if (snapshot->config->session.none) {
		profile = &snapshot->config->profiles[0];
	} else if (!profile) {
		const struct token_entry *entry =
			authenticate_anyone(snapshot->shared->tokens, judging->request, judging->arena);
		profile = entry ? entry->profile : NULL;
	}
	if (profile)
		hint = list_names(judging, profile);
	return problem_set(judging->problem, 404, "no_credential",
	                   name.length ? arena_format(judging->arena, "there is no credential `%.*s`", SPAN_ARGS(cut(name)))
	                               : "the path names no credential",
	                   hint);
}

bool refuse_wildcard(const struct judging *judging, const struct config_credential *credential)
{
	return problem_set(judging->problem, 404, "wildcard_upstream",
	                   arena_format(judging->arena, "credential %s has a wildcard upstream, so it has no endpoint of its own",
	                                credential->name),
	                   "send the request for the host itself through the proxy: http_proxy, absolute-form");
}

/* Where the agent shows its token, as a person would write it. */
static const char *place_words(const struct judging *judging, const struct injection *injection)
{
	struct arena *arena = judging->arena;
	switch (injection->kind) {
	case INJECT_HEADER:
		return arena_format(arena, "where the secret goes, in `%s: %s`", injection->name, injection->value);
	case INJECT_QUERY: return arena_format(arena, "where the secret goes, in `?%s={secret}`", injection->name);
	case INJECT_PATH:
		return arena_format(arena, "where the secret goes, in `/%s%s`", judging->judgement->credential->name,
		                    injection->paths.list[0]);
	case INJECT_COOKIE: return arena_format(arena, "where the secret goes, in `Cookie: %s={secret}`", injection->name);
	case INJECT_AWS_SIGV4: return "as the access key id (AWS_ACCESS_KEY_ID), with any secret key";
	default: return "as the password of Basic authentication with any user";
	}
}

static const char *whose(const struct judging *judging, const struct token_entry *entry)
{
	if (entry->kind == TOKEN_CREDENTIAL)
		return arena_format(judging->arena, "the token of credential %s in profile %s", entry->credential->name,
		                    entry->profile->name);
	if (entry->kind == TOKEN_PROXY)
		return arena_format(judging->arena, "the proxy token of profile %s", entry->profile->name);
	return "the token of the admin page";
}

static const char *token_detail(const struct judging *judging, const struct shown *shown, const char *wanted)
{
	if (shown->other)
		return arena_format(judging->arena, "what came is %s, not %s", whose(judging, shown->other), wanted);
	if (shown->field.length)
		return arena_format(judging->arena, "a session token came in the field %.*s, where it is not looked for",
		                    SPAN_ARGS(cut(shown->field)));
	if (shown->anything)
		return arena_format(judging->arena, "what came in the token's place is not %s", wanted);
	return "no session token came with the request";
}

static const char *stale_words(const struct shown *shown)
{
	bool stale = shown->anything && !shown->other;
	return stale ? "; source envgen's output again: a new session.key or token_version makes old tokens void" : "";
}

bool refuse_token(const struct judging *judging, const struct config_credential *credential, const struct shown *shown)
{
	const char *wanted = arena_format(judging->arena, "a token of credential %s", credential->name);
	const struct injection *first = &credential->injections[0];
	const char *place = place_words(judging, first);
	bool bearer = first->kind == INJECT_HEADER && span_equal_nocase(span_of(first->name), SPAN("Authorization")) &&
	              span_equal_nocase(span_of(first->value), SPAN("Bearer {secret}"));
	return problem_set(judging->problem, 401, shown->anything || shown->field.length ? "bad_token" : "no_token",
	                   token_detail(judging, shown, wanted),
	                   arena_format(judging->arena, "send the token that envgen writes %s%s%s", place,
	                                bearer ? "" : ", or as `Authorization: Bearer {secret}`",
	                                stale_words(shown)));
}

bool refuse_proxy_token(const struct judging *judging, const struct shown *shown)
{
	return problem_set(judging->problem, 407, shown->anything || shown->field.length ? "bad_token" : "no_token",
	                   token_detail(judging, shown, "a profile's proxy token"),
	                   arena_format(judging->arena, "set http_proxy to what envgen writes: the token is the password in it, "
	                                                "and goes into Proxy-Authorization%s", stale_words(shown)));
}

bool refuse_path(const struct judging *judging, enum path_result result)
{
	judging->judgement->path = (struct span){NULL, 0}; /* none was judged */
	const char *hint = "send the path in its plain form";
	if (result == PATH_ENCODED_SLASH)
		hint = "send the path in its plain form, or set `encoded_slash: true` on the entry";
	if (result == PATH_EMPTY_SEGMENT)
		hint = "send the path without the empty segment, which rules could not judge";
	return problem_set(judging->problem, 400, "malformed_path",
	                   arena_format(judging->arena, "the path of the request %s", path_result_text(result)), hint);
}

bool refuse_prefix(const struct judging *judging)
{
	return problem_set(judging->problem, 403, "no_prefix",
	                   arena_format(judging->arena, "the path lies under the upstream of no credential that profile %s has "
	                                                "for %s", judging->judgement->profile->name, address_of(judging)),
	                   "send a path that begins with the path of the credential's `upstream:`");
}

/* The client should not be here: its NO_PROXY has the host. */
static bool refuse_bypasser(const struct judging *judging, const struct noproxy_entry *entry)
{
	return problem_set(judging->problem, 403, "host_not_allowed",
	                   arena_format(judging->arena, "profile %s does not allow %s at the proxy, and NO_PROXY has %.*s: the "
	                                                "client did not honour it", judging->judgement->profile->name,
	                                address_of(judging), SPAN_ARGS(entry->text)),
	                   "let the client honour NO_PROXY, in both cases (no_proxy), as envgen writes it");
}

bool refuse_host(const struct judging *judging)
{
	const struct judgement *judgement = judging->judgement;
	const char *address = address_of(judging);
	const struct noproxy_entry *bypass =
		route_bypass(judging->snapshot->shared->routes, judgement->profile, &judgement->host, judgement->port);
	if (bypass)
		return refuse_bypasser(judging, bypass);
	bool literal = judgement->host.kind != HOST_NAME;
	bool usual = judgement->port == 80 || judgement->port == 443;
	return problem_set(judging->problem, 403, "host_not_allowed",
	                   arena_format(judging->arena, "profile %s does not allow %s%s", judgement->profile->name, address,
	                                literal ? ", an address: the client may have resolved a name by itself" : ""),
	                   literal ? "let the client send the host's name; an address is reached only where `hosts:` names it"
	                           : arena_format(judging->arena, "to allow it, add \"%s\" to `hosts:` of profile %s",
	                                          usual ? judgement->host.name : address, judgement->profile->name));
}

bool refuse_denied(const struct judging *judging, const struct config_host *denial)
{
	judging->problem->rule = denial->text;
	return problem_set(judging->problem, 403, "host_denied",
	                   arena_format(judging->arena, "`%s` in `hosts:` of profile %s denies %s", denial->text,
	                                judging->judgement->profile->name, address_of(judging)),
	                   "a denial holds whatever else allows the host: take it out to allow it");
}

/* Whose rules they are. */
static const char *owner_of(const struct judging *judging)
{
	const struct judgement *judgement = judging->judgement;
	return judgement->credential
	               ? arena_format(judging->arena, "credential %s", judgement->credential->name)
	               : arena_format(judging->arena, "host entry `%s`", judgement->entry->text);
}

bool refuse_rule(const struct judging *judging, struct rules_verdict verdict)
{
	const char *owner = owner_of(judging);
	struct span method = cut(judging->request->method), path = cut(judging->judgement->path);
	char *rule = rules_hint(judging->request->method, judging->judgement->path);
	const char *hint = arena_format(judging->arena, "a rule that would allow it: `%s`%s", rule,
	                                verdict.rule ? ", in front of that one" : "");
	free(rule);
	judging->problem->rule = verdict.rule ? verdict.rule->text : NULL;
	if (!verdict.rule)
		return problem_set(judging->problem, 403, "no_rule",
		                   arena_format(judging->arena, "no rule of %s allows %.*s %.*s", owner, SPAN_ARGS(method),
		                                SPAN_ARGS(path)),
		                   hint);
	return problem_set(judging->problem, 403, "rule",
	                   arena_format(judging->arena, "rule `%s` of %s denies %.*s %.*s", verdict.rule->text, owner,
	                                SPAN_ARGS(method), SPAN_ARGS(path)),
	                   hint);
}

bool refuse_override(const struct judging *judging, const struct field *field)
{
	return problem_set(judging->problem, 403, "override",
	                   arena_format(judging->arena, "the field %.*s asks for something else than the first line, which the "
	                                                "rules of %s do not allow", SPAN_ARGS(cut(field->name)), owner_of(judging)),
	                   "leave the field out: a server that knows it would do another thing than was judged");
}

bool refuse_source(const struct judging *judging, const struct field *field)
{
	return problem_set(judging->problem, 403, "copy_source",
	                   arena_format(judging->arena, "the field %.*s names something to be read that the rules of %s do not judge",
	                                SPAN_ARGS(cut(field->name)), owner_of(judging)),
	                   "to let the agent read all that the key may read, add the field to the credential's `pass`");
}

bool refuse_path_token(const struct judging *judging)
{
	return problem_set(judging->problem, 400, "token_in_path", "a session token stands in the path, where no secret goes",
	                   "send the token where the secret goes, or as `Authorization: Bearer`");
}

#define LONGEST_RETRY 300000 /* ms */

bool refuse_tokenless(const struct judging *judging, const struct config_credential *credential,
                      const struct minted_token *token, uint64_t now)
{
	judging->problem->error = "proxy_configuration_error";
	uint64_t wait = token->again > now ? token->again - now : 0;
	judging->problem->retry_after = wait < LONGEST_RETRY ? (unsigned)(wait / 1000) + 1 : LONGEST_RETRY / 1000;
	return problem_set(judging->problem, 503, "token_not_ready",
	                   arena_format(judging->arena, "credential %s has no token: %s", credential->name,
	                                token->why ? token->why : "it is still being asked for"),
	                   "/readyz on the admin listener, and proxyd's log, tell when it has one");
}

#define UNREADY_RETRY 5 /* s */

bool refuse_unready(const struct judging *judging, const struct config_credential *credential, const char *why)
{
	uint64_t again = secrets_again(judging->snapshot->secrets, credential), now = steady_now();
	judging->problem->retry_after = again > now ? (unsigned)((again - now) / 1000) + 1 : UNREADY_RETRY;
	return problem_set(judging->problem, 503, "secret_not_ready",
	                   arena_format(judging->arena, "the secret of credential %s is not ready: %s", credential->name, why),
	                   again ? "its command is run again by itself; /readyz on the admin listener lists what waits"
	                         : "once the secret is there it works, within a second; /readyz on the admin listener lists what waits");
}
