/* listen, advertise and admin: where proxyd is reached. */
#include <netinet/in.h>
#include <stddef.h>
#include <sys/un.h>

#include "config_internal.h"
#include "file.h"
#include "memory.h"

#define MOST_LISTENERS 256u
#define LISTEN_SHAPE "ADDRESS:PORT such as 127.0.0.1:8180, [ADDRESS]:PORT, or unix:PATH"

static bool is_url(const struct node *node)
{
	return strstr(node->text, "://") != NULL;
}

static bool is_port_alone(struct span text)
{
	size_t digits = 0;
	while (digits < text.length && text.data[digits] >= '0' && text.data[digits] <= '9')
		digits++;
	return digits > 0 && digits <= 5 && digits == text.length;
}

/* An address literal with a port. */
static bool read_address(struct reading *reading, const struct node *node, struct authority *address)
{
	struct fault fault = FAULT_INIT;
	if (!config_expect(reading, node, NODE_TEXT, LISTEN_SHAPE))
		return false;
	if (is_url(node)) {
		config_error(reading, node, "expected " LISTEN_SHAPE ", without a scheme or path");
		return false;
	}
	if (is_port_alone(node_text(node))) {
		config_error(reading, node, "expected " LISTEN_SHAPE ", found a number alone; if it is the port, write 127.0.0.1:%s",
		             node->text);
		return false;
	}
	if (!authority_parse(node_text(node), address, &fault)) {
		config_error(reading, node, "expected " LISTEN_SHAPE ": %s", fault.text);
		return false;
	}
	if (address->host.kind == HOST_NAME) {
		config_error(reading, node, "expected an address, found the name \"%.100s\"%s", address->host.name,
		             !strcmp(address->host.name, "localhost") ? "; write 127.0.0.1" : "");
		return false;
	}
	if (!address->port) {
		config_error(reading, node, "a port is missing; write %s", LISTEN_SHAPE);
		return false;
	}
	return true;
}

static bool read_unix(struct reading *reading, const struct node *node, struct config_listener *listener)
{
	const char *path = node->text + 5;
	if (!*path || *path == '~' || config_has_control(node_text(node))) {
		config_error(reading, node, "expected unix:PATH, such as unix:/run/keystile/proxy.sock");
		return false;
	}
	AUTO_FREE char *whole = file_resolve(reading->config->folder, path);
	if (strlen(whole) >= sizeof((struct sockaddr_un *)NULL)->sun_path) {
		config_error(reading, node, "the path of a unix socket has at most %zu bytes, this one %zu",
		             sizeof((struct sockaddr_un *)NULL)->sun_path - 1, strlen(whole));
		return false;
	}
	listener->kind = LISTENER_UNIX;
	listener->path = arena_copy(reading->arena, whole, strlen(whole));
	return true;
}

/* ADDRESS:PORT or unix:PATH. */
static bool read_listener(struct reading *reading, const struct node *node, struct config_listener *listener)
{
	*listener = (struct config_listener){.mark = config_mark(reading, node)};
	if (node->kind == NODE_TEXT && span_starts(node_text(node), SPAN("unix:")))
		return read_unix(reading, node, listener);
	listener->kind = LISTENER_TCP;
	return read_address(reading, node, &listener->address);
}

static void read_transparent_address(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	read_address(reading, node, field);
}

static const struct config_key transparent_keys[] = {
	{"transparent", read_transparent_address, offsetof(struct config_listener, address), NULL},
	{"profile", config_read_text, offsetof(struct config_listener, profile), "the name of a profile"},
};
static const struct config_keys transparent_mapping = KEYS(transparent_keys, "a transparent listener");

static bool read_transparent(struct reading *reading, const struct node *node, struct config_listener *listener)
{
	*listener = (struct config_listener){.kind = LISTENER_TRANSPARENT, .mark = config_mark(reading, node)};
	if (!config_read_mapping(reading, node, &transparent_mapping, listener))
		return false;
	bool whole = config_require(reading, node, "transparent", "transparent: \"127.0.0.1:18000\"");
	whole = config_require(reading, node, "profile", "profile: NAME") && whole;
	return whole && listener->address.port && listener->profile;
}

