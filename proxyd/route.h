/* Look-ups over one configuration, flat in the number of credentials, profiles and hosts. Pure. */
#ifndef KEYSTILE_ROUTE_H
#define KEYSTILE_ROUTE_H

#include "config.h"
#include "path.h"

struct route_table;

struct route_table *route_table_new(const struct config *config);
void route_table_free(struct route_table *table);

/* Is this a credential host of any credential in the file, at a port that it serves (SPEC §1)? Returns one, or NULL. */
const struct config_credential *route_credential_host(const struct route_table *table, const struct host *host,
                                                      uint16_t port);

/* The entry of the profile that decides on this host; NULL where none matches. A deny entry is returned too:
 * entry->pattern.deny. Credential hosts are not looked at here. */
const struct config_host *route_host(const struct route_table *table, const struct config_profile *profile,
                                     const struct host *host, uint16_t port);

/* The profile's credentials whose host and port match, in the order in which SPEC §2 tries them: longest upstream path
 * first, then the profile's order. Calls `visit` until it returns false. */
void route_credentials(const struct route_table *table, const struct config_profile *profile, const struct host *host,
                       uint16_t port, bool (*visit)(const struct config_credential *credential, void *context),
                       void *context);

/* The profile's credential of that name (a reverse endpoint); NULL where the profile lacks it. */
const struct config_credential *route_credential(const struct route_table *table, const struct config_profile *profile,
                                                 struct span name);

#endif
