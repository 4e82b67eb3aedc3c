/*
 * A client of tls_load: its connection, and the two ways to speak HTTP on it.
 *
 * What comes is decrypted, and given to the protocol; what it says is encrypted into `out`, which leaves in one piece behind
 * each event, so that no library touches the socket.
 */
#ifndef TLS_LOAD_H
#define TLS_LOAD_H

#include "load.h"

#include <gnutls/gnutls.h>
#include <nghttp2/nghttp2.h>
#include <stdbool.h>

enum { CONNECT_ROOM = 4096, HEAD_ROOM = 4096 };

struct client {
	int fd;
	enum { CONNECTING, ASKING, SHAKING, FETCHING_TICKET, WAITING, TALKING, LEAVING } phase;
	gnutls_session_t tls;
	gnutls_datum_t ticket; /* of its connection before this one */
	char *out;
	size_t out_size, out_room, out_sent;
	bool writing;   /* EPOLLOUT is asked for */
	uint64_t began; /* the connection, or the request in HTTP/1.1 */
	size_t open;    /* requests that are not answered */
	char head[HEAD_ROOM];
	size_t head_size; /* ASKING: of the answer to CONNECT; HTTP/1.1: of a response's head that is not whole */
	size_t body_left, body_size;
	bool in_body;
	nghttp2_session *h2;
};

/* One request, again and again, and the answer that each of them must get. */
struct job {
	const char *authority, *path;
	size_t streams; /* at once on one connection of HTTP/2 */
	const char *posted; /* the body of a POST; size 0: it is a GET */
	size_t posted_size;
	const char *answer;
	size_t answer_size;
};
extern struct job job;

/* Whether a request may still begin. */
extern bool (*is_time_left)(void);
/* A request of this client that began then was answered as it should be. */
void answered(struct client *client, uint64_t began);
/* Encrypts. */
void say(struct client *client, const void *bytes, size_t size);

struct protocol {
	const char *name; /* as ALPN has it */
	void (*open)(struct client *client);  /* once hands are shaken */
	void (*start)(struct client *client); /* asks */
	void (*take)(struct client *client, const char *bytes, size_t size);
	void (*stop)(struct client *client);
};
extern const struct protocol protocol_h1, protocol_h2;

#endif
