/* One end of a connection: a non-blocking socket, bare or with a TLS session on it (DESIGN: endpoint).
 *
 * It knows no loop: its owner watches the fd, edge-triggered, and tries again when an edge tells. A TLS session may need
 * either direction to go on, so there each edge counts for reading and for writing. */
#ifndef KEYSTILE_ENDPOINT_H
#define KEYSTILE_ENDPOINT_H

#include "tls.h"

struct endpoint {
	int fd;          /* -1: none */
	struct tls *tls; /* NULL: bare; established otherwise */
};

#define ENDPOINT_AGAIN (-1)  /* nothing now */
#define ENDPOINT_BROKEN (-2) /* reset; with TLS also an end without close_notify (RFC 8446 §6.1), or a record that is none */

/* How many bytes were read, 0 at the peer's end, or one of the two values above. */
ssize_t endpoint_read(struct endpoint *end, void *bytes, size_t size);
/* Behind a read that gave so many of `size` bytes: was that all, so that an edge will tell of what comes next? An end of which an
 * edge has told may be there all the same, and behind TCP's urgent mark there may be more (RFC 9293 §3.8.5). */
bool endpoint_is_drained(const struct endpoint *end, size_t count, size_t size);
/* How many bytes were taken, or one of the two values above. What was not taken must come again, and first: with TLS some of it
 * may be on its way. */
ssize_t endpoint_write(struct endpoint *end, const void *bytes, size_t size);
/* What is written leaves without waiting for an acknowledgement of what left before (TCP_NODELAY). A listening socket hands
 * it on to what it accepts; one that is not TCP's is left as it is. */
void endpoint_send_at_once(int fd);
/* Says to the peer that nothing follows: close_notify, if it goes without waiting, and FIN. Reading goes on. */
void endpoint_shut(struct endpoint *end);
/* Not all has gone that should have: closing will be a reset, without close_notify. */
void endpoint_cut(struct endpoint *end);
/* Closes the fd and frees the session, behind a close_notify if that goes without waiting. Fine where there is none. */
void endpoint_close(struct endpoint *end);

#endif
