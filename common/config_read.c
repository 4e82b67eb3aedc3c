/* Reading one value each: the functions that the tables of keys name. */
#include "config_internal.h"

#include "file.h"
#include "memory.h"

#define MOST_TIME (3650ull * 86400 * 1000) /* ms */

static const char *const kind_names[] = {
	[NODE_TEXT] = "text", [NODE_LIST] = "a list", [NODE_MAPPING] = "a mapping"};

static const char *found(const struct node *node)
{
	return node_nothing(node) ? "nothing" : kind_names[node->kind];
}

static const char *expect_hint(const struct node *node, enum node_kind wanted)
{
	if (node_nothing(node))
		return wanted == NODE_TEXT ? "" : "; what belongs to a key stands below it, indented deeper";
	if (wanted == NODE_TEXT && node->kind == NODE_MAPPING)
		return "; text that starts with \"{\" goes in quotes";
	if (wanted == NODE_LIST && node->kind == NODE_TEXT)
		return "; a list stands in [ ], or each item in a line of its own after \"- \"";
	return "";
}

bool config_expect(struct reading *reading, const struct node *node, enum node_kind kind, const char *what)
{
	if (node->kind == kind && !node_nothing(node))
		return true;
	config_error(reading, node, "expected %s (%s), found %s%s", what, kind_names[kind], found(node),
	             expect_hint(node, kind));
	return false;
}

/* Made once for a run of mistakes in mappings of one kind. */
static const char *known_keys(struct reading *reading, const struct config_keys *keys)
{
	if (reading->listed == keys)
		return reading->listing;
	const char *text = "";
	for (size_t i = 0; i < keys->count; i++)
		text = arena_format(reading->nodes, "%s%s%s", text, i ? ", " : "", keys->list[i].name);
	reading->listed = keys;
	reading->listing = text;
	return text;
}

static const struct config_key *find_key(const struct config_keys *keys, struct span name)
{
	for (size_t i = 0; i < keys->count; i++)
		if (span_equal(span_of(keys->list[i].name), name))
			return &keys->list[i];
	return NULL;
}

bool config_read_mapping(struct reading *reading, const struct node *node, const struct config_keys *keys, void *target)
{
	if (!config_expect(reading, node, NODE_MAPPING, keys->what))
		return false;
	for (size_t i = 0; i < node->count; i++) {
		const struct node *name = node->pairs[i].key;
		const struct config_key *key = find_key(keys, node_text(name));
		if (key)
			key->read(reading, node->pairs[i].value, (char *)target + key->offset, key->detail);
		else
			config_error(reading, name, "unknown key \"%.100s\"%s (known here: %s)", name->text,
			             config_guess_key(reading, node_text(name), keys), known_keys(reading, keys));
	}
	return true;
}

/* A key of an entry in the place of a name is most likely indented too little. */
bool config_expect_entry(struct reading *reading, const struct node *name, const struct node *entry,
                         const struct config_keys *keys)
{
	if (entry->kind == NODE_MAPPING || !find_key(keys, node_text(name)))
		return config_expect(reading, entry, NODE_MAPPING, keys->what);
	config_error(reading, name, "\"%s\" is a key of %s, not the name of one; indent its line deeper", name->text,
	             keys->what);
	return false;
}

bool config_require(struct reading *reading, const struct node *mapping, const char *key, const char *example)
{
	if (node_find(mapping, key))
		return true;
	config_error(reading, mapping, "\"%s\" is missing here; write %s", key, example);
	return false;
}

char *config_keep(struct reading *reading, const struct node *node)
{
	return arena_copy(reading->arena, node->text, node->count);
}

bool config_has_control(struct span text)
{
	for (size_t i = 0; i < text.length; i++)
		if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
			return true;
	return false;
}

/* Text without control characters. */
static bool expect_line(struct reading *reading, const struct node *node, const char *what)
{
	if (!config_expect(reading, node, NODE_TEXT, what))
		return false;
	if (!config_has_control(node_text(node)))
		return true;
	config_error(reading, node, "expected %s, found text with a control character or a line break in it", what);
	return false;
}

