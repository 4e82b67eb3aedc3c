/* Where a secret or a key comes from, as the configuration names it. Only the name: reading is secrets.h's and
 * keysource.h's work. */
#ifndef KEYSTILE_SOURCE_H
#define KEYSTILE_SOURCE_H

#include "fault.h"
#include "span.h"

enum source_kind {
	SOURCE_NONE,
	SOURCE_VAULT,           /* vault:NAME */
	SOURCE_FILE,            /* file:PATH */
	SOURCE_ENV,             /* env:NAME */
	SOURCE_SYSTEMD,         /* systemd:NAME, in $CREDENTIALS_DIRECTORY */
	SOURCE_EXEC,            /* exec:COMMAND, split as a shell splits words, run without one */
	SOURCE_PASSPHRASE,      /* passphrase, asked on the terminal; keys only */
	SOURCE_PASSPHRASE_FILE, /* passphrase:file:PATH; keys only */
};

struct source {
	enum source_kind kind;
	char *name; /* NAME, PATH (resolved against the configuration's folder) or COMMAND; NULL for SOURCE_PASSPHRASE */
	char *text; /* as written, for messages */
};

/* Parses a secret's source (vault, file, env, systemd, exec). Relative paths start at `folder`. */
bool source_parse(struct span text, const char *folder, struct source *source, struct fault *fault);

/* Parses a key's source (file, systemd, passphrase, passphrase:file:PATH). */
bool source_parse_key(struct span text, const char *folder, struct source *source, struct fault *fault);

/* The words of an exec command: quotes '…' and "…" and backslashes as in a shell, nothing else is special. Returns a
 * NULL-terminated list, one block that the caller frees with free(), or NULL (an open quote, no word). */
char **source_words(const char *command);

struct source source_copy(const struct source *source);
void source_free(struct source *source);

/* May `name` name a secret: [A-Za-z0-9][A-Za-z0-9._-]{0,127}? */
bool source_is_secret_name(struct span name);

#endif
