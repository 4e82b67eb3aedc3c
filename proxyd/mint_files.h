/* What clients need to trust interception's CA, as files (SPEC §5): the CA's certificate alone, the operator's roots with it,
 * and these as a Java trust store. Never a key. */
#ifndef KEYSTILE_MINT_FILES_H
#define KEYSTILE_MINT_FILES_H

#include "config.h"
#include "fault.h"
#include "mint_leaf.h"

/* Writes them where trust_paths.h says, readable by all, each whole or not at all, in the place of what was there. Faults
 * say which key of `tls:` to set: FAULT_USAGE where a path is another file that is needed, or is nowhere; FAULT_MISSING
 * where the operator has no roots; else what file_replace() tells. */
bool mint_write(const struct mint *mint, const struct config *config, struct fault *fault);

/* Could they be written? Nothing is. The same faults, as far as they can be foreseen. */
bool mint_may_write(const struct config *config, struct fault *fault);

#endif
