#include "verify_network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "buffer.h"
#include "file.h"
#include "memory.h"
#include "namespace.h"

static bool write_file(const char *path, struct span text, struct fault *fault)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	bool done = fd >= 0 && file_write_all(fd, text);
	if (!done)
		fault_errno(fault, "cannot write %s", path);
	if (fd >= 0)
		close(fd);
	return done;
}

static bool refused(struct fault *fault, const char *what)
{
	return fault_errno(fault, "this kernel, or a sandbox around, does not let envgen %s; run envgen verify as root, on "
	                   "the machine itself", what);
}

static void append_hosts(const struct targets *targets, struct buffer *out)
{
	char address[INET_ADDRSTRLEN];
	buffer_string(out, "127.0.0.1 localhost\n");
	if (targets->proxy.host.kind == HOST_NAME && !span_equal(host_span(&targets->proxy.host), SPAN("localhost"))) {
		inet_ntop(AF_INET, &targets->proxy_address, address, sizeof address);
		buffer_format(out, "%s %s\n", address, targets->proxy.host.name);
	}
	for (size_t i = 0; i < targets->count; i++) {
		const struct target *target = &targets->list[i];
		bool again = false;
		for (size_t j = 0; j < i; j++)
			again |= host_equal(&target->host, &targets->list[j].host);
		if (target->host.kind != HOST_NAME || again || host_equal(&target->host, &targets->proxy.host))
			continue;
		inet_ntop(AF_INET, &target->address, address, sizeof address);
		buffer_format(out, "%s %s\n", address, target->host.name);
	}
}

/* Puts `text` over the file at `path`, for this mount namespace alone. */
static bool cover(const char *folder, const char *path, struct span text, struct fault *fault)
{
	AUTO_FREE char *source = memory_format("%s/%s", folder, strrchr(path, '/') + 1);
	if (!write_file(source, text, fault))
		return false;
	return mount(source, path, NULL, MS_BIND, NULL) == 0 || fault_errno(fault, "cannot put a file over %s", path);
}

/* No name service but the file: nscd answers glibc's programs, and systemd-resolved those that ask for it. */
static bool cover_names(const char *folder, const struct targets *targets, struct fault *fault)
{
	AUTO_BUFFER struct buffer hosts = {0};
	append_hosts(targets, &hosts);
	if (!cover(folder, "/etc/hosts", buffer_view(&hosts), fault))
		return false;
	if (access("/etc/nsswitch.conf", F_OK) == 0 && !cover(folder, "/etc/nsswitch.conf", SPAN("hosts: files\n"), fault))
		return false;
	if (access("/etc/resolv.conf", F_OK) == 0 &&
	    !cover(folder, "/etc/resolv.conf", SPAN("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"), fault))
		return false;
	return access("/run/nscd", F_OK) != 0 || mount("none", "/run/nscd", "tmpfs", 0, "mode=755") == 0 ||
	       fault_errno(fault, "cannot cover /run/nscd");
}

bool isolate_names(const char *folder, const struct targets *targets, struct fault *fault)
{
	prctl(PR_SET_DUMPABLE, 1); /* else /proc/PID is not its own */
	bool entered = namespace_enter(fault);
	prctl(PR_SET_DUMPABLE, 0);
	if (!entered)
		return fault_wrap(fault, "envgen verify starts clients in namespaces of their own, as root, or where the kernel "
		                  "gives them to a user");
	if (mount("none", folder, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") < 0)
		return refused(fault, "mount a file system in memory");
	return cover_names(folder, targets, fault);
}

void isolate_end(const char *folder)
{
	umount2(folder, MNT_DETACH);
	rmdir(folder);
}

static bool bring_up_loopback(struct fault *fault)
{
	struct ifreq request = {.ifr_name = "lo"};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool done = fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &request) == 0;
	request.ifr_flags |= IFF_UP;
	done = done && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
	if (!done)
		fault_errno(fault, "cannot bring up the loopback device of a network namespace");
	if (fd >= 0)
		close(fd);
	return done;
}

/* "ip route add local default dev lo": rtnetlink(7). */
static bool route_all_here(unsigned char family, struct fault *fault)
{
	struct {
		struct nlmsghdr head;
		struct rtmsg route;
		struct rtattr attribute;
		unsigned device;
	} message = {
		.head = {sizeof message, RTM_NEWROUTE, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK, 1, 0},
		.route = {.rtm_family = family, .rtm_table = RT_TABLE_LOCAL, .rtm_protocol = RTPROT_STATIC,
		          .rtm_scope = RT_SCOPE_HOST, .rtm_type = RTN_LOCAL},
		.attribute = {RTA_LENGTH(sizeof(unsigned)), RTA_OIF},
		.device = if_nametoindex("lo"),
	};
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		char rest[512];
	} answer;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	bool done = fd >= 0 && send(fd, &message, sizeof message, 0) == (ssize_t)sizeof message &&
	            recv(fd, &answer, sizeof answer, 0) >= (ssize_t)NLMSG_LENGTH(sizeof answer.error);
	if (done && answer.error.error != 0) {
		errno = -answer.error.error;
		done = false;
	}
	if (!done)
		fault_errno(fault, "cannot lead every address to the loopback device of a network namespace");
	if (fd >= 0)
		close(fd);
	return done;
}

bool isolate_network(struct fault *fault)
{
	if (unshare(CLONE_NEWNET) < 0)
		return refused(fault, "have a network of its own");
	if (!bring_up_loopback(fault) || !route_all_here(AF_INET, fault))
		return false;
	route_all_here(AF_INET6, NULL); /* a kernel without IPv6 has nothing to lead astray */
	return true;
}