void config_read_text(struct reading *reading, const struct node *node, void *field, const void *what)
{
	if (expect_line(reading, node, what))
		*(char **)field = config_keep(reading, node);
}

void config_read_path(struct reading *reading, const struct node *node, void *field, const void *what)
{
	if (!expect_line(reading, node, what))
		return;
	if (node->count == 0) {
		config_error(reading, node, "expected %s, found empty text", (const char *)what);
		return;
	}
	if (node->text[0] == '~') {
		config_error(reading, node, "\"~\" means nothing in a path here; write the folder out");
		return;
	}
	AUTO_FREE char *path = file_resolve(reading->config->folder, node->text);
	*(char **)field = arena_copy(reading->arena, path, strlen(path));
}

void config_read_bool(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	static const struct {
		const char *text, *meant;
	} spellings[] = {{"true", NULL},  {"false", NULL}, {"yes", "true"}, {"on", "true"},
	                 {"no", "false"}, {"off", "false"}};
	const char *hint = "";
	for (size_t i = 0; node->kind == NODE_TEXT && i < LENGTH(spellings); i++) {
		if (!span_equal_nocase(node_text(node), span_of(spellings[i].text)))
			continue;
		const char *meant = spellings[i].meant ? spellings[i].meant : spellings[i].text;
		if (node->plain && !strcmp(node->text, meant)) {
			*(bool *)field = meant[0] == 't';
			return;
		}
		hint = arena_format(reading->nodes, "; did you mean %s, without quotes?", meant);
	}
	config_error(reading, node, "expected true or false%s", hint);
}

void config_read_choice(struct reading *reading, const struct node *node, void *field, const void *words)
{
	const char *const *word = words;
	const char *list = "";
	for (unsigned i = 0; word[i]; i++) {
		if (node->kind == NODE_TEXT && !strcmp(node->text, word[i])) {
			*(unsigned *)field = i;
			return;
		}
		list = arena_format(reading->nodes, "%s%s%s", list, !i ? "" : word[i + 1] ? ", " : " or ", word[i]);
	}
	config_error(reading, node, "expected %s%s", list,
	             node->kind == NODE_TEXT ? config_guess_word(reading, node_text(node), word) : "");
}

void config_read_duration(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct fault fault = FAULT_INIT;
	uint64_t time;
	if (!config_expect(reading, node, NODE_TEXT, "a time such as 30s"))
		return;
	if (!quantity_duration(node_text(node), &time, &fault))
		config_error(reading, node, "%s", fault.text);
	else if (time == 0 || time > MOST_TIME)
		config_error(reading, node, "expected a time above 0, and not above 3650d");
	else
		*(uint64_t *)field = time;
}

void config_read_rate(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct fault fault = FAULT_INIT;
	if (config_expect(reading, node, NODE_TEXT, "a rate such as 600/m") &&
	    !quantity_rate(node_text(node), field, &fault))
		config_error(reading, node, "%s", fault.text);
}

bool config_number(struct reading *reading, const struct node *node, uint64_t lowest, uint64_t most, uint64_t *number)
{
	struct fault fault = FAULT_INIT;
	if (node->kind != NODE_TEXT || !node->plain || node->count == 0) {
		config_error(reading, node, "expected a whole number from %llu to %llu, without quotes",
		             (unsigned long long)lowest, (unsigned long long)most);
		return false;
	}
	if (quantity_number(node_text(node), lowest, most, number, &fault))
		return true;
	config_error(reading, node, "%s", fault.text);
	return false;
}

/* The last list counts: an entry's rules stand in the place of its preset's. */
void config_read_rules(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct rules *rules = field;
	rules_free(rules);
	*rules = (struct rules){0};
	if (!config_expect(reading, node, NODE_LIST, "rules such as [\"allow GET /v1/**\"]"))
		return;
	for (size_t i = 0; i < node->count; i++) {
		struct fault fault = FAULT_INIT;
		const struct node *item = node->items[i];
		if (config_expect(reading, item, NODE_TEXT, "a rule such as \"allow GET /v1/**\"") &&
		    !rules_add(rules, node_text(item), &fault))
			config_error(reading, item, "%s", fault.text);
	}
}

