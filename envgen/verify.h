/* What the rooms of `envgen verify` talk in: targets, and what became of each client (SPEC §6).
 *
 * Real clients are started in the generated environment, each in a network namespace of its own, in which every address
 * and every name of a target leads to a recorder (verify_recorder.h). A client's connection is the evidence: it came to the
 * proxy's address, with the password that proxyd asks for or without, or it went past it. */
#ifndef KEYSTILE_VERIFY_H
#define KEYSTILE_VERIFY_H

#include <netinet/in.h>
#include <stdint.h>

#include "authority.h"
#include "fault.h"

enum { VERIFY_TARGETS = 48, VERIFY_VERSION = 40 };

/* The way that a client should go. */
enum expected_way {
	EXPECT_PROXY,    /* direct is a leak */
	EXPECT_DIRECT,   /* NO_PROXY has it in a form that every client reads */
	EXPECT_EITHER,   /* NO_PROXY has it in a form that some clients do not read: through the proxy is safe too */
	EXPECT_ENDPOINT, /* a base URL: at the proxy's own address, as an origin or as a proxy */
};

/* The ways that were seen; a client may go several. */
enum seen_way {
	SEEN_DIRECT = 1,
	SEEN_PROXY = 2,      /* CONNECT, or the whole URL in the request line, with the proxy's password */
	SEEN_ENDPOINT = 4,   /* the proxy's address, asked as an origin */
	SEEN_CHALLENGED = 8, /* as SEEN_PROXY, but without the password: it was answered 407 */
	SEEN_ALL = 15,
};

struct target {
	struct host host;
	uint16_t port;
	bool tls;
	enum expected_way expected;
	struct in_addr address; /* where a name leads; of an IPv4 literal: itself */
	char *url;              /* what clients are given; its path ends in the target's number */
	char *why;
};

struct targets {
	struct target list[VERIFY_TARGETS];
	size_t count;
	struct authority proxy;       /* `advertise` */
	struct in_addr proxy_address; /* where it leads; not for an IPv6 literal */
	char *proxy_token;            /* the password towards it; NULL under session: none */
};

/* What stands in a URL's path before the target's number. */
#define VERIFY_PATH "keystile-verify"

enum outcome_state {
	OUTCOME_ABSENT,  /* not installed */
	OUTCOME_ENDED,   /* it tried all that it was given */
	OUTCOME_LATE,    /* stopped when its time was over */
	OUTCOME_BROKEN,  /* it could not be started; `fault` says why */
};

/* What one client did. Flat: it is written by the process that ran the client, and read by the one that asked. */
struct outcome {
	enum outcome_state state;
	bool http_only; /* it said that it does no https here */
	char version[VERIFY_VERSION];
	unsigned char seen[VERIFY_TARGETS]; /* of enum seen_way */
	struct fault fault;
};

#endif
