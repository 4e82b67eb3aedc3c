#include "server.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "commands.h"
#include "dial.h"
#include "former.h"
#include "isolation.h"
#include "keysource.h"
#include "listener.h"
#include "log.h"
#include "memory.h"
#include "mint_files.h"
#include "minter.h"
#include "news.h"
#include "secret.h"
#include "service.h"
#include "text.h"
#include "trust_paths.h"
#include "written.h"

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

static bool open_admin(struct server *server, const struct config *config, const int *passed, size_t passed_count,
                       struct fault *fault)
{
	if (!config->admin.on)
		return true;
	server->admin_listener = memory_alloc(sizeof *server->admin_listener);
	if (!listener_open(&config->admin.listener, passed, passed_count, server->admin_listener, fault))
		return false;
	say_listening(&config->admin.listener, "admin");
	return true;
}

/* It asks the workers: they are there. */
static bool start_admin(struct server *server, const struct config *config, struct fault *fault)
{
	if (!server->admin_listener)
		return true;
	server->admin = admin_start(server->admin_listener->fd, &config->admin, server, fault);
	if (server->admin)
		admin_serving(server->admin, true);
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

static unsigned count_workers(unsigned wanted)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	return wanted ? wanted : cores > 0 ? (unsigned)cores : 1;
}

