#include "client_hello.h"

#define RECORD_HEAD 5
#define RECORD_MOST 16384 /* RFC 8446 §5.1 */
#define MESSAGE_HEAD 4
#define CONTENT_HANDSHAKE 22
#define MESSAGE_CLIENT_HELLO 1
#define EXTENSION_SERVER_NAME 0
#define NAME_TYPE_HOST 0

/* What is left of a structure while it is taken apart. `short_of` tells that something was to be longer than that. */
struct reader {
	struct span rest;
	bool short_of;
};

static struct span take(struct reader *reader, size_t count)
{
	if (count > reader->rest.length) {
		reader->short_of = true;
		reader->rest = (struct span){"", 0};
		return reader->rest;
	}
	struct span taken = span_head(reader->rest, count);
	reader->rest = span_from(reader->rest, count);
	return taken;
}

/* A big-endian number of `size` bytes. */
static size_t take_number(struct reader *reader, size_t size)
{
	struct span bytes = take(reader, size);
	size_t number = 0;
	for (size_t i = 0; i < bytes.length; i++)
		number = number << 8 | (unsigned char)bytes.data[i];
	return number;
}

/* A vector whose length stands in front of it in `size` bytes (RFC 8446 §3.4). */
static struct reader take_vector(struct reader *reader, size_t size)
{
	return (struct reader){.rest = take(reader, take_number(reader, size))};
}

static enum hello_result bad(const char **why, const char *text)
{
	*why = text;
	return HELLO_BAD;
}

/* The first handshake message, put together from the records that it is cut into. */
static enum hello_result gather(struct span bytes, struct arena *arena, struct span *message, size_t *wanted,
                                const char **why)
{
	char *whole = arena_alloc(arena, bytes.length + 1);
	size_t have = 0, want = MESSAGE_HEAD;
	struct reader records = {.rest = bytes};
	while (have < want) {
		*wanted = bytes.length - records.rest.length + RECORD_HEAD;
		if (records.rest.length > 0 && records.rest.data[0] != CONTENT_HANDSHAKE)
			return bad(why, "is cut by a record that is no handshake");
		if (records.rest.length > 1 && records.rest.data[1] != 3)
			return bad(why, "is of no version of TLS");
		struct span head = take(&records, RECORD_HEAD);
		if (records.short_of)
			return HELLO_MORE;
		size_t length = (size_t)(unsigned char)head.data[3] << 8 | (unsigned char)head.data[4];
		if (length == 0 || length > RECORD_MOST)
			return bad(why, "has a record without content, or with too much");
		*wanted += length;
		bool partial = records.rest.length < length;
		struct span content = span_head(records.rest, length);
		records.rest = span_from(records.rest, length);
		if (content.length > 0)
			memcpy(whole + have, content.data, content.length);
		have += content.length;
		if (have > 0 && whole[0] != MESSAGE_CLIENT_HELLO)
			return bad(why, "is another message than a ClientHello");
		if (have >= MESSAGE_HEAD)
			want = MESSAGE_HEAD + ((size_t)(unsigned char)whole[1] << 16 | (size_t)(unsigned char)whole[2] << 8 |
			                       (unsigned char)whole[3]);
		if (partial && have < want)
			return HELLO_MORE;
		/* A client has nothing to say behind it until the server has answered. */
		if (have > want || (partial && have == want))
			return bad(why, "shares its record with another message");
	}
	*message = (struct span){whole + MESSAGE_HEAD, want - MESSAGE_HEAD};
	return HELLO_DONE;
}

static enum hello_result read_name(struct reader names, struct client_hello *hello, const char **why)
{
	struct reader list = take_vector(&names, 2);
	size_t type = take_number(&list, 1);
	struct reader name = take_vector(&list, 2);
	if (names.short_of || list.short_of || names.rest.length > 0)
		return bad(why, "has a malformed server_name");
	if (type != NAME_TYPE_HOST || list.rest.length > 0)
		return bad(why, "has another server_name than one host_name");
	if (!host_parse(name.rest, &hello->name, NULL) || hello->name.kind != HOST_NAME)
		return bad(why, "has a server_name that is no host name");
	hello->named = true;
	return HELLO_DONE;
}

static enum hello_result read_extensions(struct reader extensions, struct client_hello *hello, const char **why)
{
	while (extensions.rest.length > 0) {
		size_t type = take_number(&extensions, 2);
		struct reader content = take_vector(&extensions, 2);
		if (extensions.short_of)
			return bad(why, "has malformed extensions");
		if (type != EXTENSION_SERVER_NAME)
			continue;
		if (hello->named)
			return bad(why, "has two server_name extensions");
		enum hello_result result = read_name(content, hello, why);
		if (result != HELLO_DONE)
			return result;
	}
	return HELLO_DONE;
}

static enum hello_result read_message(struct reader message, struct client_hello *hello, const char **why)
{
	take(&message, 2 + 32); /* legacy_version, random */
	take_vector(&message, 1); /* legacy_session_id */
	take_vector(&message, 2); /* cipher_suites */
	take_vector(&message, 1); /* legacy_compression_methods */
	if (message.short_of)
		return bad(why, "is shorter than its parts");
	if (message.rest.length == 0)
		return HELLO_DONE; /* TLS 1.2 without extensions */
	struct reader extensions = take_vector(&message, 2);
	if (message.short_of || message.rest.length > 0)
		return bad(why, "has malformed extensions");
	return read_extensions(extensions, hello, why);
}

enum hello_result client_hello_read(struct span bytes, struct arena *arena, struct client_hello *hello, const char **why)
{
	struct span message;
	*hello = (struct client_hello){0};
	*why = NULL;
	enum hello_result result = gather(bytes, arena, &message, &hello->wanted, why);
	return result == HELLO_DONE ? read_message((struct reader){.rest = message}, hello, why) : result;
}
