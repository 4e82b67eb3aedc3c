/* Commands that are run and taken together. */
#include "commands_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "exec.h"
#include "log.h"
#include "memory.h"
#include "steady.h"
#include "secret.h"

#define VALUE_LIMIT (64 * 1024)
#define RUN_MS 30000

/* ---- one command ---- */

/* The one place where the state changes. */
static void become(struct command *command, enum command_state state)
{
	static const unsigned char permitted[] = {
		[COMMAND_RESTS] = 1u << COMMAND_WAITS,
		[COMMAND_WAITS] = 1u << COMMAND_RUNS | 1u << COMMAND_RESTS,
		[COMMAND_RUNS] = 1u << COMMAND_ENDED | 1u << COMMAND_RESTS,
		[COMMAND_ENDED] = 1u << COMMAND_RESTS,
	};
	if (!(permitted[command->state] & 1u << state))
		abort();
	command->state = state;
}

static void fail(struct command *command, const char *text)
{
	AUTO_FREE char *label = secret_use_label(&command->source);
	command->failure = memory_format("%s: %s", label, text);
}

static void *run(void *context)
{
	struct command *command = context;
	struct fault fault = FAULT_INIT;
	const struct exec_terms terms = {.limit_ms = RUN_MS, .limit = VALUE_LIMIT, .stop = command->stop,
	                                 .environment = command->environment, .files = command->commands->files};
	if (!exec_run(command->source.name, &terms, &command->output, &fault))
		fail(command, fault.text);
	pthread_mutex_lock(&command->commands->lock);
	become(command, COMMAND_ENDED);
	pthread_cond_signal(&command->commands->wake);
	pthread_mutex_unlock(&command->commands->lock);
	return NULL;
}

static void free_run(struct command *command)
{
	if (command->stop >= 0)
		close(command->stop);
	command->stop = -1;
	free(command->environment);
	command->environment = NULL;
}

static void start(struct command *command)
{
	become(command, COMMAND_RUNS);
	command->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	command->environment = environment_for_command(&command->commands->secrets, &command->batch->own);
	int error = command->stop < 0 ? errno : pthread_create(&command->thread, NULL, run, command);
	if (error == 0) {
		command->commands->running++;
		return;
	}
	AUTO_FREE char *text = memory_format("no thread can be started for it: %s", strerror(error));
	fail(command, text);
	free_run(command);
	become(command, COMMAND_RESTS);
}

/* The thread has let the lock go, and does nothing more. */
static void end(struct command *command)
{
	pthread_join(command->thread, NULL);
	free_run(command);
	command->commands->running--;
	become(command, COMMAND_RESTS);
}

/* What it printed, as the secret that it is; else why it is none. */
static struct span judge(struct command *command)
{
	struct span value = buffer_view(&command->output);
	const char *unfit = command->failure ? NULL : secret_clean(&value, command->lines);
	if (unfit)
		command->failure = secret_use_unfit(&command->source, command->lines, unfit);
	return value;
}

static void take(struct command *command, struct span value)
{
	if (!command->memory || !secret_equal(command->value, value))
		command->changed = time(NULL);
	struct secret_arena *memory = secret_arena_new(value.length + 1);
	command->value = secret_arena_add(memory, value);
	secret_arena_seal(memory);
	secret_arena_free(command->memory);
	command->memory = memory;
}

static void drop(struct command *command)
{
	secret_arena_free(command->memory);
	command->memory = NULL;
	command->value = (struct span){"", 0};
}

/* ---- the batch ---- */

struct batch *batch_new(struct commands *commands, char *key, const struct secret_use *uses, size_t count)
{
	struct batch *batch = memory_alloc(sizeof *batch);
	batch->key = key;
	batch->list = memory_array(count, sizeof *batch->list);
	batch->count = count;
	batch->renewal.life = uses[0].ttl;
	batch->shown.pends = true; /* who wants it finds it so */
	for (size_t i = 0; i < count; i++)
		batch->list[i] = (struct command){.commands = commands, .batch = batch, .key = secret_use_key(uses[i]), .lines = uses[i].lines,
		                                  .source = source_copy(uses[i].source), .stop = -1, .value = {"", 0}};
	return batch;
}

void batch_free(struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		struct command *command = &batch->list[i];
		drop(command);
		buffer_wipe(&command->output);
		source_free(&command->source);
		free(command->failure);
		free(command->why);
		free(command->key);
	}
	buffer_free(&batch->own);
	free(batch->list);
	free(batch->key);
	free(batch);
}

void batch_begin(struct batch *batch, uint64_t now)
{
	renewal_begin(&batch->renewal, now);
	for (size_t i = 0; i < batch->count; i++)
		become(&batch->list[i], COMMAND_WAITS);
}

static void drop_all(struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		drop(&batch->list[i]);
	batch->dropped = batch->number;
}

static uint32_t chance(void)
{
	uint32_t random;
	secret_random(&random, sizeof random);
	return random;
}

