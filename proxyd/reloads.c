#include "reloads.h"

#include <stdio.h>

const char *reload_name(enum reload_kind kind)
{
	static const char *const names[RELOAD_KINDS] = {
		[RELOAD_CONFIGURATION] = "configuration",
		[RELOAD_SECRETS] = "secrets",
	};
	return names[kind];
}

void reloads_begin(struct reloads *reloads)
{
	*reloads = (struct reloads){.started = time(NULL)};
	pthread_mutex_init(&reloads->lock, NULL);
	for (size_t i = 0; i < RELOAD_KINDS; i++)
		reloads->kinds[i].loaded = reloads->started;
}

static void note_done(struct reload *reload)
{
	reload->done++;
	reload->loaded = time(NULL);
	reload->failed_at = 0;
}

static void note_failed(struct reload *reload, const char *why)
{
	reload->failed++;
	reload->failed_at = time(NULL);
	snprintf(reload->why, sizeof reload->why, "%s", why);
}

void reloads_note(struct reloads *reloads, enum reload_kind kind, const char *why)
{
	pthread_mutex_lock(&reloads->lock);
	if (why)
		note_failed(&reloads->kinds[kind], why);
	else
		note_done(&reloads->kinds[kind]);
	pthread_mutex_unlock(&reloads->lock);
}

struct reload reloads_get(struct reloads *reloads, enum reload_kind kind)
{
	pthread_mutex_lock(&reloads->lock);
	struct reload reload = reloads->kinds[kind];
	pthread_mutex_unlock(&reloads->lock);
	return reload;
}
