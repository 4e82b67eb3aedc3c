#include "follow.h"

#include <stdlib.h>

#include "content.h"
#include "log.h"
#include "memory.h"
#include "text.h"
#include "watch.h"
#include "watched.h"

#define FILES_QUIET 100  /* ms */
#define FILES_PATIENCE 500 /* ms for which one of them that is written again and again keeps the others waiting */
#define CONFIG_QUIET 500
#define CONFIG_PATIENCE 5000 /* ms, the same for what moves on the way to it */
#define TICK 1000        /* ms between looks at what ends by itself */
#define LOOK_TICKS 30    /* of these between looks at files that told nothing */
#define CONFIG_LIMIT ((size_t)16 << 20)

/* Files that are looked at together. */
struct group {
	struct follow *follow;
	struct watch *watch; /* NULL: the system has no more */
	struct loop_watch told;
	struct loop_timer quiet;
	uint64_t wait;       /* ms of quiet */
	uint64_t most;       /* ms after the first that was told, quiet or not */
	uint64_t latest;     /* when that is over, by loop_now() */
	bool lame;           /* not all can be watched, which was said */
	void (*look)(struct follow *follow);
};

struct follow {
	struct server *server;
	struct loop *loop;
	char *path;     /* as it was given, by which what it names is found */
	char *absolute; /* the same, for watches and the log */
	bool found_here;
	struct group config, files;
	struct content seen; /* of the configuration, good or not */
	bool refused;        /* it was none, since: */
	char *why;
	struct watched wanted; /* what a refused one names: it may be good once that is there */
	struct loop_timer tick;
	unsigned ticks;
};

/* ---- what is watched ---- */

static void watch_all(struct group *group, const char *const *paths, size_t count)
{
	struct fault fault = FAULT_INIT;
	if (!group->watch || watch_follow(group->watch, paths, count, &fault)) {
		group->lame = group->lame && !group->watch;
		return;
	}
	if (!group->lame)
		log_warning("%s; what changes there is seen within %d s", fault.text, LOOK_TICKS * TICK / 1000);
	group->lame = true;
}

static void follow_config(struct follow *follow)
{
	const char *path = follow->absolute;
	watch_all(&follow->config, &path, 1);
}

/* Those of the configuration in use, and of the one that is refused. */
static void follow_files(struct follow *follow)
{
	struct snapshot *snapshot = server_snapshot(follow->server);
	struct watched watched;
	watched_find(snapshot->config, &watched);
	for (size_t i = 0; i < follow->wanted.count; i++)
		watched_add(&watched, follow->wanted.list[i]);
	watch_all(&follow->files, (const char *const *)watched.list, watched.count);
	watched_free(&watched);
	snapshot_unref(snapshot);
}

/* ---- looks ---- */

/* Once nothing more is told, or `most` after the first that was. */
static void wait_for_quiet(struct group *group)
{
	struct loop *loop = group->follow->loop;
	uint64_t now = loop_now(loop), due = now + group->wait;
	if (!group->quiet.link)
		group->latest = now + group->most;
	if (due > group->latest)
		due = group->latest > now ? group->latest : now;
	loop_timer_set(loop, &group->quiet, due - now);
}

static void look_later(struct group *group)
{
	if (!group->quiet.link)
		wait_for_quiet(group);
}

static void note_taken(struct follow *follow)
{
	log_info("%s: taken", follow->absolute);
	follow->refused = false;
	reloads_note(&follow->server->reloads, RELOAD_CONFIGURATION, NULL);
}

/* `shown`: the reason stands in the log already. */
static void note_refused(struct follow *follow, const char *why, bool shown)
{
	log_error("%s is refused, and the last good one stays in use%s%s", follow->absolute, shown ? "" : ": ", shown ? "" : why);
	free(follow->why);
	follow->why = memory_string(why);
	follow->refused = true;
	reloads_note(&follow->server->reloads, RELOAD_CONFIGURATION, why);
}

/* Once it is read without an error, what can still be wrong is a file that it names. Takes `config` over. `again`: this one was
 * tried before, and is not told of again for the same reason. */
static void take_config(struct follow *follow, struct config *config, bool again)
{
	struct fault fault = FAULT_INIT;
	struct watched named;
	watched_find(config, &named);
	watched_free(&follow->wanted);
	if (server_take_config(follow->server, config, FILES_QUIET, &fault)) {
		watched_free(&named);
		note_taken(follow);
		return;
	}
	follow->wanted = named;
	if (!again || !text_same(follow->why, fault.text))
		note_refused(follow, fault.text, false);
}

static void read_config(struct follow *follow, bool again)
{
	struct config_messages errors = {0}, warnings = {0};
	struct config *config = config_load(follow->path, follow->found_here, &errors, &warnings);
	if (!again)
		config_messages_tell(&warnings, log_warning);
	if (config) {
		take_config(follow, config, again);
	} else {
		config_messages_tell(&errors, log_error);
		watched_free(&follow->wanted);
		note_refused(follow, errors.count ? errors.list[0] : "it cannot be read", true);
	}
	config_messages_free(&errors);
	config_messages_free(&warnings);
	follow_files(follow);
	/* What was not still is looked at again. One that is refused once more waits for what it lacks. */
	if (!again || !follow->refused)
		look_later(&follow->files);
}

