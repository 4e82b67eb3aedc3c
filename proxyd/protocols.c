#include "protocols.h"

static const struct span upgrade = {"upgrade", 7}, connection = {"connection", 10};

/* Walks what all Upgrade fields of a message list; empty elements are none (RFC 9110 §5.6.1). */
struct walk {
	const struct fields *fields;
	size_t next;
	struct span rest;
};

static bool next_protocol(struct walk *walk, struct span *protocol)
{
	for (;;) {
		while (walk->rest.data) {
			*protocol = span_trim(span_split(&walk->rest, ','));
			if (protocol->length > 0)
				return true;
		}
		if (walk->next == walk->fields->count)
			return false;
		const struct field *field = &walk->fields->list[walk->next++];
		if (field->name.length == upgrade.length && span_equal_nocase(field->name, upgrade))
			walk->rest = field->value;
	}
}

/* name or name/version. HTTP in any version would be answered by a server that nobody judges, and TLS would hide it. */
static bool may_pass(struct span protocol)
{
	static const struct span barred[] = {SPAN("http"), SPAN("h2c"), SPAN("h2"), SPAN("tls")};
	struct span version = protocol, name = span_split(&version, '/');
	if (!text_is_token(name) || (version.data && !text_is_token(version)))
		return false;
	for (size_t i = 0; i < sizeof barred / sizeof *barred; i++)
		if (span_equal_nocase(name, barred[i]))
			return false;
	return true;
}

static bool asks_for_others(const struct fields *fields)
{
	struct walk walk = {.fields = fields};
	struct span protocol;
	bool any = false;
	while (next_protocol(&walk, &protocol)) {
		if (!may_pass(protocol))
			return false;
		any = true;
	}
	return any;
}

static bool has_body(const struct request *request)
{
	return request->body.kind == BODY_CHUNKED || (request->body.kind == BODY_LENGTH && request->body.length > 0);
}

bool protocols_asked(const struct request *request)
{
	return asks_for_others(&request->fields) && span_equal(request->method, SPAN("GET")) && request->minor > 0 &&
	       !request->h2 && !has_body(request) && !fields_find(&request->fields, SPAN("expect")) &&
	       fields_list_has(&request->fields, connection, upgrade);
}

bool protocols_granted(const struct request *request, const struct response *response)
{
	struct walk walk = {.fields = &response->fields};
	struct span protocol;
	bool any = false;
	while (next_protocol(&walk, &protocol)) {
		if (!fields_list_has(&request->fields, upgrade, protocol))
			return false;
		any = true;
	}
	return any && response->minor > 0 && fields_list_has(&response->fields, connection, upgrade);
}
