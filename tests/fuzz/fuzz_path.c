/* Any bytes as a path: the canonical form is a fixed point, means the same, and holds nothing that was to be refused. */
#include <stdint.h>
#include <stdlib.h>

#include "path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* All escapes decoded, once. */
static size_t decode(struct span path, char *out)
{
	size_t length = 0;
	for (size_t i = 0; i < path.length; i++) {
		bool escape = path.data[i] == '%' && i + 2 < path.length && hex(path.data[i + 1]) >= 0 && hex(path.data[i + 2]) >= 0;
		out[length++] = escape ? (char)(hex(path.data[i + 1]) << 4 | hex(path.data[i + 2])) : path.data[i];
		i += escape ? 2 : 0;
	}
	return length;
}

static void check_bytes(struct span path, struct path_options options)
{
	for (size_t i = 0; i < path.length; i++) {
		unsigned char c = (unsigned char)path.data[i];
		if (c <= 0x20 || c >= 0x7f || strchr("\\?#\"<>^`{|}", c))
			abort();
		if (c != '%')
			continue;
		if (i + 2 >= path.length || hex(path.data[i + 1]) < 0 || hex(path.data[i + 2]) < 0)
			abort();
		int byte = hex(path.data[i + 1]) << 4 | hex(path.data[i + 2]);
		if (byte < 0x20 || byte == 0x7f || byte == '\\' || (byte == '/' && !options.encoded_slash))
			abort();
	}
}

/* However often a server decodes, no segment is "." or "..". */
static void check_segments(struct span path, struct path_options options)
{
	static char decoded[1 << 16];
	size_t length = decode(path, decoded);
	struct span rest = {decoded, length};
	span_split(&rest, '/');
	while (rest.data) {
		struct span segment = span_split(&rest, '/');
		if (span_equal(segment, SPAN(".")) || span_equal(segment, SPAN("..")))
			abort();
		if (options.whole_segments && segment.length == 0 && rest.data)
			abort();
	}
}

static void check(struct span path, struct path_options options)
{
	static char out[3 << 16], again[9 << 16], wanted[1 << 16], came[3 << 16];
	size_t length = 0, again_length = 0;
	enum path_result result = path_canonical(path, options, out, &length);
	if (!path_result_text(result)[0])
		abort();
	if (result != PATH_OK)
		return;
	struct span canonical = {out, length};
	if (length > path_canonical_room(path) || out[length] || out[0] != '/')
		abort();
	if (path_canonical(canonical, options, again, &again_length) != PATH_OK || length != again_length ||
	    memcmp(out, again, length) != 0)
		abort();
	check_bytes(canonical, options);
	check_segments(canonical, options);
	size_t decoded = decode(path, wanted);
	if (decoded != decode(canonical, came) || memcmp(wanted, came, decoded) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 1 << 16)
		return 0;
	struct span text = {size ? (const char *)data : "", size}, query;
	struct span path = path_split_query(text, &query);
	if (path.length + (query.data ? query.length + 1 : 0) != size)
		abort();
	for (unsigned i = 0; i < 4; i++) {
		struct path_options options = {.encoded_slash = i & 1, .whole_segments = i & 2};
		check(text, options);
		check(path, options);
	}
	return 0;
}
