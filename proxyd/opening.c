#include "opening.h"

#include "codec_h1.h"
#include "front_h2.h"
#include "refusal.h"

#define H2_LINE SPAN("PRI * HTTP/2.0\r\n") /* of the preface, the part that looks like a request */

static void refuse(struct opening *opening, unsigned status, const char *reason, const char *detail, const char *hint)
{
	opening->kind = OPENING_REFUSE;
	problem_set(&opening->problem, status, reason, detail, hint);
}

static bool starts_token(unsigned char byte)
{
	return text_is_token((struct span){(const char *)&byte, 1});
}

/* HTTP/2 by prior knowledge: only as a connection's beginning (RFC 9113 §3.3). A tunnel has a host of its own, whose TLS
 * tells whether it speaks HTTP/2: by ALPN, and in no other way (§3.2). */
static void look_at_preface(const struct way *way, struct span bytes, bool kept, bool eof, struct opening *opening)
{
	static const char h2c[] = "h2c";
	if (way->tls)
		refuse(opening, 501, h2c, "HTTP/2 inside TLS needs ALPN, and this handshake did not agree on h2 there",
		       "name h2 in ALPN, or speak HTTP/1.1 here; an entry with http2: off offers HTTP/1.1 alone");
	else if (way->place)
		refuse(opening, 501, h2c, "HTTP/2 inside a tunnel needs TLS", "name h2 in the ALPN of TLS, or speak HTTP/1.1 here");
	else if (kept)
		refuse(opening, 501, h2c, "HTTP/2 can begin only with its connection", "speak HTTP/1.1 here");
	else if (span_starts(bytes, FRONT_H2_PREFACE))
		opening->kind = OPENING_H2;
	else if (span_starts(FRONT_H2_PREFACE, bytes))
		opening->kind = eof ? OPENING_GONE : OPENING_WAIT;
	else
		refuse(opening, 400, "malformed", "the connection begins like HTTP/2, and not with the whole of its preface",
		       "send the 24 bytes of RFC 9113 section 3.4, or speak HTTP/1.1");
}

/* A first line of three words, with neither a target in any form nor a version: who speaks so reads no answer in HTTP. */
static bool is_other_protocol(struct span bytes)
{
	struct span line = span_split(&bytes, '\n');
	bool named = line.length > 0 && memchr(line.data, '/', line.length);
	struct span method = span_split(&line, ' '), target = span_split(&line, ' ');
	return !named && line.data && text_is_token(method) && target.length > 0 && target.data[0] != '*';
}

static void name_byte(struct opening *opening, unsigned char byte, struct arena *arena)
{
	opening->kind = OPENING_ALIEN;
	opening->problem.reason = arena_format(arena, "first_byte_0x%02x", byte);
}

static void look_at_head(const struct config_limits *limits, const struct way *way, struct span bytes, bool eof,
                         struct arena *arena, struct opening *opening)
{
	const char *why = NULL;
	enum codec_result result =
		codec_request_head(bytes, (struct codec_limits){(size_t)limits->head, (size_t)limits->fields}, arena,
	                       &opening->request, &opening->size, &why);
	switch (result) {
	case CODEC_MORE:
		opening->kind = eof ? OPENING_GONE : OPENING_WAIT;
		return;
	case CODEC_DONE:
		opening->kind = way_takes_connect(way) && span_equal(opening->request.method, SPAN("CONNECT")) ? OPENING_CONNECT
		                                                                                               : OPENING_HTTP;
		return;
	case CODEC_BAD:
		if (is_other_protocol(bytes)) {
			name_byte(opening, (unsigned char)bytes.data[0], arena);
			return;
		}
		break;
	case CODEC_TOO_LARGE:
	case CODEC_TOO_MANY:
	case CODEC_VERSION:
	case CODEC_CODING:
		break;
	}
	opening->kind = OPENING_REFUSE;
	refusal_of_head(result, why, limits, arena, &opening->problem);
}

void opening_look(const struct config_limits *limits, const struct way *way, struct span bytes, bool kept, bool eof,
                  struct arena *arena, struct opening *opening)
{
	unsigned char first = bytes.length ? (unsigned char)bytes.data[0] : 0;
	*opening = (struct opening){.kind = eof ? OPENING_GONE : OPENING_WAIT};
	if (bytes.length == 0)
		return;
	if (!starts_token(first) && first != '\r')
		name_byte(opening, first, arena);
	else if (span_starts(bytes, H2_LINE))
		look_at_preface(way, bytes, kept, eof, opening);
	else
		look_at_head(limits, way, bytes, eof, arena, opening);
}

/* Within a line only what may not stand there does, so a head that comes byte by byte costs no more than its lines. Where
 * limits.head was lowered meanwhile, fewer bytes are looked at than before. */
bool opening_is_news(struct span bytes, size_t looked, const struct config_limits *limits)
{
	if (looked == 0 || looked > bytes.length || bytes.data[looked - 1] == '\r')
		return true;
	for (size_t i = looked; i < bytes.length; i++)
		if (((unsigned char)bytes.data[i] < ' ' && bytes.data[i] != '\t') || bytes.data[i] == 0x7f)
			return true;
	return bytes.length >= limits->head;
}

void opening_is_late(struct problem *problem)
{
	problem_set(problem, 408, "head_late", "the request head was not complete in time",
	            "send the head at once, or raise limits.head_time");
}
