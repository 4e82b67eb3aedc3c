/* The environment of a sandboxed program: names and values, each with its reason (SPEC §6). Pure. */
#ifndef KEYSTILE_ENVIRONMENT_H
#define KEYSTILE_ENVIRONMENT_H

#include "config.h"
#include "token.h"

struct variable {
	char *name, *value; /* the value may hold a session token */
	char *reason;       /* whom it is for: "the proxy", "credential openai" */
};

struct environment {
	struct variable *list;
	size_t count, capacity;
	char **tokens; /* session tokens that it holds, as they stand in its values; none under session: none */
	size_t token_count, token_capacity;
	char **left_out; /* what is not in it, and why: one line each */
	size_t left_out_count, left_out_capacity;
};

/* For whom, and through which proxy. */
struct environment_request {
	const struct config *config;
	const struct config_profile *profile;
	const struct token_key *key; /* NULL: session: none */
	struct authority advertise;  /* with a port */
	struct environment_trust {   /* what proxyd writes for clients to trust, as the client sees it; NULL: nothing to trust */
		char *ca, *bundle, *store;
	} trust;
	size_t most;                 /* bytes that NAME=value of NO_PROXY may have; 0: as many as a program can be given */
};

/* FAULT_USAGE where one name would have two values. `environment` starts as zeros. */
bool environment_make(const struct environment_request *request, struct environment *environment, struct fault *fault);

/* The value of a variable, valid as long as the environment; empty where it has none of that name. */
struct span environment_value(const struct environment *environment, const char *name);

void environment_leave_out(struct environment *environment, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void environment_free(struct environment *environment); /* wipes the values */

#endif
