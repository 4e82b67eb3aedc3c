/* What a token endpoint answered: OAuth 2.0's (RFC 6749 §5), or GitHub's for an installation. Pure.
 *
 * The endpoint may be wrong, broken or somebody else's: nothing of its answer is told but the status, and the code of an error
 * that has nothing of a secret in it. */
#ifndef KEYSTILE_TOKEN_ANSWER_H
#define KEYSTILE_TOKEN_ANSWER_H

#include "token_request.h"

#define TOKEN_MOST ((size_t)16 << 10) /* bytes of a token */

/* What was asked, of which the words depend where it was refused. */
struct token_asked {
	const struct config_credential *credential;
	const struct token_secrets *secrets;
	const struct token_request *request;
};

/* What came. */
struct token_reply {
	unsigned status;
	struct span body;       /* JSON_MOST bytes at most */
	time_t now, server_now; /* by our clock, and by its Date field; 0: it has none */
};

struct token_answer {
	struct span token;   /* visible ASCII; in the arena */
	struct span refresh; /* to be stored before the token is used, in the arena; empty: the old one stays */
	uint64_t life;       /* s, 1 to TOKEN_MOST_LIFE */
	bool life_told;      /* false: the endpoint does not say, and this is token_request_life() */
	bool final;          /* where there is none: asking again with the same secrets cannot help */
};

/* Reads an answer. False with a fault that says what to do about it: FAULT_DENIED where the endpoint refuses, FAULT_BUSY where it
 * cannot answer now, FAULT_BROKEN where its answer is none. The arena's owner wipes it. */
bool token_answer_read(const struct token_asked *asked, const struct token_reply *reply, struct arena *arena,
                       struct token_answer *answer, struct fault *fault);

#endif
