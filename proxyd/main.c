/* proxyd: see docs/proxyd.8. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "check.h"
#include "config.h"
#include "log.h"
#include "loop.h"
#include "memory.h"
#include "follow.h"
#include "isolation.h"
#include "secret.h"
#include "server.h"
#include "service.h"
#include "span.h"

#define DRAIN_SECONDS 30

struct options {
	const char *config;
	bool check, presets, version, help;
	bool verbose;
	enum log_format format;
	char wrong[300]; /* what the first fault of the command line is; empty: there is none */
};

__attribute__((format(printf, 2, 3))) static void complain(struct options *options, const char *format, ...)
{
	va_list arguments;
	if (*options->wrong)
		return;
	va_start(arguments, format);
	vsnprintf(options->wrong, sizeof options->wrong, format, arguments);
	va_end(arguments);
}

static void read_format(struct options *options, const char *name)
{
	if (!log_format_of(name, &options->format))
		complain(options, "unknown log format '%s': it is text or json", name);
}

static struct options read_options(int count, char **words)
{
	static const struct option known[] = {
		{"config", required_argument, NULL, 'c'}, {"check", no_argument, NULL, 'k'},
		{"presets", no_argument, NULL, 'p'},      {"log-format", required_argument, NULL, 'f'},
		{"version", no_argument, NULL, 'V'},      {"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct options options = {0};
	int option;
	opterr = 0; /* what is wrong is told in the format that is asked for, which may stand behind it */
	while ((option = getopt_long(count, words, ":c:vVh", known, NULL)) != -1)
		switch (option) {
		case 'c': options.config = optarg; break;
		case 'k': options.check = true; break;
		case 'p': options.presets = true; break;
		case 'v': options.verbose = true; break;
		case 'f': read_format(&options, optarg); break;
		case 'V': options.version = true; break;
		case 'h': options.help = true; break;
		case ':': complain(&options, "option '%s' wants an argument", words[optind - 1]); break;
		default:
			if (optopt > 0 && optopt < 128 && !span_starts(span_of(words[optind - 1]), SPAN("--")))
				complain(&options, "invalid option -- '%c'", optopt);
			else
				complain(&options, "unrecognized option '%s'", words[optind - 1]);
		}
	if (optind < count)
		complain(&options, "unexpected argument: %s", words[optind]);
	return options;
}

static void usage(FILE *out)
{
	fputs("usage: proxyd [-v] [--config FILE] [--log-format text|json]\n"
	      "       proxyd --check [--config FILE] [--log-format text|json]\n"
	      "       proxyd --presets | --version | --help\n",
	      out);
}

static int refuse(const struct options *options)
{
	if (options->format == LOG_JSON) {
		log_error("%s; see proxyd --help", options->wrong);
	} else {
		fprintf(stderr, "proxyd: %s\n", options->wrong);
		usage(stderr);
	}
	return 2;
}

static struct config *load(const struct follow_file *file)
{
	struct config_messages errors = {0}, warnings = {0};
	struct config *config = config_load(file->path, file->found_here, &errors, &warnings);
	config_messages_tell(&warnings, log_warning);
	config_messages_tell(&errors, log_error);
	config_messages_free(&warnings);
	config_messages_free(&errors);
	return config;
}

/* The main thread's own loop: signals, files that change, and commands that gave something. */
struct serving {
	struct loop *loop;
	struct loop_watch signals;
	struct server *server;
	struct follow *follow;
};

static void on_signal(struct loop_watch *watch, uint32_t events)
{
	struct serving *serving = (struct serving *)((char *)watch - offsetof(struct serving, signals));
	struct signalfd_siginfo signal;
	(void)events;
	while (read(watch->fd, &signal, sizeof signal) == sizeof signal) {
		if (signal.ssi_signo == SIGHUP)
			follow_all(serving->follow);
		else if (signal.ssi_signo == SERVER_WAKE_SIGNAL)
			server_take_commands(serving->server);
		else
			loop_stop(serving->loop);
	}
}

/* Until SIGTERM or SIGINT. */
static bool serve(struct server *server, const struct follow_file *file, const sigset_t *signals, struct fault *fault)
{
	struct serving serving = {.loop = loop_new(fault), .signals = {.fd = -1, .ready = on_signal}, .server = server};
	int fd = serving.loop ? signalfd(-1, signals, SFD_NONBLOCK | SFD_CLOEXEC) : -1;
	if (fd < 0)
		return fault_errno(fault, "signals cannot be waited for");
	loop_watch_add(serving.loop, &serving.signals, fd, EPOLLIN);
	serving.follow = follow_start(server, serving.loop, file);
	log_info("ready");
	service_notify("READY=1");
	loop_run(serving.loop);
	follow_stop(serving.follow);
	loop_watch_remove(serving.loop, &serving.signals);
	close(fd);
	loop_free(serving.loop);
	return true;
}

static void block_signals(sigset_t *signals)
{
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(signals);
	sigaddset(signals, SIGTERM);
	sigaddset(signals, SIGINT);
	sigaddset(signals, SIGHUP);
	sigaddset(signals, SERVER_WAKE_SIGNAL);
	sigprocmask(SIG_BLOCK, signals, NULL);
}

/* What a heap may have free at its end before it gives that back, with a system call, and page faults when it grows again.
 * Once many clients have left, the front gives back all of it. */
#define FREE_BYTES (4 << 20)

static int fail(const struct fault *fault)
{
	log_error("%s", fault->text);
	return EXIT_FAILURE;
}

static int run(const char *given)
{
	struct fault fault = FAULT_INIT;
	sigset_t signals;
	static struct server server;
	struct follow_file file;
	block_signals(&signals);
	if (!isolation_begin(&fault))
		return fail(&fault);
	AUTO_FREE char *path = config_find(given, &file.found_here, &fault);
	if (!path)
		return fail(&fault);
	file.path = path;
	file.seen = follow_content(path);
	struct config *config = load(&file);
	if (!config)
		return EXIT_FAILURE;
	if (!server_open(&server, config, &fault))
		return fail(&fault);
	malloc_trim(0); /* what reading certificates and configuration took */
	mallopt(M_TRIM_THRESHOLD, FREE_BYTES);
	if (!serve(&server, &file, &signals, &fault))
		return fail(&fault);
	service_notify("STOPPING=1");
	log_info("stopping: no new connections, at most %d s for what is under way", DRAIN_SECONDS);
	server_drain(&server, DRAIN_SECONDS);
	server_close(&server);
	return EXIT_SUCCESS;
}

/* What whoever starts us may have left in a way that would harm. Where SIGCHLD is ignored, nobody learns how a command ended;
 * a descriptor below three that is closed would be one of ours, which then got what is meant for standard output or error. */
static void mend_inherited(void)
{
	int fd;
	signal(SIGCHLD, SIG_DFL);
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int count, char **words)
{
	struct fault fault = FAULT_INIT;
	mend_inherited();
	struct options options = read_options(count, words);
	log_open("proxyd", options.verbose ? LOG_DEBUG : LOG_INFO);
	log_set_format(options.format);
	if (*options.wrong)
		return refuse(&options);
	if (options.help) {
		usage(stdout);
		return EXIT_SUCCESS;
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
