/* What a configuration cannot change while proxyd runs (SPEC §11). */
#include "config_internal.h"
#include "memory.h"
#include "text.h"

static bool same_listener(const struct config_listener *a, const struct config_listener *b)
{
	return a->kind == b->kind && a->address.port == b->address.port && text_same(a->path, b->path) &&
	       text_same(a->profile, b->profile) && (a->kind == LISTENER_UNIX || host_equal(&a->address.host, &b->address.host));
}

static bool same_listeners(const struct config *a, const struct config *b)
{
	bool same = a->listener_count == b->listener_count;
	for (size_t i = 0; same && i < a->listener_count; i++)
		same = same_listener(&a->listeners[i], &b->listeners[i]);
	return same;
}

static bool same_admin(const struct config_admin *a, const struct config_admin *b)
{
	bool same = a->on == b->on && a->hosts.count == b->hosts.count && (!a->on || same_listener(&a->listener, &b->listener));
	for (size_t i = 0; same && i < a->hosts.count; i++)
		same = !strcmp(a->hosts.list[i], b->hosts.list[i]);
	return same;
}

bool config_keep_running(struct config *fresh, const struct config *running, struct config_messages *messages, struct fault *fault)
{
	const struct {
		const char *key;
		bool same;
	} rows[] = {
		{"listen", same_listeners(fresh, running)},
		{"admin", same_admin(&fresh->admin, &running->admin)},
		{"workers", fresh->workers == running->workers},
		{"state", text_same(fresh->state, running->state)},
	};
	/* Without tokens it depends on the listeners who may ask. */
	if (fresh->session.none && !rows[0].same)
		return fault_set(fault, FAULT_USAGE, "%s:%u:%u: `session: none` together with another `listen`: that takes a restart of "
		                                     "proxyd", fresh->file, fresh->session.mark.line, fresh->session.mark.column);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (!rows[i].same)
			config_message_add(messages, memory_format("%s: `%s` has changed, which counts once proxyd is started again",
			                                           fresh->file, rows[i].key));
	if (!rows[0].same && !fresh->advertise_said)
		fresh->advertise = running->advertise;
	fresh->admin = running->admin;
	fresh->state = running->state;
	fresh->workers = running->workers;
	return true;
}

static const struct mark *command_of(const struct config_credential *credential)
{
	for (size_t i = 0; i < credential->secret_count; i++)
		if (credential->secrets[i].source.kind == SOURCE_EXEC)
			return &credential->secrets[i].mark;
	return credential->client_key.kind == SOURCE_EXEC ? &credential->client_mark : NULL;
}

const struct mark *config_command(const struct config *config)
{
	const struct mark *mark = config->parent.auth.kind == SOURCE_EXEC ? &config->parent.mark : NULL;
	for (size_t i = 0; i < config->credential_count && !mark; i++)
		mark = command_of(&config->credentials[i]);
	return mark;
}
