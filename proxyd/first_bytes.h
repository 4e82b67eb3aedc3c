/* What a client says first inside a tunnel (SPEC §4.5). Pure. */
#ifndef KEYSTILE_FIRST_BYTES_H
#define KEYSTILE_FIRST_BYTES_H

#include "span.h"

enum first_bytes {
	FIRST_UNDECIDED, /* more bytes will tell */
	FIRST_TLS,
	FIRST_HTTP,      /* plain HTTP/1.x, or what a lenient server would take for it */
	FIRST_OTHER,
};

/* `named`: the host's entry names this port, and it is neither 80 nor 443. There a letter alone says little: it is HTTP
 * once a method, a blank and the beginning of a request target (`/`, `http`, `*`) are there (RFC 9112 §3). Elsewhere a
 * letter is HTTP. */
enum first_bytes first_bytes_judge(struct span bytes, bool named);

#endif
