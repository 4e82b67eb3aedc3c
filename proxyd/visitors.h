/* The connections of the admin listener: none of them keeps others away. A client that opens many and says a byte now and then
 * would, where a probe then finds no place, and whoever probes starts proxyd anew.
 *
 * No I/O but shutdown(2), by which one that has to go ends: its owner sees the end of what its client sends, and closes it.
 * Where a connection goes on for long, its client has answers meanwhile, or may come back. One thread. */
#ifndef KEYSTILE_VISITORS_H
#define KEYSTILE_VISITORS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define VISITORS 64              /* the owner takes in no more */
#define VISITORS_STAY 48         /* more than so many are not left: those that end take a moment to leave */
#define VISITORS_OF_ONE 24       /* nor of one address */
#define VISITORS_PATIENCE 10000u /* ms without an answer, after which one that comes sends others away */

struct visitor {
	int fd;         /* -1: nobody's place */
	uint64_t since; /* when it came, or had its last answer; ms */
	uint64_t turn;  /* who waits for longer: many come within the same millisecond */
	struct in6_addr address; /* an IPv4 one mapped; of a unix socket the unspecified one */
	bool leaves;
};

struct visitors {
	struct visitor list[VISITORS];
	uint64_t turns; /* given so far */
};

void visitors_init(struct visitors *visitors);

/* A connection that was accepted; `address` is its client's. Sends away all that wait for an answer for too long, and where there
 * are too many the one that had none for the longest time, of the same address if that has too many. NULL: there is no place. */
struct visitor *visitors_enter(struct visitors *visitors, int fd, const struct sockaddr *address, uint64_t now);
void visitors_answered(struct visitors *visitors, struct visitor *visitor, uint64_t now); /* NULL for one is fine */
/* Its descriptor is, or is about to be, closed. NULL is fine. */
void visitors_leave(struct visitor *visitor);

#endif
