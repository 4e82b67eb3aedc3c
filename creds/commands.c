#include "commands.h"

#define MANY ((size_t)-1)

const struct command command_list[] = {
	{"init", "init", "make the vault, its key file and the session key, where absent", 0, 0, 0, true, command_init},
	{"set", "set NAME [--from-file FILE] [--expires WHEN]", "store a secret, from the terminal, a pipe or a file", 1, 1,
	 OPTION_FROM_FILE | OPTION_EXPIRES, true, command_set},
	{"list", "list [--json]", "names, ages, expiry, and who uses each", 0, 0, OPTION_JSON, true, command_list_secrets},
	{"show", "show NAME [--json]", "all about one secret but its value", 1, 1, OPTION_JSON, true, command_show},
	{"reveal", "reveal NAME", "write a secret's value to standard output", 1, 1, 0, true, command_reveal},
	{"rm", "rm NAME...", "remove secrets", 1, MANY, 0, true, command_rm},
	{"import", "import FILE.env [NAME...]", "store what an .env file has, all of it or nothing", 1, MANY, 0, true,
	 command_import},
	{"rekey", "rekey [--with SOURCE]... [--drop]", "seal the vault anew, under a new data key", 0, 0,
	 OPTION_WITH | OPTION_DROP, true, command_rekey},
	{"key add", "key add SOURCE", "let one more key open the vault", 1, 1, 0, true, command_key_add},
	{"key rm", "key rm ID", "take a key away", 1, 1, 0, true, command_key_rm},
	{"key list", "key list [--json]", "the keys that open the vault", 0, 0, OPTION_JSON, true, command_key_list},
	{"verify", "verify [--json]", "open the vault and say how it stands", 0, 0, OPTION_JSON, true, command_verify},
	{"accept-older", "accept-older", "take an older copy of the vault for the right one", 0, 0, 0, true,
	 command_accept_older},
	{"keygen", "keygen FILE", "make a key file", 1, 1, 0, false, command_keygen},
};

const size_t command_count = sizeof command_list / sizeof *command_list;
