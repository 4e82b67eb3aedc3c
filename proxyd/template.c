#include "template.h"

/* Takes the literal text up to the next "{" off `*rest`; and, where there is one, the {NAME} behind it. */
static struct span take_literal(struct span *rest, bool *placeholder)
{
	const char *open = rest->length ? memchr(rest->data, '{', rest->length) : NULL;
	struct span literal = open ? span_head(*rest, (size_t)(open - rest->data)) : *rest;
	*placeholder = open != NULL;
	*rest = span_from(*rest, literal.length);
	if (open)
		span_split(rest, '}');
	if (!rest->data)
		*rest = (struct span){"", 0};
	return literal;
}

static size_t run_until(struct span text, char stop)
{
	const char *found = stop && text.length ? memchr(text.data, stop, text.length) : NULL;
	return found ? (size_t)(found - text.data) : text.length;
}

/* How much of `text` a {NAME} takes that `literal` follows: up to its first occurrence, or all. */
static size_t run_before(struct span text, struct span literal)
{
	const char *found = literal.length ? memmem(text.data, text.length, literal.data, literal.length) : NULL;
	return found ? (size_t)(found - text.data) : text.length;
}

/* `stop` ends what a {NAME} may take; 0: nothing does. */
static bool match(struct span template, struct span text, char stop, struct span *first, size_t *used)
{
	struct span rest = text;
	bool placeholder, seen = false;
	struct span literal = take_literal(&template, &placeholder);
	for (;;) {
		if (!span_starts(rest, literal))
			return false;
		rest = span_from(rest, literal.length);
		if (!placeholder)
			break;
		struct span within = span_head(rest, run_until(rest, stop));
		bool another;
		literal = take_literal(&template, &another);
		struct span before = span_head(literal, run_until(literal, stop));
		struct span value = span_head(within, run_before(within, before));
		if (value.length == 0)
			return false;
		if (!seen && first)
			*first = value;
		seen = true;
		rest = span_from(rest, value.length);
		placeholder = another;
	}
	*used = text.length - rest.length;
	return true;
}

bool template_match(struct span template, struct span text, struct span *first)
{
	size_t used;
	return match(template, text, 0, first, &used) && used == text.length;
}

bool template_match_path(struct span template, struct span path, struct span *first, size_t *used)
{
	return match(template, path, '/', first, used) && (*used == path.length || path.data[*used] == '/');
}
