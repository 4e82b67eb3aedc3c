/* Who is it: finds the token that a request shows (SPEC §9). Pure. */
#ifndef KEYSTILE_AUTHENTICATE_H
#define KEYSTILE_AUTHENTICATE_H

#include "arena.h"
#include "message.h"
#include "token.h"

/* At a reverse endpoint: in the place and form of each injection (header by its template, basic password, query
 * parameter, path segment, cookie), or as Basic with any user, as Bearer, or a Sec-WebSocket-Protocol entry. The first
 * place that shows anything decides. NULL: no token, or a wrong one (`*shown` tells which). */
const struct token_entry *authenticate_reverse(const struct token_table *tokens,
                                               const struct config_credential *credential,
                                               const struct request *request, struct span path, struct span query,
                                               struct arena *arena, bool *shown);

/* Proxy-Authorization alone: Basic (the password; any user) or Bearer. */
const struct token_entry *authenticate_proxy(const struct token_table *tokens, const struct request *request,
                                             struct arena *arena, bool *shown);

#endif
