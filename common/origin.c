#include "origin.h"

#include "path.h"

#define HTTP SPAN("http://")
#define HTTPS SPAN("https://")

/* What stands behind "scheme://": authority, path and query, data NULL where there is no such part. */
struct parts {
	struct span authority, path, query;
};

static struct parts take_apart(struct span text, bool tls)
{
	struct parts parts = {0};
	struct span query = {0}, rest = path_split_query(span_from(text, tls ? HTTPS.length : HTTP.length), &query);
	const char *slash = rest.length ? memchr(rest.data, '/', rest.length) : NULL;
	parts.authority = slash ? span_head(rest, (size_t)(slash - rest.data)) : rest;
	parts.path = span_from(rest, parts.authority.length);
	parts.query = query;
	return parts;
}

static bool read_host(struct span text, struct origin_options options, struct origin *origin, struct fault *fault)
{
	struct authority authority = {0};
	origin->wildcard = span_starts(text, SPAN("*."));
	if (!authority_parse(span_from(text, origin->wildcard ? 2 : 0), &authority, fault))
		return false;
	if (origin->wildcard && authority.host.kind != HOST_NAME)
		return fault_set(fault, FAULT_USAGE, "\"*.\" stands before a name, not before an address");
	if (origin->wildcard && !options.wildcard)
		return fault_set(fault, FAULT_USAGE, "a URL with a wildcard, where one server is needed");
	origin->host = authority.host;
	origin->port = authority.port ? authority.port : authority_usual_port(origin->tls);
	return true;
}

static bool read_path(struct span path, struct arena *arena, struct origin *origin, struct fault *fault)
{
	struct path_options options = {.whole_segments = true};
	size_t length = 0;
	char *out = arena_alloc(arena, path.length * 3 + 1);
	enum path_result result = path.length ? path_canonical(path, options, out, &length) : PATH_OK;
	if (result != PATH_OK)
		return fault_set(fault, FAULT_USAGE, "the URL's path %s", path_result_text(result));
	while (length > 0 && out[length - 1] == '/')
		length--;
	out[length] = 0;
	origin->path = out;
	return true;
}

/* RFC 3986 §3.4. */
static bool is_query(struct span text)
{
	for (size_t i = 0; i < text.length; i++) {
		char c = text.data[i], lower = span_lower(c);
		if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && (!c || !strchr("-._~!$&'()*+,;=:@/?%", c)))
			return false;
	}
	return true;
}

bool origin_parse(struct span text, struct origin_options options, struct arena *arena, struct origin *origin,
                  struct fault *fault)
{
	*origin = (struct origin){.tls = span_equal_nocase(span_head(text, HTTPS.length), HTTPS)};
	if (!origin->tls && !span_equal_nocase(span_head(text, HTTP.length), HTTP))
		return fault_set(fault, FAULT_USAGE,
		                 "expected a URL that starts with https:// or http://, such as https://api.example.com");
	struct parts parts = take_apart(text, origin->tls);
	if (!options.query && (parts.query.data || memchr(text.data, '#', text.length)))
		return fault_set(fault, FAULT_USAGE,
		                 "a URL with a query or fragment; only scheme, host, port and path stand here");
	if (memchr(text.data, '#', text.length))
		return fault_set(fault, FAULT_USAGE,
		                 "a URL with a fragment, which no server is sent; take off what stands from \"#\" on");
	if (!is_query(parts.query))
		return fault_set(fault, FAULT_USAGE, "the URL's query has characters that a query escapes");
	return read_host(parts.authority, options, origin, fault) && read_path(parts.path, arena, origin, fault);
}

static void format_place(const struct origin *origin, char out[AUTHORITY_TEXT])
{
	/* An IPv6 address has its brackets with a port alone. */
	bool usual = origin->port == authority_usual_port(origin->tls) && origin->host.kind != HOST_IPV6;
	authority_format(&origin->host, usual ? 0 : origin->port, out);
}

void origin_format(const struct origin *origin, struct buffer *out)
{
	char place[AUTHORITY_TEXT];
	format_place(origin, place);
	buffer_format(out, "%s://%s%s%s", origin->tls ? "https" : "http", origin->wildcard ? "*." : "", place, origin->path);
}

char *origin_url(struct span text, const struct origin *origin, struct arena *arena)
{
	struct parts parts = take_apart(text, origin->tls);
	char place[AUTHORITY_TEXT];
	format_place(origin, place);
	return arena_format(arena, "%s://%s%s%s%s%.*s", origin->tls ? "https" : "http", place, origin->path,
	                    span_ends(parts.path, SPAN("/")) ? "/" : "", parts.query.data ? "?" : "", SPAN_ARGS(parts.query));
}
