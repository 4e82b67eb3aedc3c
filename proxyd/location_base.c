/* From one request at a reverse endpoint to what its answer's URLs are held against. */
#include "location.h"
#include "path.h"
#include "template.h"

static size_t count_slashes(struct span path)
{
	size_t count = 0;
	for (size_t i = 0; i < path.length; i++)
		count += path.data[i] == '/';
	return count;
}

/* The length of the first `count` segments, each with the "/" in front of it. */
static size_t segments_length(struct span path, size_t count)
{
	for (size_t i = 0; i < path.length; i++)
		if (path.data[i] == '/' && count-- == 0)
			return i;
	return path.length;
}

/* The path of a target in origin-form or absolute-form, behind the endpoint's name. */
static struct span path_at_endpoint(struct span target)
{
	struct span query, path = path_split_query(target, &query);
	const char *authority = path.data[0] == '/' ? NULL : memmem(path.data, path.length, "://", 3);
	if (authority)
		path = span_from(path, (size_t)(authority - path.data) + 3);
	path = span_from(path, segments_length(path, 0));
	return span_from(path, segments_length(path, 1));
}

static struct span concatenate(struct arena *arena, struct span a, struct span b, struct span c)
{
	char *out = arena_alloc(arena, a.length + b.length + c.length + 1), *end = out;
	end = mempcpy(mempcpy(mempcpy(end, a.data, a.length), b.data, b.length), c.data, c.length);
	return (struct span){out, (size_t)(end - out)};
}

static const struct span *value_of(const struct location_request *request, struct span name)
{
	for (size_t i = 0; i < request->credential->secret_count; i++)
		if (span_equal(span_of(request->credential->secrets[i].id), name))
			return &request->values[i];
	return NULL;
}

/* Splits a template around its {NAME}. False where it has several: no URL of an answer is told to be like that. */
static bool split_template(const struct location_request *request, struct span template, struct location_prefix *prefix)
{
	struct span rest = template;
	prefix->before = span_split(&rest, '{');
	const struct span *value = value_of(request, span_split(&rest, '}'));
	if (!value || (rest.length && memchr(rest.data, '{', rest.length)))
		return false;
	prefix->secret = *value;
	prefix->after = rest.data ? rest : SPAN("");
	return true;
}

struct making {
	const struct location_request *request;
	struct arena *arena;
	struct span endpoint; /* "/NAME" */
	struct span written;  /* by the client in the place of the template that applied; empty where it left it out */
	struct span token;    /* in it, in the secret's place; data NULL: not told */
	struct location_prefix *prefixes;
	size_t count;
};

/* Is `written`, sent by a client, read by an earlier template of the list? */
static bool is_taken(const struct string_list *templates, size_t index, struct span written)
{
	size_t used;
	for (size_t i = 0; i < index; i++)
		if (template_match_path(span_of(templates->list[i]), written, NULL, &used))
			return true;
	return false;
}

static void add_template(struct making *making, const struct string_list *templates, size_t index)
{
	struct location_prefix prefix;
	struct arena *arena = making->arena;
	bool applied = index == making->request->prefix;
	if (!split_template(making->request, span_of(templates->list[index]), &prefix) || (!applied && !making->token.data))
		return;
	struct span written = applied ? making->written : concatenate(arena, prefix.before, making->token, prefix.after);
	if (!applied && is_taken(templates, index, written))
		return;
	prefix.endpoint = concatenate(arena, making->endpoint, written, SPAN(""));
	prefix.before = concatenate(arena, span_of(making->request->credential->upstream.path), prefix.before, SPAN(""));
	making->prefixes[making->count++] = prefix;
}

static void add_templates(struct making *making, const struct string_list *templates)
{
	const struct location_request *request = making->request;
	struct span applied = span_of(templates->list[request->prefix]), query;
	struct span at_endpoint = path_at_endpoint(request->target);
	size_t above = count_slashes(span_of(request->credential->upstream.path)), own = count_slashes(applied), used;
	/* Behind the template both paths have as many segments. */
	if (count_slashes(at_endpoint) + above == count_slashes(path_split_query(request->sent, &query)))
		making->written = span_head(at_endpoint, segments_length(at_endpoint, own));
	if (making->written.length && !template_match_path(applied, making->written, &making->token, &used))
		making->token = (struct span){NULL, 0};
	making->prefixes = arena_alloc(making->arena, templates->count * sizeof *making->prefixes);
	for (size_t i = 0; i < templates->count; i++)
		add_template(making, templates, i);
}

static void add_upstream(struct making *making)
{
	making->prefixes = arena_alloc(making->arena, sizeof *making->prefixes);
	making->prefixes[making->count++] = (struct location_prefix){
		.before = span_of(making->request->credential->upstream.path),
		.secret = SPAN(""),
		.after = SPAN(""),
		.endpoint = making->endpoint,
	};
}

static const struct injection *find_injection(const struct config_credential *credential, enum injection_kind kind)
{
	for (size_t i = 0; i < credential->injection_count; i++)
		if (credential->injections[i].kind == kind)
			return &credential->injections[i];
	return NULL;
}

void location_base_make(struct location_base *base, const struct location_request *request, struct arena *arena)
{
	const struct config_credential *credential = request->credential;
	const struct injection *path = find_injection(credential, INJECT_PATH);
	struct making making = {
		.request = request,
		.arena = arena,
		.endpoint = concatenate(arena, SPAN("/"), span_of(credential->name), SPAN("")),
		.written = SPAN(""),
	};
	if (path)
		add_templates(&making, &path->paths);
	else
		add_upstream(&making);
	*base = (struct location_base){
		.upstream = &credential->upstream,
		.prefixes = making.prefixes,
		.prefix_count = making.count,
		.templates = path && making.written.length == 0 ? &path->paths : NULL,
		.secrets = request->values,
		.secret_count = path || find_injection(credential, INJECT_QUERY) ? credential->secret_count : 0,
	};
	struct span query;
	base->path = path_split_query(request->sent, &query);
	path_split_query(request->target, &base->query);
}
