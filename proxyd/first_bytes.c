#include "first_bytes.h"

#include "message.h"

#define TLS_HANDSHAKE 0x16 /* RFC 8446 §5.1 */

static bool is_letter(char c)
{
	char lower = span_lower(c);
	return lower >= 'a' && lower <= 'z';
}

/* Between the parts of a request line, as lenient servers take them (RFC 9112 §3): some split at whatever is no visible
 * character. */
static bool is_blank(char c)
{
	return (c >= 0 && c <= ' ' && c != '\r' && c != '\n') || c == 0x7f;
}

static struct span skip(struct span text, bool (*what)(char c))
{
	while (text.length > 0 && what(text.data[0]))
		text = span_from(text, 1);
	return text;
}

static bool is_line_end(char c)
{
	return c == '\r' || c == '\n';
}

static bool is_method_byte(char c)
{
	return text_is_token((struct span){&c, 1});
}

static enum first_bytes judge_target(struct span target)
{
	static const struct span scheme = {"http", 4};
	struct span head = span_head(target, scheme.length);
	if (target.length == 0)
		return FIRST_UNDECIDED;
	if (target.data[0] == '/' || target.data[0] == '*')
		return FIRST_HTTP;
	if (!span_equal_nocase(head, span_head(scheme, head.length)))
		return FIRST_OTHER;
	return head.length == scheme.length ? FIRST_HTTP : FIRST_UNDECIDED;
}

/* Servers skip empty lines in front of a request (RFC 9112 §2.2). */
static enum first_bytes judge_request_line(struct span bytes)
{
	struct span line = skip(bytes, is_line_end);
	struct span behind = skip(line, is_method_byte);
	if (behind.length == 0)
		return FIRST_UNDECIDED;
	if (behind.length == line.length || !is_blank(behind.data[0]))
		return FIRST_OTHER;
	return judge_target(skip(behind, is_blank));
}

enum first_bytes first_bytes_judge(struct span bytes, bool named)
{
	if (bytes.length == 0)
		return FIRST_UNDECIDED;
	if (bytes.data[0] == TLS_HANDSHAKE)
		return FIRST_TLS;
	if (named)
		return judge_request_line(bytes);
	return is_letter(bytes.data[0]) ? FIRST_HTTP : FIRST_OTHER;
}
