/* The commands of creds: a table, and what every command is given. */
#ifndef KEYSTILE_COMMANDS_H
#define KEYSTILE_COMMANDS_H

#include "target.h"

enum command_option {
	OPTION_JSON = 1,
	OPTION_FROM_FILE = 2,
	OPTION_EXPIRES = 4,
	OPTION_WITH = 8,
	OPTION_DROP = 16,
};

struct options {
	const char *config, *vault, *key; /* where the vault is; every command takes these */
	const char *from_file, *expires;
	const char *with[VAULT_SLOTS];
	size_t with_count;
	bool json, drop;
	unsigned given; /* of enum command_option */
};

struct call {
	const struct options *options;
	const struct target *target; /* of a command that needs no vault: NULL */
	char **words;                /* behind the command's name */
	size_t count;
};

struct command {
	const char *name; /* one word or two: "key add" */
	const char *usage, *summary;
	size_t least, most; /* words behind the name */
	unsigned options;
	bool needs_vault;
	bool (*run)(const struct call *call, struct fault *fault); /* false: failed, and the fault says why */
};

extern const struct command command_list[];
extern const size_t command_count;

/* commands_vault.c */
bool command_init(const struct call *call, struct fault *fault);
bool command_verify(const struct call *call, struct fault *fault);
bool command_accept_older(const struct call *call, struct fault *fault);
bool command_keygen(const struct call *call, struct fault *fault);

/* commands_secret.c */
bool command_set(const struct call *call, struct fault *fault);
bool command_reveal(const struct call *call, struct fault *fault);
bool command_rm(const struct call *call, struct fault *fault);

/* commands_list.c */
bool command_list_secrets(const struct call *call, struct fault *fault);
bool command_show(const struct call *call, struct fault *fault);

/* commands_key.c */
bool command_key_add(const struct call *call, struct fault *fault);
bool command_key_rm(const struct call *call, struct fault *fault);
bool command_key_list(const struct call *call, struct fault *fault);
bool command_rekey(const struct call *call, struct fault *fault);

/* import.c */
bool command_import(const struct call *call, struct fault *fault);

#endif
