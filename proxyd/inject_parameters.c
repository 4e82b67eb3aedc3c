/* Lists of parameters: a query, a Cookie line, the protocols of a WebSocket. What goes is taken out with one separator;
 * all else stays byte for byte. */
#include "inject_internal.h"
#include "percent.h"

/* How a list is written, and which of its pieces go. */
struct list_kind {
	const char *separators;
	bool (*goes)(const struct strip *strip, struct span piece);
	bool blanks; /* blanks behind a separator belong to it */
};

static size_t piece_length(struct span text, const char *separators)
{
	size_t i = 0;
	while (i < text.length && text.data[i] != separators[0] && text.data[i] != separators[1])
		i++;
	return i;
}

static struct span without_blanks(struct span text)
{
	while (text.length > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
		text = span_from(text, 1);
	return text;
}

/* What is left of a list, as far as it is written. */
struct rest {
	char *out; /* NULL: nothing went yet */
	size_t used;
	bool any;  /* a piece stands in it, which may be an empty one */
};

static void drop_first(struct rest *rest, const struct strip *strip, struct span text, size_t at)
{
	rest->out = arena_alloc(strip->arena, text.length + 1);
	rest->any = at > 0;
	rest->used = rest->any ? at - 1 : 0;
	memcpy(rest->out, text.data, rest->used);
}

static void keep(struct rest *rest, const struct list_kind *kind, char separator, struct span piece)
{
	if (rest->any)
		rest->out[rest->used++] = separator;
	else if (kind->blanks)
		piece = without_blanks(piece);
	if (piece.length)
		memcpy(rest->out + rest->used, piece.data, piece.length);
	rest->used += piece.length;
	rest->any = true;
}

static struct span strip_list(const struct strip *strip, const struct list_kind *kind, struct span text)
{
	struct rest rest = {0};
	for (size_t at = 0; at <= text.length;) {
		struct span behind = span_from(text, at);
		struct span piece = span_head(behind, piece_length(behind, kind->separators));
		bool goes = kind->goes(strip, piece);
		if (goes && !rest.out)
			drop_first(&rest, strip, text, at);
		else if (!goes && rest.out)
			keep(&rest, kind, text.data[at - 1], piece);
		at += piece.length + 1;
	}
	return rest.out ? (struct span){rest.out, rest.used} : text;
}

/* What readers take for the name: without blanks around it, up to a NUL, and up to "[" where PHP begins a list. */
static struct span as_read(struct span name)
{
	size_t length = 0;
	name = span_trim(name);
	while (length < name.length && name.data[length] != 0 && name.data[length] != '[')
		length++;
	return span_trim(span_head(name, length));
}

/* Case, and which sign stands between letters, are the same to some reader (ASP.NET; PHP, which makes "_" of them). */
static bool is_named(const struct name_list *names, struct span name)
{
	name = as_read(name);
	for (size_t i = 0; i < names->count; i++)
		if (inject_names_alike(names->list[i], name))
			return true;
	return false;
}

/* Is the piece called by one of the names, in any spelling that a reader would decode? */
static bool has_name(const struct strip *strip, const struct name_list *names, struct span piece, bool plus)
{
	if (names->count == 0)
		return false;
	struct span name = span_trim(span_split(&piece, '='));
	if (!memchr(name.data, '%', name.length) && !(plus && memchr(name.data, '+', name.length)))
		return is_named(names, name);
	char *plain = arena_alloc(strip->arena, name.length);
	return is_named(names, (struct span){plain, percent_decode(name, plus, plain)});
}

static bool query_goes(const struct strip *strip, struct span piece)
{
	return (strip->rendering && has_name(strip, &strip->rendering->query_names, piece, true)) ||
	       inject_parameter_holds_token(strip, piece);
}

static bool cookie_goes(const struct strip *strip, struct span piece)
{
	return (strip->rendering && has_name(strip, &strip->rendering->cookie_names, piece, false)) ||
	       inject_parameter_holds_token(strip, piece);
}

static bool protocol_goes(const struct strip *strip, struct span piece)
{
	return inject_holds_token(strip, piece);
}

/* Some readers take ";" for "&" in a query, and "," for ";" between cookies: a copy behind one of them goes too. */
struct span inject_strip_query(const struct strip *strip, struct span text)
{
	static const struct list_kind kind = {"&;", query_goes, false};
	return strip_list(strip, &kind, text);
}

struct span inject_strip_cookie(const struct strip *strip, struct span text)
{
	static const struct list_kind kind = {";,", cookie_goes, true};
	return strip_list(strip, &kind, text);
}

static bool coding_goes(const struct strip *strip, struct span piece)
{
	static const struct span readable[] = {{"gzip", 4}, {"x-gzip", 6}, {"identity", 8}};
	struct span name = span_trim(span_split(&piece, ';'));
	(void)strip;
	for (size_t i = 0; i < sizeof readable / sizeof *readable; i++)
		if (span_equal_nocase(name, readable[i]))
			return false;
	return true;
}

struct span inject_strip_codings(const struct strip *strip, struct span text)
{
	static const struct list_kind kind = {",,", coding_goes, true};
	struct span left = span_trim(strip_list(strip, &kind, text));
	return left.length ? left : SPAN("identity");
}

struct span inject_strip_protocols(const struct strip *strip, struct span text)
{
	static const struct list_kind kind = {",,", protocol_goes, true};
	return strip_list(strip, &kind, text);
}
