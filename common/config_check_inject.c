/* Do the injections of a credential and its secrets fit together? */
#include "config_internal.h"

/* One credential while its injections are looked at. */
struct fit {
	struct reading *reading;
	const struct config_credential *credential;
	const struct injection *injection;
	uint32_t used; /* a bit for each secret that goes somewhere */
};

/* Marks the secret as used. False where there is none of that name. */
static bool use(struct fit *fit, struct span id)
{
	for (size_t i = 0; i < fit->credential->secret_count; i++) {
		if (!span_equal(span_of(fit->credential->secrets[i].id), id))
			continue;
		fit->used |= 1u << i;
		return true;
	}
	return false;
}

static const char *known_ids(struct fit *fit)
{
	const char *text = "";
	for (size_t i = 0; i < fit->credential->secret_count; i++)
		text = arena_format(fit->reading->nodes, "%s%s{%s}", text, i ? ", " : "", fit->credential->secrets[i].id);
	return text;
}

/* Secrets that are shown to a token endpoint, or signed with, and never to the upstream: by the injection that they are of. */
static const struct {
	enum injection_kind kind;
	const char *name, *id, *what;
} inner_secrets[] = {
	{INJECT_JWT, "jwt", "secret", "what its tokens are signed with"},
	{INJECT_OAUTH2, "oauth2", "key", "what its tokens are got for"},
	{INJECT_OAUTH2, "oauth2", "refresh", "what its tokens are got for"},
};

bool config_injects(const struct config_credential *credential, enum injection_kind kind)
{
	for (size_t i = 0; i < credential->injection_count; i++)
		if (credential->injections[i].kind == kind)
			return true;
	return false;
}

/* What another injection sends cannot be one of these. */
static void check_inner(struct fit *fit, struct span id)
{
	for (size_t i = 0; i < LENGTH(inner_secrets); i++) {
		enum injection_kind kind = inner_secrets[i].kind;
		bool inner = span_equal(id, span_of(inner_secrets[i].id)) && config_injects(fit->credential, kind);
		if (!inner || fit->injection->kind == kind)
			continue;
		config_error_at(fit->reading, fit->injection->mark, "{%s} is %s, as %s has it, and must not reach the upstream itself",
		                inner_secrets[i].id, inner_secrets[i].what, inner_secrets[i].name);
		return;
	}
}

static bool use_name(struct span name, void *context)
{
	struct fit *fit = context;
	check_inner(fit, name);
	if (!use(fit, name) && fit->credential->secret_count)
		config_error_at(fit->reading, fit->injection->mark, "{%.*s} is no secret of this credential, which has %s",
		                SPAN_ARGS(span_head(name, 100)), known_ids(fit));
	return true;
}

static void fit_template(struct fit *fit, const char *template)
{
	if (template && !config_template(span_of(template), use_name, fit))
		config_error_at(fit->reading, fit->injection->mark,
		                "a \"{\" or \"}\" here that is not part of a {NAME} such as {secret}");
}

static void need(struct fit *fit, const char *id, const char *where)
{
	check_inner(fit, span_of(id));
	if (!use(fit, span_of(id)) && fit->credential->secret_count)
		config_error_at(fit->reading, fit->injection->mark, "%s needs a secret named \"%s\"; this credential has %s", where,
		                id, known_ids(fit));
}

static void fit_header(struct fit *fit)
{
	fit_template(fit, fit->injection->value);
}

static void fit_secret(struct fit *fit)
{
	need(fit, "secret", "this injection");
}

static void fit_path(struct fit *fit)
{
	for (size_t i = 0; i < fit->injection->paths.count; i++)
		fit_template(fit, fit->injection->paths.list[i]);
}

/* Fields that a signature comes with: two of one would be read in two ways. */
static void check_signed(struct fit *fit)
{
	static const char *const written[] = {"X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256", NULL};
	for (size_t i = 0; i < fit->credential->injection_count; i++) {
		const struct injection *other = &fit->credential->injections[i];
		for (size_t k = 0; other->kind == INJECT_HEADER && other->name && written[k]; k++)
			if (span_equal_nocase(span_of(other->name), span_of(written[k])))
				config_error_at(fit->reading, other->mark, "%s is written by aws_sigv4", written[k]);
	}
}

static void fit_sigv4(struct fit *fit)
{
	check_signed(fit);
	need(fit, "id", "aws_sigv4");
	need(fit, "key", "aws_sigv4");
	use(fit, SPAN("session"));
}

/* A refresh token is used up with each use of it, by many servers. */
static void check_refresh(struct fit *fit)
{
	for (size_t i = 0; i < fit->credential->secret_count; i++) {
		const struct named_source *secret = &fit->credential->secrets[i];
		if (!strcmp(secret->id, "refresh") && secret->source.kind != SOURCE_VAULT && secret->source.kind != SOURCE_NONE)
			config_error_at(fit->reading, secret->mark,
			                "a refresh token changes as it is used and must be stored: only a vault: entry will do");
	}
}

static void fit_oauth2(struct fit *fit)
{
	bool id = use(fit, SPAN("id")), key = use(fit, SPAN("key")), refresh = use(fit, SPAN("refresh"));
	if (!(id && (key || refresh)) && fit->credential->secret_count)
		config_error_at(fit->reading, fit->injection->mark,
		                "oauth2 needs secrets named \"id\" and \"key\", or \"id\" and \"refresh\"; this credential has %s",
		                known_ids(fit));
	check_refresh(fit);
}

