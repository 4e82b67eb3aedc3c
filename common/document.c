#include "document.h"

#include <stdarg.h>
#include <stdio.h>
#include <yaml.h>

#include "memory.h"
#include "table.h"
#include "utf8.h"

struct parser {
	yaml_parser_t yaml;
	struct span text;
	struct arena *arena;
	document_report *report;
	void *context;
	struct table anchors; /* name → struct node */
	struct node **stack;  /* the children of what is still open */
	size_t used, capacity;
	size_t nodes, alias_nodes;
	unsigned depth;
};

static void complain(struct parser *parser, unsigned line, unsigned column, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static void complain(struct parser *parser, unsigned line, unsigned column, const char *format, ...)
{
	char text[512];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	parser->report(parser->context, line, column, text);
}

/* What libyaml says, and what the user most likely did. */
struct syntax_hint {
	const char *problem, *context; /* NULL: any */
	char at;                       /* the byte at the place; 0: any */
	bool at_start;                 /* told of where the text, list or mapping begins, not of where reading stopped */
	const char *meaning;
};

#define QUOTE_BRACES "text with \"{\" or \"[\" in it goes in quotes where it stands in a list or mapping"

static const struct syntax_hint syntax_hints[] = {
	{"did not find expected alphabetic or numeric character", "while scanning an alias", 0, true,
	 "text that starts with \"*\" goes in quotes, such as \"*.example.com\""},
	{"did not find expected alphabetic or numeric character", "while scanning an anchor", 0, true,
	 "text that starts with \"&\" goes in quotes"},
	{NULL, "while scanning a tag", 0, true, "text that starts with \"!\" goes in quotes, such as \"!name\""},
	{NULL, "while parsing a tag", 0, true, "text that starts with \"!\" goes in quotes, such as \"!name\""},
	{"found undefined tag handle", NULL, 0, true, "text that starts with \"!\" goes in quotes, such as \"!name\""},
	{"found character that cannot start any token", NULL, '\t', false, "a tab; YAML is indented with spaces"},
	{"found a tab character that violates indentation", NULL, 0, false, "a tab; YAML is indented with spaces"},
	{"found a tab character where an indentation space is expected", NULL, 0, false,
	 "a tab; YAML is indented with spaces"},
	{"found character that cannot start any token", NULL, 0, false,
	 "text that starts with this character goes in quotes"},
	{"mapping values are not allowed in this context", NULL, 0, false,
	 "a \":\" that is not expected here: this line or the one before is indented wrongly, the one before lacks its "
	 "\":\", or text with \": \" in it lacks its quotes"},
	{"could not find expected ':'", NULL, 0, true,
	 "a \":\" with a blank behind it is missing here, or this line is indented wrongly"},
	{"did not find expected key", NULL, ':', false,
	 "text that goes on behind a quote or bracket goes in quotes as a whole"},
	{"did not find expected key", NULL, 0, false,
	 "no key where one is expected; is this line indented like its neighbours?"},
	{"did not find expected '-' indicator", NULL, 0, false,
	 "no \"-\" where one is expected; is this line indented like its neighbours?"},
	{"did not find expected node content", "while parsing a flow node", ':', false,
	 "text that starts with \"[\" goes in quotes, such as \"[::1]:8180\""},
	{"did not find expected ',' or ']'", NULL, '{', false, QUOTE_BRACES},
	{"did not find expected ',' or '}'", NULL, '{', false, QUOTE_BRACES},
	{"did not find expected ',' or ']'", NULL, '[', false, QUOTE_BRACES},
	{"did not find expected ',' or '}'", NULL, '[', false, QUOTE_BRACES},
	{"did not find expected ',' or ']'", NULL, 0, true, "the list that begins here lacks a \",\" or its \"]\""},
	{"did not find expected ',' or '}'", NULL, 0, true, "the mapping that begins here lacks a \",\" or its \"}\""},
	{"found unexpected end of stream", "while scanning a quoted scalar", 0, true, "the quote is never closed"},
	{"found unexpected document indicator", "while scanning a quoted scalar", 0, true, "the quote is never closed"},
	{"found unknown escape character", NULL, 0, false,
	 "an unknown escape; a \"\\\" in double quotes is written twice, or the text stands in single quotes"},
	{"did not find expected <document start>", NULL, 0, false,
	 "no YAML is expected here; text that goes on behind a quote or bracket stands in quotes as a whole"},
};

/* The byte of a character that libyaml counts to; 0 at the end. */
static char byte_at(struct span text, size_t index)
{
	while (text.length > 0 && index-- > 0)
		text = span_from(text, utf8_length(text));
	return text.length ? text.data[0] : 0;
}

static bool hint_fits(const struct syntax_hint *hint, const yaml_parser_t *yaml, char at)
{
	const char *context = yaml->context ? yaml->context : "";
	return (!hint->problem || !strcmp(hint->problem, yaml->problem)) &&
	       (!hint->context || !strcmp(hint->context, context)) && (!hint->at || hint->at == at);
}

static void complain_at(struct parser *parser, yaml_mark_t mark, const char *text)
{
	complain(parser, (unsigned)mark.line + 1, (unsigned)mark.column + 1, "%s", text);
}

static void syntax_error(struct parser *parser)
{
	const yaml_parser_t *yaml = &parser->yaml;
	if (!yaml->problem) {
		complain_at(parser, yaml->mark, "this is no YAML");
		return;
	}
	char at = byte_at(parser->text, yaml->problem_mark.index);
	for (size_t i = 0; i < sizeof syntax_hints / sizeof *syntax_hints; i++) {
		const struct syntax_hint *hint = &syntax_hints[i];
		if (!hint_fits(hint, yaml, at))
			continue;
		bool start = hint->at_start && yaml->context;
		complain_at(parser, start ? yaml->context_mark : yaml->problem_mark, hint->meaning);
		return;
	}
	complain(parser, (unsigned)yaml->problem_mark.line + 1, (unsigned)yaml->problem_mark.column + 1,
	         "this is no YAML: %s", yaml->problem);
}

static struct node *new_node(struct parser *parser, enum node_kind kind, yaml_mark_t mark)
{
	struct node *node = arena_zero(parser->arena, sizeof *node);
	node->kind = kind;
	node->line = (unsigned)mark.line + 1;
	node->column = (unsigned)mark.column + 1;
	node->weight = 1;
	if (++parser->nodes <= DOCUMENT_NODES)
		return node;
	complain(parser, node->line, node->column, "more than %u values in one file", DOCUMENT_NODES);
	return NULL;
}

static void push(struct parser *parser, struct node *node)
{
	parser->stack = memory_grow(parser->stack, parser->used, &parser->capacity, sizeof *parser->stack);
	parser->stack[parser->used++] = node;
}

static void set_anchor(struct parser *parser, const yaml_char_t *anchor, struct node *node)
{
	if (!anchor || !node)
		return;
	const char *name = (const char *)anchor;
	table_put(&parser->anchors, arena_span(parser->arena, span_of(name)), node);
}

/* A tag is nearly always a "!name" without its quotes. */
static void refuse_tag(struct parser *parser, const yaml_char_t *tag, yaml_mark_t mark)
{
	if (tag)
		complain_at(parser, mark, "a YAML tag, which means nothing here; text that starts with \"!\" goes in quotes, such "
		                          "as \"!name\"");
}

static struct node *new_text(struct parser *parser, yaml_mark_t mark, struct span text)
{
	struct node *node = new_node(parser, NODE_TEXT, mark);
	if (!node)
		return NULL;
	node->count = text.length;
	if (text.length && memchr(text.data, 0, text.length)) {
		complain(parser, node->line, node->column, "a NUL character in text");
		node->count = strlen(text.data);
	}
	node->text = arena_copy(parser->arena, text.data, node->count);
	return node;
}

static struct node *parse_text(struct parser *parser, const yaml_event_t *event)
{
	const char *tag = (const char *)event->data.scalar.tag;
	struct span text = {(const char *)event->data.scalar.value, event->data.scalar.length};
	refuse_tag(parser, event->data.scalar.tag, event->start_mark);
	/* What was meant goes on being judged. */
	struct node *node = new_text(parser, event->start_mark, tag && !text.length ? span_of(tag) : text);
	if (!node)
		return NULL;
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	set_anchor(parser, event->data.scalar.anchor, node);
	return node;
}

static struct node *parse_alias(struct parser *parser, const yaml_event_t *event)
{
	const char *name = (const char *)event->data.alias.anchor;
	struct node *node = table_get(&parser->anchors, span_of(name));
	unsigned line = (unsigned)event->start_mark.line + 1, column = (unsigned)event->start_mark.column + 1;
	if (!node) {
		complain(parser, line, column,
		         "alias *%s has no anchor &%s before it; text that starts with \"*\" goes in quotes", name, name);
		return new_text(parser, event->start_mark, span_of(arena_format(parser->arena, "*%s", name)));
	}
	parser->alias_nodes += node->weight;
	if (parser->alias_nodes <= DOCUMENT_ALIAS_NODES)
		return node;
	complain(parser, line, column, "aliases stand for more than %u values", DOCUMENT_ALIAS_NODES);
	return NULL;
}

static struct node *parse_children(struct parser *parser, struct node *parent, yaml_event_type_t end);

static struct node *parse_node(struct parser *parser, const yaml_event_t *event)
{
	struct node *node;
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return parse_text(parser, event);
	case YAML_ALIAS_EVENT:
		return parse_alias(parser, event);
	case YAML_SEQUENCE_START_EVENT:
		refuse_tag(parser, event->data.sequence_start.tag, event->start_mark);
		node = new_node(parser, NODE_LIST, event->start_mark);
		node = node ? parse_children(parser, node, YAML_SEQUENCE_END_EVENT) : NULL;
		set_anchor(parser, event->data.sequence_start.anchor, node);
		return node;
	case YAML_MAPPING_START_EVENT:
		refuse_tag(parser, event->data.mapping_start.tag, event->start_mark);
		node = new_node(parser, NODE_MAPPING, event->start_mark);
		node = node ? parse_children(parser, node, YAML_MAPPING_END_EVENT) : NULL;
		set_anchor(parser, event->data.mapping_start.anchor, node);
		return node;
	default:
		return NULL;
	}
}

