/* creds: the vault's own program. Finds the command in the table, its vault, and runs it. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "commands.h"
#include "log.h"
#include "secret.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

enum { EXIT_USAGE = 2 };

/* Values of the long options; those of one command only are OPTION_BASE + enum command_option. */
enum { LETTER_HELP = 'h', LETTER_CONFIG = 128, LETTER_VAULT, LETTER_KEY, LETTER_VERSION, OPTION_BASE = 256 };

static const struct option long_options[] = {
	{"config", required_argument, NULL, LETTER_CONFIG},
	{"vault", required_argument, NULL, LETTER_VAULT},
	{"key", required_argument, NULL, LETTER_KEY},
	{"json", no_argument, NULL, OPTION_BASE + OPTION_JSON},
	{"from-file", required_argument, NULL, OPTION_BASE + OPTION_FROM_FILE},
	{"expires", required_argument, NULL, OPTION_BASE + OPTION_EXPIRES},
	{"with", required_argument, NULL, OPTION_BASE + OPTION_WITH},
	{"drop", no_argument, NULL, OPTION_BASE + OPTION_DROP},
	{"help", no_argument, NULL, LETTER_HELP},
	{"version", no_argument, NULL, LETTER_VERSION},
	{NULL, 0, NULL, 0},
};

static void write_help(FILE *out)
{
	fputs("usage: creds [--config FILE] [--vault FILE] [--key SOURCE] COMMAND ...\n\n", out);
	for (size_t i = 0; i < command_count; i++)
		fprintf(out, "  %-44s %s\n", command_list[i].usage, command_list[i].summary);
	fputs("\nA secret is asked for on the terminal, or read from standard input or --from-file; never from an argument.\n"
	      "SOURCE is file:PATH, systemd:NAME, passphrase or passphrase:file:PATH. More: man creds\n", out);
}

static bool take_with(struct options *options, const char *source, struct fault *fault)
{
	if (options->with_count == VAULT_SLOTS)
		return fault_set(fault, FAULT_USAGE, "--with: a vault has %d keys at most", VAULT_SLOTS);
	options->with[options->with_count++] = source;
	return true;
}

static bool take_option(struct options *options, int option, const char *word, struct fault *fault)
{
	if (option > OPTION_BASE)
		options->given |= (unsigned)(option - OPTION_BASE);
	switch (option) {
	case LETTER_CONFIG:
		options->config = optarg;
		return true;
	case LETTER_VAULT:
		options->vault = optarg;
		return true;
	case LETTER_KEY:
		options->key = optarg;
		return true;
	case OPTION_BASE + OPTION_JSON:
		return options->json = true;
	case OPTION_BASE + OPTION_FROM_FILE:
		options->from_file = optarg;
		return true;
	case OPTION_BASE + OPTION_EXPIRES:
		options->expires = optarg;
		return true;
	case OPTION_BASE + OPTION_WITH:
		return take_with(options, optarg, fault);
	case OPTION_BASE + OPTION_DROP:
		return options->drop = true;
	case LETTER_HELP:
		write_help(stdout);
		exit(EXIT_SUCCESS);
	case LETTER_VERSION:
		puts("creds " PACKAGE_VERSION);
		exit(EXIT_SUCCESS);
	case ':':
		return fault_set(fault, FAULT_USAGE, "%s: a value is missing behind it; see: creds --help", word);
	default: /* not quoted: it could be a secret that begins with "-" */
		return fault_set(fault, FAULT_USAGE, "there is no such option; see: creds --help");
	}
}

/* Does the command's name stand at the front of the words? The number of words that it takes; 0: no. */
static size_t matches(const struct command *command, char **words, size_t count)
{
	struct span rest = span_of(command->name);
	size_t used = 0;
	while (rest.data) {
		struct span part = span_split(&rest, ' ');
		if (used == count || !span_equal(part, span_of(words[used])))
			return 0;
		used++;
	}
	return used;
}

static const struct command *find_command(char **words, size_t count, size_t *used, struct fault *fault)
{
	for (size_t i = 0; i < command_count; i++)
		if ((*used = matches(&command_list[i], words, count)))
			return &command_list[i];
	fault_set(fault, FAULT_USAGE, count ? "%s: there is no such command; see: creds --help" : "%sno command; see: creds --help",
	          count ? words[0] : "");
	return NULL;
}

static bool judge(const struct command *command, const struct options *options, size_t count, struct fault *fault)
{
	if (options->given & ~command->options)
		return fault_set(fault, FAULT_USAGE, "creds %s does not take that option; usage: creds %s", command->name,
		                 command->usage);
	if (count > command->most && (command->options & OPTION_FROM_FILE))
		return fault_set(fault, FAULT_USAGE, "a secret is never an argument, since others could see it; usage: creds %s",
		                 command->usage);
	if (count < command->least || count > command->most)
		return fault_set(fault, FAULT_USAGE, "usage: creds %s", command->usage);
	return true;
}

static bool run(const struct command *command, struct call *call, struct fault *fault)
{
	struct target target = {0};
	if (!command->needs_vault)
		return command->run(call, fault);
	call->target = &target;
	bool done = target_find(call->options, &target, fault) && command->run(call, fault);
	target_free(&target);
	return done;
}

static bool start(int count, char **words, struct fault *fault)
{
	struct options options = {0};
	int option;
	opterr = 0;
	while ((option = getopt_long(count, words, ":h", long_options, NULL)) != -1)
		if (!take_option(&options, option, words[optind - 1], fault))
			return false;
	size_t left = (size_t)(count - optind), used;
	const struct command *command = find_command(words + optind, left, &used, fault);
	if (!command || !judge(command, &options, left - used, fault))
		return false;
	struct call call = {.options = &options, .words = words + optind + used, .count = left - used};
	return run(command, &call, fault);
}

int main(int count, char **words)
{
	struct fault fault = FAULT_INIT;
	log_open("creds", LOG_INFO);
	bool done = secret_start(&fault) && start(count, words, &fault);
	if (fflush(stdout) != 0 && done)
		done = fault_errno(&fault, "cannot write to standard output");
	if (done && !secret_locked())
		log_warning("memory could not be locked, so secrets may have reached the swap; raise the limit: ulimit -l");
	if (!done)
		log_error("%s", fault.text);
	return done ? EXIT_SUCCESS : fault.code == FAULT_USAGE ? EXIT_USAGE : EXIT_FAILURE;
}
