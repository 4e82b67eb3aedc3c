/* What each upstream's certificate is verified against: the `ca:` of its credential, or the system's roots. Counted. */
#ifndef KEYSTILE_TRUSTS_H
#define KEYSTILE_TRUSTS_H

#include "config.h"
#include "tls.h"

struct trusts;

/* Loads each `ca:`, and the system's roots where a credential's upstream needs them. A `ca:` that does not load is the
 * fault of its credential alone. NULL with a fault where the roots are needed and cannot be had.
 *
 * `before` (may be NULL, or of another configuration) gives what has not changed: a file with the same content has the same
 * trust, by which connections are kept; one that does not load any more leaves the last good one, with the reason; the
 * roots stay as they were first read, and are looked for again where they could not be had. `before` itself, with a further
 * reference, where all is the same. */
struct trusts *trusts_load(const struct config *config, struct trusts *before, struct fault *fault);
void trusts_unref(struct trusts *trusts); /* NULL is fine */
struct trusts *trusts_ref(struct trusts *trusts);

/* Of a credential, or the roots (credential NULL), which are loaded now where nobody needed them so far: that takes some
 * milliseconds, and 6 MiB. Borrowed. NULL with a reason, which lives as long as `trusts`. Any thread. */
struct tls_trust *trusts_get(struct trusts *trusts, const struct config_credential *credential, const char **why);

/* Why the last good `ca:` of a credential is still in use; NULL: it is not, or it has none. Valid as long as `trusts`. */
const char *trusts_stale(const struct trusts *trusts, const struct config_credential *credential);

/* For a credential's token endpoint, which is often another's than the upstream: the roots, and its `ca:` beside them.
 * Loaded when it is first asked for. As trusts_get(). */
struct tls_trust *trusts_beside(struct trusts *trusts, const struct config_credential *credential, const char **why);

#endif
