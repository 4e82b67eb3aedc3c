/* The commands of `exec:` (SPEC §2, §11), run in the background: a thread of its own says when, and one more is there for each
 * command that runs. No request waits for one whose value is good, and no look at other sources for any.
 *
 * All start at once, up to COMMANDS_AT_ONCE side by side, so that a slow one holds up no other. A command that several
 * credentials name with the same `ttl` is one; those of one credential with several secrets run together, and their values are
 * taken together. Each runs again at about 80 % of its ttl, when its value is spent (spent.h), when somebody asks for that, and
 * after a failure with growing pauses (renewal.h); meanwhile its last value stays for as long as it is good.
 *
 * A command has proxyd's environment without what is for that alone: the service manager's variables, and those that are secrets of
 * other credentials (`env:`); and the limit on open files that there was at commands_new(), which select(2) can take.
 *
 * The values lie in guarded memory. They get into a snapshot by secrets_load() and secrets_with_commands(), which ask here and run
 * nothing. For another configuration: commands_want() before its snapshot is made, commands_keep() once it is published, or the
 * old one stays. */
#ifndef KEYSTILE_COMMANDS_H
#define KEYSTILE_COMMANDS_H

#include <time.h>

#include "buffer.h"
#include "config.h"
#include "spent.h"

#define COMMANDS_AT_ONCE 8

struct commands;

/* `spent` (may be NULL) outlives it. `changed` (may be NULL) is called when one of the values, or what there is to say of it, may
 * be another one: on the room's own thread, with no lock of it held. Nothing runs before commands_start(). */
struct commands *commands_new(struct spent *spent, void (*changed)(void *context), void *context);
bool commands_start(struct commands *commands, struct fault *fault);

/* Adds the commands of `config` that are not there yet; they run as soon as they can. Borrows nothing. */
void commands_want(struct commands *commands, const struct config *config);
/* Ends all others, and zeroes what they gave. `changed` is called in any case, since another one may stand for a command now. */
void commands_keep(struct commands *commands, const struct config *config);

/* Waits until each of them has run once, and that was told; at most so many milliseconds. */
void commands_settle(struct commands *commands, uint64_t milliseconds);

/* From any thread: a value is spent. */
void commands_wake(struct commands *commands);
/* From any thread: all run again, since what they give may have changed, or what was wrong may have been mended. */
void commands_retry(struct commands *commands);

/* Times are those of steady_now(), but for `changed`. */
struct command_value {
	bool ready;
	bool pending;     /* not ready: it is being run, which is worth waiting for */
	bool failed;      /* not ready: the last run that ended failed */
	time_t changed;   /* when this value was first seen */
	uint64_t until;   /* it must not be used from then on; UINT64_MAX: without end */
	uint64_t firm;    /* until then it stays though upstreams answer 401 */
	uint64_t again;   /* neither ready nor pending: when it will be run again, or was */
	uint64_t number;  /* which one it is (spent.h); 0: not ready */
	uint64_t dropped; /* all up to this number are not to be used any more */
	char *why;        /* not ready: why. The caller's, as is the next */
	char *stale;      /* ready, but the last run failed: why; else NULL */
};

/* What there is of the command with that key (secret_use.h); the value is appended to `bytes`, which the caller wipes. False:
 * nobody wanted it. */
bool commands_get(struct commands *commands, const char *key, struct buffer *bytes, struct command_value *value);

/* Ends what runs, with its process group, and runs nothing more. `changed` is not called any more once it returns; the other calls
 * are still fine. */
void commands_stop(struct commands *commands);
void commands_free(struct commands *commands); /* stops, and zeroes; NULL is fine */

#endif
