#include "news.h"

#include <stdlib.h>

#include "dial_parent.h"
#include "log.h"
#include "memory.h"
#include "text.h"

struct news {
	const struct snapshot *old, *fresh;
	const char *refused; /* the first reason of those that are new */
};

/* Is it told for the first time? */
static bool is_stale_now(struct news *news, const char *why, const char *before)
{
	if (!why || text_same(why, before))
		return false;
	news->refused = news->refused ? news->refused : why;
	return true;
}

/* What is being made comes within moments; where it does not, that is news then. What failed is not mended by being tried again. */
static const char *waits(const struct snapshot *snapshot, const struct config_credential *credential)
{
	bool comes = snapshot_pending(snapshot, credential) && !secrets_failed(snapshot->secrets, credential);
	return comes ? NULL : snapshot_waits(snapshot, credential);
}

static void tell_credential(struct news *news, const struct config_credential *credential)
{
	const struct snapshot *old = news->old, *fresh = news->fresh;
	const struct config_credential *before = old ? config_credential(old->config, span_of(credential->name)) : NULL;
	const char *why = waits(fresh, credential), *why_before = before ? waits(old, before) : NULL;
	const char *stale = snapshot_stale(fresh, credential), *stale_before = before ? snapshot_stale(old, before) : NULL;
	if (why && !text_same(why, why_before))
		log_warning("credential %s is not ready and answers 503: %s", credential->name, why);
	else if (!why && why_before)
		log_info("credential %s is ready", credential->name);
	if (is_stale_now(news, stale, stale_before))
		log_warning("credential %s goes on with its last good value: %s", credential->name, stale);
	else if (!stale && stale_before && !why)
		log_info("credential %s has its sources again", credential->name);
}

static void tell_parent(struct news *news)
{
	const struct snapshot *old = news->old, *fresh = news->fresh;
	const char *why = fresh->parent ? dial_parent_waits(fresh->parent) : NULL;
	const char *before = old && old->parent ? dial_parent_waits(old->parent) : NULL;
	const char *stale = snapshot_stale_parent(fresh), *stale_before = old ? snapshot_stale_parent(old) : NULL;
	if (why && !text_same(why, before))
		log_warning("the parent proxy %s is not ready, and what goes through it gets 503: %s", dial_parent_name(fresh->parent),
		            why);
	else if (!why && before)
		log_info("the parent proxy is ready");
	if (is_stale_now(news, stale, stale_before))
		log_warning("the parent proxy goes on with its last good auth: %s", stale);
	else if (!stale && stale_before && !why)
		log_info("the parent proxy has its auth again");
}

static bool is_another_key(const struct news *news)
{
	return news->old && snapshot_session(news->old) && snapshot_session(news->fresh) &&
	       snapshot_session(news->old) != snapshot_session(news->fresh);
}

static void tell_part(struct news *news, enum snapshot_part part)
{
	const char *stale = snapshot_stale_part(news->fresh, part);
	const char *before = news->old ? snapshot_stale_part(news->old, part) : NULL;
	if (is_stale_now(news, stale, before))
		log_warning("the last good one stays in use: %s", stale);
	else if (!stale && before && !(part == SNAPSHOT_SESSION_KEY && is_another_key(news)))
		log_info("the %s is good again", part == SNAPSHOT_CA ? "CA of interception" : "session key");
}

static void tell_another_key(const struct news *news)
{
	if (is_another_key(news))
		log_warning("the session key is another one: all tokens of before are void; write the agents' environments again, with envgen");
}

/* ---- what is odd ---- */

struct lines {
	char **list;
	size_t count, capacity;
};

static void keep_line(void *context, const char *line)
{
	struct lines *lines = context;
	lines->list = memory_grow(lines->list, lines->count, &lines->capacity, sizeof *lines->list);
	lines->list[lines->count++] = memory_string(line);
}

static void tell_line(void *context, const char *line)
{
	const struct lines *told = context;
	for (size_t i = 0; i < told->count; i++)
		if (!strcmp(told->list[i], line))
			return;
	log_warning("%s", line);
}

/* Once, and again where a value has changed and is as odd as the one before. */
static void tell_warnings(const struct snapshot *old, const struct snapshot *fresh)
{
	struct lines told = {0};
	if (old) {
		secrets_warnings(old->config, old->secrets, fresh->secrets, keep_line, &told);
		identities_warnings(old->config, old->identities, keep_line, &told);
	}
	secrets_warnings(fresh->config, fresh->secrets, NULL, tell_line, &told);
	identities_warnings(fresh->config, fresh->identities, tell_line, &told);
	for (size_t i = 0; i < told.count; i++)
		free(told.list[i]);
	free(told.list);
}

const char *news_tell(const struct snapshot *old, const struct snapshot *fresh)
{
	struct news news = {.old = old, .fresh = fresh};
	for (size_t i = 0; i < fresh->config->credential_count; i++)
		tell_credential(&news, &fresh->config->credentials[i]);
	tell_parent(&news);
	for (size_t i = 0; i < SNAPSHOT_PARTS; i++)
		tell_part(&news, (enum snapshot_part)i);
	tell_another_key(&news);
	tell_warnings(old, fresh);
	return news.refused;
}
