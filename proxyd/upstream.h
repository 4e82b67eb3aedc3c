/* What an exchange knows of its upstream: one request sent, one response read, on a connection that somebody pools.
 *
 * Everything runs on one worker's loop. Bodies are pushed up with write() and pulled down with read(), so whoever is
 * slower sets the pace and no body is buffered beyond one socket's worth. Implemented by upstream_h1 and
 * upstream_h2. */
#ifndef KEYSTILE_UPSTREAM_H
#define KEYSTILE_UPSTREAM_H

#include <sys/types.h>

#include "buffer.h"
#include "dial.h"
#include "endpoint.h"
#include "message.h"

/* Where a request goes. Connections are shared by requests whose destinations are equal in all of these. */
struct destination {
	bool tls;
	struct host host;
	uint16_t port;
	struct tls_trust *trust; /* with tls; compared by pointer */
	struct dial_policy policy;
	const char *profile;     /* for the dialer's fairness; no part of equality */
};

bool destination_equal(const struct destination *a, const struct destination *b);
uint32_t destination_hash(const struct destination *destination);
#define DESTINATION_BUCKETS 256 /* of a table by this hash */

enum upstream_failure {
	UPSTREAM_OK,
	UPSTREAM_DIAL,           /* see `dial` */
	UPSTREAM_TLS,            /* certificate or handshake: 502 */
	UPSTREAM_CLIENT_CERTIFICATE, /* it does not take ours, or wants one: 502 */
	UPSTREAM_HANDSHAKE_TIME, /* limits.handshake: 504 */
	UPSTREAM_CLOSED,         /* closed before a whole head came: 502 */
	UPSTREAM_MALFORMED,      /* the response is not HTTP: 502 */
	UPSTREAM_HEAD_TOO_LARGE, /* 502 */
	UPSTREAM_SWITCHED,       /* a 101 that nobody asked for: 502, and the client's connection ends */
	UPSTREAM_CUT,            /* closed or reset within the body */
	UPSTREAM_ONLY_H1,        /* it serves the request by HTTP/1.1 only: to be sent by that */
};

struct upstream_error {
	enum upstream_failure failure;
	enum dial_failure dial;
	bool unanswered;   /* not one byte of a response came */
	bool unsent;       /* not one byte of the request was written */
	bool reused;       /* the connection had served before */
	bool unprocessed;  /* the upstream said that it did nothing for it: to be repeated, whatever its method */
	char text[320];    /* for a person, without secrets */
};

/* What a handshake that failed is. */
enum upstream_failure upstream_tls_failure(const struct fault *fault);

/* The interim (1xx) heads of one response. */
struct upstream_interims {
	size_t count, bytes;
};

/* One more, of so many bytes. False: nobody needs so many. */
bool upstream_interims_add(struct upstream_interims *interims, size_t bytes);

struct upstream; /* one request's use of a connection; embed-first struct of each implementation */

/* Calls into the exchange. None comes from within a call of the exchange into the upstream, but for `failed` never. */
struct upstream_events {
	void (*connected)(void *context);                              /* the head goes out now */
	void (*interim)(void *context, const struct response *interim); /* a 1xx but 101; spans valid during the call */
	/* The final one, or a 101 to a request that asks for it. Spans valid until release. */
	void (*head)(void *context, const struct response *response);
	void (*readable)(void *context);                               /* read() has something to say again */
	void (*writable)(void *context);                               /* write() takes bytes again */
	void (*failed)(void *context, const struct upstream_error *error); /* the end; call release() all the same */
};

#define UPSTREAM_READ_AGAIN (-1) /* nothing now; `readable` will come */
#define UPSTREAM_READ_ERROR (-2) /* cut or malformed; `upstream_error` says how */

struct upstream_table {
	/* Body bytes up. Returns how many were taken; fewer than `size` means `writable` will come. */
	size_t (*write)(struct upstream *upstream, const void *bytes, size_t size);
	/* The request body is complete. `trailers` may be NULL, or outlive the use. */
	void (*finish)(struct upstream *upstream, const struct fields *trailers);
	/* Response body down, after `head`. Returns the count, 0 at the end, or one of the two values above. */
	ssize_t (*read)(struct upstream *upstream, void *bytes, size_t size);
	/* How many bytes the response body has that read() would give at once, and whether its end is among them. */
	size_t (*ready)(struct upstream *upstream, bool *whole);
	const struct fields *(*trailers)(struct upstream *upstream); /* after read() said 0; may be NULL */
	/* After a 101: gives the connection away, unwatched, and appends to `behind` what came behind the head. Nothing but error()
	 * and release() may follow. */
	void (*give)(struct upstream *upstream, struct endpoint *end, struct buffer *behind);
	/* What went wrong; `unsent` is true to the moment, whether anything went wrong or not. */
	const struct upstream_error *(*error)(struct upstream *upstream);
	/* Over. The connection goes back to its pool where both messages are complete, else it is closed. */
	void (*release)(struct upstream *upstream);
};

struct upstream {
	const struct upstream_table *table;
	const struct upstream_events *events;
	void *context;
};

#endif
