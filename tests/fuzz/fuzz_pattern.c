/* Host patterns, one a line, then an authority: a pattern's text is the pattern, and the index finds what a walk finds. */
#include <stdint.h>
#include <stdlib.h>

#include "pattern.h"

#define MOST_PATTERNS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const struct pattern *pattern)
{
	char text[PATTERN_TEXT], again_text[PATTERN_TEXT];
	struct pattern again;
	size_t length = pattern_format(pattern, text);
	if (length >= sizeof text || strlen(text) != length || !pattern_parse((struct span){text, length}, &again, NULL))
		abort();
	if (again.kind != pattern->kind || again.deny != pattern->deny || again.bits != pattern->bits ||
	    again.port != pattern->port || !host_equal(&again.host, &pattern->host))
		abort();
	if (pattern_format(&again, again_text) != length || strcmp(text, again_text) != 0)
		abort();
	if (pattern_compare(pattern, &again) != 0)
		abort();
}

/* The last of the most specific ones that match. */
static const struct pattern *walk(const struct pattern *patterns, size_t count, const struct authority *authority)
{
	const struct pattern *best = NULL;
	for (size_t i = 0; i < count; i++)
		if (pattern_matches(&patterns[i], &authority->host, authority->port) &&
		    (!best || pattern_compare(&patterns[i], best) >= 0))
			best = &patterns[i];
	return best;
}

struct seen {
	const struct pattern *last;
	size_t count;
};

static bool see(void *value, void *context)
{
	struct seen *seen = context;
	const struct pattern *pattern = value;
	if (seen->last && pattern_compare(seen->last, pattern) < 0)
		abort();
	seen->last = pattern;
	seen->count++;
	return true;
}

static void check_index(struct pattern *patterns, size_t count, const struct authority *authority)
{
	struct pattern_index *index = pattern_index_new();
	struct seen seen = {0};
	size_t matching = 0;
	for (size_t i = 0; i < count; i++) {
		pattern_index_add(index, &patterns[i], &patterns[i]);
		matching += pattern_matches(&patterns[i], &authority->host, authority->port);
	}
	if (pattern_index_find(index, &authority->host, authority->port) != walk(patterns, count, authority))
		abort();
	pattern_index_visit(index, &authority->host, authority->port, see, &seen);
	if (seen.count != matching)
		abort();
	pattern_index_free(index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pattern patterns[MOST_PATTERNS];
	struct span text = {size ? (const char *)data : "", size}, line = {0};
	size_t count = 0;
	while (text.data) {
		line = span_split(&text, '\n');
		struct fault fault = FAULT_INIT;
		if (!text.data || count == MOST_PATTERNS)
			break;
		if (pattern_parse(line, &patterns[count], &fault))
			check_text(&patterns[count++]);
		else if (fault.code != FAULT_USAGE || !fault.text[0])
			abort();
	}
	struct authority authority;
	if (!authority_parse(line, &authority, NULL))
		return 0;
	if (!authority.port)
		authority.port = 443;
	check_index(patterns, count, &authority);
	return 0;
}
