/* envgen admin: where the admin page is, with the token that opens it. */
#include <stdlib.h>

#include "commands.h"
#include "memory.h"
#include "subject.h"
#include "text.h"

/* Nobody connects to an address that stands for all: a name of `hosts`, or else this machine's loopback, stands for it. */
static struct host reachable(const struct config_admin *admin)
{
	struct host host = admin->listener.address.host;
	if (host_is_unspecified(&host)) {
		const char *own = host.kind == HOST_IPV4 ? "127.0.0.1" : "::1";
		host_parse(span_of(admin->hosts.count ? admin->hosts.list[0] : own), &host, NULL);
	}
	return host;
}

static void append_url(const struct config_admin *admin, const struct token_key *key, struct buffer *out)
{
	char address[AUTHORITY_TEXT];
	const struct host host = reachable(admin);
	char *token = token_for_admin(key);
	authority_format(&host, admin->listener.address.port, address);
	buffer_format(out, "http://%s/?token=%s\n", address, token);
	explicit_bzero(token, strlen(token));
	free(token);
}

/* Whoever may open the socket needs no token. The path stands between quotes, as a shell reads it. */
static void append_command(const char *path, struct buffer *out)
{
	buffer_string(out, "curl --unix-socket '");
	for (; *path; path++)
		buffer_format(out, *path == '\'' ? "'\\'%c" : "%c", *path);
	buffer_string(out, "' http://localhost/\n");
}

static bool append_way(const struct subject *subject, struct buffer *out, struct fault *fault)
{
	const struct config *config = subject->config;
	const struct config_admin *admin = &config->admin;
	if (!admin->on)
		return fault_set(fault, FAULT_USAGE, "%s has no admin listener; add one: `admin: 127.0.0.1:8181`, or "
		                 "`admin: unix:PATH`", config->file);
	if (admin->listener.kind == LISTENER_UNIX) {
		append_command(admin->listener.path, out);
		return true;
	}
	if (!subject->request.key)
		return fault_set(fault, FAULT_USAGE, "%s says `session: none`, so there is no key to make a token of; with "
		                 "`admin: unix:PATH` none is needed", config->file);
	append_url(admin, subject->request.key, out);
	return true;
}

bool command_admin(struct call *call, struct fault *fault)
{
	AUTO_SUBJECT struct subject subject = {0};
	AUTO_WIPE struct buffer out = {0};
	return subject_load(call->options, SUBJECT_KEY, &subject, fault) && append_way(&subject, &out, fault) &&
	       text_print(buffer_view(&out), fault);
}
