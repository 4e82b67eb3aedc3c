/* Look-ups over one configuration, flat in the number of credentials, profiles and hosts. Pure. */
#ifndef KEYSTILE_ROUTE_H
#define KEYSTILE_ROUTE_H

#include "addresses.h"
#include "arena.h"
#include "config.h"
#include "noproxy.h"

struct route_table;

/* `config` must outlive the table. `before` (may be NULL) is an older one, of which what is the same is kept. */
struct route_table *route_table_new(const struct config *config, const struct route_table *before);
void route_table_free(struct route_table *table);

/* Is this a credential host of any credential in the file, at a port that it serves (SPEC §1)? Returns one, or NULL. */
const struct config_credential *route_credential_host(const struct route_table *table, const struct host *host,
                                                      uint16_t port);

/* The profile's entry that allows this host, the most specific one, or NULL. Neither credential hosts nor denials are
 * looked at here. */
const struct config_host *route_host(const struct route_table *table, const struct config_profile *profile,
                                     const struct host *host, uint16_t port);

/* The profile's `!pattern` that denies this host, whatever else allows it; NULL where none does. */
const struct config_host *route_denial(const struct route_table *table, const struct config_profile *profile,
                                       const struct host *host, uint16_t port);

/* The profile's entries and denials that are addresses; NULL where it has none. Borrowed. */
struct addresses *route_addresses(const struct route_table *table, const struct config_profile *profile);

/* The profile's credentials whose host and port match, in the order in which SPEC §2 tries them: longest upstream path
 * first, then the profile's order. Returns their number; `*list` is in `arena`. */
size_t route_credentials(const struct route_table *table, const struct config_profile *profile, const struct host *host,
                         uint16_t port, struct arena *arena, const struct config_credential ***list);

/* What NO_PROXY of the profile has by which a client should have reached this host by itself; NULL: nothing. */
const struct noproxy_entry *route_bypass(const struct route_table *table, const struct config_profile *profile,
                                         const struct host *host, uint16_t port);

/* The credential of that name (a reverse endpoint), and does the profile have it? NULL where there is none. */
const struct config_credential *route_name(const struct route_table *table, struct span name);
bool route_has(const struct route_table *table, const struct config_profile *profile,
               const struct config_credential *credential);

#endif
