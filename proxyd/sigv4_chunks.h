/* Bodies that are signed chunk by chunk (docs.aws.amazon.com, "Signature Calculations for the Authorization Header:
 * Transferring Payload in Multiple Chunks", and the one "… including Trailing Headers"): the agent's signatures out, ours in,
 * as they stream. Pure.
 *
 *     SIZE;chunk-signature=SIGNATURE CRLF data CRLF … 0;chunk-signature=SIGNATURE CRLF [name:value CRLF …
 *     x-amz-trailer-signature:SIGNATURE CRLF] CRLF
 *
 * A signature is over the chunk before and this one's data, and stands in front of them: one chunk is held at a time, up to
 * SIGV4_CHUNK_MOST. Only signatures change, so the body's length is what it was. */
#ifndef KEYSTILE_SIGV4_CHUNKS_H
#define KEYSTILE_SIGV4_CHUNKS_H

#include "buffer.h"
#include "sigv4.h"

#define SIGV4_CHUNK_MOST (128 * 1024) /* bytes of data; SDKs send 64 or 128 KiB */

enum sigv4_chunks_state {
	CHUNKS_HEAD,     /* the line with size and signature */
	CHUNKS_DATA,     /* and what ends it */
	CHUNKS_LAST,     /* CRLF behind the empty chunk */
	CHUNKS_TRAILERS, /* all that is left */
	CHUNKS_READY,    /* signed: to be handed on */
	CHUNKS_OVER,     /* nothing may follow */
};

struct sigv4_chunks {
	struct sigv4_scope scope;
	unsigned char key[SHA256_BYTES];   /* derived: as good as the secret */
	char previous[SHA256_HEX + 1];     /* the signature in front; at first the one of the request */
	bool trailers;
	enum sigv4_chunks_state state, behind; /* what follows once all that is ready was handed on */
	struct buffer held;                /* from the line on */
	size_t handed, signature, data;    /* places in it: what is handed on, where the signature is, where the data begins */
	size_t size;                       /* of the chunk's data */
	const char *wrong;                 /* why the body cannot go on; static */
};

/* `trailers`: the form with a signed trailer. Zeroed, but for scope, key and previous, which the caller sets. */
void sigv4_chunks_start(struct sigv4_chunks *chunks, bool trailers);

/* Takes some of the body, and returns how many bytes; 0 while something is ready. See `wrong` behind each call. */
size_t sigv4_chunks_take(struct sigv4_chunks *chunks, struct span bytes);

/* The body has ended, and all of it was taken: signs trailers. False with `wrong` where it ended too soon. */
bool sigv4_chunks_finish(struct sigv4_chunks *chunks);

/* What may go on, and that `count` bytes of it did. */
struct span sigv4_chunks_ready(const struct sigv4_chunks *chunks);
void sigv4_chunks_handed(struct sigv4_chunks *chunks, size_t count);

void sigv4_chunks_end(struct sigv4_chunks *chunks); /* wipes and frees what it holds */

#endif
