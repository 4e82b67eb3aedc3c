/* The canonical form of a request path (RFC 3986 §3.3, §6.2.2): the form that is judged is the form that is sent.
 *
 * Unreserved characters are decoded, every other escape has upper-case hex digits, bytes that may not stand in a path
 * are escaped. Refused: a malformed escape, an encoded "/" (unless `encoded_slash`), "\" in either form, NUL, control
 * characters, a segment "." or ".." in any spelling, and, with `whole_segments`, an empty segment other than the one
 * behind a last "/". With `encoded_slash` "%2F" stays "%2F", and dot segments are looked for with it read as "/" too. Pure. */
#ifndef KEYSTILE_PATH_H
#define KEYSTILE_PATH_H

#include "span.h"

enum path_result {
	PATH_OK,
	PATH_NOT_ABSOLUTE,
	PATH_MALFORMED_ESCAPE,
	PATH_ENCODED_SLASH,
	PATH_BACKSLASH,
	PATH_CONTROL, /* NUL and the other control characters, plain or encoded */
	PATH_DOT_SEGMENT,
	PATH_EMPTY_SEGMENT,
	PATH_TOO_LONG, /* said by who gives the room */
};

struct path_options {
	bool encoded_slash;
	bool whole_segments;
};

/* How many bytes path_canonical() writes at most, the NUL not counted: path.length, but for what it must escape. */
size_t path_canonical_room(struct span path);

/* `path` without the query. `out` needs path_canonical_room() + 1 bytes and is NUL-terminated; `*length` is set on
 * PATH_OK. */
enum path_result path_canonical(struct span path, struct path_options options, char *out, size_t *length);

/* What to tell a person: "has an encoded slash (%2F)". Static. */
const char *path_result_text(enum path_result result);

/* Is `prefix` (no trailing "/"; "" is a prefix of all) a prefix of `path` by whole segments? */
bool path_has_prefix(struct span path, struct span prefix);

/* The part before "?" and, in `*query`, what is behind it (data NULL where there is no "?"). */
struct span path_split_query(struct span target, struct span *query);

#endif
