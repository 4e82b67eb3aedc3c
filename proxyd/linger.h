/* Closing without losing the last answer: a close with unread bytes on the socket makes the kernel send a reset, which
 * can overtake what we wrote. So: no more writing, read and discard for a moment, then close. */
#ifndef KEYSTILE_LINGER_H
#define KEYSTILE_LINGER_H

#include "worker.h"

/* Takes over `fd`, writes `last` (copied; may be empty) as far as the socket takes it at once, and closes the fd when
 * the peer has, or after 2 s or 1 MiB. Then counts the connection as closed. */
void linger_close(struct worker *worker, int fd, struct span last);

/* Closes all that linger, now. */
void linger_end_all(struct worker *worker);

#endif
