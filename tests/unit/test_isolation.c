/* What is given up, tried in a process of its own for each row, where nothing is run as `exec:` and where something is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "isolation.h"
#include "landlock.h"
#include "memory.h"
#include "written.h"

static char folder[] = "/tmp/keystile-test-isolation-XXXXXX";
static int abi;
static struct sockaddr_un outside; /* an abstract socket of a process that is not confined */
static socklen_t outside_length;

/* ---- steps: 0 or errno ---- */

static int open_close(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int result(long value)
{
	return value < 0 ? errno : 0;
}

static int replace(const char *path)
{
	struct fault fault = FAULT_INIT;
	return file_replace(path, SPAN("x"), 0600, &fault) ? 0 : errno ? errno : EIO;
}

static int audit(void) { return open_close("log/audit.jsonl", O_WRONLY | O_APPEND | O_CREAT); }
static int audit_anew(void) { return open_close("log/new", O_WRONLY | O_APPEND | O_CREAT); }
static int audit_removed(void) { return result(unlink("log/audit.jsonl")); }
static int ca(void) { return replace("ca/ca.pem"); }
static int state(void) { return replace("state/vault-1"); }
static int socket_removed(void) { return result(unlink("run/proxy.sock")); }
static int socket_folder_written(void) { return open_close("run/new", O_WRONLY | O_CREAT); }
static int other_read(void) { return open_close("other/file", O_RDONLY); }
static int other_listed(void)
{
	DIR *other = opendir("other");
	if (!other)
		return errno;
	closedir(other);
	return 0;
}
static int other_written(void) { return open_close("other/file", O_WRONLY); }
static int other_emptied(void) { return open_close("other/file", O_RDONLY | O_TRUNC); }
static int other_truncated(void) { return result(truncate("other/file", 0)); }
static int other_made(void) { return open_close("other/new", O_WRONLY | O_CREAT); }
static int other_folder(void) { return result(mkdir("other/folder", 0700)); }
static int other_removed(void) { return result(unlink("other/file")); }
static int other_replaced(void) { return result(rename("other/file", "other/file2")); }
static int other_linked(void) { return result(link("other/file", "other/link")); }
static int own_linked(void) { return result(link("log/audit.jsonl", "log/link")); }
static int other_symlinked(void) { return result(symlink("file", "other/link")); }
static int other_rights(void) { return result(chmod("other/file", 0644)); }
static int mode_set(const char *path, mode_t mode)
{
	int fd = open(path, O_RDONLY);
	return fd < 0 ? errno : result(fchmod(fd, mode));
}
static int own_mode(void) { return mode_set("log/audit.jsonl", 0644); }
static int own_set_user(void) { return mode_set("log/audit.jsonl", 04644); }
static int own_program(void) { return mode_set("log/audit.jsonl", 0744); }
static int own_for_others(void) { return mode_set("log/audit.jsonl", 0666); }
static int made_set_user(void) { return result(open("ca/new", O_WRONLY | O_CREAT, 04600)); }
static int made_set_user_unnamed(void) { return result(open("ca", O_WRONLY | O_TMPFILE, 04600)); }
static int given(const char *path, uid_t user, gid_t group)
{
	int fd = open(path, O_RDONLY);
	return fd < 0 ? errno : result(fchown(fd, user, group));
}
static int given_away(void) { return given("other/file", 65534, 65534); }
static int given_to_itself(void) { return given("other/file", geteuid(), getegid()); }
static int configuration(void) { return open_close("keystile.yaml", O_WRONLY); }
static int moved_out(void)
{
	int error = open_close("ca/moved", O_WRONLY | O_CREAT);
	return error ? error : result(rename("ca/moved", "other/moved"));
}
static int own_memory(void) { return open_close("/proc/self/mem", O_RDWR); }
static int memory_of_another(void)
{
	char path[40];
	snprintf(path, sizeof path, "/proc/%d/mem", (int)getppid());
	return open_close(path, O_RDONLY);
}
static int temporary(void) { return open_close("/tmp", O_TMPFILE | O_WRONLY); }

static char *const words[] = {(char *)(uintptr_t)"true", NULL};

static int executed(void) { return result(execve("/bin/true", words, NULL)); }
static int executed_by_fd(void)
{
	int fd = open("/bin/true", O_PATH);
	return result(syscall(SYS_execveat, fd, "", words, NULL, AT_EMPTY_PATH));
}
static int spawned(void)
{
	pid_t pid;
	int error = posix_spawn(&pid, "/bin/true", NULL, NULL, words, NULL);
	if (!error)
		waitpid(pid, NULL, 0);
	return error;
}
static int forked(void)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	return pid < 0 ? errno : (waitpid(pid, NULL, 0), 0);
}
static int traced(void) { return result(ptrace(PTRACE_TRACEME, 0, NULL, NULL)); }
static int other_memory(void)
{
	char byte = 0;
	struct iovec here = {&byte, 1}, there = {&byte, 1};
	return result(process_vm_readv(getppid(), &here, 1, &there, 1, 0));
}
static int bpf(void) { return result(syscall(SYS_bpf, 0, NULL, 0)); }
static int io_uring(void) { return result(syscall(SYS_io_uring_setup, 1, NULL)); }
static int userfaultfd(void) { return result(syscall(SYS_userfaultfd, 0)); }
static int performance(void) { return result(syscall(SYS_perf_event_open, NULL, 0, 0, 0, 0)); }
static int unshared(void) { return result(unshare(CLONE_NEWUSER)); }
static int mounted(void) { return result(mount("none", "/tmp", "tmpfs", 0, NULL)); }
static int keyring(void) { return result(syscall(SYS_keyctl, 0, -1, 0)); }
static int module(void) { return result(syscall(SYS_init_module, NULL, 0, "")); }
static int became_root(void) { return result(setuid(0)); }
static int dumpable(void) { return result(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)); }
static int named(void) { return result(prctl(PR_SET_NAME, "x", 0, 0, 0)); }
static int typed(void) { return result(ioctl(0, TIOCSTI, "x")); }
static int own_limit(void)
{
	struct rlimit limit;
	return result(getrlimit(RLIMIT_NOFILE, &limit));
}
static int other_limit(void) { return result(prlimit(getppid(), RLIMIT_NOFILE, NULL, NULL)); }

