/*
 * What tunnel_load.c and tunnel_origin.c say to each other, and what both need.
 *
 * A client may begin with the head of a CONNECT, which the origin answers by 200 as a proxy would, and go on with one
 * TLS record, which the origin passes over. Then comes an order, nine bytes: what the
 * origin shall do, and with how many bytes (big endian). A source sends so many. A sink reads so many and answers
 * with eight bytes, how many it read. An echo sends back what comes. The client closes first, the origin follows.
 */
#ifndef TUNNEL_H
#define TUNNEL_H

#include "load.h"

#include <endian.h>

/* No letter, or a proxy that looks would take it for a method; nor 0x16, which is TLS. */
enum order { SOURCE = 1, SINK, ECHO };

enum {
	ORDER_SIZE = 9,
	COUNT_SIZE = 8,
	CONNECT = 'C',
	TLS_HANDSHAKE = 0x16,
	TLS_HEAD_SIZE = 5,
	PIECE = 256 * 1024, /* sent at once in bulk: it stays in the core's cache */
	SWALLOW = 1 << 20,  /* read at once and thrown away */
};

static inline size_t at_most(uint64_t left, size_t most)
{
	return left < most ? (size_t)left : most;
}

/* As send(): of the same bytes again and again, at most `left`. */
static inline ssize_t pour(int fd, uint64_t left)
{
	static const char piece[PIECE];
	return send(fd, piece, at_most(left, PIECE), MSG_NOSIGNAL);
}

/* As recv(): what comes is thrown away in the kernel, without a copy. */
static inline ssize_t swallow(int fd, uint64_t left)
{
	return recv(fd, NULL, at_most(left, SWALLOW), MSG_TRUNC);
}

#endif
