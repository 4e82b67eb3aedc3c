/* The tokens that are minted (SPEC §2 Signers: oauth2, jwt), as they are at one moment: for each such credential the one that
 * goes out, or why there is none. Immutable once sealed, counted; a part of a snapshot. The minter (minter.h) makes them.
 *
 * Times are milliseconds of steady_now(). */
#ifndef KEYSTILE_MINTED_H
#define KEYSTILE_MINTED_H

#include "config.h"
#include "steady.h"

struct minted;

struct minted_token {
	bool mints;        /* false: this credential has no minted token, and all else is zero */
	struct span bytes; /* in guarded memory; empty: there is none */
	uint64_t number;   /* of all that this process made, from 1; tells which one an answer was about */
	uint64_t expires;  /* it must not be used from then on */
	uint64_t firm;     /* until then it stays though upstreams answer 401 (spent_patience()) */
	const char *why;   /* why there is none, or none newer; NULL: nothing went wrong. Never a secret */
	bool pending;      /* one is being made: it is worth waiting for */
	uint64_t again;    /* not pending: when the next one will be asked for */
};

/* Where every credential that mints waits for its first token. Owned by the caller, as one reference. */
struct minted *minted_new(const struct config *config);
/* Before it is sealed: sets what a credential has; bytes and reason are copied. */
void minted_set(struct minted *minted, const struct config_credential *credential, const struct minted_token *token);
void minted_seal(struct minted *minted);

struct minted *minted_ref(struct minted *minted);
void minted_unref(struct minted *minted); /* NULL is fine; the last one zeroes */

/* Valid as long as `minted`. */
const struct minted_token *minted_get(const struct minted *minted, const struct config_credential *credential);
bool minted_ready(const struct minted_token *token, uint64_t now);

#endif
