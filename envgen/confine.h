/* What the kernel refuses a process from here on: TCP connects to other ports (Landlock, Linux 6.7), and the ways around
 * that (seccomp). Both stay for all that it starts, and nothing takes them back. */
#ifndef KEYSTILE_CONFINE_H
#define KEYSTILE_CONFINE_H

#include "fault.h"
#include "ports.h"

/* No program that is executed gets more rights than its caller has (set-user-ID, file capabilities). The two below need
 * it. */
bool confine_privileges(struct fault *fault);

/* connect(2) to a TCP port that is not in `ports` fails with EACCES, whatever the address. UDP is not limited.
 * FAULT_MISSING where this kernel cannot. */
bool confine_connects(const struct port_set *ports, struct fault *fault);

/* Refuses what connects by TCP without Landlock's being asked: Multipath TCP and SMC sockets, data with a SYN
 * (MSG_FASTOPEN), and io_uring, whose sockets seccomp does not see. So is typing into the terminal from which somebody
 * works outside (TIOCSTI, and TIOCLINUX of the console). System calls of another architecture (32-bit programs)
 * do not exist. FAULT_MISSING where this kernel cannot, or the machine is none that it is written for. */
bool confine_detours(struct fault *fault);

#endif
