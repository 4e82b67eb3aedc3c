/* System calls, by name of libseccomp (seccomp_rule_add(3)), which knows their numbers on each machine; one that a machine
 * does not have is left out there. What is neither in `needed` nor in `attacks` does not exist, as on an older kernel, since
 * that is what libraries know to do without. */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/prctl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "isolation_internal.h"
#include "log.h"

/* ---- what a proxy does ---- */

static const int needed[] = {
	/* bytes */
	SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(preadv), SCMP_SYS(preadv2),
	SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(pwrite64), SCMP_SYS(pwritev), SCMP_SYS(pwritev2),
	SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(recvmmsg), SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg),
	SCMP_SYS(splice), SCMP_SYS(tee), SCMP_SYS(sendfile), SCMP_SYS(close), SCMP_SYS(close_range), SCMP_SYS(lseek),
	SCMP_SYS(dup), SCMP_SYS(dup2), SCMP_SYS(dup3), SCMP_SYS(fcntl), SCMP_SYS(pipe), SCMP_SYS(pipe2),
	/* sockets; new ones below */
	SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(shutdown), SCMP_SYS(getsockname),
	SCMP_SYS(getpeername), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
	/* waiting */
	SCMP_SYS(epoll_create), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_pwait2), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6), SCMP_SYS(eventfd2),
	SCMP_SYS(signalfd4), SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime), SCMP_SYS(timerfd_gettime),
	SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep), SCMP_SYS(restart_syscall), SCMP_SYS(inotify_init1),
	SCMP_SYS(inotify_add_watch), SCMP_SYS(inotify_rm_watch),
	/* files, whose opening is below; Landlock says which are written */
	SCMP_SYS(stat), SCMP_SYS(fstat), SCMP_SYS(lstat), SCMP_SYS(newfstatat), SCMP_SYS(statx),
	SCMP_SYS(statfs), SCMP_SYS(fstatfs), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink),
	SCMP_SYS(readlinkat), SCMP_SYS(getdents64), SCMP_SYS(getcwd), SCMP_SYS(flock), SCMP_SYS(fsync), SCMP_SYS(fdatasync),
	SCMP_SYS(ftruncate), SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(unlink), SCMP_SYS(unlinkat),
	SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(fadvise64),
	/* memory; mapping below */
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mlock), SCMP_SYS(mlock2), SCMP_SYS(munlock),
	SCMP_SYS(membarrier),
	/* threads; new ones below */
	SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(get_robust_list), SCMP_SYS(set_tid_address), SCMP_SYS(rseq),
	SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(getcpu), SCMP_SYS(exit), SCMP_SYS(exit_group),
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigtimedwait),
	SCMP_SYS(rt_sigpending), SCMP_SYS(sigaltstack),
	/* times, and who and where this is */
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(getrandom),
	SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getppid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
	SCMP_SYS(getegid), SCMP_SYS(getresuid), SCMP_SYS(getresgid), SCMP_SYS(getgroups), SCMP_SYS(uname), SCMP_SYS(sysinfo),
	SCMP_SYS(getrusage), SCMP_SYS(times), SCMP_SYS(getrlimit), SCMP_SYS(setrlimit),
};

/* ---- what nobody but an attacker does ---- */

/* Where no command is run; where one is, its own processes need them. */
static const int programs[] = {SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork)};

static const int attacks[] = {
	SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(bpf), SCMP_SYS(perf_event_open),
	SCMP_SYS(userfaultfd), SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register),
	SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(move_mount), SCMP_SYS(open_tree),
	SCMP_SYS(fsopen), SCMP_SYS(fsmount), SCMP_SYS(mount_setattr), SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load), SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(reboot),
	SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(iopl), SCMP_SYS(ioperm), SCMP_SYS(open_by_handle_at),
};

/* The same, but that commands have use for it: `keyctl` is a place where secrets are kept. */
static const int keyrings[] = {SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key)};

/* ---- what depends on arguments ---- */

/* Of arguments that are an int the kernel looks at the lower half. */
#define INT_MASK 0xffffffffU
#define IS(number, value) {.arg = (number), .op = SCMP_CMP_MASKED_EQ, .datum_a = INT_MASK, .datum_b = (value)}
#define HAS(number, flag) {.arg = (number), .op = SCMP_CMP_MASKED_EQ, .datum_a = (flag), .datum_b = (flag)}
#define LACKS(number, flag) {.arg = (number), .op = SCMP_CMP_MASKED_EQ, .datum_a = (flag), .datum_b = 0}
#define TYPE(number, type) {.arg = (number), .op = SCMP_CMP_MASKED_EQ, .datum_a = 0xf, .datum_b = (type)}

