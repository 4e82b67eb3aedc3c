#include "server.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "dial_parent.h"
#include "keysource.h"
#include "listener.h"
#include "log.h"
#include "memory.h"
#include "mint_files.h"
#include "minter.h"
#include "secret.h"
#include "service.h"
#include "trust_paths.h"

static void note_own(struct server *server, const struct config_listener *listener)
{
	if (listener->kind == LISTENER_UNIX)
		return;
	const struct authority *address = &listener->address;
	struct authority *own = (struct authority *)(uintptr_t)server->own.addresses;
	own[server->own.count++] = *address;
	host_sockaddr(&address->host, address->port, &server->own_dial[server->own_dial_count++]);
}

/* The addresses that are ours: an absolute-form request to one is origin-form (not admin's), and none is ever dialled. */
static void note_all_own(struct server *server, const struct config *config)
{
	size_t most = config->listener_count + 1;
	server->own.addresses = memory_array(most, sizeof(struct authority));
	server->own_dial = memory_array(most, sizeof *server->own_dial);
	for (size_t i = 0; i < config->listener_count; i++)
		note_own(server, &config->listeners[i]);
	size_t judged = server->own.count;
	if (config->admin.on)
		note_own(server, &config->admin.listener);
	server->own.count = judged;
}

static void say_listening(const struct config_listener *listener, const char *what)
{
	char text[AUTHORITY_TEXT];
	if (listener->kind == LISTENER_UNIX) {
		log_info("%s on unix:%s", what, listener->path);
		return;
	}
	authority_format(&listener->address.host, listener->address.port, text);
	log_info("%s on %s", what, text);
}

static bool open_listeners(struct server *server, const struct config *config, const int *passed, size_t passed_count,
                           struct fault *fault)
{
	server->listeners = memory_array(config->listener_count, sizeof *server->listeners);
	for (size_t i = 0; i < config->listener_count; i++) {
		if (!listener_open(&config->listeners[i], passed, passed_count, &server->listeners[i], fault))
			return false;
		server->listener_count++;
		say_listening(&config->listeners[i], "listening");
	}
	return true;
}

static struct snapshot *current(void *context)
{
	return server_snapshot(context);
}

static bool start_admin(struct server *server, const struct config *config, const int *passed, size_t passed_count,
                        struct fault *fault)
{
	if (!config->admin.on)
		return true;
	server->admin_listener = memory_alloc(sizeof *server->admin_listener);
	if (!listener_open(&config->admin.listener, passed, passed_count, server->admin_listener, fault))
		return false;
	say_listening(&config->admin.listener, "admin");
	server->admin = admin_start(server->admin_listener->fd, &config->admin, current, server, fault);
	return server->admin != NULL;
}

/* Each client needs a descriptor, and so does its upstream; by HTTP/2 one client may have an upstream for each of its streams,
 * where these speak HTTP/1.1. */
static void raise_file_limit(const struct config_limits *limits)
{
	const rlim_t others = 1024; /* pipes, listeners, look-ups; without a pipe tunnels copy */
	rlim_t least = 2 * (rlim_t)limits->connections + others;
	rlim_t wanted = (1 + (rlim_t)limits->streams) * (rlim_t)limits->connections + others;
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < least)
		log_warning("the limit on open files is %llu; limits.connections asks for %llu (LimitNOFILE, ulimit -n)",
		            (unsigned long long)limit.rlim_cur, (unsigned long long)least);
}

static void tell_waiting(const struct snapshot *snapshot)
{
	bool any = false;
	for (size_t i = 0; i < snapshot->config->credential_count; i++) {
		const struct config_credential *credential = &snapshot->config->credentials[i];
		const char *why = snapshot_waits(snapshot, credential);
		if (why && minted_get(snapshot->minted, credential)->pending && secrets_ready(snapshot->secrets, credential, &why))
			continue; /* for some moments, and who makes it tells where it fails */
		if (why)
			log_warning("credential %s is not ready and answers 503: %s", credential->name, why);
		any |= why != NULL;
	}
	const char *why = snapshot->parent ? dial_parent_waits(snapshot->parent) : NULL;
	if (why)
		log_warning("the parent proxy %s is not ready, and what goes through it gets 503: %s",
		            dial_parent_name(snapshot->parent), why);
	any |= why != NULL;
	if (any)
		log_info("secrets are read again at SIGHUP: kill -HUP %ld", (long)getpid());
}

static void tell_warning(void *context, const char *line)
{
	(void)context;
	log_warning("%s", line);
}

static bool prepare_workers(struct server *server, unsigned wanted, struct fault *fault)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned count = wanted ? wanted : cores > 0 ? (unsigned)cores : 1;
	server->workers = memory_array(count, sizeof *server->workers);
	for (unsigned i = 0; i < count; i++)
		if (!worker_prepare(&server->workers[server->worker_count++], server, i, fault))
			return false;
	return true;
}

static bool start_workers(struct server *server, struct fault *fault)
{
	for (unsigned i = 0; i < server->worker_count; i++)
		if (!worker_start(&server->workers[i], fault))
			return false;
	return true;
}

static bool start_minter(struct server *server, struct fault *fault)
{
	for (size_t i = 0; i < server->snapshot->config->credential_count; i++)
		if (config_minting(&server->snapshot->config->credentials[i]))
			return (server->minter = minter_start(server, fault)) != NULL;
	return true;
}

