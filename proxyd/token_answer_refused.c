/* Why there is no token, in words. */
#include "token_answer_internal.h"

#define CODE_MOST 64
#define PIECE 8 /* bytes */

/* What an error means depends on what was shown. The first row that has the code and the grant counts. */
#define OF(grant) (1u << (grant))
#define ANY (~0u)
#define BY_CLIENT (OF(GRANT_CLIENT) | OF(GRANT_REFRESH))

static const struct reason {
	struct span code; /* RFC 6749 §5.2, and what of §4.1.2.1 and RFC 8628 §3.5 is used here too */
	unsigned grants;
	bool final;
	const char *advice;
} reasons[] = {
	{SPAN("invalid_client"), BY_CLIENT, true, "look at the secrets id and key; some servers want \"auth: body\""},
	{SPAN("invalid_client"), ANY, true, "the server does not know who signed; look at the claims and the key"},
	{SPAN("invalid_grant"), OF(GRANT_REFRESH), true, "the refresh token is used up, revoked, or another client's; get a new one"},
	{SPAN("invalid_grant"), OF(GRANT_CLIENT), true, "look at the client's settings at the server"},
	/* Also said where a clock is wrong, which may be put right. */
	{SPAN("invalid_grant"), ANY, false, "the JWT is not taken; look at the claims, the key, and this machine's clock"},
	{SPAN("unauthorized_client"), ANY, true, "the server does not let this client have tokens in this way; allow it there"},
	{SPAN("invalid_scope"), ANY, true, "look at the scope"},
	{SPAN("unsupported_grant_type"), ANY, true, "the server gives no tokens in this way; look at the address"},
	{SPAN("invalid_request"), BY_CLIENT, false, "look at the address and the scope; some servers want \"auth: body\""},
	{SPAN("invalid_request"), ANY, false, "look at the address and the claims"},
	{SPAN("temporarily_unavailable"), ANY, false, "it will be asked again"},
	{SPAN("server_error"), ANY, false, "it will be asked again"},
	{SPAN("slow_down"), ANY, false, "it will be asked again"},
};

/* Answers without such a code, by their status. */
static const struct by_status {
	unsigned first, last, grants;
	enum fault_code code;
	const char *advice;
} statuses[] = {
	{429, 429, ANY, FAULT_BUSY, "it will be asked again"},
	{500, 599, ANY, FAULT_BUSY, "it will be asked again"},
	{300, 399, ANY, FAULT_DENIED, "redirects are not followed; write the address that it leads to"},
	{401, 401, BY_CLIENT, FAULT_DENIED, "look at the secrets id and key; some servers want \"auth: body\""},
	{401, 401, OF(GRANT_APP), FAULT_DENIED, "look at github_app, the key, and this machine's clock"},
	{403, 403, OF(GRANT_APP), FAULT_DENIED, "the App is suspended or may not do so; look at its settings"},
	{404, 404, OF(GRANT_APP), FAULT_DENIED, "the App has no such installation; look at installation and github_app"},
	{400, 403, OF(GRANT_ASSERTION), FAULT_DENIED, "look at the claims, the key, and this machine's clock"},
	{400, 400, ANY, FAULT_DENIED, "look at the address and the secrets"},
	{403, 403, ANY, FAULT_DENIED, "look at what the server lets this client do"},
	{404, 405, ANY, FAULT_DENIED, "there is no token endpoint at the address; look at it"},
	{0, 999, ANY, FAULT_BROKEN, "look at the address"},
};

static const struct by_status *find_status(unsigned status, unsigned grant)
{
	const struct by_status *row = statuses;
	while ((status < row->first || status > row->last || !(row->grants & grant)) && row->last != 999)
		row++;
	return row;
}

static const struct reason *find_reason(struct span code, unsigned grant)
{
	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
		if (span_equal(code, reasons[i].code) && (reasons[i].grants & grant))
			return &reasons[i];
	return NULL;
}

static bool holds(struct span text, struct span part)
{
	return part.length > 0 && text.length >= part.length && memmem(text.data, text.length, part.data, part.length);
}

/* Is a piece of `text` long enough to be told apart in `secret`? */
static bool shares(struct span text, struct span secret)
{
	for (; text.length >= PIECE; text = span_from(text, 1))
		if (holds(secret, span_head(text, PIECE)))
			return true;
	return false;
}

/* Could it be a secret, or have a piece of one, also as it was sent? */
static bool shows(struct span code, const struct token_asked *asked)
{
	const struct token_secrets *secrets = asked->secrets;
	const struct span all[] = {secrets->id, secrets->key, secrets->refresh, secrets->secret,
	                           span_of(asked->request->authorization)};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (holds(code, all[i]) || holds(all[i], code) || shares(code, all[i]))
			return true;
	return holds(asked->request->body, code);
}

static bool is_code(struct span text)
{
	for (size_t i = 0; i < text.length; i++) {
		char c = span_lower(text.data[i]);
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_' && c != '.' && c != '-')
			return false;
	}
	return text.length > 0 && text.length <= CODE_MOST;
}

/* The vault entry that a new refresh token goes into. */
static const char *refresh_entry(const struct config_credential *credential)
{
	for (size_t i = 0; i < credential->secret_count; i++)
		if (!strcmp(credential->secrets[i].id, "refresh") && credential->secrets[i].source.kind == SOURCE_VAULT)
			return credential->secrets[i].source.name;
	return NULL;
}

static void tell_reason(const struct token_asked *asked, const struct token_reply *reply, struct span code,
                        const struct reason *reason, struct fault *fault)
{
	const char *advice = reason ? reason->advice : "look that up at the server";
	bool spent = reason && span_equal(reason->code, SPAN("invalid_grant")) && asked->request->grant == GRANT_REFRESH;
	const char *entry = spent ? refresh_entry(asked->credential) : NULL;
	bool told = is_code(code) && !shows(code, asked);
	struct span what = told ? code : SPAN("an error");
	fault_set(fault, FAULT_DENIED, "the token endpoint answered %u: %.*s; %s%s%s", reply->status, SPAN_ARGS(what), advice,
	          entry ? ": creds set " : "", entry ? entry : "");
}

/* One that cannot answer now says so by its status, whatever stands in its answer. */
static bool is_busy(const struct token_reply *reply)
{
	return reply->status == 429 || reply->status >= 500;
}

bool token_answer_refused(const struct token_asked *asked, const struct token_reply *reply, const struct json *json,
                          struct token_answer *answer, struct fault *fault)
{
	unsigned grant = OF(asked->request->grant);
	struct span code = {0};
	enum member found = json && !is_busy(reply) ? json_member_text(json, "error", &code) : MEMBER_ABSENT;
	bool redirects = reply->status >= 300 && reply->status < 400;
	if (found == MEMBER_GOOD && !redirects) {
		const struct reason *reason = find_reason(code, grant);
		answer->final = reason && reason->final;
		tell_reason(asked, reply, code, reason, fault);
		return false;
	}
	const struct by_status *row = find_status(reply->status, grant);
	return fault_set(fault, row->code, "the token endpoint answered %u; %s", reply->status, row->advice);
}
