/* Who is it: finds the token that a request shows (SPEC §9). Pure. */
#ifndef KEYSTILE_AUTHENTICATE_H
#define KEYSTILE_AUTHENTICATE_H

#include "arena.h"
#include "message.h"
#include "token.h"

/* What a request showed. */
struct shown {
	bool anything;                   /* something stood where a token may stand */
	const struct token_entry *other; /* a good token, but not one that opens this; NULL */
	struct span field;               /* the field in which a good token stood that may not stand there; empty: none */
};

/* At a reverse endpoint: in the place and form of each injection (header by its template, query parameter, path segment,
 * cookie, access key id of an AWS signature, which itself says nothing, since the agent has no key), as the password of Basic with any user (or its user where there is no password), as Bearer, or as an entry of
 * Sec-WebSocket-Protocol. Several places may show something; one that shows a token of this credential is enough, since
 * every one of them is removed before the request goes on. NULL: none does, and `*shown` tells what was there.
 *
 * `rest` is the canonical path behind /NAME, empty where it cannot be read; `query` is as it came. */
const struct token_entry *authenticate_reverse(const struct token_table *tokens,
                                               const struct config_credential *credential,
                                               const struct request *request, struct span rest, struct span query,
                                               struct arena *arena, struct shown *shown);

/* Proxy-Authorization alone: Basic or Bearer, as above. */
const struct token_entry *authenticate_proxy(const struct token_table *tokens, const struct request *request,
                                             struct arena *arena, struct shown *shown);

/* Any good token in Authorization, whatever it opens: for hints to somebody who has one. NULL: none. */
const struct token_entry *authenticate_anyone(const struct token_table *tokens, const struct request *request,
                                              struct arena *arena);

#endif
