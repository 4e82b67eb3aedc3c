/* URLs in an answer that lie under a reverse endpoint's upstream, written as the client reaches them (SPEC §3).
 *
 * A reference is resolved against the URL that the request went to (RFC 3986 §5.2, "%2e" read as "."). Where scheme, host
 * and port are the upstream's and its path begins with one of the base's prefixes by whole segments, it becomes the
 * endpoint and the rest of the path, query and fragment byte for byte. Everything else passes as it came, but for a secret
 * in it, which becomes "[secret]". Pure. */
#ifndef KEYSTILE_LOCATION_H
#define KEYSTILE_LOCATION_H

#include "arena.h"
#include "config.h"

/* The begin of an upstream path and what the client writes in its place. */
struct location_prefix {
	struct span before; /* canonical, no trailing "/": the upstream's path, and of a path template what leads to the secret */
	struct span secret; /* as it is, not percent-encoded; empty without a path template */
	struct span after;  /* canonical: what of the template stands behind the secret */
	struct span endpoint; /* "/NAME", or "/NAME/bot" and what the client itself put in the secret's place */
};

struct location_base {
	const struct origin *upstream;
	struct span path;  /* that the request went to, as it was sent */
	struct span query; /* as the client sent it, without "?"; data NULL: none */
	const struct location_prefix *prefixes; /* the first that matches decides */
	size_t prefix_count;
	const struct string_list *templates; /* what follows the endpoint must have the form of none of these; or NULL */
	const struct span *secrets; /* that were put into the URL; those under 8 bytes are not looked for */
	size_t secret_count;
};

/* What a base is made of: one request at a reverse endpoint. */
struct location_request {
	const struct config_credential *credential;
	const struct span *values; /* of credential->secrets */
	struct span target;        /* as the client sent it */
	struct span sent;          /* as it went to the upstream */
	size_t prefix;             /* the path template that applied, for INJECT_PATH */
};

/* Where a path template applied, its place at the endpoint is what the client wrote there: its token, or nothing. The
 * other templates of the list are known by the client's token in them. Everything is in `arena` or in `request`. */
void location_base_make(struct location_base *base, const struct location_request *request, struct arena *arena);

/* `value` is one URI reference: Location, Content-Location. True with what goes out in `*out`, in `arena`; false where
 * `value` passes as it is. */
bool location_rewrite(struct span value, const struct location_base *base, struct arena *arena, struct span *out);

/* The same for a Link field: each <reference> of its list (RFC 8288 §3), parameters byte for byte. */
bool location_rewrite_link(struct span value, const struct location_base *base, struct arena *arena, struct span *out);

#endif
