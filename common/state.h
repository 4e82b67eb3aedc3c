/* What must outlive a restart and is no secret: the last generation seen of each vault, in the state folder. */
#ifndef KEYSTILE_STATE_H
#define KEYSTILE_STATE_H

#include <stdint.h>

#include "fault.h"

#define STATE_UUID 16

/* The state folder: `configured`, else $STATE_DIRECTORY (the first of several), else $XDG_STATE_HOME/keystile, else
 * ~/.local/state/keystile. The caller frees it; NULL where there is none. It need not exist yet. */
char *state_folder(const char *configured);

/* The last generation seen of a vault, 0 where none was. FAULT_BROKEN where what is kept is no number. */
bool state_generation(const char *folder, const unsigned char uuid[STATE_UUID], uint64_t *generation,
                      struct fault *fault);

/* Keeps `generation` as the last one seen, where it is higher than what is kept; `lower` keeps it whatever was kept. */
bool state_keep_generation(const char *folder, const unsigned char uuid[STATE_UUID], uint64_t generation, bool lower,
                           struct fault *fault);

#endif