static int code_mapped(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0;
}
static int code_made(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return page == MAP_FAILED ? errno : result(mprotect(page, 4096, PROT_READ | PROT_EXEC));
}
static int guarded(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return page == MAP_FAILED ? errno : result(mprotect(page, 4096, PROT_NONE));
}

static int socket_of(int domain, int type, int protocol)
{
	int fd = socket(domain, type, protocol);
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}
static int tcp(void) { return socket_of(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP); }
static int udp(void) { return socket_of(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0); }
static int netlink(void) { return socket_of(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0); }
static int interface_found(void) { return if_nametoindex("lo") ? 0 : errno; }
static int packet(void) { return socket_of(AF_PACKET, SOCK_RAW, 0); }
static int raw(void) { return socket_of(AF_INET, SOCK_RAW, IPPROTO_ICMP); }
static int ping(void) { return socket_of(AF_INET, SOCK_DGRAM, IPPROTO_ICMP); }
static int mptcp(void) { return socket_of(AF_INET, SOCK_STREAM, 262); }
static int crypto(void) { return socket_of(38, SOCK_SEQPACKET, 0); }
static int bound(int type)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	return result(bind(socket(AF_INET, type, 0), (const struct sockaddr *)&address, sizeof address));
}
static int tcp_bound(void) { return bound(SOCK_STREAM); }
static int udp_bound(void) { return bound(SOCK_DGRAM); }
static int listened(void) { return result(listen(socket(AF_INET, SOCK_STREAM, 0), 1)); }
static int abstract(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	return result(connect(fd, (const struct sockaddr *)&outside, outside_length));
}
static int signalled(void) { return result(kill(getppid(), 0)); }
static int signalled_itself(void) { return result(kill(getpid(), 0)); }