static void keep_list(struct parser *parser, struct node *list, size_t base)
{
	list->count = parser->used - base;
	list->items = arena_alloc(parser->arena, list->count * sizeof *list->items);
	for (size_t i = 0; i < list->count; i++)
		list->items[i] = parser->stack[base + i];
}

/* May this pair stay? `seen` has the keys so far. */
static bool key_is_good(struct parser *parser, struct table *seen, struct node *key)
{
	if (key->kind != NODE_TEXT) {
		complain(parser, key->line, key->column, "a key is text, not a %s; a value such as {secret} goes in quotes",
		         key->kind == NODE_LIST ? "list" : "mapping");
		return false;
	}
	if (key->plain && !strcmp(key->text, "<<")) {
		complain(parser, key->line, key->column, "\"<<\" is not used here; a profile takes over another with \"extends\"");
		return false;
	}
	const struct node *first = table_get(seen, node_text(key));
	if (first) {
		complain(parser, key->line, key->column, "duplicate key \"%s\"; it stands at line %u already", key->text,
		         first->line);
		return false;
	}
	table_put(seen, node_text(key), key);
	return true;
}

static void keep_mapping(struct parser *parser, struct node *mapping, size_t base)
{
	size_t most = (parser->used - base) / 2;
	mapping->pairs = arena_alloc(parser->arena, most * sizeof *mapping->pairs);
	struct table seen = {0};
	for (size_t i = 0; i < most; i++) {
		struct node_pair pair = {parser->stack[base + 2 * i], parser->stack[base + 2 * i + 1]};
		if (key_is_good(parser, &seen, pair.key))
			mapping->pairs[mapping->count++] = pair;
	}
	table_free(&seen);
}

