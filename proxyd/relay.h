/* Bytes both ways between two endpoints, untouched, until both have ended (DESIGN: relay).
 *
 * Where both are bare, many at once go through a pipe by splice(2); few are copied, which takes fewer
 * calls, and so is all that goes through TLS. Who is slower sets the pace; the end of one side is passed on as such
 * (half-close) once all before it is. A relay is embedded in its owner's struct. */
#ifndef KEYSTILE_RELAY_H
#define KEYSTILE_RELAY_H

#include <sys/types.h>

#include "buffer.h"
#include "endpoint.h"
#include "loop.h"

/* What the watches of a relay's two ends are to be added with. */
#define RELAY_EVENTS (EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET)

enum relay_end {
	RELAY_BOTH_CLOSED,    /* each side has said its end, and the other one has all of it */
	RELAY_CLIENT_BROKEN,  /* reset, or gone before the upstream had ended */
	RELAY_UPSTREAM_BROKEN,
	RELAY_IDLE,           /* nothing went either way for the time that was given */
};

enum { RELAY_CLIENT, RELAY_UPSTREAM, RELAY_SIDES };

struct relay_pipe;
struct relay_room; /* one per worker: the pipes that no relay needs now */

struct relay {
	struct loop_watch watches[RELAY_SIDES]; /* the owner's, with its own `ready`, until relay_start() */
	struct endpoint ends[RELAY_SIDES];      /* their fds are the watches' */
	struct relay_flow {                     /* by the side that it comes from */
		struct relay_pipe *pipe;            /* NULL while nothing is in it */
		size_t held;                        /* bytes in the pipe */
		struct buffer rest;                 /* copied, and not yet taken by the other side */
		size_t rest_sent;                   /* bytes of it */
		uint64_t bytes;                     /* that arrived at the other side */
		bool readable, writable;            /* the side it comes from, the side it goes to */
		bool bulk;                          /* more came at once than is copied */
		bool urgent;                        /* TCP's urgent mark cuts reads short (RFC 9293 §3.8.5) */
		bool ending;                        /* its end is there to be read */
		bool gone;                          /* the side that it comes from takes nothing more either */
		bool ended, shut;                   /* its end was read; and passed on */
		bool cut;                           /* that end is a reset */
		bool stopped;                       /* the other side takes no more: what comes is thrown away */
		size_t thrown;                      /* bytes of that */
	} flows[RELAY_SIDES];
	struct loop_timer timer;
	struct loop_task task;
	struct relay_room *room;
	uint64_t idle;
	bool reset;                             /* a side's close will be a reset */
	void (*done)(struct relay *relay, enum relay_end end);
};

struct relay_room *relay_room_new(struct loop *loop);
void relay_room_free(struct relay_room *room); /* no relay may be under way; NULL is fine */

/* Starts on the two endpoints in relay->ends, whose watches have been added, with RELAY_EVENTS; what these told of each side
 * so far is in `events`. `idle` in milliseconds. `done` is called once, never from within this call: the relay is over then,
 * its watches are removed, and the endpoints are the owner's to close. A cut must not look like an end: where one side was
 * reset, or bytes were on their way to one, its close will be a reset, without close_notify. */
void relay_start(struct relay *relay, struct relay_room *room, const uint32_t events[RELAY_SIDES], uint64_t idle,
                 void (*done)(struct relay *relay, enum relay_end end));
/* In front of relay_start(): bytes (copied) that were read already from that side go first. */
void relay_prepend(struct relay *relay, int side, struct span bytes);
/* Ends it without `done`. Watches are removed; fine for a relay that was never started, or is over. */
void relay_stop(struct relay *relay);
/* In front of relay_stop(): the close of a side to which not all has gone will be a reset. */
void relay_cut(struct relay *relay);

#endif
