/* What is asked of a token endpoint, for a credential with `oauth2:` or `jwt:`: OAuth 2.0 (RFC 6749 §4.4, §6), a JWT as a grant
 * (RFC 7523 §2.1), or a GitHub App's installation. Pure, the time and the random bytes are passed.
 *
 * All that is made lies in an arena, which its owner wipes: secrets, and JWTs that are as good as them, are in there. No fault
 * tells a byte of a secret. */
#ifndef KEYSTILE_TOKEN_REQUEST_H
#define KEYSTILE_TOKEN_REQUEST_H

#include <time.h>

#include "arena.h"
#include "config.h"
#include "fault.h"

#define TOKEN_JTI 16                     /* random bytes for a JWT's name */
#define TOKEN_MOST_LIFE (30ull * 86400) /* s: longer than that no token is kept */

/* The credential's secrets by their ids; empty: it has none of that id. */
struct token_secrets {
	struct span id, key, refresh, secret;
};

/* How the endpoint's answer is read. */
enum token_form { TOKEN_OAUTH2, TOKEN_GITHUB };

/* What is shown to the endpoint, for what is said where it refuses. */
enum token_grant {
	GRANT_CLIENT,    /* id and key */
	GRANT_REFRESH,   /* a refresh token */
	GRANT_ASSERTION, /* a JWT */
	GRANT_APP,       /* a GitHub App's JWT */
};

struct token_request {
	bool asks; /* false: nobody is asked; `token` is the JWT itself, good for `life` seconds, and the rest is not set */
	struct origin endpoint;    /* to judge where it goes; */
	const char *url;           /* the same as text, with the query where there is one. It is a POST. */
	const char *authorization; /* the field's value; NULL: it is not sent */
	const char *accept;        /* the field's value */
	struct span body;          /* application/x-www-form-urlencoded; empty: the endpoint wants none */
	enum token_form form;
	enum token_grant grant;
	struct span token;
	uint64_t life; /* s */
};

/* Does the credential get its token in this way? */
bool token_request_applies(const struct config_credential *credential);

/* Are the secrets what the credential's injection needs: a key of the right kind, a service account's JSON? FAULT_BROKEN says
 * what is wrong, with the secret's id in front. */
bool token_request_fits(const struct config_credential *credential, const struct token_secrets *secrets,
                        struct fault *fault);

/* Makes a request from secrets that are there. False as token_request_fits(). */
bool token_request_make(const struct config_credential *credential, const struct token_secrets *secrets, time_t now,
                        const unsigned char jti[TOKEN_JTI], struct arena *arena, struct token_request *out,
                        struct fault *fault);

/* How long a token is good whose endpoint does not say, and a JWT that goes out itself, in seconds: the credential's `ttl`. */
uint64_t token_request_life(const struct config_credential *credential);

#endif
