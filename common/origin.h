/* A URL's origin and path: what an upstream, a token endpoint or a parent proxy is (RFC 3986 §3). Pure. */
#ifndef KEYSTILE_ORIGIN_H
#define KEYSTILE_ORIGIN_H

#include "arena.h"
#include "authority.h"
#include "buffer.h"

struct origin {
	bool tls;
	bool wildcard;    /* written with "*." in front of the host; `host` is what stands behind it */
	struct host host;
	uint16_t port;    /* never 0 */
	char *path;       /* canonical, no trailing "/", "" where there is none */
};

/* Do they name the same place? */
static inline bool origin_equal(const struct origin *a, const struct origin *b)
{
	return a->tls == b->tls && a->wildcard == b->wildcard && a->port == b->port && host_equal(&a->host, &b->host) &&
	       !strcmp(a->path, b->path);
}

struct origin_options {
	bool wildcard; /* it may have one */
	bool query;    /* it may have one, as a token endpoint's (RFC 6749 §3.2) */
};

/* Reads an http:// or https:// URL. Userinfo and a fragment are refused. Paths are in `arena`. FAULT_USAGE says what is wrong
 * with it, and may name the host. */
bool origin_parse(struct span text, struct origin_options options, struct arena *arena, struct origin *origin,
                  struct fault *fault);

/* As a configuration has it: with "*." of a wildcard, and a port that is not the scheme's own. */
void origin_format(const struct origin *origin, struct buffer *out);

/* The URL for who requests it: scheme, host, canonical path, and behind that the last "/" and the query as in `text`, which
 * origin_parse() took; nothing where it is empty. The port is left out where it is the scheme's own. In `arena`. */
char *origin_url(struct span text, const struct origin *origin, struct arena *arena);

#endif
