#include "needle.h"

#include <stdint.h>

#include "memory.h"

#define WIDEST 6 /* characters for a byte: \u00e9 */
#define STEP 256 /* bytes that are looked at behind a find, before more are */

/* How a text may have been written. In each, a byte is read in one way only. */
enum form { FORM_PLAIN, FORM_PERCENT, FORM_JSON, FORMS };

/* One character of a text. */
struct unit {
	size_t size;   /* what it takes; 0: its end is not there yet */
	size_t length; /* what it stands for */
	char bytes[3];
};

static bool is_alphanumeric(char c)
{
	char lower = span_lower(c);
	return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9');
}

/* What nobody escapes. */
static bool is_plain(char c)
{
	return is_alphanumeric(c) || c == '-' || c == '.' || c == '_';
}

static int hex_digit(char c)
{
	char lower = span_lower(c);
	if (c >= '0' && c <= '9')
		return c - '0';
	return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* `count` hexadecimal digits at the start of `text`: the number, -1 where there is something else, -2 where they are not
 * all there yet. */
static int hex_number(struct span text, size_t count)
{
	int number = 0;
	for (size_t i = 0; i < count; i++) {
		if (i == text.length)
			return -2;
		int digit = hex_digit(text.data[i]);
		if (digit < 0)
			return -1;
		number = number * 16 + digit;
	}
	return number;
}

static struct unit itself(struct span text)
{
	return (struct unit){1, 1, {text.data[0]}};
}

static struct unit read_percent(struct span text)
{
	if (text.data[0] != '%')
		return itself(text);
	int number = hex_number(span_from(text, 1), 2);
	if (number == -2)
		return (struct unit){0};
	return number < 0 ? itself(text) : (struct unit){3, 1, {(char)number}};
}

/* A code point as UTF-8. Those beyond the first plane are written as two; no secret is looked for in that form. */
static struct unit code_point(int number)
{
	if (number < 0x80)
		return (struct unit){6, 1, {(char)number}};
	if (number < 0x800)
		return (struct unit){6, 2, {(char)(0xc0 | number >> 6), (char)(0x80 | (number & 0x3f))}};
	return (struct unit){
		6, 3, {(char)(0xe0 | number >> 12), (char)(0x80 | (number >> 6 & 0x3f)), (char)(0x80 | (number & 0x3f))}};
}

static struct unit read_json(struct span text)
{
	static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	if (text.data[0] != '\\')
		return itself(text);
	if (text.length == 1)
		return (struct unit){0};
	if (text.data[1] == 'u') {
		int number = hex_number(span_from(text, 2), 4);
		return number == -2 ? (struct unit){0} : number < 0 ? itself(text) : code_point(number);
	}
	const char *letter = memchr(letters, text.data[1], sizeof letters - 1);
	return letter ? (struct unit){2, 1, {meant[letter - letters]}} : itself(text);
}

static struct unit read_unit(enum form form, struct span text)
{
	switch (form) {
	case FORM_PERCENT:
		return read_percent(text);
	case FORM_JSON:
		return read_json(text);
	case FORM_PLAIN:
	case FORMS:
		break;
	}
	return itself(text);
}

/* Does the unit stand for what `rest` of a needle begins with? A form encoded blank may be a "+". */
static bool agrees(enum form form, const struct unit *unit, struct span rest)
{
	if (unit->size > 1 && unit->length == 1 && is_plain(unit->bytes[0]))
		return false;
	if (form == FORM_PERCENT && unit->size == 1 && unit->bytes[0] == '+' && rest.data[0] == ' ')
		return true;
	return rest.length >= unit->length && memcmp(rest.data, unit->bytes, unit->length) == 0;
}

enum match { MATCH_NO, MATCH_YES = 1, MATCH_MORE = 2 }; /* in one form it may be there, and in another one go on */

static enum match match_form(const struct needle *needle, enum form form, struct span text, size_t *size)
{
	struct span rest = needle->bytes;
	*size = 0;
	while (rest.length > 0) {
		struct span behind = span_from(text, *size);
		if (behind.length == 0)
			return MATCH_MORE;
		struct unit unit = read_unit(form, behind);
		if (unit.size == 0)
			return is_plain(rest.data[0]) ? MATCH_NO : MATCH_MORE;
		if (!agrees(form, &unit, rest))
			return MATCH_NO;
		rest = span_from(rest, unit.length);
		*size += unit.size;
	}
	return MATCH_YES;
}

/* Does the needle stand at the start of `text`? `*size` is what it takes, in the longest form. */
static unsigned match_at(const struct needle *needle, struct span text, size_t *size)
{
	unsigned matches = MATCH_NO;
	char first = text.data[0], wanted = needle->bytes.data[0];
	*size = 0;
	if (first != wanted && first != '%' && first != '\\' && !(first == '+' && wanted == ' '))
		return MATCH_NO;
	for (enum form form = 0; form < FORMS; form++) {
		size_t found;
		enum match match = match_form(needle, form, text, &found);
		if (match == MATCH_YES && found > *size)
			*size = found;
		matches |= match;
	}
	return matches;
}

/* Is there one that begins from `from` on and before `until`? */
static bool match_between(const struct needle *needle, struct span text, size_t from, size_t until, size_t *start,
                          size_t *end)
{
	size_t size;
	for (size_t at = from; at < until; at++)
		if (match_at(needle, span_from(text, at), &size) & MATCH_YES) {
			*start = at;
			*end = at + size;
			return true;
		}
	return false;
}

/* The first that begins from `from` on and before `until`. */
static bool search(const struct needle *needle, struct span text, size_t from, size_t until, size_t *start, size_t *end)
{
	size_t at = from, widest = needle->anchor * WIDEST;
	/* No form is shorter than what it stands for. */
	if (text.length - from < needle->bytes.length)
		return false;
	if (needle->anchor_length == 0)
		return match_between(needle, text, from, until, start, end);
	const char *anchor = needle->bytes.data + needle->anchor, *hit;
	size_t last = until + widest + needle->anchor_length < text.length ? until + widest + needle->anchor_length : text.length;
	while (at < last && (hit = memmem(text.data + at, last - at, anchor, needle->anchor_length))) {
		size_t place = (size_t)(hit - text.data);
		size_t first = place - from > widest ? place - widest : from;
		size_t behind = place - needle->anchor + 1;
		if (place >= first + needle->anchor &&
		    match_between(needle, text, first, behind < until ? behind : until, start, end))
			return true;
		at = place + 1;
	}
	return false;
}

static bool search_all(const struct needle_set *set, struct span text, size_t from, size_t until, size_t *start,
                       size_t *end)
{
	bool found = false;
	for (size_t i = 0; i < set->count; i++) {
		size_t first, behind;
		if (!search(&set->list[i], text, from, until, &first, &behind))
			continue;
		if (!found || first < *start || (first == *start && behind > *end)) {
			*start = first;
			*end = behind;
		}
		found = true;
		until = *start + 1;
	}
	return found;
}

/* Where one find follows the other, all needles are looked for again behind each: only as far as need be. */
bool needle_find(const struct needle_set *set, struct span text, size_t from, size_t *start, size_t *end)
{
	for (size_t size = from ? STEP : text.length; from < text.length; from += size, size *= 4) {
		if (size > text.length - from)
			size = text.length - from;
		if (search_all(set, text, from, from + size, start, end))
			return true;
	}
	return false;
}

size_t needle_undecided(const struct needle_set *set, struct span text)
{
	size_t size, at = text.length > set->reach ? text.length - set->reach : 0;
	for (; at < text.length; at++)
		for (size_t i = 0; i < set->count; i++)
			if (match_at(&set->list[i], span_from(text, at), &size) & MATCH_MORE)
				return text.length - at;
	return 0;
}

size_t needle_mask(const struct needle_set *set, char *bytes, size_t length, bool end, uint64_t *finds)
{
	struct span text = {bytes, length};
	size_t decided = end ? length : length - needle_undecided(set, text);
	size_t start, behind, next, until = 0;
	bool found = needle_find(set, text, 0, &start, &behind);
	while (found && start < decided) {
		/* A find may run into the next one: until that is known, what they share stays as it is. */
		if (behind > decided)
			return start;
		if (behind > until)
			until = behind;
		found = needle_find(set, text, start + 1, &next, &behind);
		size_t masked = found && next < until ? next : until;
		memset(bytes + start, '*', masked - start);
		start = next;
		++*finds;
	}
	return decided;
}

/* Where a find ends that the next ones may begin within. */
static size_t end_of_all(const struct needle_set *set, struct span text, size_t start, size_t end, uint64_t *finds)
{
	size_t behind;
	while (search_all(set, text, start + 1, end, &start, &behind)) {
		if (behind > end)
			end = behind;
		++*finds;
	}
	return end;
}

struct span needle_replace(const struct needle_set *set, struct span text, struct arena *arena, uint64_t *finds)
{
	static const struct span word = {"[secret]", 8};
	size_t start, end, from = 0;
	char *out = NULL, *at = NULL;
	while (needle_find(set, text, from, &start, &end)) {
		end = end_of_all(set, text, start, end, finds);
		if (!out) /* each find has eight bytes and more */
			at = out = arena_alloc(arena, text.length + 1);
		at = mempcpy(mempcpy(at, text.data + from, start - from), word.data, word.length);
		from = end;
		++*finds;
	}
	if (!out)
		return text;
	at = mempcpy(at, text.data + from, text.length - from);
	return (struct span){out, (size_t)(at - out)};
}

static void set_anchor(struct needle *needle)
{
	size_t start = 0;
	for (size_t i = 0; i <= needle->bytes.length; i++) {
		if (i < needle->bytes.length && is_plain(needle->bytes.data[i]))
			continue;
		if (i - start > needle->anchor_length) {
			needle->anchor = start;
			needle->anchor_length = i - start;
		}
		start = i + 1;
	}
}

static size_t widest(struct span bytes)
{
	size_t size = 0;
	for (size_t i = 0; i < bytes.length; i++)
		size += is_plain(bytes.data[i]) ? 1 : WIDEST;
	return size;
}

static void add_piece(struct needle_set *set, struct arena *arena, struct span bytes)
{
	struct needle needle = {.bytes = bytes};
	for (size_t i = 0; i < set->count; i++)
		if (span_equal(set->list[i].bytes, bytes))
			return;
	if (set->count == set->capacity) {
		size_t capacity = set->capacity * 2 + 2;
		struct needle *list = arena_alloc(arena, capacity * sizeof *list);
		if (set->count)
			memcpy(list, set->list, set->count * sizeof *list);
		set->list = list;
		set->capacity = capacity;
	}
	set_anchor(&needle);
	set->list[set->count++] = needle;
	if (widest(bytes) > set->reach)
		set->reach = widest(bytes);
}

/* A cut there would leave a piece that no JSON has: it escapes whole characters. */
static bool is_inside_character(char byte)
{
	return ((unsigned char)byte & 0xc0) == 0x80;
}

void needle_add(struct needle_set *set, struct arena *arena, struct span secret)
{
	size_t pieces = (secret.length + NEEDLE_PIECE - 1) / NEEDLE_PIECE;
	if (secret.length < NEEDLE_LEAST)
		return;
	for (; pieces > 0; pieces--) {
		size_t length = secret.length / pieces;
		while (length < secret.length && is_inside_character(secret.data[length]))
			length--;
		add_piece(set, arena, span_head(secret, length));
		secret = span_from(secret, length);
	}
}
