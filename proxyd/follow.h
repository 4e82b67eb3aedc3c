/* Keeps what is served true to the files (SPEC §11): keystile.yaml, and all that it names.
 *
 * Runs on the main thread's loop. Files are looked at once nothing has been told of them for a short while, and every 30 s
 * whatever was told. A new version that is none is refused, with its reason, and the last good one stays. */
#ifndef KEYSTILE_FOLLOW_H
#define KEYSTILE_FOLLOW_H

#include "content.h"
#include "loop.h"
#include "server.h"

struct follow;

/* The configuration as it was loaded at start. */
struct follow_file {
	const char *path;
	bool found_here;     /* as config_load() has it */
	struct content seen; /* follow_content(), from before it was loaded: so what is written while proxyd starts is found */
};
struct content follow_content(const char *path);

/* Watches from here on, and reads the configuration again if it is not what was seen. `file` is copied. */
struct follow *follow_start(struct server *server, struct loop *loop, const struct follow_file *file);
/* SIGHUP: looks at configuration and files at once, runs commands again, asks again for tokens that could not be had, and opens the
 * audit file anew. */
void follow_all(struct follow *follow);
void follow_stop(struct follow *follow); /* NULL is fine */

#endif
