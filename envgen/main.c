/* envgen: writes the environment of a sandboxed program. Reads the command line, picks profile and address, writes. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "environment.h"
#include "format.h"
#include "log.h"
#include "memory.h"
#include "output.h"
#include "secret.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

enum { LETTER_HELP = 'h', LETTER_OUTPUT = 'o', LETTER_PROFILE = 128, LETTER_FORMAT, LETTER_ADVERTISE, LETTER_CONFIG,
       LETTER_VERSION };

struct options {
	const char *config, *profile, *format, *output, *advertise;
};

static const struct option long_options[] = {
	{"profile", required_argument, NULL, LETTER_PROFILE},
	{"format", required_argument, NULL, LETTER_FORMAT},
	{"output", required_argument, NULL, LETTER_OUTPUT},
	{"advertise", required_argument, NULL, LETTER_ADVERTISE},
	{"config", required_argument, NULL, LETTER_CONFIG},
	{"help", no_argument, NULL, LETTER_HELP},
	{"version", no_argument, NULL, LETTER_VERSION},
	{NULL, 0, NULL, 0},
};

static const char usage[] =
	"usage: envgen [--profile P] [--format sh] [-o FILE] [--advertise HOST:PORT] [--config FILE]\n"
	"\n"
	"  --profile P             the profile that the program gets; needed where the file has several\n"
	"  --format FORMAT         how it is written: sh, to be read with: . ./agent.env\n"
	"  -o, --output FILE       written whole, 0600; else standard output\n"
	"  --advertise HOST:PORT   the proxy as the program reaches it; else `advertise` of the file\n"
	"  --config FILE           else $KEYSTILE_CONFIG, ./keystile.yaml and so on\n"
	"\n"
	"What is written holds session tokens, and no secret. More: man envgen\n";

/* Commands that have a place in the command line already. */
static const char *const unbuilt_commands[] = {"explain", "run", "verify", "admin"};

static bool take_option(struct options *options, int option, const char *word, struct fault *fault)
{
	switch (option) {
	case LETTER_PROFILE:
		options->profile = optarg;
		return true;
	case LETTER_FORMAT:
		options->format = optarg;
		return true;
	case LETTER_OUTPUT:
		options->output = optarg;
		return true;
	case LETTER_ADVERTISE:
		options->advertise = optarg;
		return true;
	case LETTER_CONFIG:
		options->config = optarg;
		return true;
	case LETTER_HELP:
		fputs(usage, stdout);
		exit(EXIT_SUCCESS);
	case LETTER_VERSION:
		puts("envgen " PACKAGE_VERSION);
		exit(EXIT_SUCCESS);
	case ':':
		return fault_set(fault, FAULT_USAGE, "%s: a value is missing behind it; see: envgen --help", word);
	default:
		return fault_set(fault, FAULT_USAGE, "%s: there is no such option; see: envgen --help", word);
	}
}

static bool refuse_word(const char *word, struct fault *fault)
{
	for (size_t i = 0; i < sizeof unbuilt_commands / sizeof *unbuilt_commands; i++)
		if (strcmp(word, unbuilt_commands[i]) == 0)
			return fault_set(fault, FAULT_USAGE, "envgen %s is not built yet; envgen -o FILE writes what to source: . FILE",
			                 word);
	return fault_set(fault, FAULT_USAGE, "%s: envgen takes options only; see: envgen --help", word);
}

static bool read_options(int count, char **words, struct options *options, struct fault *fault)
{
	int option;
	opterr = 0;
	while ((option = getopt_long(count, words, ":ho:", long_options, NULL)) != -1)
		if (!take_option(options, option, words[optind - 1], fault))
			return false;
	return optind == count || refuse_word(words[optind], fault);
}

/* Its errors are told here, all of them: the fault stays without text. Warnings (a secret that is not there yet) are
 * proxyd's and creds' to tell. */
static struct config *load_config(const char *given, struct fault *fault)
{
	bool found_here = false;
	struct config_messages errors = {0}, warnings = {0};
	AUTO_FREE char *path = config_find(given, &found_here, fault);
	if (!path)
		return NULL;
	struct config *config = config_load(path, found_here, &errors, &warnings);
	if (config)
		config_unbuilt(config, &errors);
	for (size_t i = 0; i < errors.count; i++)
		log_error("%s", errors.list[i]);
	if (errors.count > 0) {
		config_free(config);
		config = NULL;
		fault->code = FAULT_BROKEN;
	}
	config_messages_free(&errors);
	config_messages_free(&warnings);
	return config;
}

