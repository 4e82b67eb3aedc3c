/* The HTTP clients that `envgen verify` knows: a table.
 *
 * A client is started by its probe, a short program in envgen/probes, which is compiled in and put into the folder where
 * the clients run:
 *
 *     RUNTIME PROBE CLIENT version          prints the client's version, and " http" behind it where it does no https
 *                                           here; fails where it is not installed
 *     RUNTIME PROBE CLIENT get URL...       asks for each URL once, ignores what becomes of it, gives up after 5 s
 *
 * A client is added with a row in verify_clients.c and a branch in a probe. */
#ifndef KEYSTILE_VERIFY_CLIENTS_H
#define KEYSTILE_VERIFY_CLIENTS_H

#include <stddef.h>

struct verify_client {
	const char *name;          /* as it is told */
	const char *program;       /* without it in PATH the client is not installed */
	const char *runtime[6];    /* the beginning of its command, the probe's file last, and NULL */
	const char *word;          /* what the probe calls it */
	const char *hint;          /* what helps where it goes past the proxy; NULL: nothing of its own */
	const char *password_hint; /* the same where it comes without the proxy's password */
};

extern const struct verify_client verify_client_list[];
extern const size_t verify_client_count;

/* One probe; generated at build time from envgen/probes. */
struct verify_probe {
	const char *file, *text;
	size_t length;
};

extern const struct verify_probe verify_probe_list[];
extern const size_t verify_probe_count;

#endif
