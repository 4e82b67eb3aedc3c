#include "admin.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buffer.h"
#include "dial_parent.h"
#include "memory.h"
#include "problem.h"

#define CONNECTIONS 64
#define IDLE_SECONDS 10
#define CONNECTION_BYTES (32 * 1024)

struct admin {
	struct MHD_Daemon *daemon;
	struct host *hosts; /* `admin.hosts`, canonical */
	size_t host_count;
	struct snapshot *(*current)(void *context);
	void *context;
	atomic_bool serving;
};

/* Every page: what it is, and how its answer is made. Returns the status. */
struct page {
	const char *path;
	unsigned (*write)(struct admin *admin, struct MHD_Connection *connection, struct buffer *out);
};

static unsigned write_health(struct admin *admin, struct MHD_Connection *connection, struct buffer *out)
{
	(void)admin, (void)connection;
	buffer_string(out, "{\"status\":\"ok\"}\n");
	return MHD_HTTP_OK;
}

static void write_pair(struct buffer *out, const char *before, const char *name, const char *value)
{
	buffer_format(out, "%s\"%s\":\"", before, name);
	buffer_json(out, span_of(value));
	buffer_char(out, '"');
}

/* As the lists of credentials, of at most one: the parent proxy. */
static size_t write_parent(const struct snapshot *snapshot, const char *name, const char *why, struct buffer *out)
{
	if (!why)
		return 0;
	buffer_format(out, ",\"%s\":{", name);
	write_pair(out, "", "proxy", dial_parent_name(snapshot->parent));
	write_pair(out, ",", "why", why);
	buffer_char(out, '}');
	return 1;
}

static const char *parent_stale(const struct snapshot *snapshot)
{
	const struct secret_value *auth = snapshot->parent ? secrets_parent(snapshot->secrets) : NULL;
	return auth ? auth->stale : NULL;
}

static size_t write_list(const struct snapshot *snapshot, const char *name,
                         const char *(*what)(const struct snapshot *, const struct config_credential *),
                         struct buffer *out)
{
	size_t count = 0;
	buffer_format(out, ",\"%s\":[", name);
	for (size_t i = 0; i < snapshot->config->credential_count; i++) {
		const struct config_credential *credential = &snapshot->config->credentials[i];
		const char *why = what(snapshot, credential);
		if (!why)
			continue;
		write_pair(out, count++ ? ",{" : "{", "credential", credential->name);
		write_pair(out, ",", "why", why);
		buffer_char(out, '}');
	}
	buffer_char(out, ']');
	return count;
}

/* 200 once proxyd serves, whatever waits: one missing secret must not take all the others out of service. `?all` is for
 * whoever wants to wait for all of them. */
static unsigned write_readiness(struct admin *admin, struct MHD_Connection *connection, struct buffer *out)
{
	AUTO_BUFFER struct buffer lists = {0};
	struct snapshot *snapshot = admin->current(admin->context);
	bool all = MHD_lookup_connection_value_n(connection, MHD_GET_ARGUMENT_KIND, "all", 3, NULL, NULL) == MHD_YES;
	bool serving = atomic_load(&admin->serving);
	size_t waiting = write_list(snapshot, "waiting", snapshot_waits, &lists);
	waiting += write_parent(snapshot, "waiting_parent", snapshot->parent ? dial_parent_waits(snapshot->parent) : NULL, &lists);
	write_list(snapshot, "stale", snapshot_stale, &lists);
	write_parent(snapshot, "stale_parent", parent_stale(snapshot), &lists);
	snapshot_unref(snapshot);
	bool ready = serving && !(all && waiting);
	write_pair(out, "{", "status", ready ? "ready" : serving ? "waiting" : "not serving");
	buffer_span(out, buffer_view(&lists));
	buffer_string(out, "}\n");
	return ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
}

static const struct page pages[] = {
	{"/healthz", write_health},
	{"/readyz", write_readiness},
};

static enum MHD_Result queue(struct MHD_Connection *connection, unsigned status, struct span body,
                             const struct fields *fields)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(body.length, (void *)(uintptr_t)body.data, MHD_RESPMEM_MUST_COPY);
	if (!response)
		return MHD_NO;
	for (size_t i = 0; i < fields->count; i++) {
		AUTO_FREE char *name = memory_span(fields->list[i].name);
		AUTO_FREE char *value = memory_span(fields->list[i].value);
		MHD_add_response_header(response, name, value);
	}
	enum MHD_Result queued = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return queued;
}

static enum MHD_Result queue_problem(struct MHD_Connection *connection, const struct problem *problem)
{
	struct arena arena = {0};
	struct response response = {0};
	struct span body;
	problem_response(problem, &arena, &response, &body);
	/* MHD frames the body itself. */
	fields_remove(&response.fields, SPAN("Content-Length"));
	enum MHD_Result queued = queue(connection, response.status, body, &response.fields);
	arena_free(&arena);
	return queued;
}

