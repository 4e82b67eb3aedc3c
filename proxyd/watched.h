/* The files that a configuration has proxyd read, and so watch (SPEC §11). */
#ifndef KEYSTILE_WATCHED_H
#define KEYSTILE_WATCHED_H

#include "config.h"

/* Absolute paths; some may be there twice. */
struct watched {
	char **list;
	size_t count, capacity;
};

/* `file:` and `systemd:` sources, the vault and its key, the session key, `ca:`, `client:` and `tls:` files. */
void watched_find(const struct config *config, struct watched *watched);
void watched_add(struct watched *watched, const char *path); /* copied; NULL is nothing */
void watched_free(struct watched *watched);

/* The same path, from the root. The caller frees it. */
char *watched_absolute(const char *path);

#endif
