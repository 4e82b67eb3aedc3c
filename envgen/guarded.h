/* What a program must not get at while it runs: the files and folders by which one has a secret or the right to change
 * one (SPEC §6). Where the configuration says they are; looking at the disk is cover.h's work, but for the files that an
 * exec: command names. */
#ifndef KEYSTILE_GUARDED_H
#define KEYSTILE_GUARDED_H

#include "config.h"

struct guarded_path {
	char *path; /* absolute; need not exist */
	char *what; /* "the vault" */
	bool folder;
	int access; /* as access(2) has it: what a program that can do this could use it for */
};

struct guarded {
	struct guarded_path *list;
	size_t count, capacity;
};

/* Vault, keys, files of secrets, the CA's key, the state folder, the admin socket, the folder of systemd's credentials.
 * `guarded` starts as zeros. */
void guarded_find(const struct config *config, struct guarded *guarded);
void guarded_free(struct guarded *guarded);

#endif
