/* What each credential sends, rendered once for a set of secrets, into guarded memory. */
#include <stdlib.h>

#include "base64.h"
#include "inject_internal.h"
#include "memory.h"
#include "path.h"
#include "percent.h"

/* One credential while it is rendered. */
struct render {
	const struct config_credential *credential;
	const struct secrets *secrets;
	const struct minted *minted;
	struct inject_table *table;
	struct rendering *out;
};

/* Writes `value` to `out` and returns the number of bytes, at most WIDEST times as many. */
#define WIDEST 3
typedef size_t encode_function(struct span value, char *out);

static size_t encode_plain(struct span value, char *out)
{
	if (value.length)
		memcpy(out, value.data, value.length);
	return value.length;
}

static size_t encode_query(struct span value, char *out)
{
	return percent_encode(value, "", out);
}

/* ":" is written plain in a path, as the services that want a key there show it. */
static size_t encode_path(struct span value, char *out)
{
	return percent_encode(value, ":", out);
}

static struct span secret_by_id(const struct render *render, struct span id)
{
	const struct secret_value *value = secrets_by_id(render->secrets, render->credential, id);
	return value ? value->bytes : (struct span){"", 0};
}

/* Takes the literal up to the next {ID} off `*rest`, and the ID; false where that was the last literal. Templates are
 * judged with the configuration: a brace is always part of an {ID}. */
static bool take_piece(struct span *rest, struct span *literal, struct span *id)
{
	*literal = span_split(rest, '{');
	if (!rest->data)
		return false;
	*id = span_split(rest, '}');
	if (!rest->data)
		*rest = (struct span){"", 0};
	return true;
}

static size_t template_room(const struct render *render, struct span template)
{
	struct span literal, id;
	size_t room = template.length;
	while (take_piece(&template, &literal, &id))
		room += secret_by_id(render, id).length * WIDEST;
	return room;
}

static struct span render_template(const struct render *render, struct span template, encode_function *encode)
{
	struct span literal, id;
	char *text = secret_arena_room(render->table->secrets, template_room(render, template)), *end = text;
	bool more;
	do {
		more = take_piece(&template, &literal, &id);
		end = mempcpy(end, literal.data, literal.length);
		if (more)
			end += encode(secret_by_id(render, id), end);
	} while (more);
	return (struct span){text, (size_t)(end - text)};
}

static bool unfit(const struct render *render, const char *kind, const char *name, const char *why)
{
	render->out->unfit =
		arena_format(&render->table->arena, "a secret of credential %s cannot go into the %s%s%s: %s",
	                     render->credential->name, kind, *name ? " " : "", name, why);
	return false;
}

static bool has_control(struct span text)
{
	for (size_t i = 0; i < text.length; i++)
		if (((unsigned char)text.data[i] < ' ' && text.data[i] != '\t') || text.data[i] == 0x7f)
			return true;
	return false;
}

static void add_header(const struct render *render, struct span name, struct span value)
{
	fields_add(&render->out->headers, &render->table->arena, arena_span(&render->table->arena, name), value);
}

static bool render_header(const struct render *render, const struct injection *injection)
{
	struct span value = render_template(render, span_of(injection->value), encode_plain);
	if (has_control(value))
		return unfit(render, "header", injection->name, "it has a control character");
	add_header(render, span_of(injection->name), value);
	return true;
}

static bool render_basic(const struct render *render, const struct injection *injection)
{
	static const struct span scheme = {"Basic ", 6};
	struct span user = span_of(injection->name), secret = secret_by_id(render, SPAN("secret"));
	struct span plain = {.length = user.length + 1 + secret.length};
	char *text = secret_arena_room(render->table->secrets, plain.length);
	memcpy(mempcpy(mempcpy(text, user.data, user.length), ":", 1), secret.data, secret.length);
	plain.data = text;
	char *value = secret_arena_room(render->table->secrets, scheme.length + BASE64_BYTES(plain.length));
	memcpy(value, scheme.data, scheme.length);
	base64_encode(plain, value + scheme.length);
	if (render->credential->scrub && secret.length >= NEEDLE_LEAST)
		needle_add(&render->out->needles, &render->table->arena, span_of(value + scheme.length));
	add_header(render, SPAN("Authorization"), span_of(value));
	return true;
}

