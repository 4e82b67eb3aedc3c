/* Session tokens wherever they stand in a text.
 *
 * A token ends in TOKEN_BODY base62 digits. So each run of digits that is long enough has one candidate, its end, with
 * each prefix that a token of this configuration has. */
#include "base64.h"
#include "inject_internal.h"
#include "percent.h"

static const bool digits[256] = {['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true};

static bool is_digit(char c)
{
	return digits[(unsigned char)c];
}

/* Is there a token that ends where `text` does? */
static bool ends_in_token(const struct strip *strip, struct span text)
{
	const struct name_list *prefixes = &strip->table->prefixes;
	struct span before = span_head(text, text.length - TOKEN_BODY);
	for (size_t i = 0; i < prefixes->count; i++) {
		struct span prefix = prefixes->list[i];
		if (span_ends(before, prefix) &&
		    token_table_find(strip->tokens, span_from(text, before.length - prefix.length)))
			return true;
	}
	return false;
}

bool inject_holds_token(const struct strip *strip, struct span text)
{
	size_t start = 0;
	if (!strip->tokens)
		return false;
	while (text.length - start >= TOKEN_BODY) {
		size_t end = start + TOKEN_BODY, at = end;
		while (at > start && is_digit(text.data[at - 1]))
			at--;
		if (at > start) { /* not a digit in front of `at`: the next run begins there at the earliest */
			start = at;
			continue;
		}
		while (end < text.length && is_digit(text.data[end]))
			end++;
		if (ends_in_token(strip, span_head(text, end)))
			return true;
		start = end;
	}
	return false;
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
