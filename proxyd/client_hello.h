/* The name that a TLS client asks for, read from its first bytes without a handshake (RFC 8446 §4.1.2, RFC 6066 §3). Pure. */
#ifndef KEYSTILE_CLIENT_HELLO_H
#define KEYSTILE_CLIENT_HELLO_H

#include "arena.h"
#include "authority.h"

enum hello_result {
	HELLO_MORE, /* incomplete so far, and nothing wrong yet */
	HELLO_DONE,
	HELLO_BAD,  /* no ClientHello, or one that two servers could read in two ways */
};

struct client_hello {
	size_t wanted; /* HELLO_MORE: before so many bytes are there it would say the same */
	bool named;
	struct host name; /* the one host_name of its server_name extension, canonical; a name, never an address */
};

/* Reads a ClientHello from the start of `bytes`, however it is cut into records. What is behind it is not looked at. On
 * HELLO_BAD `*why` is a static text: "has two server names". `arena` is for what is put together. */
enum hello_result client_hello_read(struct span bytes, struct arena *arena, struct client_hello *hello, const char **why);

#endif
