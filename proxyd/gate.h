/* Who may see the admin pages (SPEC §12): whoever shows the admin token, as Bearer or in the cookie. Pure.
 *
 * Tokens are looked for in the current snapshot's table, by hash (token.h): how long that takes tells nothing of a guess. */
#ifndef KEYSTILE_GATE_H
#define KEYSTILE_GATE_H

#include "token.h"

#define GATE_COOKIE "keystile_admin"

/* Is this the admin token? `table` NULL (`session: none`): nothing is. */
bool gate_takes(const struct token_table *table, struct span token);
/* Does an Authorization field, "Bearer TOKEN", show it? */
bool gate_takes_bearer(const struct token_table *table, struct span authorization);
/* Does one of the cookies of a Cookie field? */
bool gate_takes_cookie(const struct token_table *table, struct span cookies);

#endif
