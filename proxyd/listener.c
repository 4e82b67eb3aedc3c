#include "listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "connect.h"
#include "endpoint.h"
#include "linger.h"
#include "log.h"
#include "memory.h"
#include "refusal.h"
#include "sniff.h"

#define ACCEPTS_PER_ROUND 64
#define BACKLOG 1024
#define SHORT_TIME 100      /* ms without a look at who waits, where there is no descriptor for him */
#define TOLD_TIME 10000     /* ms until that is said again */
#define SO_ORIGINAL_DST 80 /* linux/netfilter_ipv4.h, and ip6_tables.h, which cannot stand beside netinet/in.h */

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un local;
	struct sockaddr_storage storage;
};

static socklen_t address_of(const struct config_listener *config, union address *address)
{
	if (config->kind == LISTENER_UNIX) {
		memset(address, 0, sizeof *address);
		address->local.sun_family = AF_UNIX;
		strncpy(address->local.sun_path, config->path, sizeof address->local.sun_path - 1);
		return sizeof address->local;
	}
	return host_sockaddr(&config->address.host, config->address.port, &address->storage);
}

static void describe(const struct config_listener *config, char *out, size_t size)
{
	if (config->kind == LISTENER_UNIX)
		snprintf(out, size, "unix:%s", config->path);
	else
		authority_format(&config->address.host, config->address.port, out);
}

/* Does the bound socket stand at the configured address? */
static bool same_address(int fd, const union address *wanted)
{
	union address bound;
	socklen_t length = sizeof bound;
	if (getsockname(fd, &bound.any, &length) != 0 || bound.any.sa_family != wanted->any.sa_family)
		return false;
	switch (wanted->any.sa_family) {
	case AF_UNIX:
		return strcmp(bound.local.sun_path, wanted->local.sun_path) == 0;
	case AF_INET6:
		return bound.v6.sin6_port == wanted->v6.sin6_port &&
		       memcmp(&bound.v6.sin6_addr, &wanted->v6.sin6_addr, 16) == 0;
	default:
		return bound.v4.sin_port == wanted->v4.sin_port && bound.v4.sin_addr.s_addr == wanted->v4.sin_addr.s_addr;
	}
}

/* A socket file that nobody accepts on is left over from a process that was killed. */
static bool remove_stale(const struct config_listener *config, const union address *address, struct fault *fault)
{
	struct stat status;
	if (lstat(config->path, &status) != 0)
		return errno == ENOENT || fault_errno(fault, "%s", config->path);
	if (!S_ISSOCK(status.st_mode))
		return fault_set(fault, FAULT_BUSY, "cannot listen on unix:%s: that is there, and no socket; remove it, or "
		                 "choose another path in `listen:` or `admin:`", config->path);
	int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool answered = probe >= 0 && (connect(probe, &address->any, sizeof address->local) == 0 || errno == EAGAIN);
	if (probe >= 0)
		close(probe);
	if (answered)
		return fault_set(fault, FAULT_BUSY, "cannot listen on unix:%s: another process accepts there; stop it, or choose "
		                 "another path in `listen:` or `admin:`", config->path);
	return unlink(config->path) == 0 || fault_errno(fault, "%s", config->path);
}

/* What most likely is wrong, and what to do. */
static const struct {
	bool local; /* a unix socket */
	int error;
	enum fault_code code;
	const char *advice;
} advices[] = {
	{false, EADDRINUSE, FAULT_BUSY, "the address is in use by another process; stop it, or choose another address in "
	                                "`listen:` or `admin:`"},
	{false, EADDRNOTAVAIL, FAULT_USAGE, "this machine does not have that address; choose one that it has, or 127.0.0.1"},
	{false, EACCES, FAULT_DENIED, "Permission denied; a port below 1024 takes root or CAP_NET_BIND_SERVICE: choose a "
	                              "higher one, or let systemd pass the socket in"},
	{true, ENOENT, FAULT_MISSING, "its folder is not there; make it, or choose another path in `listen:` or `admin:`"},
	{true, EACCES, FAULT_DENIED, "Permission denied; let the user who runs proxyd write in its folder"},
};

