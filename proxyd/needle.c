#include "needle.h"

#include <stdint.h>

#include "memory.h"

#define PAIRS sizeof(((struct needle_steps *)0)->skip)
#define A_WINDOW 0 /* in needle_steps.skip: as no anchor has the two bytes, one byte less than a window */
#define WIDEST 6 /* characters for a byte: \u00e9 */

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

/* Can a form of the needle begin with `first`? */
static bool may_begin(const struct needle *needle, char first)
{
	char wanted = needle->bytes.data[0];
	return first == wanted || first == '%' || first == '\\' || (first == '+' && wanted == ' ');
}

/* Does the needle stand at the start of `text`? `*size` is what it takes, in the longest form. */
static unsigned match_at(const struct needle *needle, struct span text, size_t *size)
{
	unsigned matches = MATCH_NO;
	*size = 0;
	if (!may_begin(needle, text.data[0]))
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

static bool may_begin_any(const struct needle_set *set, char first)
{
	return !set->steps || set->steps->first[(unsigned char)first];
}

/* By the last two bytes of a window. */
static unsigned pair_at(const char *last)
{
	return ((unsigned char)last[-1] * 37U + (unsigned char)last[0]) % PAIRS;
}

/* The end of the next window that may be the beginning of an anchor, from `at` on; `limit` where there is none. Most steps
 * are as long as each other, so that the processor need not wait for one to take the next. */
static size_t next_window(const struct needle_steps *steps, const char *text, size_t at, size_t limit)
{
	size_t most = steps->window - 1U;
	while (at < limit) {
		unsigned char skip = steps->skip[pair_at(text + at)];
		if (skip == A_WINDOW)
			at += most;
		else if (skip > 1)
			at += skip - 1U;
		else
			return at;
	}
	return limit;
}

/* Takes the needles whose anchor stands at `place`, if one begins before *start, or there and is longer. */
static bool try_anchor(const struct needle_set *set, struct span text, size_t from, size_t place, bool found,
                       size_t *start, size_t *end)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct needle *needle = &set->list[i];
		size_t first, behind, widest = needle->anchor * WIDEST, least = place - from > widest ? place - widest : from;
		if (text.length - place < needle->anchor_length || place < least + needle->anchor ||
		    memcmp(text.data + place, needle->bytes.data + needle->anchor, needle->anchor_length) != 0 ||
		    !match_between(needle, text, least, place - needle->anchor + 1, &first, &behind))
			continue;
		if (!found || first < *start || (first == *start && behind > *end)) {
			*start = first;
			*end = behind;
		}
		found = true;
	}
	return found;
}

/* Without steps: a needle has no two bytes side by side that nobody escapes. */
static bool find_slowly(const struct needle_set *set, struct span text, size_t from, size_t *start, size_t *end)
{
	size_t longest = 0, size;
	for (; from < text.length && longest == 0; from++)
		for (size_t i = 0; i < set->count; i++)
			if ((match_at(&set->list[i], span_from(text, from), &size) & MATCH_YES) && size > longest) {
				*start = from;
				*end = from + size;
				longest = size;
			}
	return longest > 0;
}

bool needle_find(const struct needle_set *set, struct span text, size_t from, size_t *start, size_t *end)
{
	if (!set->steps)
		return find_slowly(set, text, from, start, end);
	size_t window = set->steps->window, limit = text.length, at = from + window - 1;
	bool found = false;
	while ((at = next_window(set->steps, text.data, at, limit)) < limit) {
		found = try_anchor(set, text, from, at - window + 1, found, start, end);
		/* One that begins no later has its anchor no further away than this. */
		if (found && *start + set->lead + window < limit)
			limit = *start + set->lead + window;
		at++;
	}
	return found;
}

size_t needle_undecided(const struct needle_set *set, struct span text)
{
	size_t size, at = text.length > set->reach ? text.length - set->reach : 0;
	for (; at < text.length; at++) {
		if (!may_begin_any(set, text.data[at]))
			continue;
		for (size_t i = 0; i < set->count; i++)
			if (match_at(&set->list[i], span_from(text, at), &size) & MATCH_MORE)
				return text.length - at;
	}
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
	while (needle_find(set, text, start + 1, &start, &behind) && start < end) {
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
	if (needle.anchor * WIDEST > set->lead)
		set->lead = needle.anchor * WIDEST;
	set->steps = NULL;
}

#define CHARACTER 4 /* bytes of one in UTF-8, at most */

/* A cut inside of a character would leave pieces that no JSON has: it escapes whole ones. */
static size_t length_of_piece(struct span secret, size_t length)
{
	size_t back = 0;
	while (length < secret.length && back < CHARACTER && ((unsigned char)secret.data[length - back] & 0xc0) == 0x80)
		back++;
	return back < CHARACTER ? length - back : length;
}

void needle_add(struct needle_set *set, struct arena *arena, struct span secret)
{
	size_t pieces = (secret.length + NEEDLE_PIECE - 1) / NEEDLE_PIECE;
	if (secret.length < NEEDLE_LEAST)
		return;
	for (; pieces > 0; pieces--) {
		size_t length = length_of_piece(secret, secret.length / pieces);
		add_piece(set, arena, span_head(secret, length));
		secret = span_from(secret, length);
	}
}

static void learn_window(struct needle_steps *steps, const char *anchor)
{
	for (size_t i = 1; i < steps->window; i++) {
		unsigned char *skip = &steps->skip[pair_at(anchor + i)];
		if (*skip == A_WINDOW || *skip > steps->window - i)
			*skip = (unsigned char)(steps->window - i);
	}
}

void needle_learn(struct needle_set *set, struct needle_steps *steps)
{
	size_t window = UINT8_MAX;
	for (size_t i = 0; i < set->count; i++)
		if (set->list[i].anchor_length < window)
			window = set->list[i].anchor_length;
	set->steps = NULL;
	if (set->count == 0 || window < 2)
		return;
	*steps = (struct needle_steps){.window = (unsigned char)window};
	for (size_t i = 0; i < set->count; i++) {
		learn_window(steps, set->list[i].bytes.data + set->list[i].anchor);
		for (int first = 0; first < 256; first++)
			steps->first[first] |= may_begin(&set->list[i], (char)first);
	}
	set->steps = steps;
}
