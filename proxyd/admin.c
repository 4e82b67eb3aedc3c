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
#include "exposition.h"
#include "gate.h"
#include "memory.h"
#include "metrics.h"
#include "page.h"
#include "problem.h"
#include "status.h"
#include "steady.h"
#include "visitors.h"

#define IDLE_SECONDS 10
#define CONNECTION_BYTES (32 * 1024)

struct admin {
	struct MHD_Daemon *daemon;
	struct host *hosts; /* `admin.hosts`, canonical */
	size_t host_count;
	struct server *server;
	bool local; /* a unix socket: whoever may open it needs no token */
	atomic_bool serving;
	struct visitors visitors; /* of the daemon's thread */
};

/* Every page: what it is, and how its answer is made, which returns the status. What is not `open` is for the operator alone. */
struct page {
	const char *path;
	unsigned (*write)(struct admin *admin, struct MHD_Connection *connection, struct buffer *out);
	bool open;
	const char *(*type)(struct MHD_Connection *connection); /* NULL: JSON */
	const char *policy; /* Content-Security-Policy; NULL: that of the safeguards */
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

/* What belongs to no credential. */
static void write_stale_parts(const struct snapshot *snapshot, struct buffer *out)
{
	size_t count = 0;
	buffer_string(out, ",\"stale_parts\":[");
	for (size_t i = 0; i < SNAPSHOT_PARTS; i++) {
		const char *why = snapshot_stale_part(snapshot, (enum snapshot_part)i);
		if (!why)
			continue;
		write_pair(out, count++ ? ",{" : "{", "part", snapshot_part_name((enum snapshot_part)i));
		write_pair(out, ",", "why", why);
		buffer_char(out, '}');
	}
	buffer_char(out, ']');
}

/* Absent where the configuration in use is the one in the file. The reason quotes that, and agents reach this page. */
static void write_refused(struct server *server, struct buffer *out)
{
	struct reload reload = reloads_get(&server->reloads, RELOAD_CONFIGURATION);
	if (!reload.failed_at)
		return;
	buffer_string(out, ",\"refused_configuration\":{");
	write_pair(out, "", "why", "a new version of it is refused; why is in the log, and at /status for the operator");
	buffer_char(out, '}');
}

/* 200 once proxyd serves, whatever waits: one missing secret must not take all the others out of service. `?all` is for
 * whoever wants to wait for all of them; what is stale works, and who has a refused configuration is served by the last good one. */
static unsigned write_readiness(struct admin *admin, struct MHD_Connection *connection, struct buffer *out)
{
	AUTO_BUFFER struct buffer lists = {0};
	struct snapshot *snapshot = server_snapshot(admin->server);
	bool all = MHD_lookup_connection_value_n(connection, MHD_GET_ARGUMENT_KIND, "all", 3, NULL, NULL) == MHD_YES;
	bool serving = atomic_load(&admin->serving);
	size_t waiting = write_list(snapshot, "waiting", snapshot_waits, &lists);
	waiting += write_parent(snapshot, "waiting_parent", snapshot->parent ? dial_parent_waits(snapshot->parent) : NULL, &lists);
	write_list(snapshot, "stale", snapshot_stale, &lists);
	write_parent(snapshot, "stale_parent", snapshot_stale_parent(snapshot), &lists);
	write_stale_parts(snapshot, &lists);
	write_refused(admin->server, &lists);
	snapshot_unref(snapshot);
	bool ready = serving && !(all && waiting);
	write_pair(out, "{", "status", ready ? "ready" : serving ? "waiting" : "not serving");
	buffer_span(out, buffer_view(&lists));
	buffer_string(out, "}\n");
	return ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
}

static bool wants_openmetrics(struct MHD_Connection *connection)
{
	const char *accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
	return accept && strstr(accept, "application/openmetrics-text");
}

static const char *metrics_type(struct MHD_Connection *connection)
{
	return wants_openmetrics(connection) ? EXPOSITION_OPENMETRICS : EXPOSITION_TEXT;
}

static unsigned write_metrics(struct admin *admin, struct MHD_Connection *connection, struct buffer *out)
{
	metrics_write(admin->server, wants_openmetrics(connection), out);
	return MHD_HTTP_OK;
}

static unsigned write_status(struct admin *admin, struct MHD_Connection *connection, struct buffer *out)
{
	(void)connection;
	status_write(admin->server, atomic_load(&admin->serving), out);
	return MHD_HTTP_OK;
}

static const char *page_type(struct MHD_Connection *connection)
{
	(void)connection;
	return "text/html; charset=utf-8";
}

static unsigned write_page(struct admin *admin, struct MHD_Connection *connection, struct buffer *out)
{
	(void)admin, (void)connection;
	buffer_span(out, page_html());
	return MHD_HTTP_OK;
}

static const struct page pages[] = {
	{.path = "/", .write = write_page, .type = page_type, .policy = page_policy},
	{.path = "/healthz", .write = write_health, .open = true},
	{.path = "/readyz", .write = write_readiness, .open = true},
	{.path = "/metrics", .write = write_metrics, .open = true, .type = metrics_type},
	{.path = "/status", .write = write_status},
};

/* What every answer has. A page that is more than data says another Content-Security-Policy in its own fields. */
static const struct field safeguards[] = {
	{.name = SPAN("Cache-Control"), .value = SPAN("no-store")},
	{.name = SPAN("X-Content-Type-Options"), .value = SPAN("nosniff")},
	{.name = SPAN("Referrer-Policy"), .value = SPAN("no-referrer")},
	{.name = SPAN("X-Frame-Options"), .value = SPAN("DENY")},
	{.name = SPAN("Cross-Origin-Resource-Policy"), .value = SPAN("same-origin")},
	{.name = SPAN("Content-Security-Policy"), .value = SPAN("default-src 'none'; frame-ancestors 'none'")},
};

static void add_field(struct MHD_Response *response, const struct field *field)
{
	AUTO_FREE char *name = memory_span(field->name);
	AUTO_FREE char *value = memory_span(field->value);
	MHD_add_response_header(response, name, value);
}

static enum MHD_Result queue(struct MHD_Connection *connection, unsigned status, struct span body,
                             const struct fields *fields)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(body.length, (void *)(uintptr_t)body.data, MHD_RESPMEM_MUST_COPY);
	if (!response)
		return MHD_NO;
	for (size_t i = 0; i < fields->count; i++)
		add_field(response, &fields->list[i]);
	for (size_t i = 0; i < sizeof safeguards / sizeof *safeguards; i++)
		if (!fields_find(fields, safeguards[i].name))
			add_field(response, &safeguards[i]);
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
	/* MHD frames the body itself, and no user and password open anything here. */
	fields_remove(&response.fields, SPAN("Content-Length"));
	if (problem->status == 401) {
		fields_remove(&response.fields, SPAN("WWW-Authenticate"));
		fields_add(&response.fields, &arena, SPAN("WWW-Authenticate"), SPAN("Bearer realm=\"keystile\""));
	}
	enum MHD_Result queued = queue(connection, response.status, body, &response.fields);
	arena_free(&arena);
	return queued;
}