static bool next(struct parser *parser, yaml_event_t *event)
{
	if (yaml_parser_parse(&parser->yaml, event))
		return true;
	syntax_error(parser);
	return false;
}

/* Reads up to the event `end` of the list or mapping `parent`. */
static struct node *parse_children(struct parser *parser, struct node *parent, yaml_event_type_t end)
{
	size_t base = parser->used;
	if (++parser->depth > DOCUMENT_DEPTH) {
		complain(parser, parent->line, parent->column, "lists and mappings stand more than %u deep in each other",
		         DOCUMENT_DEPTH);
		return NULL;
	}
	for (;;) {
		yaml_event_t event;
		if (!next(parser, &event))
			return NULL;
		bool last = event.type == end;
		struct node *child = last ? NULL : parse_node(parser, &event);
		yaml_event_delete(&event);
		if (last)
			break;
		if (!child)
			return NULL;
		push(parser, child);
		parent->weight += child->weight;
	}
	if (parent->kind == NODE_LIST)
		keep_list(parser, parent, base);
	else
		keep_mapping(parser, parent, base);
	parser->used = base;
	parser->depth--;
	return parent;
}

/* The root of the one document, or NULL. */
static struct node *parse_stream(struct parser *parser)
{
	struct node *root = NULL;
	for (unsigned documents = 0;;) {
		yaml_event_t event;
		if (!next(parser, &event))
			return NULL;
		yaml_event_type_t type = event.type;
		unsigned line = (unsigned)event.start_mark.line + 1, column = (unsigned)event.start_mark.column + 1;
		bool is_node = type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT &&
		               type != YAML_DOCUMENT_END_EVENT && type != YAML_STREAM_END_EVENT;
		if (type == YAML_DOCUMENT_START_EVENT && ++documents > 1) {
			complain(parser, line, column, "a second document; one file holds one");
			is_node = true;
			root = NULL;
		} else if (is_node) {
			root = parse_node(parser, &event);
		}
		yaml_event_delete(&event);
		if (is_node && !root)
			return NULL;
		if (type == YAML_STREAM_END_EVENT)
			break;
	}
	if (!root)
		complain(parser, 1, 1, "the file is empty");
	return root;
}

