#include "rules.h"

#include <stdint.h>

#include "buffer.h"
#include "memory.h"
#include "path.h"

#define PATTERN_MAX_BYTES 1024
#define HINT_PATH_BYTES 200
#define SHAPE "a rule is like `allow GET,POST /v1/**` or `deny * /v1/admin/**`"

static bool refuse(struct span text, struct fault *fault, const char *why)
{
	return fault_set(fault, FAULT_USAGE, "rule `%.*s` %s; " SHAPE, SPAN_ARGS(span_head(text, 200)), why);
}

/* Takes the next word off `*rest`; its data is NULL where there is none. */
static struct span take_word(struct span *rest)
{
	*rest = span_trim(*rest);
	size_t i = 0;
	while (i < rest->length && rest->data[i] != ' ' && rest->data[i] != '\t')
		i++;
	struct span word = {i ? rest->data : NULL, i};
	*rest = span_from(*rest, i);
	return word;
}

static bool is_token(struct span text)
{
	for (size_t i = 0; i < text.length; i++) {
		char c = text.data[i];
		bool alphanumeric = (c >= '0' && c <= '9') || (span_lower(c) >= 'a' && span_lower(c) <= 'z');
		if (!alphanumeric && (c == 0 || !strchr("!#$%&'*+-.^_`|~", c)))
			return false;
	}
	return text.length > 0;
}

static const char *why_not_method(struct span method)
{
	static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"};
	if (!is_token(method))
		return "has something that is no method; methods stand with commas and no blanks between them";
	if (span_equal(method, SPAN("*")))
		return "has `*` beside other methods; `*` alone means all";
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (span_equal_nocase(method, span_of(known[i])) && !span_equal(method, span_of(known[i])))
			return "has a method in lower case; methods are told apart by case, so write GET, POST";
	return NULL;
}

/* Returns NULL, or what is wrong with the list. */
static const char *add_methods(struct rule *rule, struct span list)
{
	if (span_equal(list, SPAN("*")))
		return NULL;
	size_t capacity = 0;
	while (list.data) {
		struct span method = span_split(&list, ',');
		const char *why = why_not_method(method);
		if (why)
			return why;
		rule->methods = memory_grow(rule->methods, rule->method_count, &capacity, sizeof *rule->methods);
		rule->methods[rule->method_count++] = memory_span(method);
	}
	return NULL;
}

/* The placeholder stands in rules and judged paths with plain braces; a path of an agent has them escaped, and so has a
 * rule that means such a path. Both forms have the same characters in the same order, each plain or an escape. */
static char *restore_placeholders(struct span written, struct span canonical)
{
	static const struct span placeholder = {"{secret}", 8}, escaped = {"%7Bsecret%7D", 12};
	struct buffer text = {0};
	buffer_append(&text, "", 0);
	while (canonical.length > 0) {
		bool found = span_starts(written, placeholder);
		size_t size = found ? escaped.length : canonical.data[0] == '%' ? 3 : 1;
		buffer_span(&text, found ? placeholder : span_head(canonical, size));
		canonical = span_from(canonical, size);
		written = span_from(written, found ? placeholder.length : written.data[0] == '%' ? 3 : 1);
	}
	return text.data;
}

static const char *set_pattern(struct rule *rule, struct span text)
{
	char canonical[3 * PATTERN_MAX_BYTES + 1];
	size_t length;
	if (text.length > PATTERN_MAX_BYTES)
		return "has a path longer than 1024 bytes";
	if (span_equal(text, SPAN("*")) || span_equal(text, SPAN("**"))) {
		rule->pattern = memory_string("**");
		return NULL;
	}
	if (text.length && memchr(text.data, '?', text.length))
		return "has a `?`; rules judge the path alone, without the query";
	enum path_result result =
		path_canonical(text, (struct path_options){.encoded_slash = true, .whole_segments = true}, canonical, &length);
	if (result == PATH_NOT_ABSOLUTE)
		return "has a path that does not begin with /";
	if (result != PATH_OK)
		return path_result_text(result);
	if (length > PATTERN_MAX_BYTES)
		return "has a path longer than 1024 bytes";
	rule->pattern = restore_placeholders(text, (struct span){canonical, length});
	return NULL;
}

static const char *parse_rule(struct rule *rule, struct span text)
{
	struct span action = take_word(&text), methods = take_word(&text), pattern = take_word(&text);
	rule->allow = span_equal(action, SPAN("allow"));
	if (!rule->allow && !span_equal(action, SPAN("deny")))
		return "begins with neither `allow` nor `deny`";
	if (!pattern.data)
		return "has less than three words: allow or deny, methods, path";
	if (take_word(&text).data)
		return "has more than three words; write a blank in a path as %20, methods with commas alone";
	const char *why = add_methods(rule, methods);
	return why ? why : set_pattern(rule, pattern);
}

