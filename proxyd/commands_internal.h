/* What the files of commands share: commands.c (the thread, and which there are), commands_batch.c (those that are run and taken
 * together). For no other room. */
#ifndef KEYSTILE_COMMANDS_INTERNAL_H
#define KEYSTILE_COMMANDS_INTERNAL_H

#include <pthread.h>

#include "commands.h"
#include "renewal.h"
#include "secret_use.h"
#include "table.h"

enum command_state {
	COMMAND_RESTS,
	COMMAND_WAITS, /* for one of COMMANDS_AT_ONCE places */
	COMMAND_RUNS,  /* `thread` has `output` and `failure` */
	COMMAND_ENDED, /* that thread is to be joined */
};

struct command {
	struct commands *commands;
	struct batch *batch;
	char *key;
	struct source source;
	bool lines;
	enum command_state state;
	pthread_t thread;
	char **environment;          /* of the run, one block; its strings are environ's */
	int stop;                    /* readable: it is to end; -1: it does not run */
	struct buffer output;        /* of the run; wiped when that was judged */
	char *failure;               /* of the run; NULL: it succeeded */
	struct secret_arena *memory; /* of the value; NULL: there is none */
	struct span value;
	time_t changed;              /* when the value was first seen */
	char *why;                   /* why the last run failed; NULL: it did not */
};

/* What a snapshot was told of a batch last. */
struct batch_shown {
	bool good, pends;
	unsigned ends; /* how many runs */
};

/* Commands that run together, and whose values are taken together: mostly one. */
struct batch {
	struct batch *next;
	char *key; /* those of its commands */
	struct command *list;
	size_t count;
	struct renewal renewal;
	uint64_t number, dropped; /* of the values (spent.h), and of the last ones that are not to be used */
	unsigned ends;            /* runs that ended */
	bool minting;             /* what an upstream answers with 401 is made from it, and it may be good all the same */
	bool wanted;              /* in use by commands_keep() */
	bool gone;                /* nobody's: it is freed once nothing of it runs */
	struct buffer own;        /* names of variables that are secrets of its own credentials (environment_note()) */
	struct batch_shown shown;
};

struct commands {
	pthread_mutex_t lock; /* of all else */
	pthread_cond_t wake;  /* there is something to do for the thread */
	pthread_cond_t rest;  /* it has nothing to do */
	pthread_t thread;
	bool started, stopping;
	bool told;            /* somebody published: what there is, is told once more */
	struct spent *spent;
	void (*changed)(void *context);
	void *context;
	struct batch *batches;
	struct table by_key;  /* struct command, of those that are not gone */
	size_t running;       /* commands that have one of the COMMANDS_AT_ONCE places */
	bool busy;            /* a batch has not run yet, or that was not told */
	struct buffer secrets; /* names of variables that are secrets (environment_note()) */
	uint64_t files;       /* the limit on open files that proxyd was started with */
};

/* ---- commands_batch.c; all with the lock held ---- */

/* Of these uses, all commands. `key` is taken over. */
struct batch *batch_new(struct commands *commands, char *key, const struct secret_use *uses, size_t count);
/* Nothing of it may run. Zeroes the values. */
void batch_free(struct batch *batch);

/* Its commands are to be run. */
void batch_begin(struct batch *batch, uint64_t now);
/* Starts those for which there is a place, and takes what has ended. */
void batch_advance(struct batch *batch);
/* Lets go of what is spent, or has expired. */
void batch_drop_old(struct batch *batch, uint64_t now);
/* Ends what runs. */
void batch_stop(struct batch *batch);
bool batch_runs(const struct batch *batch);
/* Is there something to tell that was not told? It is from now on. */
bool batch_tells(struct batch *batch, uint64_t now);
void batch_get(const struct batch *batch, const struct command *command, struct buffer *bytes, struct command_value *value);

/* ---- commands_environment.c ---- */

/* Adds the variable's name, where the source is one. */
void environment_note(struct buffer *names, const struct source *source);
/* Our environment, but what is for proxyd alone: the service manager's variables, and those of `secrets` that are not in `own`.
 * One block, the caller's; the strings are those of environ. */
char **environment_for_command(const struct buffer *secrets, const struct buffer *own);

#endif
