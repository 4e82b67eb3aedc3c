/* Values that were replaced a short while ago (SPEC §11 Rotation overlap): while an upstream may not know the new one yet, or not
 * the old one any more, a request that it answers with 401 can be sent once more with the other.
 *
 * A part of a snapshot; immutable but for a hint of which of the two an upstream takes. Credentials with `rotation: strict`,
 * with tokens that are minted, and with commands, which have a way of their own to be new, have none. */
#ifndef KEYSTILE_FORMER_H
#define KEYSTILE_FORMER_H

#include "inject.h"
#include "secrets.h"

#define FORMER_TIME 600 /* s */

struct former;
struct snapshot; /* snapshot.h */

/* What `fresh` replaces of the secrets of `old`, and what that has still of former ones; under another configuration, for the
 * credentials of the same name and upstream. NULL: nothing. `now` is steady_now(). */
struct former *former_new(const struct config *config, const struct snapshot *old, const struct secrets *fresh, uint64_t now);
struct former *former_ref(struct former *former); /* NULL is fine, for both */
void former_unref(struct former *former);

/* When the last of them is over, in steady_now() time: then it should go; UINT64_MAX for NULL. */
uint64_t former_until(const struct former *former);

/* Has the credential a former value that an upstream may still, or only, know? False for NULL. */
bool former_has(const struct former *former, const struct config_credential *credential, uint64_t now);
/* What is sent with them. */
const struct inject_table *former_table(const struct former *former);

/* Did an upstream take the former value last, of the two? Says, and asks. Any thread. */
void former_prefer(const struct former *former, const struct config_credential *credential, bool preferred);
bool former_preferred(const struct former *former, const struct config_credential *credential);

#endif