static const struct config_profile *pick_profile(const struct config *config, const char *name, struct fault *fault)
{
	const struct config_profile *found = name ? config_profile(config, span_of(name)) : NULL;
	if (!name && config->profile_count == 1)
		found = config->profiles;
	if (found)
		return found;
	AUTO_BUFFER struct buffer names = {0};
	for (size_t i = 0; i < config->profile_count; i++)
		buffer_format(&names, "%s%s", i ? ", " : "", config->profiles[i].name);
	if (config->profile_count == 0)
		fault_set(fault, FAULT_USAGE, "%s has no profile; write one under `profiles:`", config->file);
	else if (name)
		fault_set(fault, FAULT_USAGE, "--profile %s: %s has no such profile; it has: %s", name, config->file, names.data);
	else
		fault_set(fault, FAULT_USAGE, "%s has several profiles; choose one with --profile: %s", config->file, names.data);
	return NULL;
}

static bool is_wildcard(const struct host *host)
{
	return span_equal(host_span(host), SPAN("0.0.0.0")) || span_equal(host_span(host), SPAN("::"));
}

static bool pick_advertise(const struct config *config, const char *given, struct authority *advertise,
                           struct fault *fault)
{
	*advertise = config->advertise;
	if (given && strchr(given, '/'))
		return fault_set(fault, FAULT_USAGE, "--advertise %s: write HOST:PORT, without scheme and path", given);
	if (given && !authority_parse(span_of(given), advertise, fault))
		return fault_wrap(fault, "--advertise %s", given);
	if (given && !advertise->port)
		return fault_set(fault, FAULT_USAGE, "--advertise %s: the port is missing; write HOST:PORT", given);
	if (advertise->host.length == 0)
		return fault_set(fault, FAULT_USAGE, "%s: proxyd listens on no TCP port, so nobody knows where the program "
		                 "reaches it; say so with `advertise: HOST:PORT` there, or --advertise HOST:PORT", config->file);
	if (is_wildcard(&advertise->host))
		return fault_set(fault, FAULT_USAGE, "%s: %s is an address to listen on, not one to connect to; say where the "
		                 "program reaches proxyd: `advertise: HOST:PORT` there, or --advertise HOST:PORT",
		                 given ? "--advertise" : config->file, advertise->host.name);
	return true;
}

static bool write_environment(const struct environment_request *request, const struct format *format,
                              const char *path, struct fault *fault)
{
	struct environment environment = {0};
	AUTO_WIPE struct buffer text = {0};
	bool done = environment_make(request, &environment, fault);
	if (done) {
		format_write(format, &environment, &text);
		done = output_write(path, buffer_view(&text), fault);
	}
	for (size_t i = 0; done && i < environment.left_out_count; i++)
		log_warning("left out: %s", environment.left_out[i]);
	environment_free(&environment);
	return done;
}

static bool run(const struct config *config, const struct options *options, struct fault *fault)
{
	struct token_key key;
	struct environment_request request = {.config = config, .key = config->session.none ? NULL : &key};
	const struct format *format = format_find(options->format ? options->format : "sh", fault);
	if (!format || !(request.profile = pick_profile(config, options->profile, fault)) ||
	    !pick_advertise(config, options->advertise, &request.advertise, fault))
		return false;
	bool done = (!request.key || token_key_load(&config->session.key, &key, fault)) &&
	            write_environment(&request, format, options->output, fault);
	explicit_bzero(&key, sizeof key);
	return done;
}

int main(int count, char **words)
{
	struct fault fault = FAULT_INIT;
	struct options options = {0};
	log_open("envgen", LOG_INFO);
	struct config *config = NULL;
	bool done = read_options(count, words, &options, &fault) && secret_start(&fault) &&
	            (config = load_config(options.config, &fault)) != NULL && run(config, &options, &fault);
	if (!done && fault.text[0])
		log_error("%s", fault.text);
	config_free(config);
	return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
