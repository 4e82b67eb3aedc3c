#include "confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "landlock.h"

bool confine_privileges(struct fault *fault)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 || fault_errno(fault, "cannot give up new privileges");
}

static bool has_ports(struct fault *fault)
{
	int version = landlock_version("TCP connects cannot be limited", "Linux 6.7", fault);
	if (version == 0 || version >= LANDLOCK_WITH_PORTS)
		return version != 0;
	return fault_set(fault, FAULT_MISSING, "this kernel's Landlock is version %d and cannot limit TCP connects; version %d can, "
	                 "of Linux 6.7", version, LANDLOCK_WITH_PORTS);
}

static bool add_ports(int ruleset, const struct port_set *ports)
{
	for (unsigned port = 0; port < 65536; port++)
		if (port_set_has(ports, (uint16_t)port) && !landlock_allow_port(ruleset, (uint16_t)port, LANDLOCK_CONNECT_TCP))
			return false;
	return true;
}

bool confine_connects(const struct port_set *ports, struct fault *fault)
{
	struct landlock taken = {.ports = LANDLOCK_CONNECT_TCP};
	if (!has_ports(fault))
		return false;
	int ruleset = landlock_new(&taken);
	if (ruleset < 0)
		return fault_errno(fault, "cannot limit TCP connects with Landlock");
	bool done = (add_ports(ruleset, ports) && landlock_restrict(ruleset)) ||
	            fault_errno(fault, "cannot limit TCP connects with Landlock");
	close(ruleset);
	return done;
}

#if defined(__x86_64__) && !defined(__ILP32__)
#define MACHINE AUDIT_ARCH_X86_64
#define FOREIGN_NUMBERS 0x40000000 /* x32 shares the architecture's value, and marks its numbers so */
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define MACHINE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define MACHINE AUDIT_ARCH_RISCV64
#endif

#ifndef FOREIGN_NUMBERS
#define FOREIGN_NUMBERS 0x80000000
#endif

#ifdef MACHINE

#define MPTCP 262
#define SMC_FAMILY 43
#define SMC_PROTOCOL 256

/* Arguments are 64 bits; what is looked for is in the lower half, which comes first on these machines. */
#define ARGUMENT(index) ((unsigned)offsetof(struct seccomp_data, args[index]))
#define LOAD(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (offset))
#define UNLESS(test, value, skip) BPF_JUMP(BPF_JMP | (test) | BPF_K, (value), 0, (skip))
#define REFUSE(error) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* The system call `number` is refused where its argument `index` has `flag`. Any other number goes on, still loaded. */
#define REFUSE_FLAG(number, index, flag, error)                                                                        \
	UNLESS(BPF_JEQ, number, 4), LOAD(ARGUMENT(index)), UNLESS(BPF_JSET, flag, 1), REFUSE(error), ALLOW

static struct sock_filter filter[] = {
	LOAD(offsetof(struct seccomp_data, arch)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 1, 0),
	REFUSE(ENOSYS),
	LOAD(offsetof(struct seccomp_data, nr)),
	UNLESS(BPF_JGE, FOREIGN_NUMBERS, 1),
	REFUSE(ENOSYS),
	UNLESS(BPF_JEQ, SYS_io_uring_setup, 1),
	REFUSE(ENOSYS),
	REFUSE_FLAG(SYS_sendto, 3, MSG_FASTOPEN, EOPNOTSUPP),
	REFUSE_FLAG(SYS_sendmsg, 2, MSG_FASTOPEN, EOPNOTSUPP),
	REFUSE_FLAG(SYS_sendmmsg, 3, MSG_FASTOPEN, EOPNOTSUPP),
	UNLESS(BPF_JEQ, SYS_ioctl, 6),
	LOAD(ARGUMENT(1)),
	UNLESS(BPF_JEQ, TIOCSTI, 1),
	REFUSE(EPERM),
	UNLESS(BPF_JEQ, TIOCLINUX, 1),
	REFUSE(EPERM),
	ALLOW,
	UNLESS(BPF_JEQ, SYS_socket, 8),
	LOAD(ARGUMENT(0)),
	UNLESS(BPF_JEQ, SMC_FAMILY, 1),
	REFUSE(EAFNOSUPPORT),
	LOAD(ARGUMENT(2)),
	UNLESS(BPF_JEQ, MPTCP, 1),
	REFUSE(EPROTONOSUPPORT),
	UNLESS(BPF_JEQ, SMC_PROTOCOL, 1),
	REFUSE(EPROTONOSUPPORT),
	ALLOW,
};

bool confine_detours(struct fault *fault)
{
	struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0)
		return true;
	if (errno == ENOSYS || errno == EINVAL)
		return fault_set(fault, FAULT_MISSING, "this kernel has no seccomp filters, so Multipath TCP and TCP Fast Open "
		                 "go past Landlock, and keys can be typed into the terminal; a kernel with CONFIG_SECCOMP_FILTER has "
		                 "them");
	return fault_errno(fault, "cannot keep Multipath TCP and TCP Fast Open from going past Landlock");
}

#else

bool confine_detours(struct fault *fault)
{
	return fault_set(fault, FAULT_MISSING, "the seccomp filter that keeps Multipath TCP and TCP Fast Open from going past "
	                 "Landlock is written for x86-64, AArch64 and RISC-V, not for this machine");
}

#endif