static void free_rule(struct rule *rule)
{
	for (size_t i = 0; i < rule->method_count; i++)
		free(rule->methods[i]);
	free(rule->methods);
	free(rule->pattern);
	free(rule->text);
}

bool rules_add(struct rules *rules, struct span text, struct fault *fault)
{
	struct rule rule = {.allow = false};
	const char *why = parse_rule(&rule, text);
	if (why) {
		free_rule(&rule);
		return refuse(text, fault, why);
	}
	rule.text = memory_span(text);
	rules->list = memory_resize(rules->list, rules->count + 1, sizeof *rules->list);
	rules->list[rules->count++] = rule;
	return true;
}

static struct rule copy_rule(const struct rule *rule)
{
	struct rule copy = {
		.allow = rule->allow,
		.method_count = rule->method_count,
		.methods = rule->methods ? memory_array(rule->method_count, sizeof *rule->methods) : NULL,
		.pattern = memory_string(rule->pattern),
		.text = memory_string(rule->text),
	};
	for (size_t i = 0; i < rule->method_count; i++)
		copy.methods[i] = memory_string(rule->methods[i]);
	return copy;
}

struct rules rules_copy(const struct rules *rules)
{
	struct rules copy = {0};
	if (rules->count)
		copy.list = memory_array(rules->count, sizeof *copy.list);
	for (; copy.count < rules->count; copy.count++)
		copy.list[copy.count] = copy_rule(&rules->list[copy.count]);
	return copy;
}

void rules_free(struct rules *rules)
{
	for (size_t i = 0; i < rules->count; i++)
		free_rule(&rules->list[i]);
	free(rules->list);
	*rules = (struct rules){0};
}

/* A character of a path or pattern: its byte, or this and its byte where the escape means something else than the plain
 * byte would. Every other escape equals its plain byte: servers decode "%40", so "/@x" must not be dodged by "/%40x". */
#define ESCAPED_BYTE 0x100

static unsigned hex_value(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'A') + 10;
}

/* Reads the character at `text`, which is canonical, so an escape is whole; `*size` is what it takes. */
static unsigned read_character(struct span text, size_t *size)
{
	unsigned char c = (unsigned char)text.data[0];
	*size = 1;
	if (c != '%' || text.length < 3)
		return c;
	*size = 3;
	c = (unsigned char)(hex_value(text.data[1]) << 4 | hex_value(text.data[2]));
	return c == '/' || c == '{' || c == '}' ? ESCAPED_BYTE | c : c;
}

/* What ends a pattern that matches the path above it too: all below /v1 has /v1 with it. */
#define BELOW SPAN("/**")

/* A walk of all ways in which a pattern can match at once: the set of places in the pattern that the path read so far
 * can have come to. Each character of the path costs at most one look at each place. */
struct match {
	struct span pattern;
	uint16_t places[2][PATTERN_MAX_BYTES + 1]; /* now and next */
	size_t count[2];
	uint32_t seen[PATTERN_MAX_BYTES + 1]; /* the step in which the place was added last */
	uint32_t step;
};

static size_t stars_at(struct span pattern, size_t place)
{
	size_t stars = 0;
	while (place + stars < pattern.length && pattern.data[place + stars] == '*')
		stars++;
	return stars;
}

/* Adds a place to the set `to`, and those behind it that are reached without reading. */
static void add_place(struct match *match, int to, size_t place)
{
	while (match->seen[place] != match->step) {
		match->seen[place] = match->step;
		match->places[to][match->count[to]++] = (uint16_t)place;
		place += stars_at(match->pattern, place);
	}
}

static void step_place(struct match *match, int to, size_t place, unsigned character)
{
	size_t stars = stars_at(match->pattern, place), size;
	if (stars) {
		if (stars > 1 || character != '/')
			add_place(match, to, place);
	} else if (place < match->pattern.length &&
	           read_character(span_from(match->pattern, place), &size) == character) {
		add_place(match, to, place + size);
	}
}

