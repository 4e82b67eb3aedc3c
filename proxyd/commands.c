#include "commands.h"

#include <stdlib.h>
#include <sys/resource.h>

#include "commands_internal.h"
#include "memory.h"
#include "monotonic.h"
#include "steady.h"

#define LONGEST_WAIT 1000 /* ms; the clock of waiting stands still while the machine sleeps, and values grow old */

/* ---- which there are ---- */

static struct batch *find(const struct commands *commands, const char *key)
{
	struct batch *batch = commands->batches;
	while (batch && (batch->gone || strcmp(batch->key, key) != 0))
		batch = batch->next;
	return batch;
}

/* Where two batches have one command, since its credential is another one now, the older stays until it is gone. */
static void enter(struct commands *commands, struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		if (!table_get(&commands->by_key, span_of(batch->list[i].key)))
			table_put(&commands->by_key, span_of(batch->list[i].key), &batch->list[i]);
}

static struct batch *add(struct commands *commands, char *key, const struct secret_use *uses, size_t count)
{
	struct batch *batch = batch_new(commands, key, uses, count), **last = &commands->batches;
	while (*last)
		last = &(*last)->next;
	*last = batch;
	enter(commands, batch);
	commands->busy = true;
	return batch;
}

/* The batch of these uses; where there is none, one is made, if `make`. */
static struct batch *note(struct commands *commands, const struct secret_use *uses, size_t count, bool minting, bool make)
{
	struct buffer key = {0};
	if (count == 0)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		AUTO_FREE char *one = secret_use_key(uses[i]);
		buffer_format(&key, "%zu:%s", strlen(one), one);
	}
	struct batch *batch = find(commands, key.data);
	if (!batch && make)
		batch = add(commands, memory_string(key.data), uses, count);
	if (batch) {
		batch->wanted = true;
		batch->minting |= minting;
	}
	buffer_free(&key);
	return batch;
}

/* Its commands may have what its credential has. */
static void note_own(struct batch *batch, const struct config_credential *credential)
{
	for (size_t i = 0; batch && i < secret_use_count(credential); i++)
		environment_note(&batch->own, secret_use_of(credential, i).source);
}

static bool is_among(struct secret_use use, const struct secret_use *uses, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(uses[i].source->name, use.source->name))
			return true;
	return false;
}

static void note_credential(struct commands *commands, const struct config_credential *credential, bool make)
{
	size_t count = secret_use_count(credential), together = 0;
	bool minting = config_minting(credential) != NULL;
	struct secret_use *uses = memory_array(count + 1, sizeof *uses);
	for (size_t i = 0; i < count; i++) {
		struct secret_use use = secret_use_of(credential, i);
		if (use.source->kind != SOURCE_EXEC)
			continue;
		if (!*use.group)
			note_own(note(commands, &use, 1, minting, make), credential);
		else if (!is_among(use, uses, together))
			uses[together++] = use;
	}
	note_own(note(commands, uses, together, minting, make), credential);
	free(uses);
}

static void note_secrets(struct commands *commands, const struct config *config)
{
	for (size_t i = 0; i < config->credential_count; i++)
		for (size_t k = 0; k < secret_use_count(&config->credentials[i]); k++)
			environment_note(&commands->secrets, secret_use_of(&config->credentials[i], k).source);
	environment_note(&commands->secrets, &config->parent.auth);
}

/* `make`: beside what is in use; else it is in use alone. */
static void note_all(struct commands *commands, const struct config *config, bool make)
{
	for (struct batch *batch = commands->batches; batch; batch = batch->next) {
		batch->wanted = false;
		batch->minting &= make;
		if (!make)
			buffer_clear(&batch->own);
	}
	if (!make)
		buffer_clear(&commands->secrets);
	note_secrets(commands, config);
	for (size_t i = 0; i < config->credential_count; i++)
		note_credential(commands, &config->credentials[i], make);
	if (config->parent.auth.kind == SOURCE_EXEC) {
		struct secret_use use = secret_use_of_parent(config);
		note(commands, &use, 1, false, make);
	}
}

void commands_want(struct commands *commands, const struct config *config)
{
	pthread_mutex_lock(&commands->lock);
	note_all(commands, config, true);
	pthread_cond_signal(&commands->wake);
	pthread_mutex_unlock(&commands->lock);
}

void commands_keep(struct commands *commands, const struct config *config)
{
	pthread_mutex_lock(&commands->lock);
	note_all(commands, config, false);
	table_free(&commands->by_key);
	for (struct batch *batch = commands->batches; batch; batch = batch->next) {
		if (!batch->wanted && !batch->gone) {
			batch->gone = true;
			batch_stop(batch);
		}
		if (!batch->gone)
			enter(commands, batch);
	}
	commands->told = true;
	pthread_cond_signal(&commands->wake);
	pthread_mutex_unlock(&commands->lock);
}

static void free_gone(struct commands *commands)
{
	for (struct batch **link = &commands->batches; *link;) {
		struct batch *batch = *link;
		if (batch->gone && !batch_runs(batch)) {
			*link = batch->next;
			batch_free(batch);
		} else {
			link = &batch->next;
		}
	}
}

/* ---- the thread ---- */

static void advance(struct commands *commands)
{
	for (struct batch *batch = commands->batches; batch; batch = batch->next) {
		uint64_t now = steady_now();
		batch_drop_old(batch, now);
		if (!batch->gone && !commands->stopping && renewal_due(&batch->renewal) <= now)
			batch_begin(batch, now);
		batch_advance(batch);
	}
	free_gone(commands);
}

