#include "target.h"

#include "path.h"

static bool parse_scheme(struct span *rest, bool *tls)
{
	static const struct span http = {"http://", 7}, https = {"https://", 8};
	*tls = span_equal_nocase(span_head(*rest, https.length), https);
	if (!*tls && !span_equal_nocase(span_head(*rest, http.length), http))
		return false;
	*rest = span_from(*rest, *tls ? https.length : http.length);
	return true;
}

/* The authority ends at the first "/" or "?" (RFC 3986 §3.2). */
static struct span take_authority(struct span *rest)
{
	size_t i = 0;
	while (i < rest->length && rest->data[i] != '/' && rest->data[i] != '?')
		i++;
	struct span authority = span_head(*rest, i);
	*rest = span_from(*rest, i);
	return authority;
}

static bool parse_absolute(struct span text, struct target *target, struct fault *fault)
{
	struct span rest = text;
	if (!parse_scheme(&rest, &target->tls))
		return fault_set(fault, FAULT_USAGE, "the request target begins with neither / nor http:// nor https://");
	struct span authority = take_authority(&rest);
	if (memchr(authority.data, '@', authority.length))
		return fault_set(fault, FAULT_USAGE, "the request target has user information in front of its host; send it in Proxy-Authorization");
	if (!authority_parse(authority, &target->authority, fault))
		return fault_wrap(fault, "the request target");
	if (target->authority.port == 0)
		target->authority.port = authority_usual_port(target->tls);
	target->path = path_split_query(rest, &target->query);
	if (target->path.length == 0)
		target->path = SPAN("/");
	return true;
}

bool target_parse(struct span method, struct span text, struct target *target, struct fault *fault)
{
	*target = (struct target){0};
	if (span_equal(method, SPAN("CONNECT"))) {
		target->form = TARGET_AUTHORITY;
		if (!authority_parse(text, &target->authority, fault))
			return fault_wrap(fault, "the request target");
		return target->authority.port != 0 || fault_set(fault, FAULT_USAGE, "the request target has no port");
	}
	if (memchr(text.data, '#', text.length))
		return fault_set(fault, FAULT_USAGE, "the request target has a fragment (#)");
	if (span_starts(text, SPAN("/"))) {
		target->form = TARGET_ORIGIN;
		target->path = path_split_query(text, &target->query);
		return true;
	}
	if (span_equal(text, SPAN("*"))) {
		target->form = TARGET_ASTERISK;
		return true;
	}
	target->form = TARGET_ABSOLUTE;
	return parse_absolute(text, target, fault);
}
