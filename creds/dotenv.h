/* Reading an .env file as docker compose reads one (compose-go's dotenv). Pure.
 *
 * NAME=VALUE or NAME: VALUE, `export` in front; '#' begins a comment on a line of its own, or behind a blank and an
 * unquoted value; '…' is literal but for \'; "…" knows \a \b \f \n \r \t \v \" \\ \$ and \0 with three octal digits; both
 * may have lines. `$$` is a `$`. What compose would replace ($NAME, ${NAME}) is refused, since nobody can tell whether it
 * belongs to the secret; so is a name without a value, which compose takes from its environment. */
#ifndef KEYSTILE_DOTENV_H
#define KEYSTILE_DOTENV_H

#include "buffer.h"
#include "fault.h"
#include "span.h"

/* Starts as {.rest = text, .line = 1}; ended by dotenv_end(), which wipes the last value. */
struct dotenv {
	struct span rest;
	unsigned line;
	struct buffer value, unescaped;
};

struct dotenv_entry {
	struct span name;  /* into the text; after DOTENV_WRONG maybe empty, and not to be shown */
	struct span value; /* valid until the next call */
	unsigned line;     /* where the name is, from 1 */
};

enum dotenv_result { DOTENV_END, DOTENV_ENTRY, DOTENV_WRONG };

/* After DOTENV_WRONG (the fault says why, and quotes nothing: it may be a secret) reading goes on behind it. */
enum dotenv_result dotenv_next(struct dotenv *reader, struct dotenv_entry *entry, struct fault *fault);
void dotenv_end(struct dotenv *reader);

#endif