void config_read_secret(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct fault fault = FAULT_INIT;
	struct source *source = field;
	if (!config_expect(reading, node, NODE_TEXT, "where a secret comes from, such as vault:NAME or file:PATH"))
		return;
	source_free(source);
	*source = (struct source){0};
	if (!source_parse(node_text(node), reading->config->folder, source, &fault)) {
		*source = (struct source){0};
		config_error(reading, node, "%s", fault.text);
	} else if (source->kind == SOURCE_VAULT && !reading->has_vault) {
		config_error(reading, node, "there is no vault in this file; add vault: { file: secrets.vault, key: "
		                            "\"file:vault.key\" }");
	} else if (source->kind == SOURCE_EXEC && reading->found_here) {
		config_error(reading, node,
		             "exec: is refused in a file that was only found as ./keystile.yaml, since any folder may hold "
		             "one; name the file with --config or KEYSTILE_CONFIG if you trust it");
	}
}

const struct node *config_items(const struct node *node, size_t index, size_t *count)
{
	bool list = node->kind == NODE_LIST;
	*count = list ? node->count : 1;
	return index >= *count ? NULL : list ? node->items[index] : node;
}

/* `room` is the number of strings that the whole list will have. */
void config_string_add(struct reading *reading, struct string_list *list, size_t room, const char *text)
{
	if (!list->list)
		list->list = arena_zero(reading->arena, (room + 1) * sizeof *list->list);
	list->list[list->count++] = arena_copy(reading->arena, text, strlen(text));
}

void config_read_names(struct reading *reading, const struct node *node, void *field, const void *check)
{
	const struct text_check *names = check;
	struct string_list *list = field;
	*list = (struct string_list){0};
	if (!names->one && !config_expect(reading, node, NODE_LIST, names->what))
		return;
	size_t count;
	const struct node *item;
	for (size_t i = 0; (item = config_items(node, i, &count)); i++) {
		if (!config_expect(reading, item, NODE_TEXT, names->what))
			continue;
		const char *wrong = names->wrong(node_text(item));
		if (wrong)
			config_error(reading, item, "expected %s: %s", names->what, wrong);
		else
			config_string_add(reading, list, count, item->text);
	}
}

bool config_is_token(struct span text)
{
	for (size_t i = 0; i < text.length; i++) {
		char c = text.data[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!letter && (c == 0 || !strchr("!#$%&'*+-.^_`|~", c)))
			return false;
	}
	return text.length > 0;
}

bool config_is_variable(struct span text)
{
	for (size_t i = 0; i < text.length; i++) {
		char c = text.data[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
		if (!letter && (i == 0 || c < '0' || c > '9'))
			return false;
	}
	return text.length > 0 && text.length <= 128;
}

bool config_template(struct span text, bool (*visit)(struct span name, void *context), void *context)
{
	bool good = true;
	for (size_t i = 0; i < text.length; i++) {
		if (text.data[i] == '}')
			return false;
		if (text.data[i] != '{')
			continue;
		const char *end = memchr(text.data + i, '}', text.length - i);
		struct span name = {0};
		if (end)
			name = (struct span){text.data + i + 1, (size_t)(end - text.data) - i - 1};
		if (!name.length || memchr(name.data, '{', name.length))
			return false;
		good = visit(name, context) && good;
		i += name.length + 1;
	}
	return good;
}

bool config_origin(struct reading *reading, const struct node *node, struct origin_options options, struct origin *origin)
{
	struct fault fault = FAULT_INIT;
	if (!config_expect(reading, node, NODE_TEXT, "a URL such as https://api.example.com"))
		return false;
	if (origin_parse(node_text(node), options, reading->arena, origin, &fault))
		return true;
	config_error(reading, node, "%s", fault.text);
	return false;
}
