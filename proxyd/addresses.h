/* The entries of a profile's `hosts:` that are addresses, literals and CIDRs: for what a name resolves to, one that is named is as
 * good as a literal, and one that is denied is refused (SPEC §7).
 *
 * Immutable, counted, with copies of all that it needs: connections are kept, and are compared by what they were allowed by, and
 * may outlive the configuration. Pure. */
#ifndef KEYSTILE_ADDRESSES_H
#define KEYSTILE_ADDRESSES_H

#include "config.h"

struct addresses;

/* NULL: the profile has none. `before` (may be NULL), with a further reference, where it holds the same. */
struct addresses *addresses_new(const struct config_profile *profile, struct addresses *before);
struct addresses *addresses_ref(struct addresses *addresses); /* NULL is fine, for all of these */
void addresses_unref(struct addresses *addresses);

bool addresses_name(const struct addresses *addresses, const struct host *host, uint16_t port);
bool addresses_deny(const struct addresses *addresses, const struct host *host, uint16_t port);

#endif
