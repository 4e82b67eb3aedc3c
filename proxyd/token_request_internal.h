/* What the files of token_request*.c share. */
#ifndef KEYSTILE_TOKEN_REQUEST_INTERNAL_H
#define KEYSTILE_TOKEN_REQUEST_INTERNAL_H

#include "buffer.h"
#include "token_request.h"

/* A request while it is made. */
struct making {
	const struct config_credential *credential;
	const struct injection *injection;
	const struct token_secrets *secrets;
	uint64_t now;
	const unsigned char *jti;
	struct arena *arena;
	struct token_request *out;
};

/* One way to get a token. */
struct token_kind {
	bool (*fits)(const struct making *making, struct fault *fault); /* `arena` and what concerns secrets alone is set */
	bool (*make)(const struct making *making, struct fault *fault);
};
extern const struct token_kind token_kind_jwt, token_kind_github, token_kind_google;

/* What the injection says; empty where it does not say so. */
struct span token_parameter(const struct injection *injection, const char *name);

/* Sets where the request goes. The configuration, or who read the URL, has judged it. */
void token_endpoint(const struct making *making, struct span url);

/* A form (WHATWG URL §5.2; RFC 6749 appendix B), in the arena. */
struct token_field {
	const char *name;
	struct span value; /* empty: the field is left out */
};

struct span token_form_body(const struct making *making, const struct token_field *fields, size_t count);

#endif
