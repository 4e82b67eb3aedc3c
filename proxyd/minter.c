#include "minter.h"

#include <signal.h>
#include <unistd.h>

#include "memory.h"
#include "minter_internal.h"

#define LONGEST_WAIT 1000 /* ms; the loop's clock stands still while the machine sleeps, and tokens grow old */

/* ---- jobs ---- */

static void add_text(struct buffer *key, const char *text)
{
	buffer_format(key, "%zu:%s", text ? strlen(text) : 0, text ? text : "");
}

/* All that decides what is asked, of whom, and by which trust. */
static char *key_of(const struct config_credential *credential)
{
	struct buffer key = {0};
	const struct injection *injection = config_minting(credential);
	buffer_format(&key, "%d %llu ", (int)injection->kind, (unsigned long long)credential->ttl);
	for (size_t i = 0; i < injection->parameter_names.count; i++) {
		add_text(&key, injection->parameter_names.list[i]);
		add_text(&key, injection->parameter_values.list[i]);
	}
	for (size_t i = 0; i < credential->secret_count; i++) {
		add_text(&key, credential->secrets[i].id);
		add_text(&key, credential->secrets[i].source.text);
	}
	add_text(&key, credential->ca);
	add_text(&key, credential->client_cert);
	/* A GitHub App asks at its upstream, where `client:` may be shown too. */
	add_text(&key, credential->upstream.host.name);
	buffer_format(&key, "%u %d %s", credential->upstream.port, credential->upstream.tls, credential->upstream.path);
	return key.data;
}

static struct chain *chain_of(struct minter *minter, const struct config_credential *credential)
{
	for (size_t i = 0; i < credential->secret_count; i++)
		if (!strcmp(credential->secrets[i].id, "refresh"))
			return chain_find(minter, credential->secrets[i].source.name);
	return NULL;
}

static struct job *find_job(const struct minter *minter, const char *key)
{
	for (size_t i = 0; i < minter->job_count; i++)
		if (!minter->jobs[i]->retired && !strcmp(minter->jobs[i]->key, key))
			return minter->jobs[i];
	return NULL;
}

/* Takes `key` over. */
static struct job *add_job(struct minter *minter, const struct config_credential *credential, char *key)
{
	minter->jobs = memory_grow(minter->jobs, minter->job_count, &minter->job_capacity, sizeof(struct job *));
	struct job *job = minter->jobs[minter->job_count++] = memory_alloc(sizeof *job);
	*job = (struct job){.minter = minter, .snapshot = snapshot_ref(minter->snapshot), .credential = credential, .key = key,
	                    .chain = chain_of(minter, credential)};
	job_takes_refresh(job);
	return job;
}

/* A job goes on for the first credential that asks for the same. */
static void add_credential(struct minter *minter, const struct config_credential *credential)
{
	char *key = key_of(credential);
	struct job *job = find_job(minter, key);
	if (!job) {
		minter->job_of[credential->number] = add_job(minter, credential, key);
		return;
	}
	free(key);
	minter->job_of[credential->number] = job;
	if (job->snapshot != minter->snapshot)
		job_take_snapshot(job, minter->snapshot, credential);
}

/* Those that no credential asks for any more end, at once or when what they are at is done. */
static void retire_jobs(struct minter *minter)
{
	for (size_t i = 0; i < minter->job_count; i++)
		minter->jobs[i]->retired |= minter->jobs[i]->snapshot != minter->snapshot;
}

static void drop_retired(struct minter *minter)
{
	for (size_t i = 0; i < minter->job_count;) {
		struct job *job = minter->jobs[i];
		if (job->retired && !job_owes(job) && job->state != JOB_KEEPS) {
			minter->jobs[i] = minter->jobs[--minter->job_count];
			job_free(job);
		} else {
			i++;
		}
	}
}

/* The jobs of the snapshot's configuration. */
static void list_jobs(struct minter *minter)
{
	const struct config *config = minter->snapshot->config;
	free(minter->job_of);
	minter->job_of = memory_array(config->credential_count + 1, sizeof(struct job *));
	for (size_t i = 0; i < config->credential_count; i++)
		if (config_minting(&config->credentials[i]))
			add_credential(minter, &config->credentials[i]);
	retire_jobs(minter);
}

/* ---- what there is ---- */

static struct minted_token token_of(const struct job *job, uint64_t now)
{
	struct minted_token token = job->token;
	token.mints = true;
	token.why = job->why;
	token.pending = job_pends(job, now);
	token.again = job->again;
	return token;
}

static void publish(struct minter *minter)
{
	const struct config *config = minter->snapshot->config;
	struct minted *minted = minted_new(config);
	uint64_t now = steady_now();
	for (size_t i = 0; i < config->credential_count; i++) {
		if (!minter->job_of[i])
			continue;
		struct minted_token token = token_of(minter->job_of[i], now);
		minted_set(minted, &config->credentials[i], &token);
	}
	minted_seal(minted);
	minter->changed = false;
	server_publish_minted(minter->server, config, minted);
}

/* ---- the loop ---- */

