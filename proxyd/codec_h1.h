/* A strict HTTP/1.1 codec (RFC 9112), both directions, no I/O. Pure.
 *
 * What two parsers could read in two ways is refused: bare CR or LF, NUL and other controls, folds, blanks before a
 * colon, no colon, differing or listed Content-Length, Content-Length beside Transfer-Encoding, a coding other than a
 * lone "chunked", versions other than 1.0 and 1.1, two Hosts, chunk sizes with anything but hex digits, over-long lines. */
#ifndef KEYSTILE_CODEC_H1_H
#define KEYSTILE_CODEC_H1_H

#include "message.h"

enum codec_result {
	CODEC_MORE,      /* incomplete so far, and nothing wrong yet */
	CODEC_DONE,
	CODEC_BAD,       /* malformed: 400 from a client, 502 from an upstream */
	CODEC_TOO_LARGE, /* head longer than the limit: 431 */
	CODEC_TOO_MANY,  /* more fields than the limit: 431 */
	CODEC_VERSION,   /* HTTP/2.0, HTTP/3, HTTP/0.9: 400 (505 is not ours to say) */
	CODEC_CODING,    /* a transfer coding that we do not have: 501 */
};

struct codec_limits {
	size_t head;   /* bytes of start line and fields, CRLFs included */
	size_t fields; /* lines */
};

/* Parses a request head from the start of `bytes`. On CODEC_DONE `*used` is its size (the empty line included) and the
 * spans of `*request` point into `bytes`; the field list is in `arena`. `*why` is set to a static text where the result
 * is neither MORE nor DONE: "has a bare LF". Leading empty lines: one CRLF is skipped (RFC 9112 §2.2). */
enum codec_result codec_request_head(struct span bytes, struct codec_limits limits, struct arena *arena,
                                     struct request *request, size_t *used, const char **why);

/* The checks of a request that was parsed elsewhere (libmicrohttpd, HTTP/2), on the same terms: method and names are
 * tokens, values hold no controls, exactly one Host on 1.1, one Content-Length of digits alone, Transfer-Encoding exactly
 * "chunked" on 1.1 and not beside Content-Length. Sets request->body. */
enum codec_result codec_request_check(struct request *request, const char **why);

/* The same for trailers that were parsed elsewhere: names are tokens, values hold no controls, none of them frames a
 * message, and there are no more than limits.fields. */
enum codec_result codec_trailers_check(const struct fields *trailers, struct codec_limits limits, const char **why);

/* Parses a response head. `method` is the request's: HEAD has no body whatever the fields say, neither have 1xx, 204
 * and 304. A 1xx is a head of its own; the caller parses on behind it. */
enum codec_result codec_response_head(struct span bytes, struct codec_limits limits, struct span method,
                                      struct arena *arena, struct response *response, size_t *used, const char **why);

/* The checks of a response head that was parsed elsewhere (HTTP/2), on the same terms; `alone`: no body follows it. Sets
 * response->body. */
enum codec_result codec_response_check(struct response *response, struct span method, bool alone, const char **why);

/* A body as it comes. */
struct codec_body {
	struct body_framing framing;
	enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_DATA_END, CHUNK_TRAILERS, CHUNK_DONE } state;
	uint64_t left;            /* of the length, or of the chunk */
	struct codec_limits limits; /* of the trailer section */
};

void codec_body_start(struct codec_body *body, struct body_framing framing, struct codec_limits limits);

/* Takes what it can from the start of `bytes`: `*used` bytes are consumed, of which `*data` (a part of `bytes`, may be
 * empty) is content. CODEC_MORE: call again with more bytes (or with what is left, when used > 0). CODEC_DONE: the body
 * has ended, `*trailers` (may be NULL) filled in `arena`, copied. A BODY_UNTIL_CLOSE body never says DONE. */
enum codec_result codec_body_take(struct codec_body *body, struct span bytes, struct span *data, size_t *used,
                                  struct fields *trailers, struct arena *arena, const char **why);

/* Would the body be over if the connection ended now? (BODY_UNTIL_CLOSE, or DONE already.) */
bool codec_body_may_end(const struct codec_body *body);

/* Writes a request head: method SP target SP HTTP/1.1, the fields, the framing field that `request->body` asks for.
 * The caller took Content-Length, Transfer-Encoding and hop-by-hop fields out before. Appends to `out`. */
struct buffer;
void codec_write_request(const struct request *request, struct buffer *out);

/* Writes a response head the same way; `minor` is the client's: HTTP/1.0 gets no chunks. `close` adds Connection: close. */
void codec_write_response(const struct response *response, unsigned minor, bool close, struct buffer *out);

/* What follows the head that codec_write_response() wrote: `piece` (not empty) of the body, and behind the last one the end,
 * with trailers where there are any and chunks to put them behind. A length nobody told makes chunks, too. */
void codec_write_piece(const struct response *response, unsigned minor, struct span piece, struct buffer *out);
void codec_write_end(const struct response *response, unsigned minor, const struct fields *trailers, struct buffer *out);
/* Can only the end of the connection tell where such a response ends? */
bool codec_ends_by_close(const struct response *response, unsigned minor);

/* A chunk's head ("1f4\r\n") into `out`, at least 20 bytes; returns its length. Behind the data goes "\r\n". */
size_t codec_chunk_head(uint64_t size, char *out);
/* "0\r\n", the trailers, "\r\n". */
void codec_write_last_chunk(const struct fields *trailers, struct buffer *out);

#endif