static bool tells(struct commands *commands)
{
	bool any = commands->told;
	for (struct batch *batch = commands->batches; batch; batch = batch->next)
		any |= batch_tells(batch, steady_now());
	commands->told = false;
	return any && !commands->stopping;
}

/* With the lock given back meanwhile. */
static void tell(struct commands *commands)
{
	if (!commands->changed)
		return;
	pthread_mutex_unlock(&commands->lock);
	commands->changed(commands->context);
	pthread_mutex_lock(&commands->lock);
}

static bool has_work(const struct commands *commands)
{
	for (const struct batch *batch = commands->batches; batch; batch = batch->next)
		for (size_t i = 0; i < batch->count; i++)
			if (batch->list[i].state == COMMAND_ENDED ||
			    (batch->list[i].state == COMMAND_WAITS && commands->running < COMMANDS_AT_ONCE))
				return true;
	return false;
}

/* For how long, in milliseconds, there is nothing to do; UINT64_MAX: until somebody wakes us. */
static uint64_t pause_of(const struct commands *commands)
{
	uint64_t now = steady_now(), next = RENEWAL_NEVER;
	for (const struct batch *batch = commands->batches; batch; batch = batch->next) {
		uint64_t mine = commands->stopping || batch->gone ? RENEWAL_NEVER : renewal_next(&batch->renewal, now);
		next = mine < next ? mine : next;
	}
	if (has_work(commands) || next <= now)
		return 0;
	return next == RENEWAL_NEVER ? UINT64_MAX : next - now < LONGEST_WAIT ? next - now : LONGEST_WAIT;
}

static void note_busy(struct commands *commands)
{
	commands->busy = false;
	for (const struct batch *batch = commands->batches; batch; batch = batch->next)
		commands->busy |= !batch->gone && batch->ends == 0;
	if (!commands->busy)
		pthread_cond_broadcast(&commands->rest);
}

static void *run(void *context)
{
	struct commands *commands = context;
	pthread_mutex_lock(&commands->lock);
	while (!commands->stopping || commands->running) {
		advance(commands);
		if (tells(commands)) {
			tell(commands);
			continue;
		}
		note_busy(commands);
		uint64_t pause = pause_of(commands);
		if (pause && (!commands->stopping || commands->running))
			monotonic_wait(&commands->wake, &commands->lock, pause);
	}
	pthread_mutex_unlock(&commands->lock);
	return NULL;
}

/* ---- for others ---- */

struct commands *commands_new(struct spent *spent, void (*changed)(void *context), void *context)
{
	struct commands *commands = memory_alloc(sizeof *commands);
	struct rlimit files;
	commands->spent = spent;
	commands->changed = changed;
	commands->context = context;
	commands->files = getrlimit(RLIMIT_NOFILE, &files) == 0 ? files.rlim_cur : 0;
	pthread_mutex_init(&commands->lock, NULL);
	pthread_cond_init(&commands->wake, NULL);
	pthread_cond_init(&commands->rest, NULL);
	return commands;
}

bool commands_start(struct commands *commands, struct fault *fault)
{
	int error = pthread_create(&commands->thread, NULL, run, commands);
	commands->started = error == 0;
	return commands->started || fault_set(fault, FAULT_IO, "cannot start the thread that runs commands: %s", strerror(error));
}

void commands_settle(struct commands *commands, uint64_t milliseconds)
{
	uint64_t end = milliseconds == UINT64_MAX ? UINT64_MAX : steady_now() + milliseconds;
	pthread_mutex_lock(&commands->lock);
	for (uint64_t now = steady_now(); commands->busy && now < end; now = steady_now())
		monotonic_wait(&commands->rest, &commands->lock, end == UINT64_MAX ? UINT64_MAX : end - now);
	pthread_mutex_unlock(&commands->lock);
}

void commands_wake(struct commands *commands)
{
	pthread_mutex_lock(&commands->lock);
	pthread_cond_signal(&commands->wake);
	pthread_mutex_unlock(&commands->lock);
}

void commands_retry(struct commands *commands)
{
	pthread_mutex_lock(&commands->lock);
	for (struct batch *batch = commands->batches; batch; batch = batch->next)
		renewal_hurry(&batch->renewal);
	pthread_cond_signal(&commands->wake);
	pthread_mutex_unlock(&commands->lock);
}

bool commands_get(struct commands *commands, const char *key, struct buffer *bytes, struct command_value *value)
{
	pthread_mutex_lock(&commands->lock);
	const struct command *command = table_get(&commands->by_key, span_of(key));
	const struct batch *batch = command ? command->batch : NULL;
	if (batch)
		batch_get(batch, command, bytes, value);
	pthread_mutex_unlock(&commands->lock);
	return batch != NULL;
}

void commands_stop(struct commands *commands)
{
	pthread_mutex_lock(&commands->lock);
	bool started = commands->started;
	commands->started = false;
	commands->stopping = true;
	for (struct batch *batch = commands->batches; batch; batch = batch->next)
		batch_stop(batch);
	pthread_cond_signal(&commands->wake);
	pthread_mutex_unlock(&commands->lock);
	if (started)
		pthread_join(commands->thread, NULL);
}

void commands_free(struct commands *commands)
{
	if (!commands)
		return;
	commands_stop(commands);
	while (commands->batches) {
		struct batch *batch = commands->batches;
		commands->batches = batch->next;
		batch_free(batch);
	}
	table_free(&commands->by_key);
	buffer_free(&commands->secrets);
	pthread_cond_destroy(&commands->wake);
	pthread_cond_destroy(&commands->rest);
	pthread_mutex_destroy(&commands->lock);
	free(commands);
}