static bool take_values(struct batch *batch, const struct span *values, uint64_t now)
{
	for (size_t i = 0; i < batch->count; i++)
		if (batch->list[i].failure)
			return false;
	if (!renewal_take(&batch->renewal, now, chance())) {
		AUTO_FREE char *text = memory_format("took %llu s, and what it prints is good for %llu s (ttl) from its start",
		                                     (unsigned long long)(now - batch->renewal.began) / 1000,
		                                     (unsigned long long)batch->renewal.life / 1000);
		fail(&batch->list[0], text);
		return false;
	}
	for (size_t i = 0; i < batch->count; i++)
		take(&batch->list[i], values[i]);
	return true;
}

/* Who waits for another value than the spent one has waited, also where that stays. */
static void give_up(struct batch *batch, uint64_t now)
{
	bool waited_for = batch->renewal.refused;
	renewal_fail(&batch->renewal, now, chance());
	if (!batch->renewal.has)
		drop_all(batch);
	else if (waited_for)
		batch->number = spent_next_number();
}

static void log_run(const struct command *command, uint64_t took)
{
	AUTO_FREE char *label = secret_use_label(&command->source);
	if (command->failure)
		log_debug("%s", command->failure);
	else
		log_debug("%s: printed a value, after %llu ms", label, (unsigned long long)took);
}

/* All have ended. */
static void settle(struct batch *batch)
{
	struct span *values = memory_array(batch->count, sizeof *values);
	uint64_t now = steady_now();
	for (size_t i = 0; i < batch->count; i++)
		values[i] = judge(&batch->list[i]);
	if (take_values(batch, values, now))
		batch->number = spent_next_number(); /* what a command printed is a value of its own, whatever it printed before */
	else
		give_up(batch, now);
	for (size_t i = 0; i < batch->count; i++) {
		struct command *command = &batch->list[i];
		log_run(command, now - batch->renewal.began);
		free(command->why);
		command->why = command->failure;
		command->failure = NULL;
		buffer_wipe(&command->output);
	}
	free(values);
	batch->ends++;
}

void batch_advance(struct batch *batch)
{
	bool all = true;
	for (size_t i = 0; i < batch->count; i++) {
		struct command *command = &batch->list[i];
		if (command->state == COMMAND_WAITS && command->commands->running < COMMANDS_AT_ONCE)
			start(command);
		if (command->state == COMMAND_ENDED)
			end(command);
		all &= command->state == COMMAND_RESTS;
	}
	if (all && batch->renewal.state == RENEWAL_RUNS)
		settle(batch);
}

void batch_drop_old(struct batch *batch, uint64_t now)
{
	struct spent *spent = batch->list[0].commands->spent;
	struct renewal *renewal = &batch->renewal;
	if (!renewal->has)
		return;
	if (spent && spent_has(spent, batch->number)) {
		spent_remove(spent, batch->number);
		renewal_refuse(renewal, now, batch->minting);
	}
	renewal->has = renewal_good(renewal, now);
	if (!renewal->has)
		drop_all(batch);
}

void batch_stop(struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		struct command *command = &batch->list[i];
		if (command->state == COMMAND_WAITS)
			become(command, COMMAND_RESTS);
		else if (command->state == COMMAND_RUNS)
			eventfd_write(command->stop, 1);
	}
}

bool batch_runs(const struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		if (batch->list[i].state != COMMAND_RESTS)
			return true;
	return false;
}

bool batch_tells(struct batch *batch, uint64_t now)
{
	struct batch_shown *shown = &batch->shown;
	bool good = renewal_good(&batch->renewal, now), pends = !good && renewal_pends(&batch->renewal, now);
	if (shown->good == good && shown->pends == pends && shown->ends == batch->ends)
		return false;
	*shown = (struct batch_shown){good, pends, batch->ends};
	return true;
}

/* Why its last run failed, or that of one that is run with it; NULL: it did not. */
static const char *failure_of(const struct batch *batch, const struct command *command)
{
	const char *why = command->why;
	for (size_t i = 0; !why && i < batch->count; i++)
		why = batch->list[i].why;
	return why;
}

static char *why_not(const struct batch *batch, const struct command *command)
{
	const char *failure = failure_of(batch, command);
	if (failure)
		return memory_string(failure);
	AUTO_FREE char *label = secret_use_label(&command->source);
	if (batch->renewal.refused)
		return memory_format("%s: an upstream did not take its value, and it is run again", label);
	return memory_format(batch->ends ? "%s: its value has expired" : "%s: it is being run for the first time", label);
}

void batch_get(const struct batch *batch, const struct command *command, struct buffer *bytes, struct command_value *value)
{
	uint64_t now = steady_now();
	const struct renewal *renewal = &batch->renewal;
	*value = (struct command_value){.ready = renewal_good(renewal, now), .dropped = batch->dropped};
	if (value->ready) {
		buffer_span(bytes, command->value);
		value->changed = command->changed;
		value->until = renewal->until;
		value->firm = renewal->firm;
		value->number = batch->number;
		value->stale = memory_string(command->why);
	} else {
		value->pending = renewal_pends(renewal, now);
		value->failed = failure_of(batch, command) != NULL;
		value->again = value->pending ? 0 : renewal->state == RENEWAL_RUNS ? now : renewal_due(renewal);
		value->why = why_not(batch, command);
	}
}