static int looked_up(void)
{
	struct addrinfo *found = NULL;
	int error = getaddrinfo("localhost", "443", NULL, &found);
	if (found)
		freeaddrinfo(found);
	return error ? EIO : 0;
}
static void *nothing(void *context) { return context; }
static int threaded(void)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, nothing, NULL);
	return error ? error : pthread_join(thread, NULL);
}
static void *forever(void *context)
{
	for (;;)
		pause();
	return context;
}
static int thread_cancelled(void)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, forever, NULL);
	return error || (error = pthread_cancel(thread)) ? error : pthread_join(thread, NULL);
}
/* No more than these, whoever runs it, and no way to more. */
static int status(void)
{
	static const uint64_t kept = 1U << CAP_CHOWN | 1U << CAP_DAC_OVERRIDE | 1U << CAP_DAC_READ_SEARCH | 1U << CAP_FOWNER |
	                             1U << CAP_IPC_LOCK;
	char line[200];
	unsigned long long set;
	int found = 0;
	FILE *file = fopen("/proc/self/status", "re");
	if (!file)
		return errno;
	while (fgets(line, sizeof line, file)) {
		if ((sscanf(line, "CapEff: %llx", &set) == 1 || sscanf(line, "CapPrm: %llx", &set) == 1) && !(set & ~kept))
			found++;
		if ((sscanf(line, "CapInh: %llx", &set) == 1 || sscanf(line, "CapAmb: %llx", &set) == 1) && !set)
			found++;
		if (sscanf(line, "CapBnd: %llx", &set) == 1 && (!(set & ~kept) || geteuid() != 0))
			found++;
		if (!strcmp(line, "NoNewPrivs:\t1\n"))
			found++;
	}
	fclose(file);
	return found == 6 ? 0 : ERANGE;
}

/* ---- rows ---- */

#define DIES (-SIGSYS)
#define ANY 1000 /* as the machine has it */