/* libyaml would tell these without a line. */
static bool check_characters(struct parser *parser, struct span text)
{
	unsigned line = 1, column = 1;
	while (text.length > 0) {
		unsigned char c = (unsigned char)text.data[0];
		size_t size = utf8_length(text);
		if (size == 0) {
			complain(parser, line, column, "byte 0x%02x is not UTF-8; save the file as UTF-8", c);
			return false;
		}
		if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f) {
			complain(parser, line, column, "control character 0x%02x", c);
			return false;
		}
		column++;
		if (c == '\n') {
			line++;
			column = 1;
		}
		text = span_from(text, size);
	}
	return true;
}

struct node *document_parse(struct span text, struct arena *arena, document_report *report, void *context)
{
	struct parser parser = {.arena = arena, .report = report, .context = context};
	if (text.length > DOCUMENT_BYTES) {
		complain(&parser, 1, 1, "the file is longer than %u bytes", DOCUMENT_BYTES);
		return NULL;
	}
	if (span_starts(text, SPAN("\xef\xbb\xbf")))
		text = span_from(text, 3);
	if (!check_characters(&parser, text))
		return NULL;
	parser.text = text;
	if (!yaml_parser_initialize(&parser.yaml)) {
		complain(&parser, 1, 1, "out of memory");
		return NULL;
	}
	yaml_parser_set_encoding(&parser.yaml, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser.yaml, (const unsigned char *)text.data, text.length);
	struct node *root = parse_stream(&parser);
	yaml_parser_delete(&parser.yaml);
	table_free(&parser.anchors);
	free(parser.stack);
	return root;
}

struct node *node_find(const struct node *mapping, const char *key)
{
	for (size_t i = 0; i < mapping->count; i++)
		if (!strcmp(mapping->pairs[i].key->text, key))
			return mapping->pairs[i].value;
	return NULL;
}
