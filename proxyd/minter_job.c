/* One token: when it is made, and what becomes of the answers. */
#include "minter_internal.h"

#include <stdio.h>
#include <time.h>

#include "log.h"
#include "memory.h"

#define RENEW_PERCENT 80
#define NEVER UINT64_MAX
/* ms; each failure doubles the pause. What the endpoint refuses for good is asked for again all the same, since what is wrong may
 * be mended there. */
#define FIRST_PAUSE 1000
#define MOST_PAUSE 60000
#define FIRST_FINAL_PAUSE 15000
#define MOST_FINAL_PAUSE 300000

/* The one place where the state changes. */
static void job_become(struct job *job, enum job_state state)
{
	static const unsigned char permitted[] = {
		[JOB_RESTS] = 1u << JOB_ASKS,
		[JOB_ASKS] = 1u << JOB_RESTS | 1u << JOB_STORES | 1u << JOB_KEEPS,
		[JOB_STORES] = 1u << JOB_RESTS | 1u << JOB_KEEPS,
		[JOB_KEEPS] = 1u << JOB_STORES | 1u << JOB_KEEPS,
	};
	if (!(permitted[job->state] & 1u << state))
		abort();
	job->state = state;
	job->minter->changed = true;
	loop_later(job->minter->loop, &job->minter->advance);
	if (state != JOB_RESTS)
		return;
	arena_wipe(&job->arena);
	if (job->chain)
		job->chain->busy = false;
}

/* ---- secrets ---- */

static struct span bytes_of(const struct secrets *secrets, const struct config_credential *credential, const char *id)
{
	const struct secret_value *value = secrets_by_id(secrets, credential, span_of(id));
	return value && value->ready ? value->bytes : (struct span){"", 0};
}

struct token_secrets minter_secrets(const struct secrets *secrets, const struct config_credential *credential)
{
	return (struct token_secrets){
		.id = bytes_of(secrets, credential, "id"),
		.key = bytes_of(secrets, credential, "key"),
		.secret = bytes_of(secrets, credential, "secret"),
		.refresh = bytes_of(secrets, credential, "refresh"),
	};
}

bool job_takes_refresh(struct job *job)
{
	if (!job->chain)
		return false;
	const struct secret_value *value = secrets_by_id(job->snapshot->secrets, job->credential, SPAN("refresh"));
	if (value->ready)
		chain_take(job->chain, value);
	bool fresh = job->replacements != job->chain->replacements;
	job->replacements = job->chain->replacements;
	return fresh;
}

static bool is_ready(const struct job *job)
{
	const char *why;
	return secrets_ready(job->snapshot->secrets, job->credential, &why);
}

static bool differ(const struct secret_value *a, const struct secret_value *b)
{
	return a->ready != b->ready || !secret_equal(a->bytes, b->bytes);
}

/* The refresh token has its own way to be new: what we put into the vault ourselves is not. */
static bool are_others(struct job *job, const struct secrets *old, const struct config_credential *old_credential)
{
	const struct secrets *fresh = job->snapshot->secrets;
	bool others = job_takes_refresh(job);
	for (size_t i = 0; i < job->credential->secret_count; i++)
		if (!job->chain || strcmp(job->credential->secrets[i].id, "refresh") != 0)
			others |= differ(secrets_get(fresh, job->credential, i), secrets_get(old, old_credential, i));
	return others;
}

static void forget_failure(struct job *job)
{
	free(job->why);
	job->why = NULL;
	job->failures = 0;
	job->again = 0;
}

/* What was asked with the old secrets goes on; its answer may bring a refresh token. */
void job_take_snapshot(struct job *job, struct snapshot *snapshot, const struct config_credential *credential)
{
	struct snapshot *old = job->snapshot;
	const struct config_credential *old_credential = job->credential;
	job->snapshot = snapshot_ref(snapshot);
	job->credential = credential;
	if (snapshot->secrets != old->secrets && are_others(job, old->secrets, old_credential)) {
		forget_failure(job);
		job->renew = 0;
		job->outdated = job->state != JOB_RESTS;
		job->minter->changed = true;
	}
	snapshot_unref(old);
}

void job_retry(struct job *job)
{
	if (job->again != NEVER)
		job->again = 0;
	job->minter->changed = true;
}

/* ---- the token ---- */

