/* What each credential's `client:` shows to its upstream, and the trust that carries it. Immutable, counted.
 *
 * Each such credential has a trust of its own. Connections and tickets are kept by trust, so what was made with a certificate
 * serves no other credential and no allowed host, not even one at the same host and port.
 *
 * They belong to a snapshot, beside its secrets, and not to the configuration that snapshots share: at each look at the secrets
 * the certificate's file is read again together with the key. The same certificate keeps the trust, and so its connections:
 * a key that fits it is the same key. Another one, with its key, is a new trust: new connections are made with it, and the old
 * ones serve nobody but who holds an older snapshot. Two that are no pair (one of the two files may be written later than the
 * other) leave the last good trust, until the time is over for which its key was good (secrets.h). A key that is not ready leaves
 * none: its source was asked for the last good one already. */
#ifndef KEYSTILE_IDENTITIES_H
#define KEYSTILE_IDENTITIES_H

#include "config.h"
#include "secrets.h"
#include "trusts.h"

struct identities;

/* Reads each certificate. `previous` (may be NULL) may be of another configuration: a credential is the one of that
 * name, with the same files. What is
 * wrong with one is the fault of its credential alone. Blocks. */
struct identities *identities_load(const struct config *config, struct trusts *trusts, const struct secrets *secrets,
                                   const struct identities *previous);
struct identities *identities_ref(struct identities *identities);
void identities_free(struct identities *identities); /* gives a reference back; NULL is fine */

/* Of a credential that has `client:`. Borrowed. NULL with a reason, also once its key is good no more; the reason
 * lives as long as `identities`. */
struct tls_trust *identities_get(const struct identities *identities, const struct config_credential *credential,
                                 const char **why);
/* Why the last good one of a credential is still in use; NULL: it is not, or there is no `client:`. */
const char *identities_stale(const struct identities *identities, const struct config_credential *credential);

/* Do the two, of one configuration, show the same, for the same reasons? */
bool identities_same(const struct identities *a, const struct identities *b);

/* What upstreams may have against a certificate, and which is the last good one: a line each. */
void identities_warnings(const struct config *config, const struct identities *identities,
                         void (*tell)(void *context, const char *line), void *context);

#endif
