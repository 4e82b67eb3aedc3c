#include "gate.h"

bool gate_takes(const struct token_table *table, struct span token)
{
	const struct token_entry *entry = table && token.data ? token_table_find(table, token) : NULL;
	return entry && entry->kind == TOKEN_ADMIN;
}

bool gate_takes_bearer(const struct token_table *table, struct span authorization)
{
	struct span rest = span_trim(authorization);
	struct span scheme = span_split(&rest, ' ');
	return rest.data && span_equal_nocase(scheme, SPAN("Bearer")) && gate_takes(table, span_trim(rest));
}

bool gate_takes_cookie(const struct token_table *table, struct span cookies)
{
	while (cookies.data) {
		struct span value = span_split(&cookies, ';');
		struct span name = span_split(&value, '=');
		if (value.data && span_equal(span_trim(name), SPAN(GATE_COOKIE)) && gate_takes(table, span_trim(value)))
			return true;
	}
	return false;
}