void config_read_listen(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)field;
	(void)unused;
	struct config *config = reading->config;
	size_t count;
	const struct node *item;
	config_items(node, 0, &count);
	config->listeners = arena_zero(reading->arena, (count + 1) * sizeof *config->listeners);
	if (count == 0)
		config_error(reading, node, "expected " LISTEN_SHAPE ", found an empty list");
	if (count > MOST_LISTENERS) {
		config_error(reading, node, "expected at most %u listeners, found %zu", MOST_LISTENERS, count);
		return;
	}
	for (size_t i = 0; (item = config_items(node, i, &count)); i++) {
		struct config_listener *listener = &config->listeners[config->listener_count];
		if (item->kind == NODE_MAPPING ? read_transparent(reading, item, listener)
		                               : read_listener(reading, item, listener))
			config->listener_count++;
	}
}

void config_read_advertise(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)field;
	(void)unused;
	struct fault fault = FAULT_INIT;
	struct authority *advertise = &reading->config->advertise;
	reading->config->advertise_said = true;
	if (!config_expect(reading, node, NODE_TEXT, "HOST:PORT as agents reach the proxy"))
		return;
	if (is_url(node))
		config_error(reading, node, "expected HOST:PORT, without a scheme or path");
	else if (!authority_parse(node_text(node), advertise, &fault))
		config_error(reading, node, "expected HOST:PORT: %s", fault.text);
	else if (!advertise->port)
		config_error(reading, node, "a port is missing; write HOST:PORT");
	else if (host_is_unspecified(&advertise->host))
		config_error(reading, node, "nobody can connect to %s; write the name or address that agents use",
		             advertise->host.name);
}

static const char *wrong_host(struct span text)
{
	static _Thread_local struct fault fault;
	struct host host;
	return host_parse(text, &host, &fault) ? NULL : fault.text;
}

static void read_admin_listen(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct config_listener *listener = field;
	if (!read_listener(reading, node, listener))
		*listener = (struct config_listener){0};
}

static const struct text_check host_names = {"host names such as [keystile.pod]", false, wrong_host};
static const struct config_key admin_keys[] = {
	{"listen", read_admin_listen, offsetof(struct config_admin, listener), NULL},
	{"hosts", config_read_names, offsetof(struct config_admin, hosts), &host_names},
};
static const struct config_keys admin_mapping = KEYS(admin_keys, "admin");

/* Compared with a request's Host, so in the canonical form. */
static void canonical_hosts(struct reading *reading, struct string_list *hosts)
{
	for (size_t i = 0; i < hosts->count; i++) {
		struct host host;
		if (host_parse(span_of(hosts->list[i]), &host, NULL))
			hosts->list[i] = arena_copy(reading->arena, host.name, host.length);
	}
}

void config_read_admin(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct config_admin *admin = field;
	if (node->kind == NODE_MAPPING) {
		config_read_mapping(reading, node, &admin_mapping, admin);
		config_require(reading, node, "listen", "listen: 127.0.0.1:8181");
		canonical_hosts(reading, &admin->hosts);
	} else {
		read_admin_listen(reading, node, &admin->listener, NULL);
	}
	admin->on = admin->listener.address.port || admin->listener.path;
}

/* Do two listeners ask the kernel for the same thing? */
static bool clash(const struct config_listener *a, const struct config_listener *b)
{
	if (a->kind == LISTENER_UNIX || b->kind == LISTENER_UNIX)
		return a->kind == b->kind && !strcmp(a->path, b->path);
	if (a->address.port != b->address.port || a->address.host.kind != b->address.host.kind)
		return false;
	return host_is_unspecified(&a->address.host) || host_is_unspecified(&b->address.host) ||
	       host_equal(&a->address.host, &b->address.host);
}

