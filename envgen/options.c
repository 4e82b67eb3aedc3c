#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

/* getopt's values: the place of the option's row, behind the letters. */
enum { LETTER_HELP = 'h', LETTER_OUTPUT = 'o', ROW_BASE = 256 };

enum kind { KIND_TOLD, KIND_VALUE, KIND_FLAG, KIND_WORDS };

/* One option: where what it says goes, and how --help tells of it. */
static const struct row {
	const char *name;
	enum kind kind;             /* KIND_TOLD: --help and --version, which are answered here */
	enum command_option option;
	size_t field;               /* in struct options: a const char * of KIND_VALUE, a bool of KIND_FLAG, else option_words */
	const char *usage, *summary;
} rows[] = {
	{"profile", KIND_VALUE, OPTION_PROFILE, offsetof(struct options, profile), "--profile P",
	 "the profile that the program gets; needed where the file has several"},
	{"format", KIND_VALUE, OPTION_FORMAT, offsetof(struct options, format), "--format FORMAT",
	 "for whom it is written; sh if none is said"},
	{"output", KIND_VALUE, OPTION_OUTPUT, offsetof(struct options, output), "-o, --output FILE",
	 "written whole, 0600; else standard output"},
	{"advertise", KIND_VALUE, OPTION_ADVERTISE, offsetof(struct options, advertise), "--advertise HOST:PORT",
	 "the proxy as the program reaches it; else `advertise` of the file"},
	{"config", KIND_VALUE, OPTION_CONFIG, offsetof(struct options, config), "--config FILE",
	 "else $KEYSTILE_CONFIG, ./keystile.yaml and so on"},
	{"json", KIND_FLAG, OPTION_JSON, offsetof(struct options, json), "--json", "of explain and verify: JSON instead of a table"},
	{"confine", KIND_FLAG, OPTION_RUN, offsetof(struct options, confine), "--confine",
	 "of run: keep CMD from keys and secrets, and from other TCP ports than it needs"},
	{"best-effort", KIND_FLAG, OPTION_RUN, offsetof(struct options, best_effort), "--best-effort",
	 "of run: what this system cannot confine is a warning"},
	{"clean", KIND_FLAG, OPTION_RUN, offsetof(struct options, clean), "--clean",
	 "of run: of the environment only PATH, HOME, TERM, LANG and TZ stay"},
	{"keep", KIND_WORDS, OPTION_RUN, offsetof(struct options, keep), "--keep NAME", "of run: this one stays too"},
	{"ca-over", KIND_WORDS, OPTION_RUN, offsetof(struct options, ca_over), "--ca-over BUNDLE",
	 "of run: CMD sees this trust bundle with the proxy's CA in it"},
	{"help", KIND_TOLD, 0, 0, NULL, NULL},
	{"version", KIND_TOLD, 0, 0, NULL, NULL},
};

enum { ROW_COUNT = sizeof rows / sizeof *rows };

static void write_help(void)
{
	for (size_t i = 0; i < command_count; i++) {
		const struct command *command = &command_list[i];
		printf("%s envgen %s%s%s\n", i ? "      " : "usage:", command->name ? command->name : "", command->name ? " " : "",
		       command->usage);
	}
	putchar('\n');
	for (size_t i = 1; i < command_count; i++)
		printf("  %-23s %s\n", command_list[i].name, command_list[i].summary);
	putchar('\n');
	for (size_t i = 0; i < ROW_COUNT; i++)
		if (rows[i].usage)
			printf("  %-23s %s\n", rows[i].usage, rows[i].summary);
	puts("\nFormats:");
	for (size_t i = 0; i < format_count; i++)
		printf("  %-23s %s\n", format_list[i].name, format_list[i].summary);
	puts("\nWhat is written holds session tokens, and no secret. More: man envgen");
}

static bool add_word(struct option_words *words, const char *name, struct fault *fault)
{
	if (words->count == sizeof words->list / sizeof *words->list)
		return fault_set(fault, FAULT_USAGE, "--%s is given more than %zu times", name, words->count);
	words->list[words->count++] = optarg;
	return true;
}

