#include "authenticate.h"

#include "base64.h"
#include "percent.h"
#include "sign.h"
#include "template.h"

#define BASIC_LIMIT 2048 /* base64 characters; a token has less than a hundred */

/* A look through the places of one request. */
struct search {
	const struct token_table *tokens;
	enum token_kind kind;
	const struct config_credential *credential; /* NULL: any of that kind */
	struct arena *arena;
	struct shown *shown;
	const struct token_entry *found;
};

/* Something stands where a token may stand. */
static void show(struct search *search, struct span text)
{
	if (search->found || text.length == 0)
		return;
	const struct token_entry *entry = token_table_find(search->tokens, text);
	search->shown->anything = true;
	if (!entry)
		return;
	if (entry->kind == search->kind && (!search->credential || entry->credential == search->credential))
		search->found = entry;
	else
		search->shown->other = entry;
}

static struct span decoded(const struct search *search, struct span text)
{
	if (text.length == 0 || !memchr(text.data, '%', text.length))
		return text;
	char *plain = arena_alloc(search->arena, text.length);
	return (struct span){plain, percent_decode(text, false, plain)};
}

/* The same out of a URL: a client may escape what stands in a token's prefix, such as ":". */
static void show_escaped(struct search *search, struct span text)
{
	show(search, decoded(search, text));
}

/* RFC 7617 §2: user-id ":" password. */
static void show_basic(struct search *search, struct span encoded)
{
	if (encoded.length > BASIC_LIMIT)
		return;
	char *decoded = arena_alloc(search->arena, encoded.length + 1);
	size_t length;
	if (!base64_decode(encoded, decoded, &length))
		return;
	struct span password = {decoded, length};
	struct span user = span_split(&password, ':');
	show(search, password.data && password.length ? password : user);
}

/* RFC 9110 §11.4: scheme SP token68. */
static void show_authorization(struct search *search, struct span value)
{
	struct span rest = value, scheme = span_split(&rest, ' ');
	if (!rest.data)
		return;
	rest = span_trim(rest);
	if (span_equal_nocase(scheme, SPAN("Basic")))
		show_basic(search, rest);
	else if (span_equal_nocase(scheme, SPAN("Bearer")))
		show(search, rest);
}

/* Every Authorization (or Proxy-Authorization) field. */
static void show_fields(struct search *search, const struct request *request, struct span name)
{
	for (size_t i = 0; i < request->fields.count; i++)
		if (span_equal_nocase(request->fields.list[i].name, name))
			show_authorization(search, request->fields.list[i].value);
}

/* RFC 6455 §11.3.4: where a browser's WebSocket, which can set no other field, shows it. */
static void show_protocols(struct search *search, const struct request *request)
{
	for (size_t i = 0; i < request->fields.count; i++) {
		struct span list = request->fields.list[i].value;
		if (!span_equal_nocase(request->fields.list[i].name, SPAN("Sec-WebSocket-Protocol")))
			continue;
		while (list.data) {
			struct span entry = span_trim(span_split(&list, ','));
			if (token_looks_like(entry))
				show(search, entry);
		}
	}
}

static void show_header(struct search *search, const struct injection *injection, const struct request *request)
{
	for (size_t i = 0; i < request->fields.count; i++) {
		const struct field *field = &request->fields.list[i];
		struct span first = {0};
		if (span_equal_nocase(field->name, span_of(injection->name)) &&
		    template_match(span_of(injection->value), field->value, &first))
			show(search, first);
	}
}

/* Is the name of a parameter, however it is encoded, this one? */
static bool is_named(const struct search *search, struct span name, const char *wanted)
{
	char *plain = arena_alloc(search->arena, name.length + 1);
	return span_equal((struct span){plain, percent_decode(name, true, plain)}, span_of(wanted));
}

static void show_parameter(struct search *search, const struct injection *injection, struct span query)
{
	while (query.data) {
		struct span value = span_split(&query, '&');
		struct span name = span_split(&value, '=');
		if (value.data && is_named(search, name, injection->name))
			show_escaped(search, value);
	}
}

