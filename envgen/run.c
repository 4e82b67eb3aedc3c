/* envgen run: becomes a program, in the environment that envgen makes. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buffer.h"
#include "commands.h"
#include "inherited.h"
#include "isolation.h"
#include "log.h"
#include "memory.h"
#include "subject.h"

/* As env(1) and the shells have them. */
enum { STATUS_NOT_RUNNABLE = 126, STATUS_NOT_FOUND = 127 };

#define ANSWER_MS 200   /* how long a connection on loopback may take to be refused */
#define UNSET_MOST 1500 /* bytes of names in the line that tells them */

/* All that is known before CMD starts. No key is in it. */
struct run {
	struct environment environment;
	struct inherited inherited;
	struct isolation isolation;
	struct authority proxy; /* as CMD reaches it */
};

static void run_free(struct run *run)
{
	environment_free(&run->environment);
	inherited_free(&run->inherited);
	isolation_free(&run->isolation);
}

static bool inherit(struct run *run, const struct config *config, const struct options *options, struct fault *fault)
{
	struct known *known = known_new(config);
	struct inherited_request request = {
		.made = &run->environment,
		.known = known,
		.from = environ,
		.clean = options->clean,
		.keep = options->keep.list,
		.keep_count = options->keep.count,
	};
	bool done = inherited_make(&request, &run->inherited, fault);
	known_free(known);
	return done;
}

static bool prepare(const struct call *call, struct run *run, struct fault *fault)
{
	const struct options *options = call->options;
	AUTO_SUBJECT struct subject subject = {0};
	if (options->keep.count > 0 && !options->clean)
		return fault_set(fault, FAULT_USAGE, "--keep goes with --clean; without that, all that need not be unset stays");
	if (options->best_effort && !options->confine)
		return fault_set(fault, FAULT_USAGE, "--best-effort goes with --confine");
	if (!subject_load(options, SUBJECT_PROFILE | SUBJECT_ADVERTISE | SUBJECT_KEY, &subject, fault) ||
	    !environment_make(&subject.request, &run->environment, fault) ||
	    !inherit(run, subject.config, options, fault))
		return false;
	run->proxy = subject.request.advertise;
	isolation_prepare(subject.config, options, call->words[0], &run->isolation);
	ports_needed(&subject.request.advertise, environment_value(&run->environment, "NO_PROXY"), &run->isolation.ports);
	return true;
}

/* Names alone, and one line, however many there are. */
static void tell_unset(const struct inherited *inherited)
{
	AUTO_BUFFER struct buffer names = {0};
	size_t count = inherited->unset_count, told = 0;
	for (; told < count && names.length < UNSET_MOST; told++)
		buffer_format(&names, "%s%s", told ? ", " : "", inherited->unset[told]);
	if (told < count)
		buffer_format(&names, " and %zu more", count - told);
	if (count > 0)
		log_info("unset for CMD: %s", names.data);
}

/* On loopback alone, where the answer comes at once: a program's own message would be that its API is down. */
static bool is_refused(const struct authority *proxy)
{
	struct sockaddr_storage address;
	if (proxy->host.kind == HOST_NAME || !host_is_loopback(&proxy->host))
		return false;
	socklen_t length = host_sockaddr(&proxy->host, proxy->port, &address);
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	int error = connect(fd, (struct sockaddr *)&address, length) == 0 ? 0 : errno;
	if (error == EINPROGRESS && poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, ANSWER_MS) == 1)
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){sizeof error});
	close(fd);
	return error == ECONNREFUSED;
}

static void tell_proxy(const struct authority *proxy)
{
	char text[AUTHORITY_TEXT];
	if (!is_refused(proxy))
		return;
	authority_format(&proxy->host, proxy->port, text);
	log_warning("nothing listens at %s, where CMD is to find the proxy; start proxyd", text);
}

static void tell(const struct run *run)
{
	tell_proxy(&run->proxy);
	for (size_t i = 0; i < run->environment.left_out_count; i++)
		log_warning("left out: %s", run->environment.left_out[i]);
	tell_unset(&run->inherited);
	isolation_tell(&run->isolation);
}

/* Comes back only where CMD does not start. */
static int become(char **words, char **environment)
{
	environ = environment;
	execvp(words[0], words);
	int error = errno;
	log_error("cannot run %s: %s", words[0], strerror(error));
	return error == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_RUNNABLE;
}

bool command_run(struct call *call, struct fault *fault)
{
	struct run run = {0};
	char **kept = environ;
	bool done = prepare(call, &run, fault);
	if (done) {
		tell(&run);
		done = isolation_apply(&run.isolation, fault);
	}
	if (done)
		call->status = become(call->words, run.inherited.environment);
	environ = kept;
	run_free(&run);
	return done;
}
