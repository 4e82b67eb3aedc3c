/* Tokens that a JWT is signed for: one that is spelt out, a GitHub App's, a Google service account's. */
#include <stdio.h>

#include "jose.h"
#include "service_account.h"
#include "text.h"
#include "token_request_internal.h"

#define BACK 60         /* s that a JWT is dated back, for servers whose clock is behind ours */
#define APP_LIFE 540    /* s: GitHub takes no more than 600 by its own clock */
#define GOOGLE_LIFE 3600 /* s from `iat`, and no more */

#define CLAIM SPAN("claims.")

static void claim_text(struct buffer *json, struct span name, struct span value)
{
	json_element(json, name);
	buffer_string(json, ":\"");
	buffer_json(json, value);
	buffer_char(json, '"');
}

/* As in the configuration, where all is text. */
static void claim_said(struct buffer *json, struct span name, struct span value)
{
	bool word = span_equal(value, SPAN("true")) || span_equal(value, SPAN("false"));
	if (!word) {
		claim_text(json, name, value);
		return;
	}
	json_element(json, name);
	buffer_char(json, ':');
	buffer_span(json, value);
}

/* Dated back by BACK, and good until `life` from now. */
static void claim_times(const struct making *making, struct buffer *json, uint64_t life)
{
	json_number(json, "iat", making->now > BACK ? making->now - BACK : 0);
	json_number(json, "exp", making->now + life);
}

/* RFC 7523 §2.1. */
static void ask_by_grant(const struct making *making, struct span token, struct span url)
{
	const struct token_field fields[] = {
		{"grant_type", SPAN("urn:ietf:params:oauth:grant-type:jwt-bearer")},
		{"assertion", token},
	};
	making->out->grant = GRANT_ASSERTION;
	making->out->body = token_form_body(making, fields, 2);
	token_endpoint(making, url);
}

static void answer_itself(const struct making *making, struct span token, uint64_t life)
{
	*making->out = (struct token_request){.token = token, .life = life};
}

/* ---- spelt out ---- */

static void claim_jti(const struct making *making, struct buffer *json)
{
	char hex[2 * TOKEN_JTI + 1];
	for (size_t i = 0; i < TOKEN_JTI; i++)
		snprintf(hex + 2 * i, 3, "%02x", making->jti[i]);
	json_text(json, "jti", span_of(hex));
}

/* What a token endpoint needs beside: whom it is for, which is the endpoint (RFC 7523 §3), and a name by which it is taken but
 * once. */
static void claim_for_endpoint(const struct making *making, struct buffer *json, struct span url)
{
	if (!token_parameter(making->injection, "claims.aud").data)
		claim_text(json, SPAN("aud"), url);
	claim_jti(making, json);
}

static void write_claims(const struct making *making, struct buffer *json, uint64_t life)
{
	const struct string_list *names = &making->injection->parameter_names, *values = &making->injection->parameter_values;
	struct span url = token_parameter(making->injection, "token_url");
	buffer_char(json, '{');
	for (size_t i = 0; i < names->count; i++) {
		struct span name = span_of(names->list[i]);
		if (span_starts(name, CLAIM))
			claim_said(json, span_from(name, CLAIM.length), span_of(values->list[i]));
	}
	if (url.data)
		claim_for_endpoint(making, json, url);
	claim_times(making, json, life);
	buffer_char(json, '}');
}

static enum jose_alg alg_of(const struct making *making)
{
	enum jose_alg alg = JOSE_RS256;
	jose_alg(token_parameter(making->injection, "alg"), &alg); /* the configuration has judged the word */
	return alg;
}

static bool fits_jwt(const struct making *making, struct fault *fault)
{
	return jose_fits(making->secrets->secret, alg_of(making), fault);
}

static bool make_jwt(const struct making *making, struct fault *fault)
{
	AUTO_BUFFER struct buffer claims = {0};
	struct span token, none = {0}, url = token_parameter(making->injection, "token_url");
	uint64_t life = token_request_life(making->credential);
	write_claims(making, &claims, life);
	if (!jose_token(making->secrets->secret, alg_of(making), none, buffer_view(&claims), making->arena, &token, fault))
		return false;
	if (url.data)
		ask_by_grant(making, token, url);
	else
		answer_itself(making, token, life);
	return true;
}

const struct token_kind token_kind_jwt = {fits_jwt, make_jwt};

/* ---- GitHub App ---- */

/* Where the API is. What is cloned from github.com has its tokens from there too, and whatever path an upstream there is limited
 * to is none of the API's own. */
static const char *github_api(const struct making *making)
{
	const struct origin *upstream = &making->credential->upstream;
	struct span host = host_span(&upstream->host);
	if (span_equal(host, SPAN("github.com")) || span_equal(host, SPAN("api.github.com")))
		return "https://api.github.com";
	return origin_url(SPAN(""), upstream, making->arena);
}

static void ask_github(const struct making *making, struct span token, struct span installation)
{
	struct token_request *out = making->out;
	out->form = TOKEN_GITHUB;
	out->grant = GRANT_APP;
	out->accept = "application/vnd.github+json";
	out->authorization = arena_format(making->arena, "Bearer %.*s", SPAN_ARGS(token));
	token_endpoint(making, span_of(arena_format(making->arena, "%s/app/installations/%.*s/access_tokens", github_api(making),
	                                            SPAN_ARGS(installation))));
}

static bool fits_github(const struct making *making, struct fault *fault)
{
	return jose_fits(making->secrets->secret, JOSE_RS256, fault);
}

static bool make_github(const struct making *making, struct fault *fault)
{
	AUTO_BUFFER struct buffer claims = {0};
	struct span token, none = {0}, installation = token_parameter(making->injection, "installation");
	buffer_char(&claims, '{');
	claim_text(&claims, SPAN("iss"), token_parameter(making->injection, "github_app"));
	claim_times(making, &claims, APP_LIFE);
	buffer_char(&claims, '}');
	if (!jose_token(making->secrets->secret, JOSE_RS256, none, buffer_view(&claims), making->arena, &token, fault))
		return false;
	if (installation.data)
		ask_github(making, token, installation);
	else
		answer_itself(making, token, APP_LIFE);
	return true;
}

const struct token_kind token_kind_github = {fits_github, make_github};

/* ---- Google service account ---- */

static bool fits_google(const struct making *making, struct fault *fault)
{
	struct service_account account;
	return service_account_read(making->secrets->secret, making->arena, &account, fault) &&
	       (jose_fits(account.key, JOSE_RS256, fault) || fault_wrap(fault, "private_key"));
}

static bool make_google(const struct making *making, struct fault *fault)
{
	AUTO_BUFFER struct buffer claims = {0};
	struct service_account account;
	struct span token;
	if (!service_account_read(making->secrets->secret, making->arena, &account, fault))
		return false;
	buffer_char(&claims, '{');
	claim_text(&claims, SPAN("iss"), account.email);
	claim_text(&claims, SPAN("scope"), token_parameter(making->injection, "google"));
	claim_text(&claims, SPAN("aud"), account.token_uri);
	claim_times(making, &claims, GOOGLE_LIFE - BACK);
	buffer_char(&claims, '}');
	if (!jose_token(account.key, JOSE_RS256, account.key_id, buffer_view(&claims), making->arena, &token, fault))
		return fault_wrap(fault, "private_key");
	ask_by_grant(making, token, account.token_uri);
	return true;
}

const struct token_kind token_kind_google = {fits_google, make_google};
