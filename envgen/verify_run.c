#include "verify_run.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "verify_network.h"
#include "memory.h"
#include "verify_recorder.h"
#include "verify_clients.h"

enum { VERSION_TIME = 20000, GET_TIME = 60000, WORDS = 8 + VERIFY_TARGETS, LEAST_AT_ONCE = 2, MOST_AT_ONCE = 8 };

/* One client on its way. */
struct going {
	const struct verify_client *client;
	const struct targets *targets;
	struct recorder *recorder;
	char **variables;
	struct outcome *outcome;
};

/* Its temporary files and caches go with its folder. The strings of `variables` are not copied. */
static char **add_places(char *const *variables, const char *folder)
{
	size_t count = 0;
	while (variables[count])
		count++;
	char **list = memory_array(count + 4, sizeof *list);
	memcpy(list, variables, count * sizeof *list);
	list[count] = memory_format("TMPDIR=%s", folder);
	list[count + 1] = memory_format("XDG_CACHE_HOME=%s", folder);
	list[count + 2] = memory_format("XDG_DATA_HOME=%s", folder);
	return list;
}

static void free_places(char **list)
{
	size_t count = 0;
	while (list[count])
		count++;
	for (size_t i = 1; i <= 3; i++)
		free(list[count - i]);
	free(list);
}

/* What a client says goes nowhere: it may repeat the proxy's URL, and the token in it. It has no terminal to ask on. */
static void become(const struct going *going, char **words, int output)
{
	int nowhere = open("/dev/null", O_RDWR);
	setsid();
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || dup2(nowhere, STDIN_FILENO) < 0 ||
	    dup2(output >= 0 ? output : nowhere, STDOUT_FILENO) < 0 || dup2(nowhere, STDERR_FILENO) < 0)
		_exit(126);
	execvpe(words[0], words, going->variables);
	_exit(127);
}

/* The exit status; -1 where it was stopped because its time was over, or could not be started. It is the first process of a
 * pid namespace, so that all it started ends with it, whatever session that went into (pid_namespaces(7)). */
static int run(struct going *going, char **words, int output, uint64_t time)
{
	int status = 0, watched = -1;
	struct clone_args arguments = {.flags = CLONE_NEWPID | CLONE_PIDFD, .pidfd = (uintptr_t)&watched, .exit_signal = SIGCHLD};
	pid_t child = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
	if (child == 0)
		become(going, words, output);
	if (child < 0)
		return -1;
	bool ended = recorder_serve(going->recorder, watched, time);
	kill(child, SIGKILL);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	close(watched);
	return ended ? (WIFEXITED(status) ? WEXITSTATUS(status) : 128) : -1;
}

static size_t begin_words(const struct verify_client *client, const char *what, char **words)
{
	size_t count = 0;
	while (client->runtime[count]) {
		words[count] = (char *)(uintptr_t)client->runtime[count];
		count++;
	}
	words[count++] = (char *)(uintptr_t)client->word;
	words[count++] = (char *)(uintptr_t)what;
	return count;
}

/* "1.2.3", or "1.2.3 http" where it does no https here. */
static void take_version(struct outcome *outcome, struct span text)
{
	struct span line = span_split(&text, '\n');
	struct span version = span_split(&line, ' ');
	size_t length = 0;
	for (size_t i = 0; i < version.length && length + 1 < sizeof outcome->version; i++)
		if (version.data[i] > ' ' && version.data[i] < 0x7f)
			outcome->version[length++] = version.data[i];
	outcome->http_only = line.data && span_equal(line, SPAN("http"));
}

static bool ask_version(struct going *going)
{
	char *words[WORDS] = {NULL}, text[200];
	int ends[2];
	begin_words(going->client, "version", words);
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return false;
	int status = run(going, words, ends[1], VERSION_TIME);
	ssize_t got = read(ends[0], text, sizeof text);
	close(ends[0]);
	close(ends[1]);
	if (status != 0 || got <= 0)
		return false;
	take_version(going->outcome, (struct span){text, (size_t)got});
	return true;
}