/* Before anybody is served: who gets the environment from envgen finds the files. */
static bool hand_out_ca(const struct snapshot *snapshot, struct fault *fault)
{
	const struct config *config = snapshot->config;
	AUTO_FREE char *warning = config->tls.ca_key ? keysource_warning(config->tls.ca_key) : NULL;
	if (!snapshot->shared->mint)
		return true;
	if (!mint_write(snapshot->shared->mint, config, fault))
		return false;
	AUTO_FREE char *path = trust_ca_path(config);
	log_info("interception: clients trust %s", path);
	if (warning)
		log_warning("%s", warning);
	return true;
}

bool server_open(struct server *server, struct config *config, struct fault *fault)
{
	*server = (struct server){.limits = config->limits, .spent = spent_new()};
	pthread_mutex_init(&server->snapshot_lock, NULL);
	pthread_mutex_init(&server->making_lock, NULL);
	server->snapshot = snapshot_new(config, fault);
	if (!server->snapshot || !hand_out_ca(server->snapshot, fault))
		return false;
	server->profile_connections = memory_array(config->profile_count, sizeof *server->profile_connections);
	raise_file_limit(&config->limits);
	note_all_own(server, config);
	int passed[SERVICE_SOCKETS];
	size_t passed_count;
	if (!service_sockets(&passed_count, fault))
		return false;
	for (size_t i = 0; i < passed_count; i++)
		passed[i] = SERVICE_FIRST_FD + (int)i;
	if (!listener_check_passed(config, passed, passed_count, fault))
		return false;
	server->audit = audit_open(config->audit.file, config->audit.required, fault);
	if (!server->audit || !open_listeners(server, config, passed, passed_count, fault))
		return false;
	if (!start_admin(server, config, passed, passed_count, fault))
		return false;
	if (!secret_locked())
		log_warning("secrets cannot be locked into memory and may be swapped out: raise the limit (LimitMEMLOCK, ulimit -l)");
	tell_waiting(server->snapshot);
	secrets_warnings(config, server->snapshot->secrets, tell_warning, NULL);
	identities_warnings(config, server->snapshot->identities, tell_warning, NULL);
	/* Who mints wakes every worker, and every worker may wake who mints: both are there before one of them runs. */
	if (!prepare_workers(server, config->workers, fault) || !start_minter(server, fault) || !start_workers(server, fault))
		return false;
	if (server->admin)
		admin_serving(server->admin, true);
	return true;
}

/* Only secrets and certificates are the look's: meanwhile there may be other tokens. */
static void publish_look(struct server *server, const struct snapshot_look *look)
{
	pthread_mutex_lock(&server->making_lock);
	struct snapshot *current = server_snapshot(server);
	struct snapshot *fresh = snapshot_with_look(current, look);
	tell_waiting(fresh);
	identities_warnings(fresh->config, fresh->identities, tell_warning, NULL);
	server_publish(server, fresh);
	snapshot_unref(current);
	pthread_mutex_unlock(&server->making_lock);
	if (server->minter)
		minter_wake(server->minter);
}

void server_refresh_secrets(struct server *server)
{
	struct snapshot *old = server_snapshot(server);
	struct snapshot_look look;
	if (snapshot_look(old, server->spent, &look)) {
		publish_look(server, &look);
		log_info("secrets read again");
	}
	snapshot_unref(old);
}

void server_retry_tokens(struct server *server)
{
	if (server->minter)
		minter_retry(server->minter);
}

bool server_secrets_due(struct server *server)
{
	struct snapshot *snapshot = server_snapshot(server);
	time_t renewal = secrets_next_renewal(snapshot->secrets);
	bool due = (renewal != 0 && renewal <= time(NULL)) || secrets_spent(snapshot->secrets, server->spent);
	snapshot_unref(snapshot);
	return due;
}

void server_spend(struct server *server, const struct snapshot *snapshot, const struct config_credential *credential)
{
	snapshot_spend(snapshot, credential, server->spent);
	if (server->minter)
		minter_wake(server->minter);
	kill(getpid(), SERVER_SPENT_SIGNAL);
}

void server_drain(struct server *server, unsigned seconds)
{
	if (server->admin)
		admin_serving(server->admin, false);
	struct timespec deadline;
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += seconds;
	for (unsigned i = 0; i < server->worker_count; i++)
		worker_drain(&server->workers[i]);
	bool in_time = true;
	for (unsigned i = 0; i < server->worker_count; i++)
		in_time &= worker_join(&server->workers[i], &deadline);
	minter_stop(server->minter, &deadline);
	server->minter = NULL;
	if (!in_time)
		log_warning("ended what was still under way after %u s", seconds);
}

void server_close(struct server *server)
{
	admin_stop(server->admin);
	if (server->admin_listener && server->admin_listener->path)
		unlink(server->admin_listener->path);
	free(server->admin_listener);
	for (size_t i = 0; i < server->listener_count; i++)
		listener_close(&server->listeners[i]);
	if (server->audit)
		audit_close(server->audit);
	minter_stop(server->minter, &(struct timespec){0});
	snapshot_unref(server->snapshot);
	spent_free(server->spent);
	free(server->workers);
	free(server->profile_connections);
	free(server->listeners);
	free(server->own_dial);
	free((void *)(uintptr_t)server->own.addresses);
}
