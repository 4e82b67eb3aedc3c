/* Who makes the tokens of credentials with `oauth2:` or `jwt:` (SPEC §2 Signers): one thread for all workers, with a loop, a
 * dialer and connections of its own.
 *
 * It asks as soon as the secrets are there, again at 80 % of a token's life, and at once when one is spent (spent.h); for one
 * token it asks one request at a time, and after a failure with growing pauses. What it has, or why it has nothing, it publishes
 * as a snapshot (minted.h). A refresh token that was replaced is in the vault before the access token that came with it is
 * published. */
#ifndef KEYSTILE_MINTER_H
#define KEYSTILE_MINTER_H

#include <time.h>

#include "token_request.h"
#include "worker.h"

struct minter;

/* Starts the thread; `server` outlives it, with its snapshot made. NULL with a fault. */
struct minter *minter_start(struct server *server, struct fault *fault);

/* From any thread: there is another snapshot, or a spent token. */
void minter_wake(struct minter *minter);

/* From any thread: what failed is asked for again now, since what was wrong may have been mended elsewhere. */
void minter_retry(struct minter *minter);

/* What tokens are made from, as a look at the secrets found it; empty where it is not ready. */
struct token_secrets minter_secrets(const struct secrets *secrets, const struct config_credential *credential);

/* Asks for nothing more. An answer that may bring a new refresh token is waited for, and stored, and one that could not be
 * stored is tried once more; then the thread has ended, which SERVER_WAKE_SIGNAL tells. */
void minter_stop(struct minter *minter);
bool minter_has_ended(const struct minter *minter);
/* Ends the thread, whatever is under way, and frees; NULL is fine. */
void minter_end(struct minter *minter);

#endif