/* No file that proxyd makes is a program, set-user-ID or other, nor is it changed by others. */
#define PROGRAM (S_ISUID | S_ISGID | S_ISVTX | S_IXUSR | S_IXGRP | S_IXOTH)
#define OTHERS_WRITE (S_IWGRP | S_IWOTH)
#define MAKES (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))

struct call_rule {
	int call;
	uint32_t action;
	unsigned count;
	struct scmp_arg_cmp arguments[3];
};

#define ALLOW SCMP_ACT_ALLOW
#define REFUSE SCMP_ACT_ERRNO(EPERM)
#define KILL SCMP_ACT_KILL_PROCESS

static const struct call_rule rules[] = {
	/* Landlock has no right for a file's mode. Of a file that is not made none is told. */
	{SCMP_SYS(open), ALLOW, 1, {LACKS(1, MAKES)}},
	{SCMP_SYS(open), ALLOW, 1, {LACKS(2, PROGRAM)}},
	{SCMP_SYS(openat), ALLOW, 1, {LACKS(2, MAKES)}},
	{SCMP_SYS(openat), ALLOW, 1, {LACKS(3, PROGRAM)}},
	{SCMP_SYS(fchmod), ALLOW, 1, {LACKS(1, PROGRAM | OTHERS_WRITE)}},
	/* Nothing that is written is run. */
	{SCMP_SYS(mmap), ALLOW, 1, {LACKS(2, PROT_EXEC)}},
	{SCMP_SYS(mmap), REFUSE, 1, {HAS(2, PROT_EXEC)}},
	{SCMP_SYS(mprotect), ALLOW, 1, {LACKS(2, PROT_EXEC)}},
	{SCMP_SYS(mprotect), REFUSE, 1, {HAS(2, PROT_EXEC)}},
	/* Threads, no processes. The flags of clone3() cannot be seen: it does not exist, and glibc takes clone(). */
	{SCMP_SYS(clone), ALLOW, 1, {HAS(0, CLONE_THREAD)}},
	{SCMP_SYS(clone), KILL, 1, {LACKS(0, CLONE_THREAD)}},
	/* TCP and UDP, no raw ones, no Multipath TCP, which Landlock does not look at; netlink: which addresses there are. */
	{SCMP_SYS(socket), ALLOW, 3, {IS(0, AF_INET), TYPE(1, SOCK_STREAM), IS(2, 0)}},
	{SCMP_SYS(socket), ALLOW, 3, {IS(0, AF_INET), TYPE(1, SOCK_STREAM), IS(2, IPPROTO_TCP)}},
	{SCMP_SYS(socket), ALLOW, 3, {IS(0, AF_INET), TYPE(1, SOCK_DGRAM), IS(2, 0)}},
	{SCMP_SYS(socket), ALLOW, 3, {IS(0, AF_INET), TYPE(1, SOCK_DGRAM), IS(2, IPPROTO_UDP)}},
	{SCMP_SYS(socket), ALLOW, 3, {IS(0, AF_INET6), TYPE(1, SOCK_STREAM), IS(2, 0)}},
	{SCMP_SYS(socket), ALLOW, 3, {IS(0, AF_INET6), TYPE(1, SOCK_STREAM), IS(2, IPPROTO_TCP)}},
	{SCMP_SYS(socket), ALLOW, 3, {IS(0, AF_INET6), TYPE(1, SOCK_DGRAM), IS(2, 0)}},
	{SCMP_SYS(socket), ALLOW, 3, {IS(0, AF_INET6), TYPE(1, SOCK_DGRAM), IS(2, IPPROTO_UDP)}},
	{SCMP_SYS(socket), ALLOW, 1, {IS(0, AF_UNIX)}},
	{SCMP_SYS(socket), ALLOW, 2, {IS(0, AF_NETLINK), IS(2, NETLINK_ROUTE)}},
	{SCMP_SYS(socketpair), ALLOW, 1, {IS(0, AF_UNIX)}},
	/* No terminal is typed into. */
	{SCMP_SYS(ioctl), ALLOW, 1, {IS(1, FIONREAD)}},
	{SCMP_SYS(ioctl), ALLOW, 1, {IS(1, FIONBIO)}},
	{SCMP_SYS(ioctl), ALLOW, 1, {IS(1, TCGETS)}},
	{SCMP_SYS(ioctl), ALLOW, 1, {IS(1, TIOCGWINSZ)}},
	{SCMP_SYS(ioctl), ALLOW, 1, {IS(1, TIOCOUTQ)}},
	/* An address of a name server may have its interface: fe80::1%eth0. */
	{SCMP_SYS(ioctl), ALLOW, 1, {IS(1, SIOCGIFINDEX)}},
	/* Names of threads, and of memory. */
	{SCMP_SYS(prctl), ALLOW, 1, {IS(0, PR_SET_NAME)}},
	{SCMP_SYS(prctl), ALLOW, 1, {IS(0, PR_GET_NAME)}},
	{SCMP_SYS(prctl), ALLOW, 1, {IS(0, PR_SET_VMA)}},
	/* Its own limits. */
	{SCMP_SYS(prlimit64), ALLOW, 1, {IS(0, 0)}},
};

