/* What is searched for in responses: the secrets that went out with a request, in the forms in which services give them
 * back (SPEC §3 Scrubbing). Pure.
 *
 * A needle is found as it stands, percent-encoded and JSON-escaped. Letters, digits and "-._" are escaped by nobody ("~"
 * is, by encoders from before RFC 3986), so the longest run of these is looked for, of all needles in one pass (as Wu and
 * Manber do); around it the forms are tried. */
#ifndef KEYSTILE_NEEDLE_H
#define KEYSTILE_NEEDLE_H

#include "arena.h"

#define NEEDLE_LEAST 8 /* bytes; what is shorter is not searched for */
#define NEEDLE_PIECE 512 /* bytes; what is longer is searched for in pieces, so that little has to be held back */

struct needle {
	struct span bytes;
	size_t anchor, anchor_length; /* the run, within `bytes` */
};

/* A window is the beginning of an anchor, the same length of each. These tables tell of the secrets: they belong into
 * guarded memory. */
struct needle_steps {
	unsigned char window;     /* its bytes, at least 2 */
	unsigned char skip[1024]; /* by the two bytes that a window ends with: how far the next one is at least, plus 1 */
	bool first[256];          /* may a find begin with this byte? */
};

struct needle_set {
	struct needle *list;
	size_t count, capacity;
	size_t reach; /* no text that could be the beginning of a find has more bytes than this */
	size_t lead;  /* no more bytes of a find stand in front of its anchor */
	/* What makes a search a pass with long steps. NULL: each byte is looked at. */
	const struct needle_steps *steps;
};

/* Adds a secret, which must outlive the set. Nothing is added where it is too short, or there already. */
void needle_add(struct needle_set *set, struct arena *arena, struct span secret);

/* Fills `steps`, which must outlive the set, for what was added so far, and makes searches use them. */
void needle_learn(struct needle_set *set, struct needle_steps *steps);

/* The first find in `text` from `from` on, and of several there the longest. */
bool needle_find(const struct needle_set *set, struct span text, size_t from, size_t *start, size_t *end);

/* How many bytes at the end of `text` could be the beginning of a find that goes on behind it; 0: none. */
size_t needle_undecided(const struct needle_set *set, struct span text);

/* Makes each find as many "*", in place. Returns how many of the bytes may go on; the rest, less than twice set->reach,
 * could be the beginning of a find, or one that runs into it: give it again, with what follows. With `end` nothing follows.
 * Adds to `*finds`. */
size_t needle_mask(const struct needle_set *set, char *bytes, size_t length, bool end, uint64_t *finds);

/* `text` with "[secret]" for each find, in `arena`; `text` itself where there is none. Adds to `*finds`. */
struct span needle_replace(const struct needle_set *set, struct span text, struct arena *arena, uint64_t *finds);

#endif
