#include "inject.h"

#include "inject_internal.h"

#define NOT_READY_RETRY 10 /* seconds */

static char *put(char *out, struct span text)
{
	return text.length ? mempcpy(out, text.data, text.length) : out;
}

/* Takes what the judge wrote in a secret's place off `*rest`: {secret}, or the {ID} of the template. */
static bool take_placeholder(struct span *rest, struct span id)
{
	if (rest->length == 0 || rest->data[0] != '{')
		return false;
	struct span inner = span_from(*rest, 1);
	struct span name = span_split(&inner, '}');
	if (!inner.data || (!span_equal(name, SPAN("secret")) && !span_equal(name, id)))
		return false;
	*rest = inner;
	return true;
}

/* The path with the secrets in the places that the template has for them, and nowhere else. NULL: it is not the
 * template's. `out` has room for all of it. */
static char *put_secret_path(char *out, const struct path_template *template, struct span upstream, struct span path)
{
	if (!span_starts(path, upstream))
		return NULL;
	out = put(out, upstream);
	path = span_from(path, upstream.length);
	for (size_t i = 0; i < template->count; i++) {
		const struct path_piece *piece = &template->pieces[i];
		if (!span_starts(path, piece->literal))
			return NULL;
		out = put(put(out, piece->literal), piece->value);
		path = span_from(path, piece->literal.length);
		if (piece->id.data && !take_placeholder(&path, piece->id))
			return NULL;
	}
	return path.length == 0 || path.data[0] == '/' ? put(out, path) : NULL;
}

static char *put_query(char *out, const struct strip *strip, struct span query)
{
	struct span added = strip->rendering ? strip->rendering->query : (struct span){NULL, 0};
	struct span left = query.data ? inject_strip_query(strip, query) : query;
	if (!left.data && added.length == 0)
		return out;
	out = put(put(out, SPAN("?")), left);
	if (left.length > 0 && added.length > 0)
		out = put(out, SPAN("&"));
	return put(out, added);
}

static bool build_target(const struct strip *strip, const struct judgement *judgement, struct span *target)
{
	const struct rendering *rendering = strip->rendering;
	const struct path_template *template = NULL;
	size_t size = judgement->path.length + judgement->query.length + sizeof "?&";
	if (rendering && rendering->path_count > 0) {
		if (judgement->prefix >= rendering->path_count)
			return false;
		template = &rendering->paths[judgement->prefix];
		size += template->added;
	}
	size += rendering ? rendering->query.length : 0;
	char *start = arena_alloc(strip->arena, size);
	char *end = template ? put_secret_path(start, template, span_of(judgement->credential->upstream.path), judgement->path)
	                     : put(start, judgement->path);
	if (!end) { /* nothing is injected then, and nobody wipes the arena */
		explicit_bzero(start, size);
		return false;
	}
	end = put_query(end, strip, judgement->query);
	*target = (struct span){start, (size_t)(end - start)};
	return true;
}

/* host, host:port, [v6]:port; the scheme's own port is not written (RFC 9110 §7.2). */
static struct span host_value(const struct judgement *judgement, struct arena *arena)
{
	bool brackets = judgement->host.kind == HOST_IPV6;
	char *start = arena_alloc(arena, judgement->host.length + sizeof "[]:65535"), *end = start, digits[5];
	size_t count = 0;
	if (brackets)
		end = put(end, SPAN("["));
	end = put(end, host_span(&judgement->host));
	if (brackets)
		end = put(end, SPAN("]"));
	if (judgement->port != (judgement->tls ? 443 : 80)) {
		*end++ = ':';
		for (unsigned port = judgement->port; port > 0; port /= 10)
			digits[count++] = (char)('0' + port % 10);
		while (count > 0)
			*end++ = digits[--count];
	}
	return (struct span){start, (size_t)(end - start)};
}

static bool refuse_unready(const struct snapshot *snapshot, const struct judgement *judgement,
                           const struct rendering *rendering, struct arena *arena, struct problem *problem)
{
	const char *why = rendering->unfit;
	if (why) {
		problem_set(problem, 503, "secret_unfit", why, "set another secret, or inject it in another place");
	} else {
		if (secrets_ready(snapshot->secrets, judgement->credential, &why))
			why = "it was not there when proxyd looked";
		problem_set(problem, 503, "secret_not_ready",
		            arena_format(arena, "a secret of credential %s is not ready: %s", judgement->credential->name, why),
		            NULL);
	}
	problem->error = "proxy_configuration_error";
	problem->retry_after = NOT_READY_RETRY;
	return false;
}

static bool refuse_path(const struct judgement *judgement, struct arena *arena, struct problem *problem)
{
	return problem_set(problem, 403, "path_prefix",
	                   arena_format(arena, "the path does not begin as credential %s says where its secret goes",
	                                judgement->credential->name),
	                   "begin it with one of the `path` templates of the credential, the token in the secret's place");
}

bool inject_request(const struct snapshot *snapshot, const struct judgement *judgement, const struct request *request,
                    struct arena *arena, struct request *out, bool *injected, struct problem *problem)
{
	const struct inject_table *table = snapshot->injections;
	const struct config_credential *credential = judgement->credential;
	const struct rendering *rendering = credential ? &table->renderings[credential->number] : NULL;
	struct strip strip = {table, rendering, snapshot->shared->tokens, request, arena};
	*injected = false;
	if (rendering && !rendering->ready)
		return refuse_unready(snapshot, judgement, rendering, arena, problem);
	*out = (struct request){.method = request->method, .minor = request->minor, .h2 = request->h2, .body = request->body};
	if (!build_target(&strip, judgement, &out->target))
		return refuse_path(judgement, arena, problem);
	size_t most = request->fields.count + 2 + (rendering ? rendering->headers.count : 0);
	out->fields = (struct fields){arena_alloc(arena, most * sizeof *out->fields.list), 0, most};
	fields_add(&out->fields, arena, SPAN("Host"), host_value(judgement, arena));
	inject_fields(&strip, &out->fields);
	*injected = rendering != NULL;
	return true;
}