static bool take_row(struct options *options, const struct row *row, struct fault *fault)
{
	void *field = (char *)options + row->field;
	options->given |= row->option;
	switch (row->kind) {
	case KIND_VALUE:
		*(const char **)field = optarg;
		return true;
	case KIND_FLAG:
		*(bool *)field = true;
		return true;
	case KIND_WORDS:
		return add_word(field, row->name, fault);
	case KIND_TOLD:
		if (strcmp(row->name, "help") == 0)
			write_help();
		else
			puts("envgen " PACKAGE_VERSION);
		exit(EXIT_SUCCESS);
	}
	return true;
}

static const struct row *row_named(const char *name)
{
	const struct row *row = rows;
	while (strcmp(row->name, name) != 0)
		row++;
	return row;
}

static bool take_option(struct options *options, int option, const char *word, struct fault *fault)
{
	switch (option) {
	case LETTER_OUTPUT:
		return take_row(options, row_named("output"), fault);
	case LETTER_HELP:
		return take_row(options, row_named("help"), fault);
	case ':':
		return fault_set(fault, FAULT_USAGE, "%s: a value is missing behind it; see: envgen --help", word);
	case '?':
		return fault_set(fault, FAULT_USAGE, "%s: there is no such option; see: envgen --help", word);
	default:
		return take_row(options, &rows[option - ROW_BASE], fault);
	}
}

/* Reads options up to the end, or, where they stop at the first word, up to that. `*used` is where the words begin that
 * are no options. */
static bool read_options(int count, char **words, bool stop, size_t *used, struct options *options, struct fault *fault)
{
	struct option list[ROW_COUNT + 1] = {0};
	int option;
	for (int i = 0; i < ROW_COUNT; i++) {
		bool value = rows[i].kind == KIND_VALUE || rows[i].kind == KIND_WORDS;
		list[i] = (struct option){rows[i].name, value ? required_argument : no_argument, NULL, ROW_BASE + i};
	}
	opterr = 0;
	optind = 0; /* glibc: begin anew, with this list of words */
	while ((option = getopt_long(count, words, stop ? "+:ho:" : ":ho:", list, NULL)) != -1)
		if (!take_option(options, option, words[optind - 1], fault))
			return false;
	*used = (size_t)optind;
	return true;
}

static const struct command *find_command(const char *name, struct fault *fault)
{
	for (size_t i = 1; i < command_count; i++)
		if (strcmp(command_list[i].name, name) == 0)
			return &command_list[i];
	fault_set(fault, FAULT_USAGE, "%s: there is no such command; see: envgen --help", name);
	return NULL;
}

static bool judge(const struct command *command, const struct options *options, size_t count, struct fault *fault)
{
	const char *name = command->name ? command->name : "", *space = command->name ? " " : "";
	for (size_t i = 0; i < ROW_COUNT; i++)
		if (options->given & rows[i].option & ~command->options)
			return fault_set(fault, FAULT_USAGE, "envgen%s%s does not take --%s; usage: envgen %s%s%s", space, name,
			                 rows[i].name, name, space, command->usage);
	if (count < command->least || count > command->most)
		return fault_set(fault, FAULT_USAGE, "usage: envgen %s%s%s", name, space, command->usage);
	return true;
}

/* Options stand in front of the command's name and behind it. */
const struct command *options_read(int count, char **words, struct options *options, struct call *call,
                                   struct fault *fault)
{
	size_t all = (size_t)count, name, used;
	if (!read_options(count, words, true, &name, options, fault))
		return NULL;
	const struct command *command = name < all ? find_command(words[name], fault) : command_list;
	if (!command)
		return NULL;
	if (name < all && !read_options(count - (int)name, words + name, command->program, &used, options, fault))
		return NULL;
	size_t first = name < all ? name + used : all;
	*call = (struct call){.options = options, .words = words + first, .count = all - first};
	return judge(command, options, call->count, fault) ? command : NULL;
}
