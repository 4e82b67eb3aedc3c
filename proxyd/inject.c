#include "inject.h"

#include "inject_internal.h"
#include "protocols.h"

#define NOT_READY_RETRY 10 /* seconds */

static char *put(char *out, struct span text)
{
	return text.length ? mempcpy(out, text.data, text.length) : out;
}

/* The path template that applies, or NULL where the path is not the template's; `*behind` is what follows it. */
static const struct path_template *find_template(const struct rendering *rendering, const struct judgement *judgement,
                                                 struct span *behind)
{
	struct span upstream = span_of(judgement->credential->upstream.path);
	if (judgement->prefix >= rendering->path_count || !span_starts(judgement->path, upstream))
		return NULL;
	const struct path_template *template = &rendering->paths[judgement->prefix];
	struct span path = span_from(judgement->path, upstream.length);
	*behind = span_from(path, template->text.length);
	bool whole = behind->length == 0 || behind->data[0] == '/';
	return whole && span_starts(path, template->text) ? template : NULL;
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
	struct span before = judgement->path, secret = {"", 0}, behind = {"", 0};
	if (rendering && rendering->path_count > 0) {
		const struct path_template *template = find_template(rendering, judgement, &behind);
		if (!template)
			return false;
		before.length -= template->text.length + behind.length;
		secret = template->value;
	}
	size_t added = secret.length + (rendering ? rendering->query.length : 0);
	size_t size = judgement->path.length + judgement->query.length + added + sizeof "?&";
	char *start = arena_alloc(strip->arena, size);
	char *end = put(put(put(start, before), secret), behind);
	end = put_query(end, strip, judgement->query);
	*target = (struct span){start, (size_t)(end - start)};
	return true;
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
		why = arena_format(arena, "the secret of credential %s is not ready: %s", judgement->credential->name,
		                   why);
		problem_set(problem, 503, "secret_not_ready", why,
		            "once the secret is there it works, within a second; /readyz on the admin listener lists what waits");
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
	                   "begin it with a `path` template of the credential, the token in the secret's place");
}

const struct inject_table *inject_table_for(const struct snapshot *snapshot, const struct judgement *judgement)
{
	return judgement->former ? snapshot->former_injections : snapshot->injections;
}

static struct strip strip_of(const struct snapshot *snapshot, const struct judgement *judgement,
                             const struct request *request, struct arena *arena)
{
	const struct inject_table *table = inject_table_for(snapshot, judgement);
	const struct config_credential *credential = judgement->credential;
	return (struct strip){
		.table = table,
		.rendering = credential ? &table->renderings[credential->number] : NULL,
		.tokens = snapshot->shared->tokens,
		.request = request,
		.arena = arena,
	};
}

bool inject_request(const struct snapshot *snapshot, const struct judgement *judgement, const struct request *request,
                    struct arena *arena, struct request *out, bool *injected, struct problem *problem)
{
	struct strip strip = strip_of(snapshot, judgement, request, arena);
	const struct rendering *rendering = strip.rendering;
	*injected = false;
	if (rendering && !rendering->ready)
		return refuse_unready(snapshot, judgement, rendering, arena, problem);
	*out = *request;
	if (!build_target(&strip, judgement, &out->target))
		return refuse_path(judgement, arena, problem);
	size_t most = request->fields.count + 3; /* Host, Cookie and Connection */
	most += rendering ? rendering->headers.count : 0;
	out->fields = (struct fields){arena_alloc(arena, most * sizeof *out->fields.list), 0, most};
	fields_add(&out->fields, arena, SPAN("Host"), host_field(&judgement->host, judgement->port, judgement->tls, arena));
	strip.upgrade = protocols_asked(request);
	inject_fields(&strip, &out->fields);
	out->upgrade = strip.upgrade && fields_find(&out->fields, SPAN("upgrade"));
	if (out->upgrade)
		fields_add(&out->fields, arena, SPAN("Connection"), SPAN("Upgrade"));
	*injected = rendering != NULL;
	return true;
}

void inject_trailers(const struct snapshot *snapshot, const struct judgement *judgement, const struct request *request,
                     const struct fields *trailers, struct arena *arena, struct fields *out)
{
	struct strip strip = strip_of(snapshot, judgement, request, arena);
	inject_trailing_fields(&strip, trailers, out);
}

const struct needle_set *inject_needles(const struct inject_table *table, const struct config_credential *credential)
{
	const struct needle_set *needles = &table->renderings[credential->number].needles;
	return needles->count ? needles : NULL;
}

const struct signer *inject_signer(const struct inject_table *table, const struct config_credential *credential)
{
	return table->renderings[credential->number].signer;
}

const char *inject_unfit(const struct inject_table *table, const struct config_credential *credential)
{
	return table->renderings[credential->number].unfit;
}
