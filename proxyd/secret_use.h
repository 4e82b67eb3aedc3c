/* Where the configuration uses a secret, and which uses are the same: what is the same is read, or run, once. Pure. */
#ifndef KEYSTILE_SECRET_USE_H
#define KEYSTILE_SECRET_USE_H

#include "config.h"

/* Borrows from the configuration. */
struct secret_use {
	const struct source *source;
	bool lines;        /* line breaks inside are fine */
	uint64_t ttl;      /* ms; exec alone: how long a value is good. 0: without end */
	const char *group; /* whose secrets belong together, and are read by themselves: the credential; "": it stands alone */
};

/* How many sources a credential has: its secrets, and behind them the key of its `client:`. */
size_t secret_use_count(const struct config_credential *credential);
struct secret_use secret_use_of(const struct config_credential *credential, size_t index);
struct secret_use secret_use_of_parent(const struct config *config); /* which has an `auth` */

/* Two uses with one key are the same. The caller frees it. */
char *secret_use_key(struct secret_use use);

/* The source as it may be shown: of a command the program alone, since an argument may hold what should not be. The caller frees it. */
char *secret_use_label(const struct source *source);

/* Why what a source gave is no secret (secret_clean()), with what to do about it. The caller frees it. */
char *secret_use_unfit(const struct source *source, bool lines, const char *unfit);

#endif