static enum MHD_Result queue_page(struct admin *admin, struct MHD_Connection *connection, const struct page *page)
{
	struct field list[] = {
		{.name = SPAN("Content-Type"), .value = SPAN("application/json")},
		{.name = SPAN("Cache-Control"), .value = SPAN("no-store")},
	};
	struct fields fields = {list, sizeof list / sizeof *list, sizeof list / sizeof *list};
	AUTO_BUFFER struct buffer body = {0};
	unsigned status = page->write(admin, connection, &body);
	return queue(connection, status, buffer_view(&body), &fields);
}

struct host_lines {
	unsigned count;
	const char *value;
};

static enum MHD_Result note_host(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct host_lines *lines = context;
	(void)kind;
	if (span_equal_nocase(span_of(name), SPAN("Host"))) {
		lines->count++;
		lines->value = value;
	}
	return MHD_YES;
}

/* The address at which the client reached us: what its Host may name whatever we listen on. */
static bool own_address(struct MHD_Connection *connection, struct host *host)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address = {0};
	socklen_t length = sizeof address;
	char text[INET6_ADDRSTRLEN];
	if (!info || getsockname(info->connect_fd, &address.any, &length) != 0)
		return false;
	const void *bytes = address.any.sa_family == AF_INET ? (void *)&address.v4.sin_addr : &address.v6.sin6_addr;
	return inet_ntop(address.any.sa_family, bytes, text, sizeof text) && host_parse(span_of(text), host, NULL);
}

/* Keeps pages in a browser from reading us by a name that they had made to resolve to us (DNS rebinding). */
static bool host_is_ours(struct admin *admin, struct MHD_Connection *connection)
{
	struct host_lines lines = {0};
	struct authority shown;
	struct host own;
	MHD_get_connection_values(connection, MHD_HEADER_KIND, note_host, &lines);
	if (lines.count != 1 || !authority_parse(span_of(lines.value), &shown, NULL))
		return false;
	if (span_equal(host_span(&shown.host), SPAN("localhost")))
		return true;
	for (size_t i = 0; i < admin->host_count; i++)
		if (host_equal(&shown.host, &admin->hosts[i]))
			return true;
	return own_address(connection, &own) && host_equal(&shown.host, &own);
}

static const struct page *find_page(const char *path)
{
	for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
		if (strcmp(path, pages[i].path) == 0)
			return &pages[i];
	return NULL;
}

static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *upload, size_t *upload_size, void **seen)
{
	struct admin *admin = context;
	struct problem problem = {0};
	const struct page *page = find_page(url);
	(void)version, (void)upload, (void)upload_size;
	if (!host_is_ours(admin, connection))
		problem_set(&problem, 403, "admin_host", "the Host field names neither this address nor localhost",
		            "ask by address, or add the name to `admin: { hosts: [...] }`");
	else if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		problem_set(&problem, 405, "admin_method", "the admin listener answers GET and HEAD only", NULL);
	else if (!page)
		problem_set(&problem, 404, "admin_path", "there is no such page", "there are /healthz and /readyz");
	problem.allow = problem.status == 405 ? SPAN("GET, HEAD") : problem.allow;
	if (problem.status)
		return queue_problem(connection, &problem);
	/* MHD closes a connection that is answered on the first call. */
	if (!*seen) {
		*seen = admin;
		return MHD_YES;
	}
	return queue_page(admin, connection, page);
}

static bool copy_hosts(struct admin *admin, const struct config_admin *config, struct fault *fault)
{
	admin->hosts = memory_array(config->hosts.count, sizeof *admin->hosts);
	for (; admin->host_count < config->hosts.count; admin->host_count++)
		if (!host_parse(span_of(config->hosts.list[admin->host_count]), &admin->hosts[admin->host_count], fault))
			return fault_wrap(fault, "admin.hosts");
	return true;
}

/* Signals are for the main thread: the new one starts with all of them blocked. */
static bool start_daemon(struct admin *admin, int fd, struct fault *fault)
{
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	admin->daemon = MHD_start_daemon(
		MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, answer, admin, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_END);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return admin->daemon || fault_set(fault, FAULT_IO, "the admin listener does not start");
}

struct admin *admin_start(int fd, const struct config_admin *config, struct snapshot *(*current)(void *context),
                          void *context, struct fault *fault)
{
	struct admin *admin = memory_alloc(sizeof *admin);
	admin->current = current;
	admin->context = context;
	if (copy_hosts(admin, config, fault) && start_daemon(admin, fd, fault))
		return admin;
	close(fd);
	admin_stop(admin);
	return NULL;
}

void admin_serving(struct admin *admin, bool serving)
{
	atomic_store(&admin->serving, serving);
}

void admin_stop(struct admin *admin)
{
	if (!admin)
		return;
	if (admin->daemon)
		MHD_stop_daemon(admin->daemon);
	free(admin->hosts);
	free(admin);
}