/* Appends "NAME=VALUE" to what is there. */
static void append_pair(const struct render *render, struct span *pairs, struct span between, struct span name,
                        struct span value)
{
	size_t length = pairs->length + between.length + name.length + 1 + value.length;
	char *text = secret_arena_room(render->table->secrets, length), *end = text;
	if (pairs->length > 0) {
		end = mempcpy(end, pairs->data, pairs->length);
		end = mempcpy(end, between.data, between.length);
	}
	end = mempcpy(mempcpy(end, name.data, name.length), "=", 1);
	end = mempcpy(end, value.data, value.length);
	*pairs = (struct span){text, (size_t)(end - text)};
}

static void add_name(const struct render *render, struct name_list *names, const char *name)
{
	if (!names->list)
		names->list = arena_alloc(&render->table->arena,
		                          (render->credential->injection_count + SIGN_QUERY_NAMES) * sizeof *names->list);
	names->list[names->count++] = arena_span(&render->table->arena, span_of(name));
}

static bool render_query(const struct render *render, const struct injection *injection)
{
	size_t length = strlen(injection->name);
	struct span value = render_template(render, SPAN("{secret}"), encode_query);
	char *name = arena_alloc(&render->table->arena, WIDEST * length);
	struct span coded = {name, percent_encode(span_of(injection->name), "", name)};
	append_pair(render, &render->out->query, SPAN("&"), coded, value);
	add_name(render, &render->out->query_names, injection->name);
	return true;
}

/* cookie-octet (RFC 6265 §4.1.1). */
static bool fits_cookie(struct span value)
{
	for (size_t i = 0; i < value.length; i++) {
		char c = value.data[i];
		if (c <= ' ' || c == 0x7f || c == '"' || c == ',' || c == ';' || c == '\\')
			return false;
	}
	return true;
}

static bool render_cookie(const struct render *render, const struct injection *injection)
{
	struct span value = secret_by_id(render, SPAN("secret"));
	if (!fits_cookie(value))
		return unfit(render, "cookie", injection->name,
		             "it has a blank, a quote, a comma, a semicolon, a backslash or a character outside "
		             "of ASCII");
	append_pair(render, &render->out->cookie, SPAN("; "), span_of(injection->name), value);
	add_name(render, &render->out->cookie_names, injection->name);
	return true;
}

/* A secret such as ".." would lead to another path than the one that was judged. */
static const char *wrong_path(const struct render *render, struct span path)
{
	size_t length;
	char *canonical = secret_arena_room(render->table->secrets, path.length * WIDEST + 1);
	struct path_options options = {.encoded_slash = true};
	enum path_result result = path_canonical(path, options, canonical, &length);
	return result == PATH_OK ? NULL : path_result_text(result);
}

static bool render_path(const struct render *render, const struct injection *injection)
{
	struct arena *arena = &render->table->arena;
	struct rendering *out = render->out;
	out->paths = arena_alloc(arena, injection->paths.count * sizeof *out->paths);
	for (; out->path_count < injection->paths.count; out->path_count++) {
		struct span template = span_of(injection->paths.list[out->path_count]);
		struct span value = render_template(render, template, encode_path);
		const char *why = wrong_path(render, value);
		if (why)
			return unfit(render, "path", "", arena_format(arena, "with it the path %s", why));
		out->paths[out->path_count] = (struct path_template){arena_span(arena, template), value};
	}
	return true;
}

/* It stands in Authorization in front of a "/". */
static bool fits_credential(struct span id)
{
	for (size_t i = 0; i < id.length; i++)
		if (memchr(" \t,/=", id.data[i], 5))
			return false;
	return !has_control(id);
}

/* What it sends is made for each request (sign.h): here the agent's own goes, and what it is made of is kept. */
static bool render_sigv4(const struct render *render, const struct injection *injection)
{
	struct arena *arena = &render->table->arena;
	struct signer *signer = arena_alloc(arena, sizeof *signer);
	*signer = (struct signer){
		.id = secret_by_id(render, SPAN("id")),
		.key = secret_by_id(render, SPAN("key")),
		.session = secret_by_id(render, SPAN("session")),
		.region = arena_span(arena, span_of(config_parameter(injection, "region"))),
		.service = arena_span(arena, span_of(config_parameter(injection, "service"))),
	};
	if (!fits_credential(signer->id))
		return unfit(render, "header", "Authorization", "the access key id has a blank, \",\", \"/\" or \"=\"");
	if (has_control(signer->session))
		return unfit(render, "header", "X-Amz-Security-Token", "it has a control character");
	for (size_t i = 0; sign_query_names[i]; i++)
		add_name(render, &render->out->query_names, sign_query_names[i]);
	render->out->signer = signer;
	return true;
}

