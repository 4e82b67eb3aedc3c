#include "codec_h1_line.h"

#include <stdint.h>

/* Is there a control character, or a tab, among eight bytes? They are looked at side by side. */
static bool has_control(const char *eight)
{
	const uint64_t ones = UINT64_MAX / 255;
	uint64_t bytes;
	memcpy(&bytes, eight, sizeof bytes);
	uint64_t dels = bytes ^ ones * 127;
	return (((bytes - ones * 32) & ~bytes) | ((dels - ones) & ~dels)) & ones * 128;
}

static bool is_plain(struct span value)
{
	if (value.length < 8)
		return false;
	for (size_t at = 0; value.length - at > 8; at += 8)
		if (has_control(value.data + at))
			return false;
	return !has_control(value.data + value.length - 8);
}

const char *codec_line_fault(struct span value)
{
	static const bool refused[256] = {[0 ... 8] = true, [10 ... 31] = true, [127] = true};
	bool found = false;
	if (is_plain(value))
		return NULL;
	for (size_t i = 0; i < value.length; i++)
		found |= refused[(unsigned char)value.data[i]];
	if (!found)
		return NULL;
	if (memchr(value.data, 0, value.length))
		return "has a NUL";
	if (memchr(value.data, '\n', value.length))
		return "has a bare LF";
	return memchr(value.data, '\r', value.length) ? "has a bare CR" : "has a control character";
}

static enum codec_result bad(const char *text, const char **why)
{
	*why = text;
	return CODEC_BAD;
}

enum codec_result codec_line_take(struct span bytes, struct span *line, size_t *used, const char **why)
{
	const char *end = bytes.length ? memchr(bytes.data, '\n', bytes.length) : NULL;
	*line = bytes;
	if (end) {
		line->length = (size_t)(end - bytes.data);
		*used = line->length + 1;
	}
	bool cr = line->length > 0 && line->data[line->length - 1] == '\r';
	if (end && !cr)
		return bad("has a bare LF", why);
	line->length -= cr;
	const char *fault = codec_line_fault(*line);
	if (fault)
		return bad(fault, why);
	return end ? CODEC_DONE : CODEC_MORE;
}

enum codec_result codec_line_field(struct span line, struct field *field, const char **why)
{
	if (line.data[0] == ' ' || line.data[0] == '\t')
		return bad("has a folded field line", why);
	const char *colon = memchr(line.data, ':', line.length);
	if (!colon)
		return bad("has a field line without a colon", why);
	field->name = span_head(line, (size_t)(colon - line.data));
	field->value = span_trim(span_from(line, field->name.length + 1));
	if (text_is_token(field->name))
		return CODEC_DONE;
	if (field->name.length == 0)
		return bad("has a field line without a name", why);
	char last = field->name.data[field->name.length - 1];
	return bad(last == ' ' || last == '\t' ? "has a blank before the colon of a field"
	                                       : "has a field name with a character that may not stand in one",
	           why);
}
