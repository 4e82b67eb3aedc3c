/* Hosts and authorities in one canonical form (RFC 3986 §3.2, RFC 5891): what two spellings of one host share.
 *
 * A name is lower-case A-labels without a trailing dot; an IPv4 address a dotted quad; an IPv6 address RFC 5952's text,
 * and an IPv4-mapped one is the IPv4 address. What a resolver might read as an address in disguise is refused, not
 * guessed at: decimal, octal, hex and short forms ("127.1", "0x7f000001"), zone ids, percent-escapes, a bare IPv6
 * address where a port could follow, userinfo, empty labels, labels over 63 or names over 253 bytes. Pure. */
#ifndef KEYSTILE_AUTHORITY_H
#define KEYSTILE_AUTHORITY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "fault.h"
#include "span.h"

enum host_kind { HOST_NAME, HOST_IPV4, HOST_IPV6 };

struct host {
	enum host_kind kind;
	uint8_t length;           /* of `name` */
	char name[256];           /* canonical text, NUL-terminated; IPv6 without brackets */
	unsigned char address[16]; /* network order: 4 bytes for IPv4, 16 for IPv6; else zero */
};

struct authority {
	struct host host;
	uint16_t port; /* 0: none was given */
};

/* One host: a name, an IPv4 address, or an IPv6 address in brackets or bare. FAULT_USAGE says what is wrong with it. */
bool host_parse(struct span text, struct host *host, struct fault *fault);

/* host or host:port; IPv6 in brackets. Port 1 to 65535, digits only, no leading zero. */
bool authority_parse(struct span text, struct authority *authority, struct fault *fault);

/* "name", "name:port" with a port that is not 0, "[v6]:port". `out` needs AUTHORITY_TEXT bytes; returns the length. */
#define AUTHORITY_TEXT 272
size_t authority_format(const struct host *host, uint16_t port, char *out);

/* 127.0.0.0/8 and ::1, and localhost with all names below it (RFC 6761 §6.3). */
bool host_is_loopback(const struct host *host);

/* 0.0.0.0 and [::], which stand for every address of this machine where one listens, and which nobody connects to
 * (RFC 1122 §3.2.1.3, RFC 4291 §2.5.2). */
bool host_is_unspecified(const struct host *host);

/* The socket address of a host that is an IP address. Fills all of `address`, and returns how much of it counts. */
socklen_t host_sockaddr(const struct host *host, uint16_t port, struct sockaddr_storage *address);

static inline bool host_equal(const struct host *a, const struct host *b)
{
	return span_equal((struct span){a->name, a->length}, (struct span){b->name, b->length}) && a->kind == b->kind;
}

/* Of http and https, where a URL has none (RFC 9110 §4.2). */
static inline uint16_t authority_usual_port(bool tls)
{
	return tls ? 443 : 80;
}

static inline struct span host_span(const struct host *host)
{
	return (struct span){host->name, host->length};
}

#endif
