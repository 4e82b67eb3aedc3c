#include "session.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "keysource.h"
#include "memory.h"
#include "secret.h"
#include "text.h"

struct session {
	atomic_uint references;
	char *source; /* as the configuration says it */
	struct secret_arena *arena;
	struct span key;
	unsigned number;
	char *stale;
};

static atomic_uint numbers; /* keys so far */

static struct session *make(const struct source *source, struct span key, unsigned number, const char *stale)
{
	struct session *session = memory_alloc(sizeof *session);
	atomic_init(&session->references, 1);
	session->source = memory_string(source->text);
	session->arena = secret_arena_new(TOKEN_KEY_BYTES + 1);
	session->key = secret_arena_add(session->arena, key);
	secret_arena_seal(session->arena);
	session->number = number;
	session->stale = memory_string(stale);
	return session;
}

/* Nothing is made in the place of a key that was in use. */
static bool read_again(const struct source *source, struct token_key *key, struct fault *fault)
{
	char *warning = NULL;
	bool done = keysource_bytes(source, key->bytes, &warning, fault);
	free(warning);
	return done || fault_wrap(fault, "session key");
}

static struct session *take(const struct source *source, struct span key, struct session *before)
{
	bool same = before && secret_equal(before->key, key);
	if (same && !before->stale && text_same(before->source, source->text))
		return session_ref(before);
	return make(source, key, same ? before->number : atomic_fetch_add(&numbers, 1) + 1, NULL);
}

static struct session *keep(struct session *before, const struct source *source, const char *why)
{
	return text_same(before->stale, why) ? session_ref(before) : make(source, before->key, before->number, why);
}

struct session *session_load(const struct config *config, struct session *before, struct fault *fault)
{
	const struct source *source = &config->session.key;
	struct token_key key;
	struct fault why = FAULT_INIT;
	if (config->session.none)
		return NULL;
	bool known = before && text_same(before->source, source->text);
	bool done = known ? read_again(source, &key, &why) : token_key_load(source, &key, &why);
	struct session *session = NULL;
	if (done)
		session = take(source, (struct span){(const char *)key.bytes, sizeof key.bytes}, before);
	else if (known)
		session = keep(before, source, why.text);
	else
		fault_set(fault, why.code, "%s", why.text);
	explicit_bzero(&key, sizeof key);
	return session;
}

struct session *session_ref(struct session *session)
{
	if (session)
		atomic_fetch_add_explicit(&session->references, 1, memory_order_relaxed);
	return session;
}

void session_unref(struct session *session)
{
	if (!session || atomic_fetch_sub(&session->references, 1) != 1)
		return;
	secret_arena_free(session->arena);
	free(session->source);
	free(session->stale);
	free(session);
}

struct token_table *session_tokens(const struct session *session, const struct config *config)
{
	struct token_key key;
	if (!session)
		return NULL;
	memcpy(key.bytes, session->key.data, sizeof key.bytes);
	struct token_table *table = token_table_new(&key, config);
	explicit_bzero(&key, sizeof key);
	return table;
}

unsigned session_number(const struct session *session)
{
	return session ? session->number : 0;
}

const char *session_stale(const struct session *session)
{
	return session ? session->stale : NULL;
}
