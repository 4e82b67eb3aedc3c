#include "location.h"

#include "buffer.h"
#include "path.h"
#include "template.h"

#define SECRET_LEAST 8             /* bytes; a shorter one would be found everywhere */
#define DEEPEST 3                  /* a URL in a URL in a URL in a URL: more is not looked for */
#define ARENA_ENOUGH (192 * 1024)  /* what an exchange may take; a field of many short references costs a path for each */

/* RFC 3986 §3; `data` is NULL where a part is absent. */
struct reference {
	struct span scheme, authority, path, query, fragment;
};

/* ---- parts of a reference ---- */

static bool is_alpha(char c)
{
	return span_lower(c) >= 'a' && span_lower(c) <= 'z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The length of a scheme and its colon; 0 where there is none. */
static size_t scheme_length(struct span text)
{
	for (size_t i = 0; i < text.length; i++) {
		char c = text.data[i];
		if (c == ':')
			return i ? i + 1 : 0;
		if (!is_alpha(c) && (i == 0 || (!is_digit(c) && c != '+' && c != '-' && c != '.')))
			return 0;
	}
	return 0;
}

static struct reference split(struct span text)
{
	struct reference parts = {0};
	struct span rest = text;
	parts.path = span_split(&rest, '#');
	parts.fragment = rest;
	rest = parts.path;
	parts.path = span_split(&rest, '?');
	parts.query = rest;
	size_t scheme = scheme_length(parts.path);
	if (scheme) {
		parts.scheme = span_head(parts.path, scheme - 1);
		parts.path = span_from(parts.path, scheme);
	}
	if (!span_starts(parts.path, SPAN("//")))
		return parts;
	rest = span_from(parts.path, 2);
	const char *slash = rest.length ? memchr(rest.data, '/', rest.length) : NULL;
	parts.authority = slash ? span_head(rest, (size_t)(slash - rest.data)) : rest;
	parts.path = span_from(rest, parts.authority.length);
	return parts;
}

/* Browsers take tabs out, cut blanks off and read "\" as "/": what clients read in two ways is left alone. */
static bool is_unequivocal(struct span value, struct span path)
{
	if (span_trim(value).length != value.length || value.length == 0)
		return false;
	for (size_t i = 0; i < value.length; i++)
		if ((unsigned char)value.data[i] < ' ' || value.data[i] == 0x7f)
			return false;
	return path.length == 0 || !memchr(path.data, '\\', path.length);
}

/* Is this the upstream's scheme, host and port? */
static bool is_origin(const struct reference *parts, const struct origin *upstream)
{
	struct authority authority;
	struct span text = parts->authority;
	uint16_t standard = authority_usual_port(upstream->tls);
	if (parts->scheme.data && !span_equal_nocase(parts->scheme, upstream->tls ? SPAN("https") : SPAN("http")))
		return false;
	if (!text.data)
		return !parts->scheme.data;
	/* An empty port is the standard one (RFC 3986 §6.2.3). */
	if (text.length > 0 && text.data[text.length - 1] == ':')
		text.length--;
	if (!authority_parse(text, &authority, NULL))
		return false;
	return host_equal(&authority.host, &upstream->host) &&
	       (authority.port ? authority.port : standard) == upstream->port;
}

/* ---- resolving ---- */

static int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	c = span_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte at `*at`, an escape decoded; `*at` moves behind it. */
static unsigned char take_byte(struct span text, size_t *at, bool *escaped)
{
	int high = -1, low = -1;
	if (text.data[*at] == '%' && text.length - *at >= 3) {
		high = hex_value(text.data[*at + 1]);
		low = hex_value(text.data[*at + 2]);
	}
	*escaped = high >= 0 && low >= 0;
	if (!*escaped)
		return (unsigned char)text.data[(*at)++];
	*at += 3;
	return (unsigned char)(high << 4 | low);
}

/* How many dots a segment is made of, plain or escaped; 0 where it has anything else or more than two. */
static unsigned dots(struct span segment)
{
	unsigned count = 0;
	bool escaped;
	for (size_t i = 0; i < segment.length; count++)
		if (take_byte(segment, &i, &escaped) != '.' || count == 2)
			return 0;
	return count;
}

/* The length of what is left when the last segment and the "/" in front of it are gone. */
static size_t parent(const char *path, size_t length)
{
	const char *slash = memrchr(path, '/', length);
	return slash ? (size_t)(slash - path) : 0;
}

/* RFC 3986 §5.2.4. `path` begins with "/"; so does the result. */
static struct span remove_dots(struct span path, struct arena *arena)
{
	char *out = arena_alloc(arena, path.length + 1);
	size_t used = 0;
	struct span rest = span_from(path, 1);
	while (rest.data) {
		struct span segment = span_split(&rest, '/');
		unsigned count = dots(segment);
		if (count == 2)
			used = parent(out, used);
		if (count == 0 || !rest.data)
			out[used++] = '/';
		if (count > 0)
			continue;
		if (segment.length)
			memcpy(out + used, segment.data, segment.length);
		used += segment.length;
	}
	return (struct span){out, used};
}

static struct span join(struct arena *arena, const struct span *pieces, size_t count)
{
	size_t length = 0;
	for (size_t i = 0; i < count; i++)
		length += pieces[i].length;
	char *out = arena_alloc(arena, length + 1), *end = out;
	for (size_t i = 0; i < count; i++)
		if (pieces[i].length)
			end = mempcpy(end, pieces[i].data, pieces[i].length);
	*end = 0;
	return (struct span){out, length};
}

/* The absolute path of a reference to this origin, without dot segments (RFC 3986 §5.2.2). */
static struct span resolve(const struct reference *parts, const struct location_base *base, struct arena *arena)
{
	struct span path = parts->path;
	if (path.length > 0 && path.data[0] == '/')
		return remove_dots(path, arena);
	if (parts->authority.data)
		return SPAN("/");
	if (path.length == 0)
		return remove_dots(base->path, arena);
	const char *slash = memrchr(base->path.data, '/', base->path.length);
	struct span pieces[] = {span_head(base->path, (size_t)(slash - base->path.data) + 1), path};
	return remove_dots(join(arena, pieces, 2), arena);
}

/* ---- prefixes ---- */

/* Do this byte and its escape mean the same in a path (RFC 3986 §6.2.2.2), or may it not stand there unescaped? */
static bool is_same_escaped(unsigned char byte)
{
	static const bool differs[256] = {['!'] = true,  ['$'] = true, ['&'] = true, ['\''] = true, ['('] = true,
	                                  [')'] = true,  ['*'] = true, ['+'] = true, [','] = true,  [';'] = true,
	                                  ['='] = true,  [':'] = true, ['@'] = true, ['/'] = true,  ['%'] = true};
	return !differs[byte];
}

/* Reads over `wanted`, in whatever spelling, from `*at`. */
static bool match_text(struct span path, size_t *at, struct span wanted)
{
	size_t i = 0;
	while (i < wanted.length) {
		bool escaped, wanted_escaped;
		if (*at >= path.length)
			return false;
		unsigned char byte = take_byte(path, at, &escaped);
		if (byte != take_byte(wanted, &i, &wanted_escaped) || (escaped != wanted_escaped && !is_same_escaped(byte)))
			return false;
	}
	return true;
}

/* The byte at `*at`, or the one that an escape of an escape stands for: behind "%" are `depth` times "25" (%252F is "/" at
 * depth 1). `*at` moves behind it. */
static unsigned char take_deep(struct span text, size_t *at, unsigned depth, bool *escaped)
{
	char flat[3] = "%";
	size_t digits = *at + 1 + 2 * (size_t)depth, flat_at = 0;
	*escaped = false;
	if (text.data[*at] != '%' || text.length < digits + 2)
		return (unsigned char)text.data[(*at)++];
	for (size_t i = *at + 1; i < digits; i += 2)
		if (!span_starts(span_from(text, i), SPAN("25")))
			return (unsigned char)text.data[(*at)++];
	memcpy(flat + 1, text.data + digits, 2);
	unsigned char byte = take_byte((struct span){flat, 3}, &flat_at, escaped);
	*at = *escaped ? digits + 2 : *at + 1;
	return byte;
}

/* Reads over a secret from `*at`: as it stands, or with any of its bytes escaped and a blank as "+". A URL within a URL is
 * escaped once more, so the escapes may be `depth` deep. */
static bool match_secret_at(struct span text, size_t *at, struct span secret, unsigned depth)
{
	size_t end = *at;
	for (size_t i = 0; i < secret.length; i++) {
		bool escaped;
		if (end >= text.length)
			return false;
		unsigned char byte = take_deep(text, &end, depth, &escaped);
		if (byte != (unsigned char)secret.data[i] && !(byte == '+' && !escaped && secret.data[i] == ' '))
			return false;
	}
	*at = end;
	return true;
}

static bool match_secret(struct span text, size_t *at, struct span secret, unsigned deepest)
{
	if (span_starts(span_from(text, *at), secret)) {
		*at += secret.length;
		return true;
	}
	for (unsigned depth = 0; depth <= deepest; depth++)
		if (match_secret_at(text, at, secret, depth))
			return true;
	return false;
}

static const struct location_prefix *find_prefix(struct span path, const struct location_base *base, size_t *length)
{
	for (size_t i = 0; i < base->prefix_count; i++) {
		const struct location_prefix *prefix = &base->prefixes[i];
		*length = 0;
		if (match_text(path, length, prefix->before) && match_secret(path, length, prefix->secret, 0) &&
		    match_text(path, length, prefix->after) && (*length == path.length || path.data[*length] == '/'))
			return prefix;
	}
	return NULL;
}

/* Where the client writes nothing in a template's place, what it does write must not look like a template. */
static bool is_misread(struct span rest, const struct string_list *templates, struct arena *arena)
{
	size_t length, used;
	char *canonical = templates ? arena_alloc(arena, 3 * rest.length + 1) : NULL;
	if (!templates || path_canonical(rest, (struct path_options){.encoded_slash = true}, canonical, &length) != PATH_OK)
		return false;
	for (size_t i = 0; i < templates->count; i++)
		if (template_match_path(span_of(templates->list[i]), (struct span){canonical, length}, NULL, &used))
			return true;
	return false;
}

/* ---- rewriting ---- */

static bool rewrite(struct span value, const struct location_base *base, struct arena *arena, struct span *out)
{
	struct reference parts = split(value);
	size_t length;
	if (!is_unequivocal(value, parts.path) || !is_origin(&parts, base->upstream) || arena->total > ARENA_ENOUGH)
		return false;
	struct span path = resolve(&parts, base, arena);
	const struct location_prefix *prefix = find_prefix(path, base, &length);
	if (!prefix || is_misread(span_from(path, length), base->templates, arena))
		return false;
	bool same_document = parts.path.length == 0 && !parts.authority.data && !parts.query.data;
	struct span query = same_document ? base->query : parts.query;
	struct span pieces[] = {
		prefix->endpoint,
		span_from(path, length),
		query.data ? SPAN("?") : SPAN(""),
		query,
		parts.fragment.data ? SPAN("#") : SPAN(""),
		parts.fragment,
	};
	*out = join(arena, pieces, sizeof pieces / sizeof *pieces);
	return true;
}

static bool match_any_secret(struct span text, size_t *at, const struct location_base *base)
{
	for (size_t i = 0; i < base->secret_count; i++)
		if (base->secrets[i].length >= SECRET_LEAST && match_secret(text, at, base->secrets[i], DEEPEST))
			return true;
	return false;
}

static bool has_secret(struct span text, const struct location_base *base)
{
	for (size_t i = 0; i < text.length; i++) {
		size_t at = i;
		if (match_any_secret(text, &at, base))
			return true;
	}
	return false;
}

/* Puts "[secret]" where one stands. */
static bool redact(struct span *text, const struct location_base *base, struct arena *arena)
{
	if (!has_secret(*text, base))
		return false;
	/* A secret is as long as what takes its place, or longer. */
	char *out = arena_alloc(arena, text->length + 1), *end = out;
	for (size_t i = 0; i < text->length;) {
		if (match_any_secret(*text, &i, base))
			end = mempcpy(end, "[secret]", 8);
		else
			*end++ = text->data[i++];
	}
	*text = (struct span){out, (size_t)(end - out)};
	return true;
}

bool location_rewrite(struct span value, const struct location_base *base, struct arena *arena, struct span *out)
{
	*out = value;
	bool rewritten = rewrite(value, base, arena, out);
	bool redacted = redact(out, base, arena);
	return rewritten || redacted;
}

/* The length of the parameters at the start of `text`, up to the comma that ends them; quoted strings hold any byte. */
static size_t parameters_length(struct span text)
{
	bool quoted = false;
	size_t i = 0;
	while (i < text.length && (quoted || text.data[i] != ',')) {
		if (text.data[i] == '"')
			quoted = !quoted;
		else if (quoted && text.data[i] == '\\')
			i++;
		i++;
	}
	return i < text.length ? i : text.length;
}

static size_t blanks_and_commas(struct span text)
{
	size_t i = 0;
	while (i < text.length && (text.data[i] == ' ' || text.data[i] == '\t' || text.data[i] == ','))
		i++;
	return i;
}

/* Takes a link off `*rest`: what leads to its reference, "<" included, and the reference. False where there is none. */
static bool take_link(struct span *rest, struct span *lead, struct span *target)
{
	size_t start = blanks_and_commas(*rest);
	if (start == rest->length || rest->data[start] != '<')
		return false;
	*lead = span_head(*rest, start + 1);
	struct span behind = span_from(*rest, start + 1);
	*target = span_split(&behind, '>');
	if (!behind.data)
		return false;
	*rest = span_from(*rest, lead->length + target->length);
	return true;
}

bool location_rewrite_link(struct span value, const struct location_base *base, struct arena *arena, struct span *out)
{
	AUTO_WIPE struct buffer made = {0};
	struct span rest = value, lead, target;
	bool rewritten = false;
	while (take_link(&rest, &lead, &target)) {
		struct span parameters = span_head(rest, parameters_length(rest));
		rewritten |= rewrite(target, base, arena, &target);
		buffer_span(&made, lead);
		buffer_span(&made, target);
		buffer_span(&made, parameters);
		rest = span_from(rest, parameters.length);
	}
	buffer_span(&made, rest);
	*out = rewritten ? arena_span(arena, buffer_view(&made)) : value;
	bool redacted = redact(out, base, arena);
	return rewritten || redacted;
}