static bool bind_failed(const struct config_listener *config, struct fault *fault)
{
	int error = errno;
	char text[AUTHORITY_TEXT + 200];
	describe(config, text, sizeof text);
	for (size_t i = 0; i < sizeof advices / sizeof *advices; i++)
		if (advices[i].error == error && advices[i].local == (config->kind == LISTENER_UNIX))
			return fault_set(fault, advices[i].code, "cannot listen on %s: %s", text, advices[i].advice);
	errno = error;
	return fault_errno(fault, "cannot listen on %s", text);
}

/* For TPROXY, which hands over connections to addresses that are not this machine's; REDIRECT needs nothing. */
static void be_transparent(int fd, const union address *address)
{
	int one = 1;
	bool v6 = address->any.sa_family == AF_INET6;
	if (setsockopt(fd, v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, &one, sizeof one) != 0)
		log_info("without CAP_NET_ADMIN a transparent listener serves what REDIRECT sends it, and nothing of TPROXY");
}

static void note_path(struct listener *listener, const char *path)
{
	struct stat status;
	if (lstat(path, &status) != 0)
		return;
	listener->path = path;
	listener->device = status.st_dev;
	listener->inode = status.st_ino;
}

static bool open_new(const struct config_listener *config, const union address *address, socklen_t length,
                     struct listener *listener, struct fault *fault)
{
	if (config->kind == LISTENER_UNIX && strlen(config->path) >= sizeof address->local.sun_path)
		return fault_set(fault, FAULT_USAGE, "unix:%s: a socket's path has at most %zu bytes", config->path,
		                 sizeof address->local.sun_path - 1);
	if (config->kind == LISTENER_UNIX && !remove_stale(config, address, fault))
		return false;
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return bind_failed(config, fault);
	int one = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (address->any.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
	/* 0660: the group of a shared folder may connect, others may not. */
	mode_t mask = umask(0117);
	int bound = bind(fd, &address->any, length);
	umask(mask);
	if (bound == 0 && config->kind == LISTENER_UNIX)
		note_path(listener, config->path);
	if (bound != 0 || listen(fd, BACKLOG) != 0) {
		bind_failed(config, fault);
		close(fd);
		return false;
	}
	endpoint_send_at_once(fd);
	if (config->kind == LISTENER_TRANSPARENT)
		be_transparent(fd, address);
	listener->fd = fd;
	return true;
}

bool listener_open(const struct config_listener *config, const int *passed, size_t passed_count,
                   struct listener *listener, struct fault *fault)
{
	union address address;
	socklen_t length = address_of(config, &address);
	*listener = (struct listener){.fd = -1, .kind = config->kind, .profile = config->profile};
	for (size_t i = 0; i < passed_count; i++)
		if (same_address(passed[i], &address)) {
			listener->fd = passed[i];
			listener->passed_in = true;
			endpoint_send_at_once(listener->fd);
			return true;
		}
	return open_new(config, &address, length, listener, fault);
}

/* While this one drained, the next process may have bound its own there. */
void listener_remove(const struct listener *listener)
{
	struct stat status;
	if (listener->path && lstat(listener->path, &status) == 0 && status.st_dev == listener->device &&
	    status.st_ino == listener->inode)
		unlink(listener->path);
}

void listener_close(struct listener *listener)
{
	if (listener->fd < 0)
		return;
	listener_remove(listener); /* while it is open no other file has its number */
	close(listener->fd);
	listener->fd = -1;
}

static void address_text(const union address *address, char *out, size_t size)
{
	char host[INET6_ADDRSTRLEN];
	if (address->any.sa_family == AF_INET6)
		snprintf(out, size, "[%s]:%u", inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof host),
		         (unsigned)ntohs(address->v6.sin6_port));
	else
		snprintf(out, size, "%s:%u", inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof host),
		         (unsigned)ntohs(address->v4.sin_port));
}

