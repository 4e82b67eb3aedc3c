#include "path.h"

/* What each byte of a path is, plain. */
enum byte_class {
	ESCAPED, /* may not stand in a path: written as an escape */
	KEPT,    /* pchar but for the next ones (RFC 3986 §3.3) */
	UNRESERVED,
	SLASH,
	PERCENT,
	BACKSLASH,
	CONTROL,
};

static const unsigned char classes[256] = {
	[0x00 ... 0x1f] = CONTROL, [0x7f] = CONTROL,
	['A' ... 'Z'] = UNRESERVED, ['a' ... 'z'] = UNRESERVED, ['0' ... '9'] = UNRESERVED,
	['-'] = UNRESERVED, ['.'] = UNRESERVED, ['_'] = UNRESERVED, ['~'] = UNRESERVED,
	['!'] = KEPT, ['$'] = KEPT, ['&'] = KEPT, ['\''] = KEPT, ['('] = KEPT, [')'] = KEPT, ['*'] = KEPT,
	['+'] = KEPT, [','] = KEPT, [';'] = KEPT, ['='] = KEPT, [':'] = KEPT, ['@'] = KEPT,
	['/'] = SLASH, ['%'] = PERCENT, ['\\'] = BACKSLASH,
};

/* Where reading and writing stand. */
struct walk {
	struct path_options options;
	char *out;
	size_t used;
	size_t segment; /* where the segment that is being written began */
};

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = span_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void write_escape(struct walk *walk, unsigned char byte)
{
	static const char digits[] = "0123456789ABCDEF";
	walk->out[walk->used++] = '%';
	walk->out[walk->used++] = digits[byte >> 4];
	walk->out[walk->used++] = digits[byte & 15];
}

/* Servers that know path parameters read "..;x" as "..". */
static bool is_dot_segment(const char *text, size_t length)
{
	size_t dots = 0;
	while (dots < length && text[dots] == '.')
		dots++;
	return (dots == 1 || dots == 2) && (dots == length || text[dots] == ';');
}

static enum path_result end_segment(const struct walk *walk, bool last)
{
	size_t length = walk->used - walk->segment;
	if (length == 0 && !last && walk->options.whole_segments)
		return PATH_EMPTY_SEGMENT;
	return is_dot_segment(walk->out + walk->segment, length) ? PATH_DOT_SEGMENT : PATH_OK;
}

/* A "/", plain or encoded: what it ends is judged, then it is written. */
static enum path_result write_slash(struct walk *walk, bool encoded)
{
	enum path_result result = end_segment(walk, false);
	if (encoded)
		write_escape(walk, '/');
	else
		walk->out[walk->used++] = '/';
	walk->segment = walk->used;
	return result;
}

static enum path_result write_decoded(struct walk *walk, unsigned char byte)
{
	switch ((enum byte_class)classes[byte]) {
	case UNRESERVED:
		walk->out[walk->used++] = (char)byte;
		return PATH_OK;
	case SLASH:
		return walk->options.encoded_slash ? write_slash(walk, true) : PATH_ENCODED_SLASH;
	case BACKSLASH:
		return PATH_BACKSLASH;
	case CONTROL:
		return PATH_CONTROL;
	default:
		write_escape(walk, byte);
		return PATH_OK;
	}
}

static enum path_result write_plain(struct walk *walk, unsigned char byte)
{
	switch ((enum byte_class)classes[byte]) {
	case SLASH:
		return write_slash(walk, false);
	case ESCAPED:
		write_escape(walk, byte);
		return PATH_OK;
	case BACKSLASH:
		return PATH_BACKSLASH;
	case CONTROL:
		return PATH_CONTROL;
	default:
		walk->out[walk->used++] = (char)byte;
		return PATH_OK;
	}
}

size_t path_canonical_room(struct span path)
{
	size_t room = path.length;
	for (size_t i = 0; i < path.length; i++)
		room += classes[(unsigned char)path.data[i]] == ESCAPED ? 2 : 0;
	return room;
}

enum path_result path_canonical(struct span path, struct path_options options, char *out, size_t *length)
{
	if (path.length == 0 || path.data[0] != '/')
		return PATH_NOT_ABSOLUTE;
	struct walk walk = {options, out, 1, 1};
	out[0] = '/';
	for (size_t i = 1; i < path.length; i++) {
		enum path_result result;
		if (path.data[i] == '%') {
			int high = i + 2 < path.length ? hex_value(path.data[i + 1]) : -1;
			int low = high >= 0 ? hex_value(path.data[i + 2]) : -1;
			if (low < 0)
				return PATH_MALFORMED_ESCAPE;
			result = write_decoded(&walk, (unsigned char)(high << 4 | low));
			i += 2;
		} else {
			result = write_plain(&walk, (unsigned char)path.data[i]);
		}
		if (result != PATH_OK)
			return result;
	}
	out[walk.used] = 0;
	*length = walk.used;
	return end_segment(&walk, true);
}

const char *path_result_text(enum path_result result)
{
	static const char *const texts[] = {
		[PATH_OK] = "is fine",
		[PATH_NOT_ABSOLUTE] = "does not begin with /",
		[PATH_MALFORMED_ESCAPE] = "has a % that two hex digits do not follow",
		[PATH_ENCODED_SLASH] = "has an encoded slash (%2F)",
		[PATH_BACKSLASH] = "has a backslash",
		[PATH_CONTROL] = "has a control character",
		[PATH_DOT_SEGMENT] = "has a dot segment (. or ..)",
		[PATH_EMPTY_SEGMENT] = "has an empty segment (//)",
		[PATH_TOO_LONG] = "is longer than limits.head once what must be escaped is",
	};
	return texts[result];
}

bool path_has_prefix(struct span path, struct span prefix)
{
	return span_starts(path, prefix) &&
	       (prefix.length == 0 || path.length == prefix.length || path.data[prefix.length] == '/');
}

struct span path_split_query(struct span target, struct span *query)
{
	struct span path = span_split(&target, '?');
	*query = target;
	return path;
}