static void ask_for_targets(struct going *going)
{
	char *words[WORDS] = {NULL};
	size_t count = begin_words(going->client, "get", words);
	for (size_t i = 0; i < going->targets->count; i++)
		if (!going->targets->list[i].tls || !going->outcome->http_only)
			words[count++] = going->targets->list[i].url;
	going->outcome->state = run(going, words, -1, GET_TIME) < 0 ? OUTCOME_LATE : OUTCOME_ENDED;
}

static bool prepare(struct going *going, const char *folder, struct fault *fault)
{
	const struct verify_client *client = going->client;
	size_t last = 0, i = 0;
	while (client->runtime[last + 1])
		last++;
	while (strcmp(verify_probe_list[i].file, client->runtime[last]) != 0)
		i++;
	AUTO_FREE char *path = memory_format("%s/%s", folder, verify_probe_list[i].file);
	struct span text = {verify_probe_list[i].text, verify_probe_list[i].length};
	if (mkdir(folder, 0755) < 0 || chdir(folder) < 0)
		return fault_errno(fault, "cannot make the folder %s", folder);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	bool done = (fd >= 0 && file_write_all(fd, text)) || fault_errno(fault, "cannot write %s", path);
	if (fd >= 0)
		close(fd);
	return done && isolate_network(fault) &&
	       (going->recorder = recorder_new(going->targets, going->outcome->seen, fault)) != NULL;
}

/* In a process of its own, since its network is. */
static void go(struct going *going, char *const *variables, const char *folder)
{
	if (prepare(going, folder, &going->outcome->fault)) {
		going->variables = add_places(variables, folder);
		if (ask_version(going))
			ask_for_targets(going);
		free_places(going->variables);
	} else {
		going->outcome->state = OUTCOME_BROKEN;
	}
	recorder_free(going->recorder);
}

static pid_t start(size_t number, char *const *variables, const struct targets *targets,
                   const char *folder, struct outcome *outcomes)
{
	struct going going = {.client = &verify_client_list[number], .targets = targets, .outcome = &outcomes[number]};
	pid_t parent = getpid(), child = fork();
	if (child != 0)
		return child;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(EXIT_FAILURE);
	AUTO_FREE char *own = memory_format("%s/%zu", folder, number);
	go(&going, variables, own);
	_exit(EXIT_SUCCESS);
}

static bool wait_one(struct fault *fault)
{
	int status;
	pid_t child;
	while ((child = waitpid(-1, &status, 0)) < 0 && errno == EINTR)
		continue;
	if (child < 0)
		return fault_errno(fault, "cannot wait for a client");
	return (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS) ||
	       fault_set(fault, FAULT_IO, "a process that runs a client ended by itself (signal %d)", WTERMSIG(status));
}

static long at_once(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	return cores < LEAST_AT_ONCE ? LEAST_AT_ONCE : cores > MOST_AT_ONCE ? MOST_AT_ONCE : cores;
}

bool verify_run(char *const *variables, const struct targets *targets, const char *folder,
                 struct outcome *outcomes, struct fault *fault)
{
	long running = 0, most = at_once();
	bool done = true;
	for (size_t i = 0; done && i < verify_client_count; i++) {
		AUTO_FREE char *program = file_find_program(verify_client_list[i].program);
		if (!program)
			continue;
		for (; done && running >= most; running--)
			done = wait_one(fault);
		if (done && start(i, variables, targets, folder, outcomes) < 0)
			done = fault_errno(fault, "cannot start a client");
		running += done;
	}
	for (; done && running > 0; running--)
		done = wait_one(fault);
	for (size_t i = 0; done && i < verify_client_count; i++)
		if (outcomes[i].state == OUTCOME_BROKEN)
			done = fault_set(fault, FAULT_IO, "%s: %s", verify_client_list[i].name, outcomes[i].fault.text);
	return done;
}
