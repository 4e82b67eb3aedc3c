#include "base64.h"
#include "token_request_internal.h"

#define USUAL_LIFE 300 /* s */

static const struct injection *find_injection(const struct config_credential *credential)
{
	for (size_t i = 0; i < credential->injection_count; i++) {
		const struct injection *injection = &credential->injections[i];
		if (injection->kind == INJECT_OAUTH2 || injection->kind == INJECT_JWT)
			return injection;
	}
	return NULL;
}

bool token_request_applies(const struct config_credential *credential)
{
	return find_injection(credential) != NULL;
}

uint64_t token_request_life(const struct config_credential *credential)
{
	uint64_t life = credential->ttl ? (credential->ttl + 999) / 1000 : USUAL_LIFE;
	return life < TOKEN_MOST_LIFE ? life : TOKEN_MOST_LIFE;
}

struct span token_parameter(const struct injection *injection, const char *name)
{
	for (size_t i = 0; i < injection->parameter_names.count; i++)
		if (!strcmp(injection->parameter_names.list[i], name))
			return span_of(injection->parameter_values.list[i]);
	return (struct span){0};
}

void token_endpoint(const struct making *making, struct span url)
{
	struct token_request *out = making->out;
	origin_parse(url, (struct origin_options){.query = true}, making->arena, &out->endpoint, NULL);
	out->url = origin_url(url, &out->endpoint, making->arena);
}

static void encode(struct buffer *out, struct span text)
{
	for (size_t i = 0; i < text.length; i++) {
		unsigned char c = (unsigned char)text.data[i];
		bool same = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("*-._", c));
		if (same || c == ' ')
			buffer_char(out, same ? (char)c : '+');
		else
			buffer_format(out, "%%%02X", c);
	}
}

struct span token_form_body(const struct making *making, const struct token_field *fields, size_t count)
{
	AUTO_WIPE struct buffer form = {0};
	for (size_t i = 0; i < count; i++) {
		if (fields[i].value.length == 0)
			continue;
		buffer_string(&form, form.length ? "&" : "");
		buffer_string(&form, fields[i].name);
		buffer_char(&form, '=');
		encode(&form, fields[i].value);
	}
	return arena_span(making->arena, buffer_view(&form));
}

/* RFC 6749 §2.3.1: both are encoded as in a form before they are joined. */
static const char *basic(const struct making *making)
{
	AUTO_WIPE struct buffer pair = {0};
	struct span id = making->secrets->id, key = making->secrets->key, scheme = SPAN("Basic ");
	encode(&pair, id);
	buffer_char(&pair, ':');
	encode(&pair, key);
	char *value = arena_alloc(making->arena, scheme.length + BASE64_BYTES(pair.length));
	memcpy(value, scheme.data, scheme.length);
	base64_encode(buffer_view(&pair), value + scheme.length);
	return value;
}

/* A client without a key is a public one, which says who it is (RFC 6749 §3.2.1) and has nothing to show for it. */
static bool make_oauth2(const struct making *making, struct fault *fault)
{
	(void)fault;
	const struct token_secrets *secrets = making->secrets;
	struct span none = {0}, refresh = secrets->refresh;
	bool in_body = secrets->key.length == 0 || span_equal(token_parameter(making->injection, "auth"), SPAN("body"));
	const struct token_field fields[] = {
		{"grant_type", refresh.length ? SPAN("refresh_token") : SPAN("client_credentials")},
		{"refresh_token", refresh},
		{"scope", token_parameter(making->injection, "scope")},
		{"client_id", in_body ? secrets->id : none},
		{"client_secret", in_body ? secrets->key : none},
	};
	making->out->grant = refresh.length ? GRANT_REFRESH : GRANT_CLIENT;
	making->out->authorization = in_body ? NULL : basic(making);
	making->out->body = token_form_body(making, fields, sizeof fields / sizeof *fields);
	token_endpoint(making, token_parameter(making->injection, "token_url"));
	return true;
}

/* Any text will do; that there is none is told by who reads secrets. */
static bool fits_oauth2(const struct making *making, struct fault *fault)
{
	(void)making;
	(void)fault;
	return true;
}

static const struct token_kind token_kind_oauth2 = {fits_oauth2, make_oauth2};

static const struct token_kind *kind_of(const struct injection *injection)
{
	if (injection->kind == INJECT_OAUTH2)
		return &token_kind_oauth2;
	if (token_parameter(injection, "github_app").data)
		return &token_kind_github;
	return token_parameter(injection, "google").data ? &token_kind_google : &token_kind_jwt;
}

bool token_request_fits(const struct config_credential *credential, const struct token_secrets *secrets,
                        struct fault *fault)
{
	struct arena arena = {0};
	const struct making making = {
		.credential = credential, .injection = find_injection(credential), .secrets = secrets, .arena = &arena};
	bool fits = !making.injection || kind_of(making.injection)->fits(&making, fault);
	arena_free(&arena);
	return fits || fault_wrap(fault, "secret");
}

bool token_request_make(const struct config_credential *credential, const struct token_secrets *secrets, time_t now,
                        const unsigned char jti[TOKEN_JTI], struct arena *arena, struct token_request *out,
                        struct fault *fault)
{
	const struct making making = {.credential = credential,
	                              .injection = find_injection(credential),
	                              .secrets = secrets,
	                              .now = now > 0 ? (uint64_t)now : 0,
	                              .jti = jti,
	                              .arena = arena,
	                              .out = out};
	*out = (struct token_request){.asks = true, .accept = "application/json", .form = TOKEN_OAUTH2};
	if (!making.injection)
		return fault_set(fault, FAULT_USAGE, "the credential has neither oauth2 nor jwt");
	return kind_of(making.injection)->make(&making, fault) || fault_wrap(fault, "secret");
}