static void drop_token(struct job *job)
{
	secret_arena_free(job->memory);
	job->memory = NULL;
	job->token.bytes = (struct span){"", 0};
	job->token.number = 0;
	job->minter->changed = true;
}

void job_take_spent(struct job *job)
{
	struct spent *spent = job->minter->server->spent;
	uint64_t number = job->token.number;
	if (!number || !spent_has(spent, number))
		return;
	spent_remove(spent, number);
	log_info("the upstream of credential %s does not take its token: another one is asked for", job->credential->name);
	job->spent = spent_count(job->spent, steady_now() - job->made);
	drop_token(job);
	job->renew = 0;
}

static void recover(struct job *job)
{
	if (job->why)
		log_info("credential %s has a token again", job->credential->name);
	forget_failure(job);
}

/* Its life counts from when it was asked for. */
static void take_token(struct job *job)
{
	uint64_t life = job->answer.life * 1000;
	if (job->memory)
		job->spent = 0; /* the one before lived until it was due */
	drop_token(job);
	job->memory = secret_arena_new(job->answer.token.length + 1);
	job->token.bytes = secret_arena_add(job->memory, job->answer.token);
	job->token.number = spent_next_number();
	job->token.expires = job->asked + life;
	job->made = steady_now();
	job->token.firm = job->made + spent_patience(job->spent);
	job->renew = job->outdated ? 0 : job->asked + life / 100 * RENEW_PERCENT;
	recover(job);
	log_debug("credential %s has a token for %llu s", job->credential->name, (unsigned long long)job->answer.life);
	if (!job->answer.life_told && job->request.asks)
		log_debug("the token endpoint of credential %s does not say how long a token is good; it is taken for %llu s",
		          job->credential->name, (unsigned long long)job->answer.life);
	job_become(job, JOB_RESTS);
}

/* ---- failures ---- */

static uint64_t pause_after(unsigned failures, bool final, unsigned retry_after)
{
	uint64_t first = final ? FIRST_FINAL_PAUSE : FIRST_PAUSE, most = final ? MOST_FINAL_PAUSE : MOST_PAUSE;
	uint64_t pause = failures < 10 ? first << (failures - 1) : most, wanted = (uint64_t)retry_after * 1000;
	if (pause > most)
		pause = most;
	if (wanted > MOST_FINAL_PAUSE)
		wanted = MOST_FINAL_PAUSE;
	return pause > wanted ? pause : wanted;
}

/* Told once: an endpoint that is down for hours says nothing new. */
static void note_failure(struct job *job, const char *why)
{
	if (job->why && !strcmp(job->why, why))
		return;
	free(job->why);
	job->why = memory_string(why);
	log_warning("credential %s gets no token: %s", job->credential->name, why);
}

static void fail(struct job *job, const char *why, bool final, unsigned retry_after)
{
	job->failures++;
	job->again = steady_now() + pause_after(job->failures, final, retry_after);
	note_failure(job, why);
	job_become(job, JOB_RESTS);
}

/* ---- a refresh token that was replaced ---- */

static void on_stored(struct job *job, const struct store_result *result);

static void keep_answer(struct job *job, const char *why)
{
	AUTO_FREE char *text = memory_format("the endpoint gave another refresh token, which cannot be stored, and is kept until it "
	                                     "can: %s", why);
	job->failures++;
	job->again = steady_now() + pause_after(job->failures, false, 0);
	note_failure(job, text);
	job_become(job, JOB_KEEPS);
}

static void store(struct job *job)
{
	job->store = store_start(job, job->used, job->answer.refresh, on_stored);
	if (job->store)
		job_become(job, JOB_STORES);
	else
		keep_answer(job, "no thread can be started for it");
}

static void on_stored(struct job *job, const struct store_result *result)
{
	job->store = NULL;
	if (result->stored) {
		take_token(job);
	} else if (result->replaced) {
		job->replacements = job->chain->replacements;
		job->renew = 0; /* with the operator's, at once */
		forget_failure(job);
		log_info("vault:%s has another refresh token, which is used from now on", job->chain->name);
		job_become(job, JOB_RESTS);
	} else {
		keep_answer(job, result->fault.text);
	}
}

/* ---- asking ---- */