static const struct row {
	const char *name;
	int (*step)(void);
	int alone, commands; /* what comes of it, where no command is run and where one is */
	int abi;             /* of Landlock, that it takes */
} rows[] = {
	{"audit file", audit, 0, 0, 0},
	{"audit file, rotated away", audit_anew, 0, 0, 0},
	{"audit file removed", audit_removed, EACCES, 0, 1},
	{"certificate of the CA", ca, 0, 0, 0},
	{"state", state, 0, 0, 0},
	{"socket removed", socket_removed, 0, 0, 0},
	{"folder of the socket written", socket_folder_written, EACCES, 0, 1},
	{"other file read", other_read, 0, 0, 0},
	{"other folder listed", other_listed, 0, 0, 0},
	{"other file written", other_written, EACCES, 0, 1},
	{"other file emptied", other_emptied, EACCES, 0, 3},
	{"other file truncated", other_truncated, ENOSYS, 0, 0},
	{"other file made", other_made, EACCES, 0, 1},
	{"other folder made", other_folder, EACCES, 0, 1},
	{"other file removed", other_removed, EACCES, 0, 1},
	{"other file replaced", other_replaced, EACCES, 0, 1},
	{"other file linked", other_linked, ENOSYS, 0, 0},
	{"own file linked", own_linked, ENOSYS, 0, 0},
	{"other file linked by name", other_symlinked, ENOSYS, 0, 0},
	{"rights of another file", other_rights, ENOSYS, 0, 0},
	{"rights of its own file", own_mode, 0, 0, 0},
	{"set-user-ID", own_set_user, ENOSYS, 0, 0},
	{"a program made", own_program, ENOSYS, 0, 0},
	{"a file for all", own_for_others, ENOSYS, 0, 0},
	{"made as set-user-ID", made_set_user, ENOSYS, 0, 0},
	{"made as set-user-ID, without a name", made_set_user_unnamed, ENOSYS, ANY, 0},
	{"given away", given_away, ENOSYS, ANY, 0},
	{"given to itself", given_to_itself, 0, 0, 0},
	{"configuration", configuration, EACCES, 0, 1},
	{"file moved out", moved_out, EACCES, 0, 2},
	{"file without a name", temporary, EACCES, 0, 1},
	{"own memory, by its file", own_memory, EACCES, 0, 1},
	{"memory of another process", memory_of_another, EACCES, EACCES, 1},
	{"execve", executed, DIES, 0, 0},
	{"execveat", executed_by_fd, DIES, 0, 0},
	{"posix_spawn", spawned, DIES, 0, 0},
	{"fork", forked, DIES, 0, 0},
	{"ptrace", traced, DIES, EPERM, 0},
	{"process_vm_readv", other_memory, DIES, EPERM, 0},
	{"bpf", bpf, DIES, EPERM, 0},
	{"io_uring", io_uring, DIES, EPERM, 0},
	{"userfaultfd", userfaultfd, DIES, EPERM, 0},
	{"perf_event_open", performance, DIES, EPERM, 0},
	{"unshare", unshared, DIES, EPERM, 0},
	{"mount", mounted, DIES, EPERM, 0},
	{"init_module", module, DIES, EPERM, 0},
	{"keyctl", keyring, DIES, ANY, 0},
	{"setuid", became_root, ENOSYS, ANY, 0},
	{"made dumpable", dumpable, ENOSYS, 0, 0},
	{"thread named", named, 0, 0, 0},
	{"typed into the terminal", typed, ENOSYS, ANY, 0},
	{"own limit", own_limit, 0, 0, 0},
	{"limit of another", other_limit, ENOSYS, ANY, 0},
	{"code mapped", code_mapped, EPERM, 0, 0},
	{"code made", code_made, EPERM, 0, 0},
	{"memory guarded", guarded, 0, 0, 0},
	{"TCP", tcp, 0, 0, 0},
	{"UDP", udp, 0, 0, 0},
	{"netlink", netlink, 0, 0, 0},
	{"interface found", interface_found, 0, 0, 0},
	{"packets", packet, ENOSYS, EPERM, 0},
	{"raw IP", raw, ENOSYS, EPERM, 0},
	{"ping", ping, ENOSYS, ANY, 0},
	{"Multipath TCP", mptcp, ENOSYS, ANY, 0},
	{"AF_ALG", crypto, ENOSYS, ANY, 0},
	{"TCP bound", tcp_bound, EACCES, EACCES, LANDLOCK_WITH_PORTS},
	{"UDP bound", udp_bound, 0, 0, 0},
	{"listened", listened, ENOSYS, 0, 0},
	{"abstract socket", abstract, EPERM, 0, LANDLOCK_WITH_SCOPES},
	{"signal to another", signalled, ENOSYS, EPERM, LANDLOCK_WITH_SCOPES},
	{"signal to itself", signalled_itself, 0, 0, 0},
	{"name looked up", looked_up, 0, 0, 0},
	{"thread", threaded, 0, 0, 0},
	{"thread cancelled", thread_cancelled, 0, 0, 0},
	{"status", status, 0, 0, 0},
};

#define HEAD "version: 1\nlisten: [127.0.0.1:8180, \"unix:run/proxy.sock\"]\nsession: none\n"
#define AUDIT "audit: { file: log/audit.jsonl }\n"
#define STATE "state: state\n"
#define CA "tls: { ca_out: ca/ca.pem, bundle_out: ca/bundle.pem }\n"
#define TAIL(secret) "credentials:\n  a: { upstream: \"http://127.0.0.1:1\", secret: \"" secret "\", inject: { basic: x } }\n" \
                     "profiles:\n  p: { credentials: [a] }\n"
#define ALONE HEAD AUDIT STATE CA TAIL("file:other/file")
#define COMMANDS HEAD AUDIT STATE CA TAIL("exec:/bin/true")

static struct config *parse(const char *text)
{
	struct config_messages errors = {0}, warnings = {0};
	AUTO_FREE char *path = memory_format("%s/keystile.yaml", folder);
	struct config *config = config_parse(span_of(text), path, false, &errors, &warnings);
	for (size_t i = 0; i < errors.count; i++)
		print_message("%s\n", errors.list[i]);
	assert_non_null(config);
	config_messages_free(&errors);
	config_messages_free(&warnings);
	return config;
}

static void run(const char *command)
{
	AUTO_FREE char *whole = memory_format("cd %s && { %s\n}", folder, command);
	assert_int_equal(system(whole), 0);
}

