/* What the files of the minter share: minter.c (the thread, what is published), minter_job.c (when one token is made, and
 * what becomes of answers), minter_ask.c (one request to a token endpoint), minter_chain.c (refresh tokens, and storing
 * them). For no other room. */
#ifndef KEYSTILE_MINTER_INTERNAL_H
#define KEYSTILE_MINTER_INTERNAL_H

#include "minter.h"
#include "secret.h"
#include "token_answer.h"

struct ask;
struct store;

/* A refresh token, as its vault entry names it. It is used by one job at a time, since using it may replace it. */
struct chain {
	struct chain *next;
	char *name;                  /* of the vault entry */
	struct secret_arena *memory; /* of both values */
	struct span current;         /* the one to be used; empty: there is none */
	struct span seen;            /* what the last look at the vault found: another one is the operator's */
	unsigned replacements;       /* how often the operator has put another one there */
	uint64_t stored;             /* when we have put one there; what a look found before that tells nothing any more */
	bool storable;               /* the vault could be written: a replacement is not asked for once it cannot be */
	bool busy;
};

enum job_state {
	JOB_RESTS,  /* until the token is due, or another try is */
	JOB_ASKS,   /* the endpoint is asked */
	JOB_STORES, /* a new refresh token is being stored; the answer waits for that */
	JOB_KEEPS,  /* it could not be stored, and is kept until it can */
};

/* One token, for every credential that would ask for the same in the same way. */
struct job {
	struct minter *minter;
	struct snapshot *snapshot;                  /* by which the next request is made; a reference */
	const struct config_credential *credential; /* of its configuration, the first of those */
	char *key;                                  /* what makes two the same */
	bool retired;                               /* the configuration has none such any more: it goes once it rests */
	enum job_state state;
	struct chain *chain;         /* NULL: no refresh token */
	unsigned replacements;       /* the chain's, as far as this job knows */
	struct ask *ask;             /* JOB_ASKS */
	struct store *store;         /* JOB_STORES */
	struct arena arena;          /* of the request, and of its answer while that waits; wiped in JOB_RESTS */
	struct token_request request;
	struct token_answer answer;
	struct span used;            /* the refresh token that was shown, in the arena */
	bool outdated;               /* meanwhile other secrets are there: what comes is not for long */
	uint64_t asked;              /* when the request began: a token's life is counted from there */
	struct secret_arena *memory; /* of the token; NULL: there is none */
	struct minted_token token;   /* `why`, `pending` and `again` are filled in when it is published */
	uint64_t made, renew;        /* when it came, and when it is due */
	unsigned spent;              /* tokens one after another that upstreams did not take */
	unsigned failures;           /* one after another */
	uint64_t again;              /* after a failure: not before; UINT64_MAX: not with these secrets */
	char *why;                   /* what went wrong last; NULL: nothing */
};

struct minter {
	struct server *server;
	pthread_t thread;
	struct loop *loop;
	struct dialer *dialer;
	struct upstream_pool *pool;
	struct snapshot *snapshot; /* the newest that it has heard of */
	struct job **jobs;
	size_t job_count, job_capacity;
	struct job **job_of;       /* by the credential's number; NULL: it has no token that is minted */
	struct chain *chains;
	struct loop_timer timer;
	struct loop_task advance;  /* looks what is to be done, at the end of the round */
	bool changed;              /* something is to be published */
	bool stopping;
	atomic_bool retry_asked, stop_asked, end_asked, ended;
};

/* ---- minter_job.c ---- */

/* Begins what can be done now. */
void job_advance(struct job *job, uint64_t now);
/* When there is something to do again; UINT64_MAX: not by itself. */
uint64_t job_due(const struct job *job);
/* Is a token being made, or about to be? */
bool job_pends(const struct job *job, uint64_t now);
/* Has the operator replaced its refresh token, by the snapshot's secrets? */
bool job_takes_refresh(struct job *job);
/* Goes on by another snapshot, whose credential asks for the same. */
void job_take_snapshot(struct job *job, struct snapshot *snapshot, const struct config_credential *credential);
void job_take_spent(struct job *job);
void job_retry(struct job *job);
bool job_owes(const struct job *job); /* is something under way that would be lost? */
void job_free(struct job *job);

/* ---- minter_ask.c ---- */

struct ask_result {
	bool answered;
	struct token_reply reply; /* answered; valid during the call */
	const struct secrets *secrets; /* that the request was made from, */
	const struct config_credential *credential; /* and for whom, of that time's configuration */
	unsigned retry_after;     /* s; 0: it did not say */
	char why[400];            /* not answered */
};

/* Sends the job's request, in 30 s at most. `done` is called once, never from within this call; the ask is over then. */
struct ask *ask_start(struct job *job, void (*done)(struct job *job, const struct ask_result *result));
void ask_cancel(struct ask *ask);

/* ---- minter_chain.c ---- */

struct store_result {
	bool stored;
	bool replaced;       /* not stored: the vault has one that the operator put there, chain->current from now on */
	struct fault fault;  /* neither; with what it is, where that is what proxyd gave up */
};

/* The chain of that vault entry, made where it is new. */
struct chain *chain_find(struct minter *minter, const char *name);
/* What a look at the vault found: where it is another one than before, and than the one in use, it is the operator's. A
 * look that may have been before we stored one is of no account: storing found that the operator had put none there. */
void chain_take(struct chain *chain, const struct secret_value *value);
void chain_free_all(struct minter *minter);

/* Could another refresh token be stored now? True also where it never could be: what proxyd started with was warned of, and
 * an endpoint that replaces none needs no writing. */
bool chain_stores(const struct job *job, struct fault *fault);

/* Stores `fresh` in the place of `old` in the vault entry of the job's chain, on a thread of its own: a vault may be
 * somebody else's for 30 s. `done` is called once, on the minter's thread, never from within this call; chain->current is
 * then what the vault has. */
struct store *store_start(struct job *job, struct span old, struct span fresh,
                          void (*done)(struct job *job, const struct store_result *result));
/* Is it done? Then `done` has been called, and it is over. On each wake of the loop. */
bool store_look(struct store *store);
void store_join(struct store *store); /* waits for it; `done` is not called */

#endif