/* Each request has a fresh connection. */
static struct upstream_limits limits_of(const struct config *config)
{
	struct upstream_limits limits = upstream_limits_of(&config->limits);
	limits.idle_connections = 0;
	return limits;
}

static void set_timer(struct minter *minter, uint64_t now)
{
	uint64_t wait = LONGEST_WAIT;
	for (size_t i = 0; i < minter->job_count; i++) {
		uint64_t due = job_due(minter->jobs[i]);
		if (due <= now)
			wait = 0;
		else if (due - now < wait)
			wait = due - now;
	}
	loop_timer_set(minter->loop, &minter->timer, wait);
}

static void advance(struct minter *minter)
{
	uint64_t now = steady_now();
	bool owes = false;
	for (size_t i = 0; i < minter->job_count; i++) {
		job_advance(minter->jobs[i], now);
		owes |= job_owes(minter->jobs[i]);
	}
	drop_retired(minter);
	if (minter->changed)
		publish(minter);
	if (minter->stopping && !owes)
		loop_stop(minter->loop);
	set_timer(minter, now);
}

static void on_advance(struct loop_task *task)
{
	advance((struct minter *)((char *)task - offsetof(struct minter, advance)));
}

static void on_timer(struct loop_timer *timer)
{
	advance((struct minter *)((char *)timer - offsetof(struct minter, timer)));
}

/* Others replace secrets and configuration; the tokens are ours, and go by the configuration's numbers. */
static void take_snapshot(struct minter *minter)
{
	struct snapshot *old = minter->snapshot;
	minter->snapshot = server_snapshot(minter->server);
	if (minter->snapshot != old)
		list_jobs(minter);
	if (minter->snapshot->config != old->config) {
		minter->changed = true;
		dialer_set_limit(minter->dialer, minter->snapshot->config->limits.connect);
		upstream_pool_set_limits(minter->pool, limits_of(minter->snapshot->config));
	}
	snapshot_unref(old);
}

static void on_wake(void *context)
{
	struct minter *minter = context;
	take_snapshot(minter);
	minter->stopping = atomic_load(&minter->stop_asked);
	bool retry = atomic_exchange(&minter->retry_asked, false);
	for (size_t i = 0; i < minter->job_count; i++) {
		job_take_spent(minter->jobs[i]);
		if (retry)
			job_retry(minter->jobs[i]);
	}
	if (atomic_load(&minter->end_asked))
		loop_stop(minter->loop);
	loop_later(minter->loop, &minter->advance);
}

static void *run(void *context)
{
	struct minter *minter = context;
	loop_later(minter->loop, &minter->advance);
	loop_run(minter->loop);
	atomic_store(&minter->ended, true);
	kill(getpid(), SERVER_WAKE_SIGNAL);
	return NULL;
}

/* ---- start and end ---- */

static bool make_rooms(struct minter *minter, struct fault *fault)
{
	struct server *server = minter->server;
	uint64_t connect = minter->snapshot->config->limits.connect;
	if (!(minter->loop = loop_new(fault)))
		return false;
	loop_on_wake(minter->loop, on_wake, minter);
	minter->dialer = dialer_new(minter->loop, server->own_dial, server->own_dial_count, connect, fault);
	if (!minter->dialer)
		return false;
	minter->pool = upstream_pool_new(minter->loop, minter->dialer, limits_of(minter->snapshot->config));
	return true;
}

static void minter_free(struct minter *minter)
{
	for (size_t i = 0; i < minter->job_count; i++)
		job_free(minter->jobs[i]);
	chain_free_all(minter);
	if (minter->pool)
		upstream_pool_free(minter->pool);
	dialer_free(minter->dialer);
	if (minter->loop)
		loop_free(minter->loop);
	snapshot_unref(minter->snapshot);
	free(minter->jobs);
	free(minter->job_of);
	free(minter);
}

static bool start_thread(struct minter *minter, struct fault *fault)
{
	int error = pthread_create(&minter->thread, NULL, run, minter);
	return error == 0 || fault_set(fault, FAULT_IO, "cannot start the thread that mints tokens: %s", strerror(error));
}

struct minter *minter_start(struct server *server, struct fault *fault)
{
	struct minter *minter = memory_alloc(sizeof *minter);
	minter->server = server;
	minter->snapshot = server_snapshot(server);
	minter->timer.fire = on_timer;
	minter->advance.run = on_advance;
	if (make_rooms(minter, fault)) {
		list_jobs(minter);
		if (start_thread(minter, fault))
			return minter;
	}
	minter_free(minter);
	return NULL;
}

void minter_wake(struct minter *minter)
{
	loop_wake(minter->loop);
}

void minter_retry(struct minter *minter)
{
	atomic_store(&minter->retry_asked, true);
	loop_wake(minter->loop);
}

void minter_stop(struct minter *minter)
{
	atomic_store(&minter->stop_asked, true);
	minter_retry(minter); /* what could not be stored */
}

bool minter_has_ended(const struct minter *minter)
{
	return atomic_load(&minter->ended);
}

void minter_end(struct minter *minter)
{
	if (!minter)
		return;
	atomic_store(&minter->end_asked, true);
	loop_wake(minter->loop);
	pthread_join(minter->thread, NULL);
	minter_free(minter);
}