/* What a parameter says, or NULL. */
static const char *parameter(const struct injection *injection, const char *name)
{
	for (size_t i = 0; i < injection->parameter_names.count; i++)
		if (!strcmp(injection->parameter_names.list[i], name))
			return injection->parameter_values.list[i];
	return NULL;
}

bool config_is_app(const struct config_credential *credential)
{
	for (size_t i = 0; i < credential->injection_count; i++)
		if (parameter(&credential->injections[i], "github_app"))
			return true;
	return false;
}

/* Tokens of an installation come from the upstream's own host, but for github.com, which has its API elsewhere. */
static void check_app(struct fit *fit)
{
	const struct origin *upstream = &fit->credential->upstream;
	if (parameter(fit->injection, "installation") && upstream->wildcard && strcmp(upstream->host.name, "github.com") != 0)
		config_error_at(fit->reading, fit->injection->mark,
		                "\"installation\" gets tokens from the upstream, which must be one server here, without \"*.\"");
}

static void fit_jwt(struct fit *fit)
{
	need(fit, "secret", parameter(fit->injection, "google") ? "jwt, for the service account's JSON," :
	                                                          "jwt, for the key that it signs with,");
	check_app(fit);
}

static void (*const fits[])(struct fit *fit) = {
	[INJECT_HEADER] = fit_header,       [INJECT_BASIC] = fit_secret,  [INJECT_QUERY] = fit_secret,
	[INJECT_PATH] = fit_path,           [INJECT_COOKIE] = fit_secret, [INJECT_AWS_SIGV4] = fit_sigv4,
	[INJECT_OAUTH2] = fit_oauth2,       [INJECT_JWT] = fit_jwt,
};

/* Where an injection puts what it sends; signers and basic write Authorization. */
static struct span place(const struct injection *injection)
{
	bool named = injection->kind == INJECT_HEADER || injection->kind == INJECT_QUERY || injection->kind == INJECT_COOKIE;
	if (injection->kind == INJECT_PATH)
		return SPAN("path");
	return named ? span_of(injection->name ? injection->name : "") : SPAN("Authorization");
}

static bool is_cookie_field(const struct injection *injection)
{
	return injection->kind == INJECT_HEADER && span_equal_nocase(place(injection), SPAN("Cookie"));
}

static bool same_place(const struct injection *a, const struct injection *b)
{
	static const enum injection_kind sorts[] = {
		[INJECT_HEADER] = INJECT_HEADER,       [INJECT_BASIC] = INJECT_HEADER,   [INJECT_QUERY] = INJECT_QUERY,
		[INJECT_PATH] = INJECT_PATH,           [INJECT_COOKIE] = INJECT_COOKIE,  [INJECT_AWS_SIGV4] = INJECT_HEADER,
		[INJECT_OAUTH2] = INJECT_HEADER,       [INJECT_JWT] = INJECT_HEADER,
	};
	if (sorts[a->kind] != sorts[b->kind])
		return is_cookie_field(a) ? b->kind == INJECT_COOKIE : is_cookie_field(b) && a->kind == INJECT_COOKIE;
	return sorts[a->kind] == INJECT_HEADER ? span_equal_nocase(place(a), place(b)) : span_equal(place(a), place(b));
}

static void check_places(struct reading *reading, const struct config_credential *credential)
{
	for (size_t i = 1; i < credential->injection_count; i++)
		for (size_t k = 0; k < i; k++) {
			const struct injection *late = &credential->injections[i];
			if (!same_place(late, &credential->injections[k]))
				continue;
			config_error_at(reading, late->mark, "%.*s is injected twice%s", SPAN_ARGS(place(late)),
			                late->kind == INJECT_PATH ? "; several paths are one \"path\" with a list" : "");
			break;
		}
}

/* What is passed from the agent cannot be what proxyd puts there. */
static void check_pass(struct reading *reading, const struct node *entry, const struct config_credential *credential)
{
	const struct node *node = node_find(entry, "pass");
	for (size_t i = 0; node && i < credential->pass.count; i++) {
		struct injection passed = {.kind = INJECT_HEADER, .name = credential->pass.list[i]};
		for (size_t k = 0; k < credential->injection_count; k++)
			if (same_place(&passed, &credential->injections[k]))
				config_error(reading, node, "%s is injected, so the agent's own cannot be passed", passed.name);
	}
}

static void check_used(struct fit *fit)
{
	const struct config_credential *credential = fit->credential;
	if (fit->used == 0)
		config_error_at(fit->reading, credential->injections[0].mark,
		                "no secret goes anywhere: a value needs {secret} or the {NAME} of one of \"secrets\"; a constant "
		                "stands only beside such a one");
	for (size_t i = 0; fit->used && i < credential->secret_count; i++)
		if (!(fit->used >> i & 1))
			config_warning_at(fit->reading, credential->secrets[i].mark, "secret \"%s\" is not used by any injection",
			                  credential->secrets[i].id);
}

void config_check_injections(struct reading *reading, const struct node *entry, struct config_credential *credential,
                             size_t errors)
{
	struct fit fit = {.reading = reading, .credential = credential};
	for (size_t i = 0; i < credential->injection_count; i++) {
		fit.injection = &credential->injections[i];
		fits[fit.injection->kind](&fit);
	}
	check_places(reading, credential);
	check_pass(reading, entry, credential);
	if (credential->injection_count && credential->secret_count && reading->errors.count == errors)
		check_used(&fit);
}