static void enter(struct isolation *isolation, const struct config *config)
{
	struct fault fault = FAULT_INIT;
	if (!freopen("/dev/null", "w", stderr)) /* what it tells */
		_exit(99);
	if (chdir(folder) != 0 || !isolation_begin(&fault))
		_exit(99);
	isolation_enter(isolation, config);
}

/* What becomes of a child that does so: its status, or minus the signal that ended it. */
static int wait_for(pid_t pid)
{
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int try(const struct row *row, const struct config *config)
{
	run("rm -rf log ca state run other; mkdir log ca run other; echo x >log/audit.jsonl; echo x >other/file; echo x >run/proxy.sock; "
	    "echo x >keystile.yaml");
	pid_t pid = fork();
	if (pid == 0) {
		struct isolation isolation;
		enter(&isolation, config);
		_exit(row->step());
	}
	return wait_for(pid);
}

static void check(const char *text, bool commands)
{
	struct config *config = parse(text);
	size_t wrong = 0;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		int expected = commands ? rows[i].commands : rows[i].alone;
		if (expected == ANY || rows[i].abi > abi)
			continue;
		int came = try(&rows[i], config);
		if (came == expected)
			continue;
		print_message("%s, %s: %d instead of %d\n", rows[i].name, commands ? "with commands" : "alone", came, expected);
		wrong++;
	}
	config_free(config);
	assert_int_equal(wrong, 0);
}

/* Built with sanitizers it gives up nothing; a kernel may have no seccomp. */
static bool works(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return false;
#else
	return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0;
#endif
}

static void test_alone(void **context)
{
	(void)context;
	if (!works())
		skip();
	check(ALONE, false);
}

static void test_commands(void **context)
{
	(void)context;
	if (!works())
		skip();
	check(COMMANDS, true);
}

/* ---- another configuration ---- */

static const struct change {
	const char *name, *before, *after;
	const char *refused; /* a part of the reason; NULL: it is taken */
} changes[] = {
	{"nothing", ALONE, ALONE, NULL},
	{"a command", ALONE, COMMANDS, "keystile.yaml:8:48: `exec:` needs a restart: proxyd gave up running programs"},
	{"another command", COMMANDS, COMMANDS, NULL},
	{"no command any more", COMMANDS, ALONE, NULL},
	{"audit beside the old one", ALONE, HEAD "audit: { file: log/other.jsonl }\n" STATE CA TAIL("env:X"), NULL},
	{"audit beneath it", ALONE, HEAD "audit: { file: log/more/other.jsonl }\n" STATE CA TAIL("env:X"), NULL},
	{"audit by another way", ALONE, HEAD "audit: { file: other/../log/other.jsonl }\n" STATE CA TAIL("env:X"), NULL},
	{"audit elsewhere", ALONE, HEAD "audit: { file: other/audit.jsonl }\n" STATE CA TAIL("env:X"),
	 "`audit`: needs a restart: proxyd gave up writing in"},
	{"audit where sockets are", ALONE, HEAD "audit: { file: run/audit.jsonl }\n" STATE CA TAIL("env:X"), "`audit`: needs a restart"},
	{"audit where files are replaced", ALONE, HEAD "audit: { file: state/audit.jsonl }\n" STATE CA TAIL("env:X"), NULL},
	{"audit elsewhere, with commands", COMMANDS, HEAD "audit: { file: other/audit.jsonl }\n" STATE CA TAIL("exec:/bin/true"), NULL},
	{"audit through a link", ALONE, HEAD "audit: { file: other/link }\n" STATE CA TAIL("env:X"), NULL},
	{"no audit", ALONE, HEAD STATE CA TAIL("env:X"), NULL},
	{"CA elsewhere", ALONE, HEAD AUDIT STATE "tls: { ca_out: other/ca.pem }\n" TAIL("env:X"), "`tls.ca_out`: needs a restart"},
	{"CA in the state folder", ALONE, HEAD AUDIT STATE TAIL("env:X"), NULL},
	{"a folder that was not there", HEAD STATE "tls: { ca_out: missing/ca.pem }\n" TAIL("env:X"),
	 HEAD STATE "tls: { ca_out: missing/ca.pem }\n" TAIL("env:Y"), NULL},
	{"session key that is there", ALONE, "version: 1\nsession: { key: \"file:other/file\" }\n" STATE TAIL("env:X"), NULL},
	{"session key that is not there", ALONE, "version: 1\nsession: { key: \"file:other/new.key\" }\n" STATE TAIL("env:X"),
	 "keystile.yaml:2:10: "},
	{"session key that is not there, where files are replaced", ALONE,
	 "version: 1\nsession: { key: \"file:state/new.key\" }\n" STATE TAIL("env:X"), "proxyd gave up making it when it started"},
	{"session key that is not there, with commands", COMMANDS,
	 "version: 1\nsession: { key: \"file:other/new.key\" }\n" STATE TAIL("exec:/bin/true"), NULL},
};

