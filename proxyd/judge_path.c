/* The path as it is judged and sent. */
#include "judge_internal.h"
#include "template.h"

enum path_result judge_canonical(const struct judging *judging, struct span path, bool encoded_slash,
                                 const struct rules *rules, struct span *canonical)
{
	struct path_options options = {.encoded_slash = encoded_slash, .whole_segments = rules->count > 0};
	char *out = arena_alloc(judging->arena, 3 * path.length + 1);
	size_t length = 0;
	enum path_result result = path_canonical(path, options, out, &length);
	*canonical = (struct span){out, result == PATH_OK ? length : 0};
	return result;
}

static const struct string_list *path_templates(const struct config_credential *credential)
{
	for (size_t i = 0; i < credential->injection_count; i++)
		if (credential->injections[i].kind == INJECT_PATH)
			return &credential->injections[i].paths;
	return NULL;
}

/* The template that the agent's path has the form of, which is taken off `*rest`; the first one where it has none. */
static size_t choose_template(const struct string_list *templates, struct span *rest)
{
	for (size_t i = 0; i < templates->count; i++) {
		size_t used;
		if (!template_match_path(span_of(templates->list[i]), *rest, NULL, &used))
			continue;
		*rest = span_from(*rest, used);
		return i;
	}
	return 0;
}

/* "/bot{secret}": whatever the names of its secrets, rules and the audit know them as {secret}. */
static struct span with_placeholders(struct span template, struct arena *arena)
{
	static const struct span secret = {"{secret}", 8};
	char *out = arena_alloc(arena, template.length * secret.length + 1), *end = out;
	while (template.data) {
		struct span literal = span_split(&template, '{');
		end = mempcpy(end, literal.data, literal.length);
		if (!template.data)
			break;
		end = mempcpy(end, secret.data, secret.length);
		span_split(&template, '}');
	}
	return (struct span){out, (size_t)(end - out)};
}

void judge_compose(const struct judging *judging, const struct config_credential *credential, struct span rest)
{
	const struct string_list *templates = path_templates(credential);
	struct span base = span_of(credential->upstream.path), template = {0};
	if (templates) {
		judging->judgement->prefix = choose_template(templates, &rest);
		template = with_placeholders(span_of(templates->list[judging->judgement->prefix]), judging->arena);
	}
	size_t length = base.length + template.length + rest.length;
	char *out = arena_alloc(judging->arena, length + 1);
	memcpy(out, base.data, base.length);
	if (template.length)
		memcpy(out + base.length, template.data, template.length);
	if (rest.length)
		memcpy(out + base.length + template.length, rest.data, rest.length);
	judging->judgement->path = length ? (struct span){out, length} : SPAN("/");
}

bool judge_rules(const struct judging *judging, const struct rules *rules, bool encoded_slash)
{
	if (rules->count == 0)
		return true;
	struct rules_verdict verdict =
		rules_judge(rules, judging->request->method, judging->judgement->path, encoded_slash);
	if (!verdict.allow)
		return refuse_rule(judging, verdict);
	judging->judgement->rule = verdict.rule->text;
	return true;
}

bool judge_tokenless(const struct judging *judging)
{
	const struct token_table *tokens = judging->snapshot->shared->tokens;
	struct span rest = judging->judgement->path;
	while (tokens && rest.data) {
		struct span segment = span_split(&rest, '/');
		if (!token_looks_like(segment) || !token_table_find(tokens, segment))
			continue;
		struct span before = {judging->judgement->path.data,
		                      (size_t)(segment.data - judging->judgement->path.data)};
		struct span behind = {segment.data + segment.length, rest.data ? rest.length + 1 : 0};
		judging->judgement->path = span_of(arena_format(judging->arena, "%.*s{secret}%.*s", SPAN_ARGS(before),
		                                                SPAN_ARGS(behind)));
		return refuse_path_token(judging);
	}
	return true;
}
