/* session.key as it stood when it was last good (SPEC §9), in guarded memory. Immutable, counted. */
#ifndef KEYSTILE_SESSION_H
#define KEYSTILE_SESSION_H

#include "config.h"
#include "token.h"

struct session;

/* Reads the key; makes it where it is absent and `before` (may be NULL) is not of the same source: once a key was in use, a new
 * one would revoke every token. A key that cannot be had leaves the one before of that source, with the reason. `before` itself,
 * with a further reference, where nothing has changed. NULL with a fault where there is no key; NULL without one for
 * `session: none`. */
struct session *session_load(const struct config *config, struct session *before, struct fault *fault);
struct session *session_ref(struct session *session); /* NULL is fine, for both */
void session_unref(struct session *session);          /* the last one zeroes */

/* All tokens of a configuration with this key; NULL for NULL. The caller's, token_table_free(). */
struct token_table *session_tokens(const struct session *session, const struct config *config);
/* Which key it is, of all that this process has used, from 1; 0 for NULL. */
unsigned session_number(const struct session *session);
/* Why the last good key is still in use; NULL: it is not. Valid as long as the session. */
const char *session_stale(const struct session *session);

#endif