static void take_answer(struct job *job)
{
	if (job->chain && job->answer.refresh.length && !secret_equal(job->answer.refresh, job->used))
		store(job);
	else
		take_token(job);
}

static void on_asked(struct job *job, const struct ask_result *result)
{
	struct token_secrets secrets = minter_secrets(result->secrets, result->credential);
	struct token_asked asked = {result->credential, &secrets, &job->request};
	struct fault fault = FAULT_INIT;
	secrets.refresh = job->used;
	job->ask = NULL;
	if (!result->answered)
		fault_set(&fault, FAULT_IO, "%s", result->why);
	else if (token_answer_read(&asked, &result->reply, &job->arena, &job->answer, &fault)) {
		take_answer(job);
		return;
	}
	const struct origin *endpoint = &job->request.endpoint;
	fault_wrap(&fault, result->answered ? "%.*s" : "the token endpoint %.*s",
	           SPAN_ARGS(host_field(&endpoint->host, endpoint->port, endpoint->tls, &job->arena)));
	fail(job, fault.text, result->answered && job->answer.final, result->retry_after);
}

/* A JWT that goes out itself. Its `exp` counts from the begin of the second in which it was made: its life does so, too. */
static void take_own(struct job *job)
{
	uint64_t second = job->request.life > 1 ? 999 : 500;
	job->answer = (struct token_answer){.token = job->request.token, .life = job->request.life};
	job->asked -= job->asked < second ? job->asked : second;
	take_token(job);
}

static void ask(struct job *job)
{
	struct token_secrets secrets = minter_secrets(job->snapshot->secrets, job->credential);
	struct fault fault = FAULT_INIT;
	unsigned char jti[TOKEN_JTI];
	secret_random(jti, sizeof jti);
	job->asked = steady_now();
	job->answer = (struct token_answer){0};
	job->outdated = false;
	if (job->chain) {
		job->chain->busy = true;
		job->used = arena_span(&job->arena, job->chain->current); /* the vault may have been told after the last look at it */
		secrets.refresh = job->used;
	}
	job_become(job, JOB_ASKS);
	if (job->chain && !chain_stores(job, &fault)) {
		fail(job, fault.text, false, 0);
	} else if (!token_request_make(job->credential, &secrets, time(NULL), jti, &job->arena, &job->request, &fault)) {
		fail(job, fault.text, true, 0);
		job->again = NEVER;
	} else if (job->request.asks) {
		job->ask = ask_start(job, on_asked);
	} else {
		take_own(job);
	}
}

/* When it would be asked for, if nobody else had the refresh token; UINT64_MAX: not by itself. */
static uint64_t wanted(const struct job *job)
{
	uint64_t due = job->memory ? job->renew : 0;
	if (job->state != JOB_RESTS || job->retired || job->minter->stopping || !is_ready(job) || (job->chain && !job->chain->current.length))
		return NEVER;
	return due > job->again ? due : job->again;
}

uint64_t job_due(const struct job *job)
{
	if (job->state == JOB_KEEPS)
		return job->again;
	bool waits = job->chain && job->chain->busy; /* who has it makes all jobs look when he is done */
	return waits ? NEVER : wanted(job);
}

bool job_pends(const struct job *job, uint64_t now)
{
	if (secrets_pending(job->minter->snapshot->secrets, job->credential))
		return true; /* it is asked for as soon as these are there */
	return job->state == JOB_ASKS || job->state == JOB_STORES || wanted(job) <= now;
}

void job_advance(struct job *job, uint64_t now)
{
	if (job->store)
		store_look(job->store);
	if (job_due(job) > now)
		return;
	if (job->state != JOB_KEEPS)
		ask(job);
	else
		store(job);
}

bool job_owes(const struct job *job)
{
	return job->state == JOB_STORES || (job->state == JOB_ASKS && job->chain);
}

void job_free(struct job *job)
{
	if (job->ask)
		ask_cancel(job->ask);
	if (job->store)
		store_join(job->store);
	if (job->state == JOB_KEEPS)
		log_error("the refresh token that credential %s got last is in no vault, and is lost: get a new one, and store it with "
		          "creds set %s", job->credential->name, job->chain->name);
	secret_arena_free(job->memory);
	arena_free(&job->arena);
	snapshot_unref(job->snapshot);
	free(job->why);
	free(job->key);
	free(job);
}
