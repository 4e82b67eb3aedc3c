/* What became of looks at configuration and secrets: how many, when, and why the last one failed. Any thread. */
#ifndef KEYSTILE_RELOADS_H
#define KEYSTILE_RELOADS_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

enum reload_kind { RELOAD_CONFIGURATION, RELOAD_SECRETS, RELOAD_KINDS };

/* The word for logs and metrics: "configuration". Static. */
const char *reload_name(enum reload_kind kind);

struct reload {
	uint64_t done, failed; /* beside the first load, with which proxyd starts */
	time_t loaded;         /* the last one that was done, or the first load */
	time_t failed_at;      /* 0: the last one did not fail */
	char why[512];         /* where it did; never a secret */
};

struct reloads {
	pthread_mutex_t lock;
	time_t started;
	struct reload kinds[RELOAD_KINDS];
};

void reloads_begin(struct reloads *reloads); /* all was loaded just now */
/* One that changed something, or (`why` not NULL) could not. A success clears the failure that was told. */
void reloads_note(struct reloads *reloads, enum reload_kind kind, const char *why);
struct reload reloads_get(struct reloads *reloads, enum reload_kind kind);

#endif