static bool is_in(const struct config *config, int fd)
{
	union address address;
	for (size_t i = 0; i < config->listener_count; i++) {
		address_of(&config->listeners[i], &address);
		if (same_address(fd, &address))
			return true;
	}
	address_of(&config->admin.listener, &address);
	return config->admin.on && same_address(fd, &address);
}

bool listener_check_passed(const struct config *config, const int *passed, size_t passed_count, struct fault *fault)
{
	for (size_t i = 0; i < passed_count; i++) {
		union address bound = {.any.sa_family = AF_UNSPEC};
		socklen_t length = sizeof bound;
		char text[sizeof "unix:" + sizeof bound.local.sun_path] = "?";
		if (is_in(config, passed[i]))
			continue;
		if (getsockname(passed[i], &bound.any, &length) == 0 && bound.any.sa_family == AF_UNIX)
			snprintf(text, sizeof text, "unix:%.*s", (int)sizeof bound.local.sun_path, bound.local.sun_path);
		else if (bound.any.sa_family == AF_INET || bound.any.sa_family == AF_INET6)
			address_text(&bound, text, sizeof text);
		return fault_set(fault, FAULT_USAGE, "socket %d of LISTEN_FDS listens on %s, which is not in `listen:` or `admin:` "
		                 "of %s; write that address there, or another ListenStream= in the .socket unit", passed[i], text,
		                 config->file);
	}
	return true;
}

static void client_text(const union address *peer, char *out, size_t size)
{
	if (peer->any.sa_family == AF_INET || peer->any.sa_family == AF_INET6)
		address_text(peer, out, size);
	else
		snprintf(out, size, "unix");
}

/* Over limits.connections: told, rather than left to wonder. */
static void refuse(struct worker *worker, const struct way *way, int fd)
{
	AUTO_BUFFER struct buffer out = {0};
	char detail[80];
	snprintf(detail, sizeof detail, "all %llu connections are in use",
	         (unsigned long long)worker->limits.connections);
	struct problem problem = {0};
	problem_set(&problem, 503, "too_many_connections", detail,
	            "close connections that are idle, or raise limits.connections");
	problem.retry_after = 1;
	refusal_write(&problem, true, &out);
	worker_note_refusal(worker, way, problem.reason, problem.status);
	linger_close(worker, fd, buffer_view(&out));
}

/* Where nftables' or iptables' REDIRECT took it from; TPROXY leaves the address on the socket. */
static bool original_destination(int fd, struct authority *original)
{
	union address address;
	char text[INET6_ADDRSTRLEN + 16];
	socklen_t length = sizeof address;
	if (getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, &address, &length) != 0 &&
	    getsockopt(fd, SOL_IPV6, SO_ORIGINAL_DST, &address, &length) != 0 && getsockname(fd, &address.any, &length) != 0)
		return false;
	address_text(&address, text, sizeof text);
	return authority_parse(span_of(text), original, NULL);
}

static void serve_redirected(struct worker *worker, int fd, struct way *way)
{
	struct authority original;
	way->kind = WAY_TRANSPARENT;
	if (original_destination(fd, &original)) {
		connect_start_redirected(worker, fd, way, &original);
		return;
	}
	worker_note_refusal(worker, way, "no_destination", 0);
	close(fd);
	worker_connection_closed(worker);
}

void listener_serve(struct worker *worker, struct listener *listener, int fd, const char *client)
{
	struct way way = {.kind = WAY_REVERSE, .profile = listener->profile};
	snprintf(way.client, sizeof way.client, "%s", client);
	if (atomic_load(&worker->server->connections) > worker->limits.connections)
		refuse(worker, &way, fd);
	else if (listener->kind == LISTENER_TRANSPARENT)
		serve_redirected(worker, fd, &way);
	else
		sniff_start(worker, fd, &way);
}

