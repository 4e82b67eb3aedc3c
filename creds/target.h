/* Which vault a command is about: what the command line says, else the configuration, else the files of this folder. */
#ifndef KEYSTILE_TARGET_H
#define KEYSTILE_TARGET_H

#include "config.h"
#include "vault.h"

struct options;

struct target {
	struct config *config;  /* NULL: none was found, or none was needed */
	char *vault_file;
	struct source vault_key;
	struct source session_key; /* SOURCE_NONE: no session key (session: none, or --vault) */
	bool vault_assumed;     /* neither the command line nor the configuration names the vault */
};

/* Tells the errors of a configuration itself, on standard error. */
bool target_find(const struct options *options, struct target *target, struct fault *fault);
void target_free(struct target *target);

/* The place of the vault, with a terminal to ask on. */
struct vault_place target_place(const struct target *target);

/* vault_open() and vault_edit(), with the warnings told. */
struct vault *target_open(const struct target *target, struct fault *fault);
struct vault *target_edit(const struct target *target, struct fault *fault);
void target_tell_warnings(const struct vault *vault);

#endif