static void check_clashes(struct reading *reading)
{
	const struct config *config = reading->config;
	size_t all = config->listener_count + config->admin.on;
	for (size_t i = 1; i < all; i++) {
		const struct config_listener *late = i < config->listener_count ? &config->listeners[i] : &config->admin.listener;
		for (size_t k = 0; k < i; k++) {
			if (!clash(late, &config->listeners[k]))
				continue;
			config_error_at(reading, late->mark, "the listener of line %u already listens there",
			                config->listeners[k].mark.line);
			break;
		}
	}
}

/* Whoever connects to `address` would come to the listener. */
static bool is_reached_by(const struct config_listener *listener, const struct host *host, uint16_t port)
{
	const struct host *own = &listener->address.host;
	if (listener->kind == LISTENER_UNIX || listener->address.port != port)
		return false;
	return host_equal(own, host) || (host_is_loopback(host) && host_is_unspecified(own)) ||
	       (host_is_loopback(own) && host->kind == HOST_NAME && host_is_loopback(host));
}

static void check_parent(struct reading *reading)
{
	const struct config *config = reading->config;
	const struct origin *proxy = &config->parent.proxy;
	for (size_t i = 0; config->parent.on && i < config->listener_count; i++)
		if (is_reached_by(&config->listeners[i], &proxy->host, proxy->port))
			config_error_at(reading, config->parent.mark, "the parent proxy %s:%u is the listener of line %u, so proxyd would ask "
			                "itself", proxy->host.name, proxy->port, config->listeners[i].mark.line);
}

static void check_profiles(struct reading *reading)
{
	const struct config *config = reading->config;
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *listener = &config->listeners[i];
		if (listener->kind == LISTENER_TRANSPARENT && !config_profile(config, span_of(listener->profile)))
			config_error_at(reading, listener->mark, "no profile has the name \"%.100s\"%s", listener->profile,
			                config_guess_name(reading, span_of(listener->profile), config->profiles,
			                                  config->profile_count, sizeof *config->profiles));
	}
}

/* Without tokens whoever can connect is let in. */
static void check_open(struct reading *reading)
{
	const struct config *config = reading->config;
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *listener = &config->listeners[i];
		if (listener->kind != LISTENER_UNIX && !host_is_loopback(&listener->address.host))
			config_error_at(reading, listener->mark,
			                "with `session: none` every client is let in, so a listener is a unix socket or on "
			                "loopback, such as 127.0.0.1:%u", listener->address.port);
	}
	if (config->profile_count != 1)
		config_error_at(reading, config->session.mark,
		                "`session: none` goes with exactly one profile, there are %zu: without tokens nothing tells "
		                "clients apart", config->profile_count);
}

static void default_listener(struct reading *reading, const struct node *root)
{
	struct config *config = reading->config;
	if (node_find(root, "listen"))
		return;
	config->listeners = arena_zero(reading->arena, sizeof *config->listeners);
	config->listeners[0].mark = config_mark(reading, root);
	authority_parse(SPAN("127.0.0.1:8180"), &config->listeners[0].address, NULL);
	config->listener_count = 1;
}

static void choose_advertise(struct reading *reading, const struct node *root)
{
	struct config *config = reading->config;
	for (size_t i = 0; !config->advertise_said && i < config->listener_count; i++) {
		const struct config_listener *listener = &config->listeners[i];
		if (listener->kind != LISTENER_TCP)
			continue;
		config->advertise = listener->address;
		if (host_is_unspecified(&listener->address.host))
			config_error(reading, root,
			             "\"advertise\" is missing here: %s is every address of this machine, so write the one that "
			             "agents use, such as advertise: keystile:%u", listener->address.host.name,
			             listener->address.port);
		return;
	}
}

void config_check_listeners(struct reading *reading, const struct node *root)
{
	default_listener(reading, root);
	choose_advertise(reading, root);
	check_clashes(reading);
	check_parent(reading);
	check_profiles(reading);
	if (reading->config->session.none)
		check_open(reading);
}