static void test_changes(void **context)
{
	(void)context;
	if (!works() || abi == 0)
		skip();
	size_t wrong = 0;
	for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
		run("rm -rf log ca state run other; mkdir -p log/more ca run other; echo x >log/audit.jsonl; echo x >other/file; "
		    "ln -s ../log/audit.jsonl other/link");
		struct config *before = parse(changes[i].before), *after = parse(changes[i].after);
		pid_t pid = fork();
		if (pid == 0) {
			struct isolation isolation;
			struct fault fault = FAULT_INIT;
			enter(&isolation, before);
			bool taken = isolation_permits(&isolation, after, &fault);
			bool fine = changes[i].refused ? !taken && strstr(fault.text, changes[i].refused) : taken;
			if (!fine)
				printf("%s: %s\n", changes[i].name, taken ? "taken" : fault.text);
			fflush(stdout);
			_exit(fine ? 0 : 1);
		}
		wrong += wait_for(pid) != 0;
		config_free(before);
		config_free(after);
	}
	assert_int_equal(wrong, 0);
}

/* A folder that is another one, under its old name, is told of. */
static void test_explains(void **context)
{
	(void)context;
	if (!works() || abi == 0)
		skip();
	run("rm -rf log ca state run other; mkdir log ca run other");
	struct config *config = parse(ALONE);
	int ready[2], go[2];
	assert_int_equal(pipe(ready) | pipe(go), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct isolation isolation;
		char byte = 0;
		enter(&isolation, config);
		struct fault as_it_was = {FAULT_DENIED, "no"}, anew = as_it_was, other_code = {FAULT_IO, "no"};
		isolation_explain(&isolation, "log/audit.jsonl", WRITTEN_APPENDED, ISOLATION_RESTART, &as_it_was);
		if (write(ready[1], "x", 1) != 1 || read(go[0], &byte, 1) != 1)
			_exit(98);
		isolation_explain(&isolation, "log/audit.jsonl", WRITTEN_APPENDED, ISOLATION_RESTART, &anew);
		isolation_explain(&isolation, "log/audit.jsonl", WRITTEN_APPENDED, ISOLATION_RESTART, &other_code);
		_exit(!strcmp(as_it_was.text, "no") + 2 * (strstr(anew.text, "no (proxyd gave up writing in log when") == anew.text) +
		      4 * !strcmp(other_code.text, "no"));
	}
	char byte;
	assert_int_equal(read(ready[0], &byte, 1), 1);
	run("mkdir log2; rm -r log; mv log2 log");
	assert_int_equal(write(go[1], "x", 1), 1);
	assert_int_equal(wait_for(pid), 7);
	config_free(config);
}

static int begin(void **context)
{
	(void)context;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	outside = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(outside.sun_path + 1, sizeof outside.sun_path - 1, "keystile-test-%d", (int)getpid());
	outside_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(outside.sun_path + 1));
	if (bind(fd, (const struct sockaddr *)&outside, outside_length) != 0 || listen(fd, 100) != 0)
		return -1;
	unsetenv("NOTIFY_SOCKET");
	abi = landlock_version("", "", NULL);
	return mkdtemp(folder) ? 0 : -1;
}

static int end(void **context)
{
	(void)context;
	AUTO_FREE char *remove = memory_format("rm -r %s", folder);
	return system(remove);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone), cmocka_unit_test(test_commands), cmocka_unit_test(test_changes),
		cmocka_unit_test(test_explains),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
