/* What a connection, or a later request on it, opens with: judged from the bytes that are there so far (SPEC §3). */
#ifndef KEYSTILE_OPENING_H
#define KEYSTILE_OPENING_H

#include "config.h"
#include "message.h"
#include "problem.h"
#include "way.h"

enum opening_kind {
	OPENING_WAIT,   /* nothing is wrong so far, and it is not whole */
	OPENING_HTTP,   /* a whole, well-formed head of HTTP/1.x */
	OPENING_H2,     /* the preface of HTTP/2 */
	OPENING_CONNECT,
	OPENING_REFUSE, /* answered with `problem`, then the connection ends */
	OPENING_ALIEN,  /* no HTTP: the connection ends unanswered, for problem.reason */
	OPENING_GONE,   /* it ended before it was whole: nobody waits for an answer */
};

struct opening {
	enum opening_kind kind;
	struct problem problem; /* its texts are static, or in the arena */
	struct request request; /* OPENING_HTTP, OPENING_CONNECT; spans into the bytes and the arena */
	size_t size;            /* of its head */
};

/* Looks at `bytes`. `kept`: they are not the connection's first request; `eof`: nothing will follow them. */
void opening_look(const struct config_limits *limits, const struct way *way, struct span bytes, bool kept, bool eof,
                  struct arena *arena, struct opening *opening);

/* Can what came behind the first `looked` bytes, which were judged and are not enough, change what is known? */
bool opening_is_news(struct span bytes, size_t looked, const struct config_limits *limits);

/* A head that is not whole when limits.head_time is over. */
void opening_is_late(struct problem *problem);

#endif
