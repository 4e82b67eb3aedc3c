/* Asking for a secret on the terminal, without echo. */
#ifndef KEYSTILE_PROMPT_H
#define KEYSTILE_PROMPT_H

#include "buffer.h"
#include "fault.h"

/* Is there a terminal to ask on? */
bool prompt_possible(void);

/* Asks on the controlling terminal, even where standard input is a pipe, and appends what is typed or pasted to
 * `answer`, of any length (a terminal that edits lines itself would cut at 4095 bytes). Ctrl-C cancels: a fault, and
 * nothing was changed. `context` is not used: the function is a keysource_ask. */
bool prompt_secret(void *context, const char *prompt, struct buffer *answer, struct fault *fault);

/* The same for a new passphrase: asked twice, refused where the two differ, warned of where it is short. */
bool prompt_new_passphrase(void *context, const char *prompt, struct buffer *answer, struct fault *fault);

#endif
