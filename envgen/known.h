/* The names of variables that lead a program to a proxy, a CA, an API or its secret: those that envgen sets or takes away
 * in the environment of a program that it runs (SPEC §6). Upper and lower case are the same. Pure. */
#ifndef KEYSTILE_KNOWN_H
#define KEYSTILE_KNOWN_H

#include "config.h"

struct known;

/* The names of proxy and CA settings, of git's own configuration, of every preset and every credential of `config`, of its
 * env: sources, CREDENTIALS_DIRECTORY and KEYSTILE_*. */
struct known *known_new(const struct config *config);
bool known_has(const struct known *known, struct span name);
void known_free(struct known *known); /* NULL is fine */

#endif
