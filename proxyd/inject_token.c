/* Session tokens wherever they stand in what an agent sent. */
#include "base64.h"
#include "inject_internal.h"
#include "percent.h"

bool inject_holds_token(const struct strip *strip, struct span text)
{
	return strip->tokens && token_table_within(strip->tokens, text).data;
}

bool inject_field_holds_token(const struct strip *strip, struct span value)
{
	static const struct span basic = {"basic ", 6};
	size_t length = 0;
	if (value.length < TOKEN_BODY || !strip->tokens)
		return false;
	if (inject_holds_token(strip, value))
		return true;
	if (!span_equal_nocase(span_head(value, basic.length), basic))
		return false;
	struct span coded = span_trim(span_from(value, basic.length));
	char *plain = arena_alloc(strip->arena, coded.length);
	return base64_decode(coded, plain, &length) && inject_holds_token(strip, (struct span){plain, length});
}

bool inject_parameter_holds_token(const struct strip *strip, struct span text)
{
	if (text.length < TOKEN_BODY || !strip->tokens)
		return false;
	if (inject_holds_token(strip, text))
		return true;
	if (!memchr(text.data, '%', text.length))
		return false;
	char *plain = arena_alloc(strip->arena, text.length);
	return inject_holds_token(strip, (struct span){plain, percent_decode(text, true, plain)});
}