static void show_path(struct search *search, const struct injection *injection, struct span rest)
{
	for (size_t i = 0; i < injection->paths.count; i++) {
		struct span first = {0};
		size_t used;
		if (template_match_path(span_of(injection->paths.list[i]), rest, &first, &used))
			show_escaped(search, first);
	}
}

static void show_cookie(struct search *search, const struct injection *injection, const struct request *request)
{
	for (size_t i = 0; i < request->fields.count; i++) {
		struct span crumbs = request->fields.list[i].value;
		if (!span_equal_nocase(request->fields.list[i].name, SPAN("Cookie")))
			continue;
		while (crumbs.data) {
			struct span value = span_trim(span_split(&crumbs, ';'));
			struct span name = span_split(&value, '=');
			if (value.data && span_equal(name, span_of(injection->name)))
				show(search, value);
		}
	}
}

/* The access key id of a signature, in Authorization or in a presigned URL. */
static void show_signature(struct search *search, const struct request *request, struct span query)
{
	for (size_t i = 0; i < request->fields.count; i++)
		if (span_equal_nocase(request->fields.list[i].name, SPAN("Authorization")))
			show(search, sign_shown_id(request->fields.list[i].value));
	while (query.data) {
		struct span value = span_split(&query, '&'), name = span_split(&value, '=');
		if (value.data && is_named(search, name, "X-Amz-Credential"))
			show(search, sign_credential_id(decoded(search, value)));
	}
}

static void show_place(struct search *search, const struct injection *injection, const struct request *request,
                       struct span rest, struct span query)
{
	switch (injection->kind) {
	case INJECT_HEADER: show_header(search, injection, request); break;
	case INJECT_QUERY: show_parameter(search, injection, query); break;
	case INJECT_PATH: show_path(search, injection, rest); break;
	case INJECT_COOKIE: show_cookie(search, injection, request); break;
	case INJECT_AWS_SIGV4: show_signature(search, request, query); break;
	default: break; /* Authorization is looked at in any case */
	}
}

/* For the message alone: a good token where none may stand. */
static void find_misplaced(const struct search *search, const struct request *request)
{
	for (size_t i = 0; i < request->fields.count; i++) {
		const struct field *field = &request->fields.list[i];
		const char *blank = field->value.length ? memrchr(field->value.data, ' ', field->value.length) : NULL;
		struct span word = blank ? span_from(field->value, (size_t)(blank - field->value.data) + 1) : field->value;
		if (token_table_find(search->tokens, word))
			search->shown->field = field->name;
	}
}

const struct token_entry *authenticate_reverse(const struct token_table *tokens,
                                               const struct config_credential *credential,
                                               const struct request *request, struct span rest, struct span query,
                                               struct arena *arena, struct shown *shown)
{
	struct search search = {tokens, TOKEN_CREDENTIAL, credential, arena, shown, NULL};
	*shown = (struct shown){0};
	for (size_t i = 0; i < credential->injection_count && !search.found; i++)
		show_place(&search, &credential->injections[i], request, rest, query);
	if (!search.found)
		show_fields(&search, request, SPAN("Authorization"));
	if (!search.found)
		show_protocols(&search, request);
	if (!search.found && !shown->other)
		find_misplaced(&search, request);
	return search.found;
}

const struct token_entry *authenticate_proxy(const struct token_table *tokens, const struct request *request,
                                             struct arena *arena, struct shown *shown)
{
	struct search search = {tokens, TOKEN_PROXY, NULL, arena, shown, NULL};
	*shown = (struct shown){0};
	show_fields(&search, request, SPAN("Proxy-Authorization"));
	if (!search.found && !shown->other)
		find_misplaced(&search, request);
	return search.found;
}

const struct token_entry *authenticate_anyone(const struct token_table *tokens, const struct request *request,
                                              struct arena *arena)
{
	struct shown shown = {0};
	struct search search = {tokens, TOKEN_CREDENTIAL, NULL, arena, &shown, NULL};
	show_fields(&search, request, SPAN("Authorization"));
	return search.found ? search.found : shown.other;
}
