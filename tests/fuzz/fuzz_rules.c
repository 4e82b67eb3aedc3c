/* Rules, one a line, then a method and a path: what is judged twice is the same, and agrees with a slow and plain judge. */
#include <stdint.h>
#include <stdlib.h>

#include "path.h"
#include "rules.h"

#define MOST_BYTES 600

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A character of a canonical path: escapes of "/", "{" and "}" differ from the plain ones, all others do not. */
static unsigned take(struct span *text)
{
	static const char digits[] = "0123456789ABCDEF";
	unsigned char c = (unsigned char)text->data[0];
	if (c != '%' || text->length < 3) {
		*text = span_from(*text, 1);
		return c;
	}
	unsigned byte = (unsigned)((strchr(digits, text->data[1]) - digits) << 4 | (strchr(digits, text->data[2]) - digits));
	*text = span_from(*text, 3);
	return byte == '/' || byte == '{' || byte == '}' ? byte + 256 : byte;
}

/* By all ways there are; `budget` ends what would take too long. */
static bool matches(struct span pattern, struct span path, bool as_slash, unsigned *budget)
{
	if (*budget == 0)
		return false;
	--*budget;
	if (span_equal(pattern, SPAN("/**")) && path.length == 0)
		return true;
	if (pattern.length == 0)
		return path.length == 0;
	if (pattern.data[0] == '*') {
		bool crosses = span_starts(pattern, SPAN("**"));
		struct span behind = pattern;
		while (behind.length && behind.data[0] == '*')
			behind = span_from(behind, 1);
		for (;;) {
			if (matches(behind, path, as_slash, budget))
				return true;
			if (path.length == 0)
				return false;
			unsigned c = take(&path);
			if (!crosses && (c == '/' || (as_slash && c == '/' + 256)))
				return false;
		}
	}
	if (path.length == 0)
		return false;
	unsigned wanted = take(&pattern), c = take(&path);
	if (as_slash && c == '/' + 256)
		c = '/';
	return wanted == c && matches(pattern, path, as_slash, budget);
}

/* The rule that decides, NULL where none does. */
static const struct rule *find_plainly(const struct rules *rules, struct span method, struct span path, bool as_slash,
                                       unsigned *budget)
{
	for (size_t i = 0; i < rules->count; i++) {
		const struct rule *rule = &rules->list[i];
		bool named = !rule->methods;
		for (size_t k = 0; k < rule->method_count; k++)
			named = named || span_equal(span_of(rule->methods[k]), method);
		if (named && matches(span_of(rule->pattern), path, as_slash, budget))
			return rule;
	}
	return NULL;
}

static bool judge_plainly(const struct rules *rules, struct span method, struct span path, bool as_slash, unsigned *budget)
{
	const struct rule *rule = find_plainly(rules, method, path, as_slash, budget);
	return rule ? rule->allow : rules->count == 0;
}

/* Each segment up to its ";", and none where nothing stands before that. */
static bool denied_without_parameters(const struct rules *rules, struct span method, struct span path, bool cut_escaped,
                                      bool as_slash, unsigned *budget)
{
	char plain[3 * MOST_BYTES + 1];
	size_t used = 0;
	while (path.length) {
		bool escaped = path.data[0] == '%';
		size_t slash = escaped ? 3 : 1, end = slash, stop;
		while (end < path.length && path.data[end] != '/' &&
		       !(cut_escaped && span_starts(span_from(path, end), SPAN("%2F"))))
			end++;
		for (stop = slash; stop < end && path.data[stop] != ';';)
			stop++;
		if (stop == end || stop > slash || end == path.length) {
			plain[used++] = '/';
			memcpy(plain + used, path.data + slash, stop - slash);
			used += stop - slash;
		}
		path = span_from(path, end);
	}
	const struct rule *rule = find_plainly(rules, method, (struct span){plain, used}, as_slash, budget);
	return rule && !rule->allow;
}

static void check(const struct rules *rules, struct span method, struct span path, bool encoded_slash)
{
	unsigned budget = 200000;
	struct rules_verdict first = rules_judge(rules, method, path, encoded_slash);
	struct rules_verdict second = rules_judge(rules, method, path, encoded_slash);
	if (first.allow != second.allow || first.rule != second.rule || (first.rule && first.rule->allow != first.allow))
		abort();
	bool allow = judge_plainly(rules, method, path, false, &budget);
	if (allow && encoded_slash)
		allow = judge_plainly(rules, method, path, true, &budget);
	for (unsigned i = 0; i < 4 && allow; i++)
		if (!(i && !encoded_slash) && memchr(path.data, ';', path.length))
			allow = !denied_without_parameters(rules, method, path, i & 1, i & 2, &budget);
	if (budget && allow != first.allow)
		abort();
	struct rules copy = rules_copy(rules);
	if (copy.count != rules->count || rules_judge(&copy, method, path, encoded_slash).allow != first.allow)
		abort();
	rules_free(&copy);
}

/* The rule that a refusal proposes is one, and would allow. */
static void check_hint(struct span method, struct span path)
{
	struct rules rules = {0};
	char *hint = rules_hint(method, path);
	if (rules_add(&rules, span_of(hint), NULL) && !rules_judge(&rules, method, path, false).allow)
		abort();
	rules_free(&rules);
	free(hint);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0 || size > MOST_BYTES)
		return 0;
	struct span text = {(const char *)data, size}, line = {0}, method = {0};
	struct rules rules = {0};
	while (text.data) {
		method = line;
		line = span_split(&text, '\n');
		struct fault fault = FAULT_INIT;
		if (text.data && !rules_add(&rules, line, &fault) && fault.code != FAULT_USAGE)
			abort();
	}
	static char path[3 * MOST_BYTES + 1];
	size_t length;
	method = method.length ? method : SPAN("GET");
	for (unsigned i = 0; i < 2; i++) {
		struct path_options options = {.encoded_slash = i == 1, .whole_segments = true};
		if (path_canonical(line, options, path, &length) != PATH_OK)
			continue;
		check(&rules, method, (struct span){path, length}, options.encoded_slash);
		check_hint(SPAN("GET"), (struct span){path, length});
	}
	rules_free(&rules);
	return 0;
}
