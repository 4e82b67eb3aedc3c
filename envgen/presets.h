/* The presets as a configuration reads them: one credential for each, named like it. */
#ifndef KEYSTILE_PRESETS_H
#define KEYSTILE_PRESETS_H

#include "config.h"

struct config *presets_config(void); /* NULL: one of them is none; config_free() ends it */

#endif
