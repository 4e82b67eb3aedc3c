#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory.h"
#include "monotonic.h"
#include "source.h"

enum { OUT, ERR, END, OWN, STOP = OWN, WATCHED }; /* standard output, standard error, the end of the process, nobody's wish */

struct child {
	pid_t pid;
	int fds[WATCHED];  /* -1 once closed; the first OWN are ours */
	size_t complained; /* bytes on standard error */
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* posix_spawn(), not fork(): the child never has our memory, which holds secrets, as its own. */
static int spawn(struct child *child, char **words, const struct exec_terms *terms, int out, int err)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&files, err, STDERR_FILENO);
	posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	int error = posix_spawnp(&child->pid, words[0], &files, &attributes, words,
	                         terms->environment ? terms->environment : environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	return error;
}

/* Ours was raised for connections; who closes all that could be open, or calls select(), is slow or breaks with it. */
static void limit_files(const struct child *child, uint64_t files)
{
	struct rlimit limit;
	if (files == 0 || prlimit(child->pid, RLIMIT_NOFILE, NULL, &limit) != 0 || limit.rlim_max < files)
		return;
	limit.rlim_cur = files;
	prlimit(child->pid, RLIMIT_NOFILE, &limit, NULL);
}

static bool start(struct child *child, char **words, const struct exec_terms *terms, struct fault *fault)
{
	int out[2] = {-1, -1}, err[2] = {-1, -1};
	if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) {
		fault_errno(fault, "cannot make a pipe");
		close_fd(&out[0]);
		close_fd(&out[1]);
		return false;
	}
	int error = spawn(child, words, terms, out[1], err[1]);
	if (error == 0)
		limit_files(child, terms->files);
	close(out[1]);
	close(err[1]);
	child->fds[OUT] = out[0];
	child->fds[ERR] = err[0];
	errno = error;
	return error == 0 || fault_errno(fault, "cannot start %s", words[0]);
}

static bool read_out(struct child *child, size_t limit, struct buffer *out, struct fault *fault)
{
	char *room = buffer_room(out, 4096);
	ssize_t count = read(child->fds[OUT], room, 4096);
	if (count <= 0)
		close_fd(&child->fds[OUT]);
	else
		out->length += (size_t)count;
	out->data[out->length] = 0;
	return out->length <= limit || fault_set(fault, FAULT_BROKEN, "wrote more than %zu bytes", limit);
}

static void read_err(struct child *child)
{
	char scratch[4096];
	ssize_t count = read(child->fds[ERR], scratch, sizeof scratch);
	explicit_bzero(scratch, sizeof scratch);
	if (count <= 0)
		close_fd(&child->fds[ERR]);
	else
		child->complained += (size_t)count;
}

/* Until the command has ended and nothing that it wrote is left. A process that it left behind may hold the pipes; that one is
 * not waited for. */
static bool watch(struct child *child, uint64_t limit_ms, size_t limit, struct buffer *out, struct fault *fault)
{
	uint64_t end = monotonic_ms() + limit_ms;
	bool ended = false;
	for (uint64_t now = monotonic_ms(); now < end; now = monotonic_ms()) {
		struct pollfd polls[WATCHED];
		for (int i = 0; i < WATCHED; i++)
			polls[i] = (struct pollfd){.fd = child->fds[i], .events = POLLIN};
		int count = poll(polls, WATCHED, ended ? 0 : (int)(end - now));
		if (count < 0 && errno != EINTR)
			return fault_errno(fault, "cannot wait");
		if (count == 0 && ended)
			return true;
		if (count <= 0)
			continue;
		if (polls[STOP].revents)
			return fault_set(fault, FAULT_BUSY, "was killed, since nobody waits for it any more");
		if (polls[OUT].revents && !read_out(child, limit, out, fault))
			return false;
		if (polls[ERR].revents)
			read_err(child);
		if (polls[END].revents) {
			close_fd(&child->fds[END]);
			ended = true;
		}
	}
	return fault_set(fault, FAULT_TIMEOUT, "did not end within %llu s and was killed",
	                 (unsigned long long)((limit_ms + 999) / 1000));
}

static bool judge_status(const struct child *child, int status, struct fault *fault)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	AUTO_FREE char *hint = child->complained
	                               ? memory_format(" (%zu bytes on its standard error; run it by hand to read them)",
	                                               child->complained)
	                               : memory_string("");
	if (WIFSIGNALED(status))
		return fault_set(fault, FAULT_BROKEN, "was ended by signal %d%s", WTERMSIG(status), hint);
	return fault_set(fault, FAULT_BROKEN, "ended with status %d%s", WEXITSTATUS(status), hint);
}

/* With its process group, what it left running there too: until it was waited for, that number is nobody else's. */
static bool reap(const struct child *child, int *status)
{
	pid_t ended;
	kill(-child->pid, SIGKILL);
	while ((ended = waitpid(child->pid, status, 0)) < 0 && errno == EINTR)
		continue;
	return ended == child->pid;
}

static bool run(char **words, const struct exec_terms *terms, struct buffer *out, struct fault *fault)
{
	struct child child = {.pid = -1, .fds = {-1, -1, -1, terms->stop}};
	bool done = start(&child, words, terms, fault);
	int status = 0;
	if (done) {
		child.fds[END] = pidfd_open(child.pid, 0);
		done = child.fds[END] >= 0 ? watch(&child, terms->limit_ms, terms->limit, out, fault)
		                           : fault_errno(fault, "cannot watch the process");
		if (!reap(&child, &status) && done)
			done = fault_errno(fault, "cannot tell how it ended");
	}
	for (int i = 0; i < OWN; i++)
		close_fd(&child.fds[i]);
	return done && judge_status(&child, status, fault);
}

bool exec_run(const char *command, const struct exec_terms *terms, struct buffer *out, struct fault *fault)
{
	AUTO_FREE char **words = source_words(command);
	if (!words)
		return fault_set(fault, FAULT_USAGE, "has no command, or a quote that is not closed");
	return run(words, terms, out, fault);
}
