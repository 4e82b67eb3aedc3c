/* The path as it is judged and sent. */
#include "judge_internal.h"
#include "percent.h"
#include "template.h"

enum path_result judge_canonical(const struct judging *judging, struct span path, bool encoded_slash,
                                 const struct rules *rules, struct span *canonical)
{
	struct path_options options = {.encoded_slash = encoded_slash, .whole_segments = rules->count > 0};
	size_t room = path_canonical_room(path), length = 0;
	*canonical = (struct span){"", 0};
	if (room > judging->snapshot->config->limits.head)
		return PATH_TOO_LONG;
	char *out = arena_alloc(judging->arena, room + 1);
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

bool judge_puts_in_path(const struct config_credential *credential)
{
	return path_templates(credential) != NULL;
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
	if (length > 0 && length == rest.length) {
		judging->judgement->path = rest;
		return;
	}
	char *out = arena_alloc(judging->arena, length + 1);
	memcpy(out, base.data, base.length);
	if (template.length)
		memcpy(out + base.length, template.data, template.length);
	if (rest.length)
		memcpy(out + base.length + template.length, rest.data, rest.length);
	judging->judgement->path = length ? (struct span){out, length} : SPAN("/");
}

/* Fields that some servers take for another method, or another URL, than the first line's: what was judged would not be
 * what is done. In lower case, with "-" for all that is neither letter nor digit, as CGI and its like see them. */
enum override_kind { OVERRIDE_METHOD, OVERRIDE_URL, OVERRIDE_SOURCE /* of S3: what is read, beside what is written */ };

static const struct override {
	struct span name;
	enum override_kind kind;
} overrides[] = {
	{SPAN("x-http-method-override"), OVERRIDE_METHOD}, {SPAN("x-http-method"), OVERRIDE_METHOD},
	{SPAN("x-method-override"), OVERRIDE_METHOD},      {SPAN("x-original-url"), OVERRIDE_URL},
	{SPAN("x-rewrite-url"), OVERRIDE_URL},             {SPAN("x-amz-copy-source"), OVERRIDE_SOURCE},
	{SPAN("x-amz-rename-source"), OVERRIDE_SOURCE},
};

static bool is_called(struct span name, struct span folded)
{
	if (name.length != folded.length)
		return false;
	for (size_t i = 0; i < name.length; i++) {
		char lower = span_lower(name.data[i]);
		if ((lower >= 'a' && lower <= 'z' ? lower : '-') != folded.data[i])
			return false;
	}
	return true;
}

static const struct override *find_override(struct span name)
{
	if (name.length < 2 || span_lower(name.data[0]) != 'x')
		return NULL;
	for (size_t i = 0; i < sizeof overrides / sizeof *overrides; i++)
		if (is_called(name, overrides[i].name))
			return &overrides[i];
	return NULL;
}

/* A method that a field asks for is judged as the first line's is. */
static bool allows_override(const struct judging *judging, const struct rules *rules, bool encoded_slash,
                            struct span value)
{
	char *upper = arena_copy(judging->arena, value.data, value.length);
	for (size_t i = 0; i < value.length; i++)
		if (upper[i] >= 'a' && upper[i] <= 'z')
			upper[i] = (char)(upper[i] - 'a' + 'A');
	struct span method = {upper, value.length};
	return text_is_token(method) && rules_judge(rules, method, judging->judgement->path, encoded_slash).allow;
}

/* What is read need not be what the rules allow. Where nothing is signed, nobody reads the field. */
static bool allows_source(const struct judging *judging, struct span name)
{
	const struct config_credential *credential = judging->judgement->credential;
	bool signs = false;
	for (size_t i = 0; credential && i < credential->injection_count; i++)
		signs |= credential->injections[i].kind == INJECT_AWS_SIGV4;
	for (size_t i = 0; signs && i < credential->pass.count; i++)
		if (span_equal_nocase(span_of(credential->pass.list[i]), name))
			return true;
	return !signs;
}

static bool judge_override(const struct judging *judging, const struct rules *rules, bool encoded_slash,
                           const struct override *override, const struct field *field)
{
	switch (override->kind) {
	case OVERRIDE_METHOD:
		return allows_override(judging, rules, encoded_slash, field->value) || refuse_override(judging, field);
	case OVERRIDE_SOURCE:
		return allows_source(judging, field->name) || refuse_source(judging, field);
	case OVERRIDE_URL:
		break;
	}
	return refuse_override(judging, field);
}

static bool judge_overrides(const struct judging *judging, const struct rules *rules, bool encoded_slash)
{
	const struct fields *fields = &judging->request->fields;
	for (size_t i = 0; i < fields->count; i++) {
		const struct override *override = find_override(fields->list[i].name);
		if (override && !judge_override(judging, rules, encoded_slash, override, &fields->list[i]))
			return false;
	}
	return true;
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
	return judge_overrides(judging, rules, encoded_slash);
}

static bool is_base62(char c)
{
	char lower = span_lower(c);
	return (c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'z');
}

/* With the word in front of it, where that is long enough for a token: it only showed as none while another stood right
 * behind it. */
static struct span with_neighbours(struct span segment, struct span token)
{
	const char *start = token.data;
	while (start > segment.data && is_base62(start[-1]))
		start--;
	size_t added = (size_t)(token.data - start);
	return added < TOKEN_BODY ? token : (struct span){start, added + token.length};
}

/* The token in a segment as it stands there; where it has escapes, the whole segment. data NULL: there is none. */
static struct span token_in(const struct judging *judging, struct span segment)
{
	const struct token_table *tokens = judging->snapshot->shared->tokens;
	struct span token = token_table_within(tokens, segment);
	if (token.data)
		return with_neighbours(segment, token);
	if (segment.length < TOKEN_BODY || !memchr(segment.data, '%', segment.length))
		return token;
	char *plain = arena_alloc(judging->arena, segment.length);
	bool found = token_table_within(tokens, (struct span){plain, percent_decode(segment, false, plain)}).data;
	return found ? span_head(segment, segment.length - span_ends(segment, SPAN("/"))) : token;
}

/* What is written is never longer than what stood there: a token has more bytes than {secret}. */
bool judge_hide_tokens(const struct judging *judging)
{
	static const struct span secret = {"{secret}", 8};
	struct span rest = judging->judgement->path;
	char *out = NULL, *end = NULL;
	while (judging->snapshot->shared->tokens && rest.length >= TOKEN_BODY) {
		const char *slash = memchr(rest.data, '/', rest.length);
		struct span segment = span_head(rest, slash ? (size_t)(slash + 1 - rest.data) : rest.length);
		struct span token = token_in(judging, segment);
		struct span before = token.data ? span_head(rest, (size_t)(token.data - rest.data)) : segment;
		if (token.data && !out) {
			size_t done = (size_t)(rest.data - judging->judgement->path.data);
			out = arena_alloc(judging->arena, judging->judgement->path.length);
			end = mempcpy(out, judging->judgement->path.data, done);
		}
		if (out)
			end = mempcpy(end, before.data, before.length);
		if (token.data)
			end = mempcpy(end, secret.data, secret.length);
		rest = span_from(rest, before.length + token.length);
	}
	if (out) {
		end = mempcpy(end, rest.data, rest.length);
		judging->judgement->path = (struct span){out, (size_t)(end - out)};
	}
	return out;
}

bool judge_tokenless(const struct judging *judging)
{
	return judge_hide_tokens(judging) ? refuse_path_token(judging) : true;
}
