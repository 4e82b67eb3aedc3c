/* The lines that HTTP/1 heads and trailers are made of (RFC 9112 §2.2, §5); a part of the codec, for no other room. */
#ifndef KEYSTILE_CODEC_H1_LINE_H
#define KEYSTILE_CODEC_H1_LINE_H

#include "codec_h1.h"

/* Takes the line at the start of `bytes`: `*line` is without its CRLF, `*used` with it. CODEC_MORE where its end is not
 * there yet. CODEC_BAD for a bare LF or CR, NUL and other controls but HTAB. */
enum codec_result codec_line_take(struct span bytes, struct span *line, size_t *used, const char **why);

/* Splits a field line, as codec_line_take() gave it, into name and value. */
enum codec_result codec_line_field(struct span line, struct field *field, const char **why);

/* Why `value` may not stand in a field, "has a NUL"; NULL where it may. */
const char *codec_line_fault(struct span value);

#endif
