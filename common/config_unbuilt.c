/* What a file may say that this build does not do. What a later version does loses its row here. */
#include "config_internal.h"

struct unbuilt {
	const char *key;
	const char *value; /* the one that asks for it; NULL: any */
};

static const struct unbuilt of_credential[] = {{"rotation", "overlap"}};

static bool asks(const struct node_pair *pair, const struct unbuilt *row)
{
	return !strcmp(pair->key->text, row->key) &&
	       (!row->value || (pair->value->kind == NODE_TEXT && !strcmp(pair->value->text, row->value)));
}

static void note(struct reading *reading, const struct node *key, const struct unbuilt *row)
{
	struct mark mark = config_mark(reading, key);
	const char *text = arena_format(reading->arena, "\"%s%s%s\" is not built yet in this version; take it out", row->key,
	                                row->value ? ": " : "", row->value ? row->value : "");
	config_report_line(&reading->config->private->unbuilt, mark.line, mark.column, text);
}

void config_note_unbuilt(struct reading *reading, const struct node *mapping)
{
	for (size_t i = 0; i < mapping->count; i++)
		for (size_t k = 0; k < sizeof of_credential / sizeof *of_credential; k++)
			if (asks(&mapping->pairs[i], &of_credential[k]))
				note(reading, mapping->pairs[i].key, &of_credential[k]);
}

void config_unbuilt(const struct config *config, struct config_messages *messages)
{
	struct report report = {0};
	for (size_t i = 0; i < config->private->unbuilt.count; i++) {
		const struct report_line *line = &config->private->unbuilt.list[i];
		config_report_line(&report, line->line, line->column, line->text);
	}
	config_report_write(&report, config->file, messages);
}