/* RFC 6750 §2.1. A credential without its token is not ready, and why is told with the token. */
static bool render_minted(const struct render *render, const struct injection *injection)
{
	static const struct span scheme = {"Bearer ", 7};
	const struct minted_token *token = minted_get(render->minted, render->credential);
	(void)injection;
	if (!token->bytes.length)
		return false;
	char *value = secret_arena_room(render->table->secrets, scheme.length + token->bytes.length);
	memcpy(mempcpy(value, scheme.data, scheme.length), token->bytes.data, token->bytes.length);
	add_header(render, SPAN("Authorization"), span_of(value));
	return true;
}

static bool (*const kinds[])(const struct render *render, const struct injection *injection) = {
	[INJECT_HEADER] = render_header,
	[INJECT_BASIC] = render_basic,
	[INJECT_QUERY] = render_query,
	[INJECT_PATH] = render_path,
	[INJECT_COOKIE] = render_cookie,
	[INJECT_AWS_SIGV4] = render_sigv4,
	[INJECT_OAUTH2] = render_minted,
	[INJECT_JWT] = render_minted,
};

/* The id of a key is no secret: a service tells it in listings. */
static bool is_told(const struct config_credential *credential, const struct named_source *secret)
{
	return credential->injection_count == 1 && credential->injections[0].kind == INJECT_AWS_SIGV4 &&
	       !strcmp(secret->id, "id");
}

/* Who echoes a field's value has taken the blanks around it off. What a token was minted from goes to no upstream. */
static void add_needles(const struct render *render)
{
	const struct config_credential *credential = render->credential;
	struct needle_set *needles = &render->out->needles;
	struct arena *arena = &render->table->arena;
	bool mints = config_minting(credential) != NULL;
	if (mints)
		needle_add(needles, arena, minted_get(render->minted, credential)->bytes);
	for (size_t i = 0; !mints && i < credential->secret_count; i++)
		if (!is_told(credential, &credential->secrets[i]))
			needle_add(needles, arena, span_trim(secrets_get(render->secrets, credential, i)->bytes));
	if (needles->count)
		needle_learn(needles, (struct needle_steps *)secret_arena_room(render->table->secrets, sizeof(struct needle_steps)));
}

static void render_credential(const struct render *render)
{
	const struct config_credential *credential = render->credential;
	const char *why;
	render->out->names = inject_names(credential, &render->table->arena);
	render->out->ready = secrets_ready(render->secrets, credential, &why);
	for (size_t i = 0; render->out->ready && i < credential->injection_count; i++)
		render->out->ready = kinds[credential->injections[i].kind](render, &credential->injections[i]);
	if (credential->scrub && render->out->ready)
		add_needles(render);
	else
		render->out->needles = (struct needle_set){0};
}

#define FIRST_SECRETS 4096

static struct inject_table *table_new(const struct config *config)
{
	struct inject_table *table = memory_alloc(sizeof *table);
	table->secrets = secret_arena_new(FIRST_SECRETS);
	table->renderings = arena_zero(&table->arena, config->credential_count * sizeof *table->renderings);
	table->open = inject_names(NULL, &table->arena);
	return table;
}

struct inject_table *inject_table_new(const struct config *config, const struct secrets *secrets,
                                      const struct minted *minted)
{
	struct inject_table *table = table_new(config);
	for (size_t i = 0; i < config->credential_count; i++) {
		struct render render = {&config->credentials[i], secrets, minted, table, &table->renderings[i]};
		render_credential(&render);
	}
	secret_arena_seal(table->secrets);
	return table;
}

struct inject_table *inject_table_of(const struct config *config, const struct secrets *const *secrets)
{
	struct inject_table *table = table_new(config);
	for (size_t i = 0; i < config->credential_count; i++) {
		struct render render = {&config->credentials[i], secrets[i], NULL, table, &table->renderings[i]};
		if (secrets[i])
			render_credential(&render);
	}
	secret_arena_seal(table->secrets);
	return table;
}

void inject_table_free(struct inject_table *table)
{
	if (!table)
		return;
	secret_arena_free(table->secrets);
	arena_free(&table->arena);
	free(table);
}
