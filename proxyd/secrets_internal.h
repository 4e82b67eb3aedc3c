/* What the files of secrets share: secrets.c (one set: what is read, kept, and compared), secrets_read.c (one source). For no other
 * room. */
#ifndef KEYSTILE_SECRETS_INTERNAL_H
#define KEYSTILE_SECRETS_INTERNAL_H

#include <stdatomic.h>

#include "buffer.h"
#include "secret.h"
#include "secrets.h"
#include "secrets_vault.h"
#include "table.h"

/* One source, however many credentials use it. */
struct entry {
	char *key; /* what makes two uses of a source the same */
	const struct source *source;
	bool lines;    /* line breaks inside are fine */
	uint64_t ttl;  /* seconds; exec alone */
	uint64_t made;  /* exec: when, in minted_now() time */
	unsigned spent; /* exec: how many values before this one were spent, one soon after another */
	char *why, *stale;
	struct secret_value value;
};

struct secrets {
	atomic_uint references;
	struct entry *entries;
	size_t count, capacity;
	size_t **used; /* for each credential and each of its secrets: which entry */
	size_t credentials;
	size_t parent; /* the entry of the parent proxy's `auth`, from 1; 0: none */
	struct table by_key;
	struct secret_arena *arena;
	struct held_key *held;
	char **vault_warnings;
	size_t warning_count, warning_capacity;
};

/* What one look at a source found. */
struct find {
	struct buffer raw;
	struct span value; /* within `raw` */
	char *why;         /* NULL: a good value */
	bool withdrawn;    /* the operator took it away: the last good value goes too */
};

struct look {
	const struct config *config;
	const struct secrets *previous;
	struct spent *spent;
	time_t now;
	struct find *finds;
	bool vault_tried;
	uint64_t vault_opened; /* in minted_now() time; from then on it is read */
	struct vault *vault;
	struct fault vault_fault;
};

/* secrets_read.c: what the entry's source gives, cleaned and judged. */
void secrets_read(struct look *look, struct secrets *secrets, const struct entry *entry, struct find *find);

#endif
