/* From the judged request to the one that goes out: the agent's values removed, the secret put in (SPEC §2 Injection).
 *
 * Rendered values (with secrets) live in guarded memory of the inject_table; what is built per request with a secret in
 * it (a query, a path) lives in `arena`, which its owner wipes. Pure but for that. */
#ifndef KEYSTILE_INJECT_H
#define KEYSTILE_INJECT_H

#include "judge.h"
#include "needle.h"

struct inject_table;
struct signer; /* sign.h */

/* Renders what each ready credential sends: "Bearer …", Basic, percent-encoded forms. `minted` (NULL: no credential mints)
 * gives the tokens of those that do. */
struct inject_table *inject_table_new(const struct config *config, const struct secrets *secrets,
                                      const struct minted *minted);
/* The same where each credential has secrets of its own, by its number; NULL: it has none, and is not ready. None mints. */
struct inject_table *inject_table_of(const struct config *config, const struct secrets *const *secrets);
void inject_table_free(struct inject_table *table);

/* By which of the snapshot's two a judged request is sent (judgement->former). */
const struct inject_table *inject_table_for(const struct snapshot *snapshot, const struct judgement *judgement);

/* Builds the outgoing request: method and framing of `request`, target (origin-form, canonical path, query with the
 * agent's parameter removed and the secret's added), Host of the upstream, then the agent's fields in order without
 * - hop-by-hop and nominated ones, Proxy-*, Content-Length (framing writes it), HTTP2-Settings, and Upgrade but for protocols
 *   that it may ask for, which `out->upgrade` tells and `Connection: Upgrade` goes with;
 * - `Expect: 100-continue` where no body follows: else the front waits for the upstream's 100;
 * - Authorization unless passed (towards a credential);
 * - every spelling and copy of each injected place, and every session token wherever it stands; where the request is to be
 *   signed (inject_signer), all that the agent signed it with;
 * then what is injected. `*injected` is false where nothing was (an allowed host, or a problem). `TE: trailers` is kept
 * only for h2. Where the response is to be searched for the secret, of Accept-Encoding only gzip and identity stay. */
bool inject_request(const struct snapshot *snapshot, const struct judgement *judgement, const struct request *request,
                    struct arena *arena, struct request *out, bool *injected, struct problem *problem);

/* What the request that was built is then to be signed with; NULL: nothing. */
const struct signer *inject_signer(const struct inject_table *table, const struct config_credential *credential);

/* The agent's trailers, without what goes out of its fields too: a server may take the two together. A name that is no
 * token and a value with a control character do not go on. Appends to `*out` spans of `trailers` and of `arena`. */
void inject_trailers(const struct snapshot *snapshot, const struct judgement *judgement, const struct request *request,
                     const struct fields *trailers, struct arena *arena, struct fields *out);

/* What the responses to this credential's requests are searched for. NULL: nothing (`scrub: off`, or short secrets). */
const struct needle_set *inject_needles(const struct inject_table *table, const struct config_credential *credential);

/* Why a secret that is ready cannot be sent by this credential, for a warning at start and /readyz; NULL: it can. */
const char *inject_unfit(const struct inject_table *table, const struct config_credential *credential);

#endif
