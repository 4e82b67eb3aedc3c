/* The parent proxy (SPEC §2, `parent:`): what is reached through it, where it is, and what it is told. Immutable, counted.
 *
 * It holds copies of all that it needs, so it may outlive the configuration: connections that were made through it are kept,
 * and are compared by it. */
#ifndef KEYSTILE_DIAL_PARENT_H
#define KEYSTILE_DIAL_PARENT_H

#include "config.h"
#include "secrets.h"

struct dial_parent;

/* NULL where the configuration has none. `auth` is what was found at its `auth:`; NULL where none is said. */
struct dial_parent *dial_parent_new(const struct config *config, const struct secret_value *auth);
struct dial_parent *dial_parent_ref(struct dial_parent *parent); /* NULL is fine */
void dial_parent_unref(struct dial_parent *parent);              /* NULL is fine; the last one zeroes the password */

/* Would it be the same if it were made now? */
bool dial_parent_is_current(const struct dial_parent *parent, const struct config *config, const struct secret_value *auth);

/* Is this host reached through it? Not what `except` names; nothing is, through NULL. */
bool dial_parent_leads(const struct dial_parent *parent, const struct host *host, uint16_t port);

/* Why nothing can go through it now: `auth` is not there, or does not fit. NULL where it can; never the value. Valid as long as
 * the parent. */
const char *dial_parent_waits(const struct dial_parent *parent);

/* Where it is, as "proxy.corp:3128". */
const char *dial_parent_name(const struct dial_parent *parent);

#endif
