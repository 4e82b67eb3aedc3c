#include "dial_parent.h"

#include <stdlib.h>

#include "buffer.h"
#include "dial_parent_internal.h"
#include "memory.h"
#include "percent.h"
#include "secret.h"

/* The patterns are copied: the index points to them, and the configuration may be gone first. */
static void keep_exceptions(struct dial_parent *parent, const struct config_parent *config)
{
	parent->except = memory_array(config->except_count, sizeof *parent->except);
	parent->exceptions = pattern_index_new();
	for (size_t i = 0; i < config->except_count; i++) {
		parent->except[i] = config->except[i];
		pattern_index_add(parent->exceptions, &parent->except[i], &parent->except[i]);
	}
}

/* By these names the parent would find our own listeners, where no address of theirs can be seen here. */
static void keep_selves(struct dial_parent *parent, const struct config *config)
{
	const struct config_admin *admin = &config->admin;
	parent->selves = memory_array(1 + admin->hosts.count, sizeof *parent->selves);
	if (config->advertise.host.length > 0)
		parent->selves[parent->self_count++] = config->advertise;
	for (size_t i = 0; admin->on && admin->listener.kind != LISTENER_UNIX && i < admin->hosts.count; i++) {
		struct authority *self = &parent->selves[parent->self_count];
		self->port = admin->listener.address.port;
		parent->self_count += host_parse(span_of(admin->hosts.list[i]), &self->host, NULL);
	}
}

/* All that the configuration says, in words that are the same where that is. */
static char *key_of(const struct config *config)
{
	const struct config_parent *said = &config->parent;
	struct buffer key = {0};
	char text[PATTERN_TEXT > AUTHORITY_TEXT ? PATTERN_TEXT : AUTHORITY_TEXT];
	authority_format(&said->proxy.host, said->proxy.port, text);
	buffer_format(&key, "%d %s", said->socks, text);
	for (size_t i = 0; i < said->except_count; i++)
		buffer_format(&key, " %.*s", (int)pattern_format(&said->except[i], text), text);
	authority_format(&config->advertise.host, config->advertise.port, text);
	buffer_format(&key, " %s", config->advertise.host.length > 0 ? text : "");
	for (size_t i = 0; i < config->admin.hosts.count; i++)
		buffer_format(&key, " %s", config->admin.hosts.list[i]);
	return key.data;
}

/* RFC 7617 §2: the first ":" ends the user. */
static void keep_auth(struct dial_parent *parent, struct span auth)
{
	const char *colon = memchr(auth.data, ':', auth.length);
	if (!colon || colon == auth.data) {
		parent->why = memory_string("`auth` of `parent:` gives something other than USER:PASSWORD");
		return;
	}
	size_t user = (size_t)(colon - auth.data);
	parent->arena = secret_arena_new(4 * auth.length + 2);
	parent->auth = secret_arena_add(parent->arena, auth);
	parent->coded = secret_arena_room(parent->arena, 3 * auth.length);
	char *end = parent->coded + percent_encode(span_head(auth, user), "", parent->coded);
	*end++ = ':';
	end += percent_encode(span_from(auth, user + 1), "", end);
	*end = 0;
	secret_arena_seal(parent->arena);
}

struct dial_parent *dial_parent_new(const struct config *config, const struct secret_value *auth)
{
	const struct origin *proxy = &config->parent.proxy;
	if (!config->parent.on)
		return NULL;
	struct dial_parent *parent = memory_alloc(sizeof *parent);
	atomic_init(&parent->references, 1);
	parent->socks = config->parent.socks;
	parent->host = proxy->host;
	parent->port = proxy->port;
	parent->key = key_of(config);
	keep_selves(parent, config);
	authority_format(&proxy->host, proxy->port, parent->name);
	keep_exceptions(parent, &config->parent);
	if (auth && auth->ready)
		keep_auth(parent, auth->bytes);
	else if (auth)
		parent->why = memory_string(auth->why);
	return parent;
}

struct dial_parent *dial_parent_ref(struct dial_parent *parent)
{
	if (parent)
		atomic_fetch_add_explicit(&parent->references, 1, memory_order_relaxed);
	return parent;
}

void dial_parent_unref(struct dial_parent *parent)
{
	if (!parent || atomic_fetch_sub(&parent->references, 1) != 1)
		return;
	pattern_index_free(parent->exceptions);
	secret_arena_free(parent->arena);
	free(parent->except);
	free(parent->selves);
	free(parent->key);
	free(parent->why);
	free(parent);
}

bool dial_parent_is_current(const struct dial_parent *parent, const struct config *config, const struct secret_value *auth)
{
	AUTO_FREE char *key = key_of(config);
	if (!config->parent.on || strcmp(parent->key, key) != 0)
		return false;
	if (!auth)
		return !parent->arena && !parent->why;
	if (!auth->ready)
		return parent->why && strcmp(parent->why, auth->why) == 0;
	return parent->arena && secret_equal(parent->auth, auth->bytes);
}

bool dial_parent_leads(const struct dial_parent *parent, const struct host *host, uint16_t port)
{
	return parent && !pattern_index_find(parent->exceptions, host, port);
}

const char *dial_parent_waits(const struct dial_parent *parent)
{
	return parent->why;
}

const char *dial_parent_name(const struct dial_parent *parent)
{
	return parent->name;
}