static bool match_slowly(struct span pattern, struct span path, bool as_slash)
{
	struct match match;
	int now = 0;
	match.pattern = pattern;
	match.count[now] = 0;
	match.step = 1;
	memset(match.seen, 0, (pattern.length + 1) * sizeof *match.seen);
	add_place(&match, now, 0);
	for (size_t size; path.length > 0 && match.count[now]; path = span_from(path, size), now = !now) {
		unsigned character = read_character(path, &size);
		if (as_slash && character == (ESCAPED_BYTE | '/'))
			character = '/';
		match.count[!now] = 0;
		match.step++;
		for (size_t i = 0; i < match.count[now]; i++)
			step_place(&match, !now, match.places[now][i], character);
	}
	bool above = span_ends(pattern, BELOW) && match.seen[pattern.length - BELOW.length] == match.step;
	return path.length == 0 && (match.seen[pattern.length] == match.step || above);
}

/* Most patterns are plain up to stars at their end, and most paths have no escape: that much is compared bytewise. */
static bool match_path(struct span pattern, struct span path, bool as_slash)
{
	size_t i = 0;
	while (i < pattern.length && i < path.length && pattern.data[i] == path.data[i] && pattern.data[i] != '*' &&
	       pattern.data[i] != '%')
		i++;
	pattern = span_from(pattern, i);
	path = span_from(path, i);
	if (pattern.length == 0)
		return path.length == 0;
	if (span_equal(pattern, SPAN("**")) || (path.length == 0 && span_equal(pattern, BELOW)))
		return true;
	char wanted = pattern.data[0], found = path.length ? path.data[0] : 0;
	if (wanted != found && wanted != '*' && wanted != '%' && found != '%')
		return false;
	return match_slowly(pattern, path, as_slash);
}

static bool match_method(const struct rule *rule, struct span method)
{
	for (size_t i = 0; i < rule->method_count; i++)
		if (span_equal(span_of(rule->methods[i]), method))
			return true;
	return !rule->methods;
}

static struct rules_verdict judge_once(const struct rules *rules, struct span method, struct span path, bool as_slash)
{
	for (size_t i = 0; i < rules->count; i++) {
		const struct rule *rule = &rules->list[i];
		if (match_method(rule, method) && match_path(span_of(rule->pattern), path, as_slash))
			return (struct rules_verdict){rule->allow, rule};
	}
	return (struct rules_verdict){rules->count == 0, NULL};
}

/* /a;x/;y/b as servers that know path parameters read it: /a/b. The escape %2F ends a segment too where `as_slash`.
 * `out` has room for path.length bytes. */
static struct span without_parameters(struct span path, bool as_slash, char *out)
{
	bool parameter = false;
	size_t used = 0;
	for (size_t i = 0, size; i < path.length; i += size) {
		bool escaped = as_slash && span_starts(span_from(path, i), SPAN("%2F"));
		bool slash = escaped || path.data[i] == '/';
		bool emptied = slash && parameter && used && out[used - 1] == '/';
		size = escaped ? 3 : 1;
		parameter = !slash && (parameter || path.data[i] == ';');
		if (!parameter && !emptied)
			out[used++] = slash ? '/' : path.data[i];
	}
	return (struct span){out, used};
}

static struct rules_verdict judge_readings(const struct rules *rules, struct span method, struct span path,
                                           bool encoded_slash)
{
	if (!encoded_slash || !path.length || !memmem(path.data, path.length, "%2F", 3))
		return judge_once(rules, method, path, false);
	struct rules_verdict as_letter = judge_once(rules, method, path, false);
	return as_letter.allow ? judge_once(rules, method, path, true) : as_letter;
}

struct rules_verdict rules_judge(const struct rules *rules, struct span method, struct span path, bool encoded_slash)
{
	struct rules_verdict verdict = judge_readings(rules, method, path, encoded_slash);
	if (!verdict.allow || !rules->count || !memchr(path.data, ';', path.length))
		return verdict;
	AUTO_FREE char *plain = memory_alloc(path.length + 1);
	for (int as_slash = 0; as_slash <= encoded_slash; as_slash++) {
		struct span reading = without_parameters(path, as_slash, plain);
		struct rules_verdict other = judge_readings(rules, method, reading, encoded_slash);
		if (other.rule && !other.allow)
			return other;
	}
	return verdict;
}

char *rules_hint(struct span method, struct span path)
{
	bool whole = path.length <= HINT_PATH_BYTES;
	struct buffer hint = {0};
	if (!whole) {
		path = span_head(path, HINT_PATH_BYTES);
		while (path.length > 1 && path.data[path.length - 1] != '/')
			path.length--;
	}
	buffer_format(&hint, "allow %.*s ", SPAN_ARGS(method));
	for (size_t i = 0; i < path.length; i++)
		if (path.data[i] == '*')
			buffer_string(&hint, "%2A");
		else
			buffer_char(&hint, path.data[i]);
	if (!whole)
		buffer_string(&hint, "**");
	return hint.data;
}
