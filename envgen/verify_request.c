#include "verify_request.h"

#include "base64.h"
#include "buffer.h"
#include "verify_targets.h"

/* Takes one field off `*rest`; false: there is none left. */
static bool next_field(struct span *rest, struct span *name, struct span *value)
{
	struct span line = span_split(rest, '\n');
	*value = span_split(&line, '\r');
	*name = span_split(value, ':');
	*value = span_trim(*value);
	return name->length > 0;
}

/* RFC 7617 §2: user-id ":" password. */
static bool shows_basic(struct span encoded, struct span token)
{
	AUTO_WIPE struct buffer plain = {0};
	char *out = buffer_room(&plain, encoded.length + 1);
	if (!base64_decode(encoded, out, &plain.length))
		return false;
	struct span password = buffer_view(&plain), user = span_split(&password, ':');
	return span_equal(password.length > 0 ? password : user, token);
}

/* RFC 9110 §11.4: scheme SP token68. */
static bool shows(struct span value, struct span token)
{
	struct span rest = value, scheme = span_split(&rest, ' ');
	rest = span_trim(rest);
	if (span_equal_nocase(scheme, SPAN("Bearer")))
		return span_equal(rest, token);
	return span_equal_nocase(scheme, SPAN("Basic")) && shows_basic(rest, token);
}

static bool is_authenticated(const struct targets *targets, struct span fields)
{
	struct span name, value;
	if (!targets->proxy_token)
		return true;
	while (next_field(&fields, &name, &value))
		if (span_equal_nocase(name, SPAN("Proxy-Authorization")) &&
		    shows(value, span_of(targets->proxy_token)))
			return true;
	return false;
}

static bool list_has(struct span list, struct span word)
{
	while (list.data)
		if (span_equal_nocase(span_trim(span_split(&list, ',')), word))
			return true;
	return false;
}

/* Content would be read as the next request. */
static bool can_stay(struct span version, struct span fields)
{
	struct span name, value;
	if (!span_equal(version, SPAN("HTTP/1.1")))
		return false;
	while (next_field(&fields, &name, &value))
		if (span_equal_nocase(name, SPAN("Transfer-Encoding")) ||
		    (span_equal_nocase(name, SPAN("Content-Length")) && !span_equal(value, SPAN("0"))) ||
		    (span_equal_nocase(name, SPAN("Connection")) && list_has(value, SPAN("close"))))
			return false;
	return true;
}

static const struct target *target_numbered(const struct targets *targets, struct span text)
{
	const char *found = memmem(text.data, text.length, VERIFY_PATH "/", sizeof VERIFY_PATH);
	if (!found)
		return NULL;
	size_t number = 0;
	struct span digits = span_from(text, (size_t)(found - text.data) + sizeof VERIFY_PATH);
	for (; digits.length > 0 && digits.data[0] >= '0' && digits.data[0] <= '9' && number < VERIFY_TARGETS;
	     digits = span_from(digits, 1))
		number = number * 10 + (size_t)(digits.data[0] - '0');
	return number < targets->count ? &targets->list[number] : NULL;
}

/* http://HOST:PORT/ of the proxy itself. */
static bool is_own(const struct targets *targets, struct span url)
{
	static const struct span scheme = SPAN("http://");
	struct authority authority;
	if (!span_equal_nocase(span_head(url, scheme.length), scheme))
		return false;
	struct span rest = span_from(url, scheme.length);
	return authority_parse(span_split(&rest, '/'), &authority, NULL) &&
	       (authority.port ? authority.port : 80) == targets->proxy.port &&
	       host_equal(&authority.host, &targets->proxy.host);
}

void verify_request_read(const struct targets *targets, struct span head, struct verify_request *request)
{
	struct span fields = head, line = span_split(&fields, '\n'), words = span_split(&line, '\r');
	struct span method = span_split(&words, ' '), where = span_split(&words, ' ');
	struct authority authority;
	bool tunnel = span_equal(method, SPAN("CONNECT"));
	*request = (struct verify_request){0};
	if (where.length == 0)
		return;
	request->way = is_authenticated(targets, fields) ? SEEN_PROXY : SEEN_CHALLENGED;
	request->stays = span_ends(head, SPAN("\r\n\r\n")) && can_stay(words, fields);
	if (!tunnel)
		request->target = target_numbered(targets, where);
	else if (authority_parse(where, &authority, NULL))
		request->target = targets_find(targets, &authority.host, authority.port);
	if (!tunnel && where.data[0] == '/')
		request->way = SEEN_ENDPOINT;
	else if (!tunnel && is_own(targets, where))
		request->way = SEEN_PROXY;
}