static enum MHD_Result queue_page(struct admin *admin, struct MHD_Connection *connection, const struct page *page)
{
	struct field list[] = {
		{.name = SPAN("Content-Type"), .value = span_of(page->type ? page->type(connection) : "application/json")},
		{.name = SPAN("Content-Security-Policy"), .value = span_of(page->policy ? page->policy : "")},
	};
	size_t count = page->policy ? 2 : 1;
	struct fields fields = {list, count, count};
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

/* ---- who may see what is not open ---- */

struct shown {
	const struct token_table *tokens;
	bool taken;
};

/* Every one of such fields: a browser may have several cookies by our name. */
static enum MHD_Result note_shown(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct shown *shown = context;
	(void)kind;
	if (span_equal_nocase(span_of(name), SPAN("Authorization")))
		shown->taken |= gate_takes_bearer(shown->tokens, span_of(value));
	else if (span_equal_nocase(span_of(name), SPAN("Cookie")))
		shown->taken |= gate_takes_cookie(shown->tokens, span_of(value));
	return MHD_YES;
}

static bool is_operator(struct admin *admin, struct MHD_Connection *connection, const char *offered)
{
	struct snapshot *snapshot = server_snapshot(admin->server);
	struct shown shown = {.tokens = snapshot->shared->tokens};
	if (offered)
		shown.taken = gate_takes(shown.tokens, span_of(offered));
	else
		MHD_get_connection_values(connection, MHD_HEADER_KIND, note_shown, &shown);
	snapshot_unref(snapshot);
	return shown.taken || admin->local;
}

/* Has who shows no token a way to get one? */
static void refuse_stranger(struct admin *admin, struct problem *problem)
{
	struct snapshot *snapshot = server_snapshot(admin->server);
	if (snapshot->shared->tokens)
		problem_set(problem, 401, "admin_token", "this page is for who shows the admin token of the current session key",
		            "run `envgen admin`, which prints the URL that opens it; or send the token as Bearer");
	else
		problem_set(problem, 403, "admin_token", "under `session: none` there is no key to make an admin token of",
		            "`admin: unix:PATH` opens this page to who may open the socket");
	snapshot_unref(snapshot);
}

/* The token leaves the address bar, and the history, at once. The cookie ends with the browser's session; who needs none gets
 * none. */
static enum MHD_Result queue_cookie(struct admin *admin, struct MHD_Connection *connection, const char *token)
{
	AUTO_WIPE struct buffer cookie = {0};
	buffer_format(&cookie, GATE_COOKIE "=%s; Path=/; HttpOnly; SameSite=Strict", token);
	struct field list[] = {
		{.name = SPAN("Location"), .value = SPAN("/")},
		{.name = SPAN("Set-Cookie"), .value = buffer_view(&cookie)},
	};
	struct fields fields = {list, admin->local ? 1 : 2, sizeof list / sizeof *list};
	return queue(connection, MHD_HTTP_SEE_OTHER, SPAN(""), &fields);
}

/* ---- requests ---- */

static void judge(struct admin *admin, struct MHD_Connection *connection, const char *url, const char *method,
                  const char *offered, struct problem *problem)
{
	const struct page *page = find_page(url);
	if (!host_is_ours(admin, connection))
		problem_set(problem, 403, "admin_host", "the Host field names neither this address nor localhost",
		            "ask by address, or add the name to `admin: { hosts: [...] }`");
	else if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		problem_set(problem, 405, "admin_method", "the admin listener answers GET and HEAD only", NULL);
	else if (!(page && page->open) && !is_operator(admin, connection, offered))
		refuse_stranger(admin, problem);
	else if (!page && !offered)
		problem_set(problem, 404, "admin_path", "there is no such page", "there are /, /healthz, /readyz, /metrics and /status");
	problem->allow = problem->status == 405 ? SPAN("GET, HEAD") : problem->allow;
}

static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *upload, size_t *upload_size, void **seen)
{
	struct admin *admin = context;
	struct problem problem = {0};
	(void)version, (void)upload, (void)upload_size;
	/* Of `/?token=`, as `envgen admin` prints it. */
	const char *offered =
		strcmp(url, "/") == 0 ? MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "token") : NULL;
	judge(admin, connection, url, method, offered, &problem);
	if (problem.status)
		return queue_problem(connection, &problem);
	/* MHD closes a connection that is answered on the first call. */
	if (!*seen) {
		*seen = admin;
		return MHD_YES;
	}
	return offered ? queue_cookie(admin, connection, offered) : queue_page(admin, connection, find_page(url));
}

