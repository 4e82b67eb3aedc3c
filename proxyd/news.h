/* What has become of the credentials from one snapshot to the next, for the log: each thing once, and no value. */
#ifndef KEYSTILE_NEWS_H
#define KEYSTILE_NEWS_H

#include "snapshot.h"

/* What waits, what goes on with what it had, what is good again, and what is odd. `old` NULL: at start. Why a source is refused, or
 * gone, since; the first of several, valid as long as `fresh`; NULL: none is. */
const char *news_tell(const struct snapshot *old, const struct snapshot *fresh);

#endif
