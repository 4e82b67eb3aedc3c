/* The search of one response for the secrets that its request took along (SPEC §3 Scrubbing): the body as it streams. A
 * find in it becomes as many "*"; inside gzip, where that cannot be, it breaks the response. Pure.
 *
 * Only what could be the beginning of a find is held back: an event whose end is none leaves as it came. */
#ifndef KEYSTILE_SCRUB_H
#define KEYSTILE_SCRUB_H

#include <sys/types.h>

#include "buffer.h"
#include "message.h"
#include "needle.h"

struct gunzip;

enum scrub_mode {
	SCRUB_OFF,    /* nothing is searched for */
	SCRUB_PLAIN,
	SCRUB_GZIP,
	SCRUB_UNREAD, /* a coding that cannot be read, or a part of a whole (206), and what follows a 101 */
};

struct scrub {
	const struct needle_set *needles; /* NULL: nothing is searched for. Outlives this */
	enum scrub_mode mode;
	struct gunzip *gunzip;
	struct buffer held;    /* decided later; may be part of a secret */
	struct buffer side;    /* decided, where the reader's memory was too small; from `side_read` on not read yet */
	size_t side_read;
	bool over;             /* the source said 0 */
	uint64_t finds;        /* in fields, trailers and body */
	const char *broken;    /* why the response cannot go on: a word for the audit; static */
};

/* Where the body comes from. Both get `context`. */
struct scrub_source {
	ssize_t (*read)(void *context, void *bytes, size_t size); /* the count, 0 at the end, or below 0: passed on */
	bool (*is_over)(void *context); /* is all of the body read, though read() has not said 0 yet? */
	void *context;
};

/* Chooses the mode by status and Content-Encoding of the final response. Without scrub->needles: SCRUB_OFF. */
void scrub_start(struct scrub *scrub, const struct response *response);

/* Body bytes that may go on: the count, 0 at the end, or what the source said. SCRUB_BROKEN where it cannot go on. */
#define SCRUB_BROKEN (-100)
ssize_t scrub_read(struct scrub *scrub, const struct scrub_source *source, void *bytes, size_t size);

/* Bytes that scrub_read() has without its source. */
size_t scrub_ready(const struct scrub *scrub);

/* Reason phrase and field values, in place; a field whose name has a find goes. What is new is in `arena`. Also before
 * scrub_start(), and for interim responses. */
void scrub_head(struct scrub *scrub, struct response *response, struct arena *arena);
void scrub_fields(struct scrub *scrub, struct fields *fields, struct arena *arena);

/* Wipes and frees what it holds; the counts stay. */
void scrub_end(struct scrub *scrub);

#endif