/* ---- connections ---- */

static void on_connection(void *context, struct MHD_Connection *connection, void **visitor,
                          enum MHD_ConnectionNotificationCode what)
{
	struct admin *admin = context;
	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		visitors_leave(*visitor);
		return;
	}
	int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	const struct sockaddr *client = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
	*visitor = visitors_enter(&admin->visitors, fd, client, steady_now());
}

static void on_answered(void *context, struct MHD_Connection *connection, void **seen, enum MHD_RequestTerminationCode how)
{
	struct admin *admin = context;
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	(void)seen;
	if (how == MHD_REQUEST_TERMINATED_COMPLETED_OK && info)
		visitors_answered(&admin->visitors, info->socket_context, steady_now());
}

/* ---- start and end ---- */

static bool copy_hosts(struct admin *admin, const struct config_admin *config, struct fault *fault)
{
	admin->hosts = memory_array(config->hosts.count, sizeof *admin->hosts);
	for (; admin->host_count < config->hosts.count; admin->host_count++)
		if (!host_parse(span_of(config->hosts.list[admin->host_count]), &admin->hosts[admin->host_count], fault))
			return fault_wrap(fault, "admin.hosts");
	return true;
}

/* Signals are for the main thread: the new one starts with all of them blocked. Without MHD_USE_ITC it would be told its end by
 * a shutdown of the socket, which may be a service manager's, and the next process's. */
static bool start_daemon(struct admin *admin, int fd, struct fault *fault)
{
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	admin->daemon = MHD_start_daemon(
		MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ITC, 0, NULL, NULL, answer, admin, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, admin, MHD_OPTION_NOTIFY_COMPLETED, on_answered, admin,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)VISITORS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_END);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return admin->daemon || fault_set(fault, FAULT_IO, "the admin listener does not start");
}

struct admin *admin_start(int fd, const struct config_admin *config, struct server *server, struct fault *fault)
{
	struct admin *admin = memory_alloc(sizeof *admin);
	admin->server = server;
	visitors_init(&admin->visitors);
	admin->local = config->listener.kind == LISTENER_UNIX;
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