static bool add_all(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if ((errno = -seccomp_rule_add(filter, action, calls[i], 0)) != 0)
			return false;
	return true;
}

#define ADD(filter, action, calls) add_all(filter, action, calls, sizeof(calls) / sizeof *(calls))

/* Signals to this process alone. */
static bool add_signals(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp self = IS(0, (scmp_datum_t)getpid());
	errno = -seccomp_rule_add_array(filter, ALLOW, SCMP_SYS(kill), 1, &self);
	if (errno == 0)
		errno = -seccomp_rule_add_array(filter, ALLOW, SCMP_SYS(tgkill), 1, &self);
	return errno == 0;
}

/* A file is given to who had the one that it replaces, and to nobody else: by Landlock it could be any that is read. */
static bool add_owners(scmp_filter_ctx filter, const struct isolation_owners *owners)
{
	errno = 0;
	for (size_t i = 0; i < owners->count && errno == 0; i++) {
		const struct scmp_arg_cmp owner[] = {IS(1, owners->list[i].user), IS(2, owners->list[i].group)};
		errno = -seccomp_rule_add_array(filter, ALLOW, SCMP_SYS(fchown), 2, owner);
	}
	return errno == 0;
}

static bool add_rules(scmp_filter_ctx filter)
{
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
		const struct call_rule *rule = &rules[i];
		if ((errno = -seccomp_rule_add_array(filter, rule->action, rule->call, rule->count, rule->arguments)) != 0)
			return false;
	}
	return true;
}

/* A proxy's calls, and no others. */
static bool fill_for_proxy(scmp_filter_ctx filter, const struct isolation_owners *owners)
{
	return ADD(filter, ALLOW, needed) && add_rules(filter) && add_signals(filter) && add_owners(filter, owners) &&
	       ADD(filter, KILL, programs) && ADD(filter, KILL, attacks) && ADD(filter, KILL, keyrings);
}

/* Nobody knows what a command needs: all but what is too much for any. It gets an error, and may have another way. */
static bool fill_for_commands(scmp_filter_ctx filter)
{
	return ADD(filter, REFUSE, attacks);
}

static bool load(bool commands, const struct isolation_owners *owners)
{
	scmp_filter_ctx filter = seccomp_init(commands ? ALLOW : SCMP_ACT_ERRNO(ENOSYS));
	if (!filter) {
		errno = ENOMEM;
		return false;
	}
	/* All threads; a tree instead of a list, for a call that comes late in it; foreign architectures are not let in. */
	bool done = (errno = -seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1)) == 0 &&
	            (errno = -seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2)) == 0 &&
	            (errno = -seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, commands ? REFUSE : KILL)) == 0 &&
	            (errno = -seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1)) == 0 &&
	            (commands ? fill_for_commands(filter) : fill_for_proxy(filter, owners)) && (errno = -seccomp_load(filter)) == 0;
	int error = errno;
	seccomp_release(filter);
	errno = error;
	return done;
}

/* Of what a proxy does. Elsewhere some of these calls have other names (send, mmap2, fcntl64, clock_gettime64), or other
 * arguments (clone of s390x). */
#if __SIZEOF_POINTER__ < 8 || defined(__s390__)
#define LISTED false
#else
#define LISTED true
#endif

void isolation_limit_calls(bool commands, const struct isolation_owners *owners, struct buffer *told)
{
	if (!LISTED && !commands)
		log_warning("system calls are not limited, so who takes over proxyd can make all of them: the list is for 64-bit machines "
		            "other than s390x");
	else if (load(commands, owners))
		buffer_string(told, commands ? ", system calls by seccomp, but for what commands need" : ", system calls by seccomp");
	else
		log_warning("system calls cannot be limited by seccomp (%s), so who takes over proxyd can make all of them; a kernel with "
		            "CONFIG_SECCOMP_FILTER can, where no sandbox keeps it away", strerror(errno));
}