static struct worker *least_loaded(struct worker *self)
{
	struct server *server = self->server;
	struct worker *best = self;
	size_t fewest = atomic_load_explicit(&self->connections, memory_order_relaxed);
	for (unsigned i = 0; i < server->worker_count; i++) {
		size_t count = atomic_load_explicit(&server->workers[i].connections, memory_order_relaxed);
		if (count < fewest) {
			best = &server->workers[i];
			fewest = count;
		}
	}
	return best;
}

struct accepting {
	struct loop_watch watch;
	struct loop_timer timer; /* no descriptor is free: until it is watched again */
	struct worker *worker;
	struct listener *listener;
	uint64_t silent; /* until when no such lack is told */
};

/* One connection, for the worker with the fewest, or for this one where that one drains. False where nobody waits, or with
 * `errno` where he cannot be taken in. */
static bool accept_one(struct worker *worker, struct listener *listener)
{
	char client[sizeof ((struct way *)NULL)->client];
	union address peer = {.any.sa_family = AF_UNSPEC};
	socklen_t length = sizeof peer;
	int fd = accept4(listener->fd, &peer.any, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return errno == ECONNABORTED;
	struct worker *target = least_loaded(worker);
	client_text(&peer, client, sizeof client);
	atomic_fetch_add(&worker->server->connections, 1);
	if (target != worker && worker_hand(target, listener, fd, client))
		return true;
	atomic_fetch_add(&worker->connections, 1);
	listener_serve(worker, listener, fd, client);
	return true;
}

static void watch_listener(struct accepting *accepting)
{
	loop_watch_add(accepting->worker->loop, &accepting->watch, accepting->listener->fd, EPOLLIN | EPOLLEXCLUSIVE);
}

static void on_rested(struct loop_timer *timer)
{
	watch_listener((struct accepting *)((char *)timer - offsetof(struct accepting, timer)));
}

/* Whoever waits would be told of without end. */
static void rest(struct accepting *accepting)
{
	struct loop *loop = accepting->worker->loop;
	loop_watch_remove(loop, &accepting->watch);
	loop_timer_set(loop, &accepting->timer, SHORT_TIME);
	if (loop_now(loop) < accepting->silent)
		return;
	accepting->silent = loop_now(loop) + TOLD_TIME;
	log_warning("cannot accept: out of file descriptors; raise LimitNOFILE or lower limits.connections");
}

static void on_acceptable(struct loop_watch *watch, uint32_t events)
{
	struct accepting *accepting = (struct accepting *)watch;
	(void)events;
	for (unsigned i = 0; i < ACCEPTS_PER_ROUND; i++) {
		if (accept_one(accepting->worker, accepting->listener))
			continue;
		if (errno == EMFILE || errno == ENFILE)
			rest(accepting);
		return;
	}
}

void listener_accept_start(struct worker *worker)
{
	struct server *server = worker->server;
	struct accepting *list = memory_array(server->listener_count, sizeof *list);
	for (size_t i = 0; i < server->listener_count; i++) {
		list[i] = (struct accepting){.watch = {.fd = -1, .ready = on_acceptable},
		                             .timer = {.fire = on_rested},
		                             .worker = worker,
		                             .listener = &server->listeners[i]};
		watch_listener(&list[i]);
	}
	worker->accepting = &list->watch;
}

void listener_accept_stop(struct worker *worker)
{
	struct accepting *list = (struct accepting *)worker->accepting;
	if (!list)
		return;
	for (size_t i = 0; i < worker->server->listener_count; i++) {
		loop_watch_remove(worker->loop, &list[i].watch);
		loop_timer_stop(worker->loop, &list[i].timer);
	}
	free(list);
	worker->accepting = NULL;
}

void listener_accept_rest(struct worker *worker)
{
	struct server *server = worker->server;
	for (size_t i = 0; i < server->listener_count; i++)
		while (!server->listeners[i].passed_in && accept_one(worker, &server->listeners[i]))
			;
}

void listener_shut(struct listener *listener)
{
	if (!listener->passed_in)
		shutdown(listener->fd, SHUT_RDWR);
}
