/* What the files of secrets share: secrets.c (one set: what is read, kept, and compared), secrets_read.c (one source). For no other
 * room. */
#ifndef KEYSTILE_SECRETS_INTERNAL_H
#define KEYSTILE_SECRETS_INTERNAL_H

#include <stdatomic.h>

#include "buffer.h"
#include "file.h"
#include "secret.h"
#include "secrets.h"
#include "secrets_vault.h"
#include "table.h"

/* One source, however many credentials use it. */
struct entry {
	char *key; /* what makes two uses of a source the same */
	const struct source *source;
	bool lines;    /* line breaks inside are fine */
	uint64_t dropped; /* exec: all numbers up to this one are not to be used any more */
	char *why, *stale;
	unsigned unsettled; /* it is what it was so many looks before: its file was too fresh at each since */
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
	struct vault_print *vault_print; /* by which a later look may go without opening it; NULL: it may not */
	char **vault_warnings;
	size_t warning_count, warning_capacity;
	bool unsettled;
	bool state_lost; /* the vault was opened, and its generation could not be kept */
};

/* What one look at a source found. */
struct find {
	struct buffer raw;
	struct span value; /* within `raw` */
	char *why;         /* NULL: a good value */
	char *path;        /* of the file that was read; NULL: none was */
	struct file_print print; /* of that file, before it was read */
	bool unsettled;    /* the file has not been still for long enough */
	bool withdrawn;    /* the operator took it away: the last good value goes too */
	bool clean;        /* `value` was judged before */
};

struct look {
	const struct config *config;
	const struct secrets *previous;
	struct commands *commands;
	unsigned still;      /* ms for which a file was not changed; 0: as it stands */
	time_t now;          /* the date */
	struct find *finds;
	bool vault_tried;
	bool vault_fits; /* it is as it was at `previous` */
	uint64_t vault_opened; /* in steady_now() time; from then on it is read */
	struct vault *vault;
	struct fault vault_fault;
};

/* secrets_read.c: what the entry's source gives, cleaned and judged; of a command, see commands.h. */
void secrets_read(struct look *look, struct secrets *secrets, const struct entry *entry, struct find *find);
/* Behind the last of them. */
void secrets_read_end(struct look *look, struct secrets *secrets);

/* secrets.c: the same source at the look before; NULL: it was not looked at. */
const struct entry *secrets_last_look(const struct look *look, const struct entry *entry);
/* The same file: keeps a line of what the vault had to tell. */
void secrets_keep_warning(struct secrets *secrets, const char *line);

#endif