/* As many as have numbers: one core more or less by now would be a worker without, or numbers that stand still. */
static bool prepare_workers(struct server *server, struct fault *fault)
{
	unsigned count = tallies_workers(server->tallies);
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

/* Before anybody is served: who gets the environment from envgen finds the files. */
static bool hand_out_ca(const struct shared_config *shared, struct fault *fault)
{
	const struct config *config = shared->config;
	AUTO_FREE char *warning = config->tls.ca_key ? keysource_warning(config->tls.ca_key) : NULL;
	if (!shared->mint)
		return true;
	if (!mint_write(shared->mint, config, fault))
		return false;
	AUTO_FREE char *path = trust_ca_path(config);
	log_info("interception: clients trust %s", path);
	if (warning)
		log_warning("%s", warning);
	return true;
}

/* Of the thread that runs commands. */
static void wake_main(void *context)
{
	(void)context;
	kill(getpid(), SERVER_WAKE_SIGNAL);
}

#define FIRST_RUNS 2000 /* ms for commands before proxyd serves; requests wait for those that take longer */

/* Those that the configuration has, to their first end, or until it is late. */
static bool run_commands(struct server *server, struct fault *fault)
{
	if (!commands_start(server->commands, fault))
		return false;
	commands_settle(server->commands, FIRST_RUNS);
	return true;
}

static void close_sockets(struct server *server)
{
	for (size_t i = 0; i < server->listener_count; i++)
		listener_close(&server->listeners[i]);
	server->listener_count = 0;
	if (server->admin_listener)
		listener_close(server->admin_listener);
	free(server->admin_listener);
	server->admin_listener = NULL;
}

/* All of them or none. */
static bool open_sockets(struct server *server, const struct config *config, struct fault *fault)
{
	int passed[SERVICE_SOCKETS];
	size_t passed_count;
	if (!service_sockets(&passed_count, fault))
		return false;
	for (size_t i = 0; i < passed_count; i++)
		passed[i] = SERVICE_FIRST_FD + (int)i;
	if (listener_check_passed(config, passed, passed_count, fault) &&
	    open_listeners(server, config, passed, passed_count, fault) && open_admin(server, config, passed, passed_count, fault))
		return true;
	close_sockets(server);
	return false;
}

/* Sockets come first: they may take rights that commands, the first runs too, shall not have. */
static bool open_before_secrets(struct server *server, const struct config *config, struct fault *fault)
{
	server->commands = commands_new(server->spent, wake_main, NULL);
	commands_want(server->commands, config);
	if (!open_sockets(server, config, fault))
		return false;
	if (!config_command(config))
		return true;
	isolation_enter(&server->isolation, config);
	return run_commands(server, fault);
}

static bool open_files(struct server *server, struct config *config, struct fault *fault)
{
	bool confined = config_command(config);
	if (!open_before_secrets(server, config, fault)) {
		config_free(config);
		return false;
	}
	server->snapshot = snapshot_new(config, server->commands, fault);
	if (!server->snapshot || !hand_out_ca(server->snapshot->shared, fault))
		return false;
	server->audit = audit_open(config->audit.file, config->audit.required, fault);
	if (!server->audit || confined)
		return server->audit;
	isolation_enter(&server->isolation, config);
	return commands_start(server->commands, fault); /* for what a reload may bring, where it may */
}

static bool open_all(struct server *server, struct config *config, struct fault *fault)
{
	*server = (struct server){.spent = spent_new()};
	pthread_mutex_init(&server->snapshot_lock, NULL);
	pthread_mutex_init(&server->making_lock, NULL);
	reloads_begin(&server->reloads);
	server->tallies = tallies_new(count_workers(config->workers));
	server->first = config_ref(config);
	dialer_prepare(); /* later nothing can be loaded */
	/* There is no other thread yet, which would keep what is given up there. */
	if (!open_files(server, config, fault))
		return false;
	server_count_names(server, server->snapshot);
	raise_file_limit(&config->limits);
	note_all_own(server, config);
	if (!secret_locked())
		log_warning(SECRET_NOT_LOCKED);
	news_tell(NULL, server->snapshot);
	/* Who mints wakes every worker, and every worker may wake who mints: both are there before one of them runs. */
	if (!prepare_workers(server, fault) || !(server->minter = minter_start(server, fault)) ||
	    !start_workers(server, fault))
		return false;
	return start_admin(server, config, fault);
}

/* Whoever finds one would take it for a proxyd's. Workers may use what is behind it: that ends with the process. */
static void remove_sockets(struct server *server)
{
	for (size_t i = 0; i < server->listener_count; i++)
		listener_remove(&server->listeners[i]);
	if (server->admin_listener)
		listener_remove(server->admin_listener);
}

/* Where it fails the process ends, and no command goes on without it. */
bool server_open(struct server *server, struct config *config, struct fault *fault)
{
	bool done = open_all(server, config, fault);
	if (!done) {
		commands_stop(server->commands);
		remove_sockets(server);
	}
	return done;
}

/* ---- later ---- */

/* Others may have published tokens meanwhile: these are the current one's. `others`: it has more that is new than a configuration. */
static void publish_look(struct server *server, struct snapshot_look *look, bool others)
{
	pthread_mutex_lock(&server->making_lock);
	struct snapshot *current = server_snapshot(server);
	struct snapshot *fresh = snapshot_with_look(current, look);
	const char *refused = news_tell(current, fresh);
	server_publish(server, fresh);
	if (others || refused)
		reloads_note(&server->reloads, RELOAD_SECRETS, refused);
	snapshot_unref(current);
	pthread_mutex_unlock(&server->making_lock);
	minter_wake(server->minter);
}

/* Another CA, or another place for it. */
static bool has_new_ca(const struct shared_config *old, const struct shared_config *fresh)
{
	return fresh->mint && (fresh->mint != old->mint || !text_same(old->config->tls.ca_out, fresh->config->tls.ca_out) ||
	                       !text_same(old->config->tls.bundle_out, fresh->config->tls.bundle_out));
}

static bool hand_out_new_ca(struct server *server, const struct shared_config *shared, struct fault *fault)
{
	AUTO_FREE char *path = trust_ca_path(shared->config);
	if (hand_out_ca(shared, fault))
		return true;
	isolation_explain(&server->isolation, path, WRITTEN_REPLACED, ISOLATION_RESTART, fault);
	return false;
}

/* Clients find the new one's, or still that of the old one. */
static bool change_ca(struct server *server, const struct shared_config *old, const struct shared_config *fresh, struct fault *fault)
{
	struct fault ignored = FAULT_INIT;
	if (!has_new_ca(old, fresh) || hand_out_new_ca(server, fresh, fault))
		return true;
	if (old->mint) /* some of the files may have been replaced */
		mint_write(old->mint, old->config, &ignored);
	return false;
}

/* A CA that clients do not trust would end all that they do: the old one stays. False: then nothing is new, and `look` is freed. */
static bool change_ca_or_keep(struct server *server, const struct snapshot *old, struct snapshot_look *look)
{
	struct fault fault = FAULT_INIT;
	if (change_ca(server, old->shared, look->shared, &fault))
		return true;
	fault_wrap(&fault, "clients cannot be given the new CA of interception");
	return snapshot_look_keep_ca(old, look, fault.text);
}

bool server_look(struct server *server, unsigned still)
{
	struct snapshot *old = server_snapshot(server);
	struct snapshot_look look;
	bool news = snapshot_look(old, server->commands, still, &look), unsettled = look.unsettled;
	if (news && change_ca_or_keep(server, old, &look)) {
		publish_look(server, &look, true);
		log_info("files and secrets read again");
	}
	snapshot_unref(old);
	return !unsettled;
}

void server_take_commands(struct server *server)
{
	struct snapshot *old = server_snapshot(server);
	struct snapshot_look look;
	if (snapshot_look_at_commands(old, server->commands, &look))
		publish_look(server, &look, true);
	snapshot_unref(old);
}

void server_take_expired(struct server *server)
{
	struct snapshot *current = server_snapshot(server);
	bool any = secrets_any_over(current->secrets, steady_now());
	snapshot_unref(current);
	if (any)
		server_take_commands(server);
}

bool server_reopen_audit(struct server *server, struct fault *fault)
{
	struct snapshot *snapshot = server_snapshot(server);
	bool done = audit_reopen(server->audit, fault);
	if (!done)
		isolation_explain(&server->isolation, snapshot->config->audit.file, WRITTEN_APPENDED, ISOLATION_RESTART, fault);
	snapshot_unref(snapshot);
	return done;
}

bool server_would_look(struct server *server)
{
	struct snapshot *old = server_snapshot(server);
	struct snapshot_look look;
	bool news = snapshot_look(old, server->commands, 0, &look);
	if (news)
		snapshot_look_free(&look);
	snapshot_unref(old);
	return news;
}

/* All that could fail comes before anything is changed: clients trust what is in the CA's file, and it must be the one in use. */
static bool prepare_config(struct server *server, const struct snapshot *old, const struct shared_config *fresh,
                           struct fault *fault)
{
	const char *audit = fresh->config->audit.file;
	struct audit_change change;
	if (!audit_prepare(server->audit, audit, fresh->config->audit.required, &change, fault)) {
		isolation_explain(&server->isolation, audit, WRITTEN_APPENDED, ISOLATION_RESTART, fault);
		return false;
	}
	if (!change_ca(server, old->shared, fresh, fault)) {
		audit_abandon(&change);
		return false;
	}
	audit_commit(server->audit, &change);
	raise_file_limit(&fresh->config->limits);
	return true;
}

static bool take_config(struct server *server, const struct snapshot *old, struct config *config, unsigned still,
                        struct fault *fault)
{
	struct snapshot_look look;
	commands_want(server->commands, config);
	if (!snapshot_look_anew(old, config, server->commands, still, &look, fault))
		return false;
	if (!prepare_config(server, old, look.shared, fault)) {
		snapshot_look_free(&look);
		return false;
	}
	bool others = !secrets_same(old->secrets, look.secrets);
	publish_look(server, &look, others);
	if (others)
		log_info("files and secrets read again");
	return true;
}

/* Those that the configuration in use does not have are over. */
static void keep_commands(struct server *server)
{
	struct snapshot *current = server_snapshot(server);
	commands_keep(server->commands, current->config);
	snapshot_unref(current);
}

bool server_take_config(struct server *server, struct config *config, unsigned still, struct fault *fault)
{
	struct config_messages messages = {0};
	struct snapshot *old = server_snapshot(server);
	bool fits = config_keep_running(config, server->first, &messages, fault) &&
	            isolation_permits(&server->isolation, config, fault);
	if (!fits)
		config_free(config);
	bool taken = fits && take_config(server, old, config, still, fault);
	keep_commands(server);
	if (taken)
		config_messages_tell(&messages, log_warning);
	config_messages_free(&messages);
	snapshot_unref(old);
	return taken;
}

void server_forget_former(struct server *server)
{
	pthread_mutex_lock(&server->making_lock);
	struct snapshot *current = server_snapshot(server);
	if (former_until(current->former) <= steady_now())
		server_publish(server, snapshot_without_former(current));
	snapshot_unref(current);
	pthread_mutex_unlock(&server->making_lock);
}

void server_retry(struct server *server)
{
	commands_retry(server->commands);
	minter_retry(server->minter);
}

void server_spend(struct server *server, const struct snapshot *snapshot, const struct config_credential *credential)
{
	snapshot_spend(snapshot, credential, server->spent);
	minter_wake(server->minter);
	commands_wake(server->commands);
}

void server_close(struct server *server)
{
	if (server->admin_listener)
		listener_remove(server->admin_listener);
	admin_stop(server->admin);
	free(server->admin_listener);
	for (size_t i = 0; i < server->listener_count; i++)
		listener_close(&server->listeners[i]);
	if (server->audit)
		audit_close(server->audit);
	minter_end(server->minter);
	commands_free(server->commands);
	snapshot_unref(server->snapshot);
	config_free(server->first);
	tallies_free(server->tallies);
	spent_free(server->spent);
	free(server->workers);
	free(server->listeners);
	free(server->own_dial);
	isolation_free(&server->isolation);
	free((void *)(uintptr_t)server->own.addresses);
}
