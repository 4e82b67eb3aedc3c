/* What a command is about: the configuration, the profile, the proxy's address as the program reaches it, the key. */
#ifndef KEYSTILE_SUBJECT_H
#define KEYSTILE_SUBJECT_H

#include "commands.h"
#include "environment.h"

enum subject_part {
	SUBJECT_PROFILE = 1,   /* --profile, or the only one */
	SUBJECT_ADVERTISE = 2, /* --advertise, or the configuration's */
	SUBJECT_KEY = 4,       /* session.key, made where it is absent */
};

struct subject {
	struct config *config;
	struct token_key key;
	struct environment_request request; /* config, and the parts that were asked for; points into the two above */
};

/* Loads the configuration and what else `parts` asks for. Errors of the configuration are told here, all of them: the
 * fault stays without text then. `subject` is freed by the caller, also where this fails, and never copied. */
bool subject_load(const struct options *options, unsigned parts, struct subject *subject, struct fault *fault);
void subject_free(struct subject *subject); /* wipes the key */

#define AUTO_SUBJECT __attribute__((cleanup(subject_free)))

#endif
