/* proxyd: see docs/proxyd.8. */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <time.h>

#include "check.h"
#include "config.h"
#include "log.h"
#include "secret.h"
#include "server.h"
#include "service.h"

#define DRAIN_SECONDS 30

struct options {
	const char *config;
	bool check, presets, version, help, wrong;
	bool verbose;
};

static struct options read_options(int count, char **words)
{
	static const struct option known[] = {
		{"config", required_argument, NULL, 'c'}, {"check", no_argument, NULL, 'k'},
		{"presets", no_argument, NULL, 'p'},      {"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
	};
	struct options options = {0};
	int option;
	while ((option = getopt_long(count, words, "c:vVh", known, NULL)) != -1)
		switch (option) {
		case 'c': options.config = optarg; break;
		case 'k': options.check = true; break;
		case 'p': options.presets = true; break;
		case 'v': options.verbose = true; break;
		case 'V': options.version = true; break;
		case 'h': options.help = true; break;
		default: options.wrong = true;
		}
	if (optind < count) {
		fprintf(stderr, "proxyd: unexpected argument: %s\n", words[optind]);
		options.wrong = true;
	}
	return options;
}

static void usage(FILE *out)
{
	fputs("usage: proxyd [-v] [--config FILE]\n"
	      "       proxyd --check [--config FILE]\n"
	      "       proxyd --presets | --version | --help\n",
	      out);
}

static void tell(void (*log)(const char *format, ...), struct config_messages *messages)
{
	for (size_t i = 0; i < messages->count; i++)
		log("%s", messages->list[i]);
	config_messages_free(messages);
}

static struct config *load(const char *given)
{
	struct fault fault = FAULT_INIT;
	struct config_messages errors = {0}, warnings = {0};
	bool found_here;
	char *path = config_find(given, &found_here, &fault);
	if (!path) {
		log_error("%s", fault.text);
		return NULL;
	}
	struct config *config = config_load(path, found_here, &errors, &warnings);
	if (config)
		config_unbuilt(config, &errors);
	if (config && errors.count > 0) {
		config_free(config);
		config = NULL;
	}
	tell(log_warning, &warnings);
	tell(log_error, &errors);
	free(path);
	return config;
}

static void reload(struct server *server)
{
	struct fault fault = FAULT_INIT;
	if (!audit_reopen(server->audit, &fault))
		log_error("the audit file stays the old one: %s", fault.text);
	server_refresh_secrets(server);
	server_retry_tokens(server);
	log_info("SIGHUP: audit file reopened, secrets read; a changed configuration takes a restart");
}

/* Until SIGTERM or SIGINT. */
static void serve(struct server *server, const sigset_t *signals)
{
	const struct timespec second = {.tv_sec = 1};
	for (;;) {
		int number = sigtimedwait(signals, NULL, &second);
		if (number == SIGTERM || number == SIGINT)
			return;
		if (number == SIGHUP)
			reload(server);
		if (server_secrets_due(server))
			server_refresh_secrets(server);
	}
}

static void block_signals(sigset_t *signals)
{
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(signals);
	sigaddset(signals, SIGTERM);
	sigaddset(signals, SIGINT);
	sigaddset(signals, SIGHUP);
	sigaddset(signals, SERVER_SPENT_SIGNAL);
	sigprocmask(SIG_BLOCK, signals, NULL);
}

/* What a heap may have free at its end before it gives that back, with a system call, and page faults when it grows again.
 * Once many clients have left, the front gives back all of it. */
#define FREE_BYTES (4 << 20)

static int run(const char *given)
{
	struct fault fault = FAULT_INIT;
	sigset_t signals;
	static struct server server;
	block_signals(&signals);
	struct config *config = load(given);
	if (!config)
		return EXIT_FAILURE;
	if (!server_open(&server, config, &fault)) {
		log_error("%s", fault.text);
		return EXIT_FAILURE;
	}
	malloc_trim(0); /* what reading certificates and configuration took */
	mallopt(M_TRIM_THRESHOLD, FREE_BYTES);
	log_info("ready");
	service_notify("READY=1");
	serve(&server, &signals);
	service_notify("STOPPING=1");
	log_info("stopping: no new connections, at most %d s for what is under way", DRAIN_SECONDS);
	server_drain(&server, DRAIN_SECONDS);
	server_close(&server);
	return EXIT_SUCCESS;
}

int main(int count, char **words)
{
	struct fault fault = FAULT_INIT;
	struct options options = read_options(count, words);
	log_open("proxyd", options.verbose ? LOG_DEBUG : LOG_INFO);
	if (options.wrong || options.help) {
		usage(options.wrong ? stderr : stdout);
		return options.wrong ? 2 : EXIT_SUCCESS;
	}
	if (options.version) {
		puts("proxyd " PACKAGE_VERSION);
		return EXIT_SUCCESS;
	}
	if (!secret_start(&fault)) {
		log_error("%s", fault.text);
		return EXIT_FAILURE;
	}
	if (options.presets)
		return check_presets();
	if (options.check)
		return check_run(options.config);
	return run(options.config);
}