struct content follow_content(const char *path)
{
	struct content content;
	content_read(path, CONFIG_LIMIT, &content, NULL);
	return content;
}

static bool has_changed(const struct follow *follow, struct content *now)
{
	*now = follow_content(follow->path);
	return strcmp(now->hash, follow->seen.hash) != 0;
}

/* `anyway`: what is refused is tried again, though it is the same. */
static void look_at_config(struct follow *follow, bool anyway)
{
	struct content now;
	follow_config(follow);
	if (!has_changed(follow, &now) && !(anyway && follow->refused))
		return;
	follow->seen = now;
	read_config(follow, false);
}

static void look_at_changed_config(struct follow *follow)
{
	look_at_config(follow, false);
}

/* What a refused one lacked may be there now. One that has changed has its own time. */
static void try_again(struct follow *follow)
{
	struct content now;
	if (follow->wanted.count > 0 && !has_changed(follow, &now))
		read_config(follow, true);
}

/* `still`: as server_look() has it. */
static void look_at_files(struct follow *follow, unsigned still)
{
	follow_files(follow);
	if (!server_look(follow->server, still))
		look_later(&follow->files);
	try_again(follow);
}

static void look_at_still_files(struct follow *follow)
{
	look_at_files(follow, FILES_QUIET);
}

/* ---- events ---- */

static void on_told(struct loop_watch *told, uint32_t events)
{
	struct group *group = (struct group *)((char *)told - offsetof(struct group, told));
	(void)events;
	if (watch_read(group->watch))
		wait_for_quiet(group);
}

static void on_quiet(struct loop_timer *quiet)
{
	struct group *group = (struct group *)((char *)quiet - offsetof(struct group, quiet));
	group->look(group->follow);
}

/* What nobody told of may be half written: it is taken as it stands after a while. Nor is a mount told of that hides what is watched:
 * that is found anew. */
static void look_untold(struct follow *follow)
{
	struct content now;
	follow_config(follow);
	follow_files(follow);
	if (has_changed(follow, &now))
		look_later(&follow->config);
	if (server_would_look(follow->server))
		look_later(&follow->files);
	try_again(follow);
}

static void on_tick(struct loop_timer *tick)
{
	struct follow *follow = (struct follow *)((char *)tick - offsetof(struct follow, tick));
	server_forget_former(follow->server);
	server_take_expired(follow->server);
	if (++follow->ticks % LOOK_TICKS == 0)
		look_untold(follow);
	loop_timer_set(follow->loop, tick, TICK);
}

void follow_all(struct follow *follow)
{
	struct fault fault = FAULT_INIT;
	loop_timer_stop(follow->loop, &follow->config.quiet);
	loop_timer_stop(follow->loop, &follow->files.quiet);
	look_at_config(follow, true);
	bool reopened = server_reopen_audit(follow->server, &fault);
	if (!reopened)
		log_error("the audit file stays the old one: %s", fault.text);
	look_at_files(follow, 0);
	server_retry(follow->server);
	log_info("SIGHUP: %sconfiguration, secrets and files read%s", reopened ? "audit file reopened, " : "",
	         follow->refused ? "; the configuration is one that is refused, as told before" : "");
}

/* ---- start and end ---- */

static void start_group(struct follow *follow, struct group *group, uint64_t wait, uint64_t most,
                        void (*look)(struct follow *follow))
{
	struct fault fault = FAULT_INIT;
	*group = (struct group){.follow = follow, .wait = wait, .most = most, .look = look, .told = {.fd = -1, .ready = on_told},
	                        .quiet = {.fire = on_quiet}};
	group->watch = watch_new(&fault);
	if (group->watch)
		loop_watch_add(follow->loop, &group->told, watch_fd(group->watch), EPOLLIN);
	else
		log_warning("%s: changes are seen within %d s", fault.text, LOOK_TICKS * TICK / 1000);
}

static void stop_group(struct group *group)
{
	loop_watch_remove(group->follow->loop, &group->told);
	loop_timer_stop(group->follow->loop, &group->quiet);
	watch_free(group->watch);
}

struct follow *follow_start(struct server *server, struct loop *loop, const struct follow_file *file)
{
	struct follow *follow = memory_alloc(sizeof *follow);
	follow->server = server;
	follow->loop = loop;
	follow->path = memory_string(file->path);
	follow->absolute = watched_absolute(file->path);
	follow->found_here = file->found_here;
	follow->seen = file->seen;
	follow->tick.fire = on_tick;
	start_group(follow, &follow->config, CONFIG_QUIET, CONFIG_PATIENCE, look_at_changed_config);
	start_group(follow, &follow->files, FILES_QUIET, FILES_PATIENCE, look_at_still_files);
	follow_config(follow);
	/* What has changed between its first reading and the watch. */
	look_later(&follow->config);
	look_later(&follow->files);
	loop_timer_set(loop, &follow->tick, TICK);
	follow_files(follow);
	return follow;
}

void follow_stop(struct follow *follow)
{
	if (!follow)
		return;
	stop_group(&follow->config);
	stop_group(&follow->files);
	loop_timer_stop(follow->loop, &follow->tick);
	watched_free(&follow->wanted);
	free(follow->why);
	free(follow->absolute);
	free(follow->path);
	free(follow);
}
