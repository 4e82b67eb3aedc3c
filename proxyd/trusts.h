/* What each upstream's certificate is verified against: the `ca:` of its credential, or the system's roots. */
#ifndef KEYSTILE_TRUSTS_H
#define KEYSTILE_TRUSTS_H

#include "config.h"
#include "tls.h"

struct trusts;

/* Loads each `ca:`, and the system's roots where a credential's upstream needs them. A `ca:` that does not load is the fault
 * of its credential alone; NULL with a fault where the roots are needed and cannot be had. `config` must outlive it. */
struct trusts *trusts_load(const struct config *config, struct fault *fault);
void trusts_free(struct trusts *trusts); /* NULL is fine */

/* Of a credential, or the roots (credential NULL), which are loaded now where nobody needed them so far: that takes some
 * milliseconds, and 6 MiB. Borrowed. NULL with a reason, which lives as long as `trusts`. Any thread. */
struct tls_trust *trusts_get(struct trusts *trusts, const struct config_credential *credential, const char **why);

/* For a credential's token endpoint, which is often another's than the upstream: the roots, and its `ca:` beside them. Loaded
 * when it is first asked for. As trusts_get(). */
struct tls_trust *trusts_beside(struct trusts *trusts, const struct config_credential *credential, const char **why);

#endif
