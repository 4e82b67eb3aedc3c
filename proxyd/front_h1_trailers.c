/* A request's trailers, as libmicrohttpd gives them. Of a head it tells the size, which shows what it dropped, cut or
 * glued together; of a trailer section it does not, so that the places of its pieces must show it. */
#include "front_h1_internal.h"

#include <string.h>

#include "codec_h1.h"
#include "refusal.h"

#define BLANKS 1024 /* at most, in front of a value */

struct reader {
	struct fields *trailers;
	struct arena *arena;
	struct span head; /* where the request's head lies */
	const char *next; /* where the next line must begin; NULL: there was none before */
	size_t bytes;
	bool odd;
};

bool front_h1_library_is_lax(void)
{
	return strncmp(MHD_get_version(), "0.", 2) == 0;
}

/* Where libmicrohttpd has the request's head. */
static struct span head_of(const struct client *client)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(client->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	return (struct span){client->head, info ? info->header_size : 0};
}

/* Behind what it read its memory is zeroed, so that only a body that begins with a NUL is taken for none. That is so once a
 * request was served; before, the memory has what was in it. */
bool front_h1_has_read_on(const struct client *client)
{
	struct span head = head_of(client);
	if (!client->served)
		return client->more;
	return head.data[head.length] != 0;
}

/* Of the first request, and of one with a body, it is not known. */
bool front_h1_may_have_read_on(const struct client *client)
{
	return !client->served || exchange_request(client->exchange)->body.kind != BODY_NONE || front_h1_has_read_on(client);
}

/* 0.9.75 tells the head's last field once more, as a trailer, where the last line's CR and LF came one by one. */
static bool is_of_head(const struct reader *reader, const char *name)
{
	return name >= reader->head.data && name < reader->head.data + reader->head.length;
}

static enum MHD_Result read_trailer(void *context, enum MHD_ValueKind kind, const char *name, size_t name_length,
                                    const char *value, size_t value_length)
{
	struct reader *reader = context;
	ptrdiff_t gap = value ? value - (name + name_length) : 0;
	(void)kind;
	if (is_of_head(reader, name))
		return MHD_YES;
	if (gap < 1 || gap > BLANKS || (reader->next && name != reader->next)) {
		reader->odd = true;
		return MHD_NO;
	}
	reader->next = value + value_length + 2;
	reader->bytes += (size_t)(reader->next - name);
	fields_add(reader->trailers, reader->arena, (struct span){name, name_length},
	           span_trim((struct span){value, value_length}));
	return MHD_YES;
}

/* 0.9.75 writes a NUL over each byte of a line's end: four of them are the last trailer's CR LF and that of the empty
 * line behind it. */
static bool ends_whole(const char *next)
{
	return !front_h1_library_is_lax() || memcmp(next - 2, "\0\0\0\0", 4) == 0;
}

static enum codec_result judge(const struct reader *reader, struct codec_limits limits, const char **why)
{
	*why = "has trailers that can be read in two ways";
	if (reader->odd || (reader->next && !ends_whole(reader->next)))
		return CODEC_BAD;
	*why = "has trailers over the limit";
	return reader->bytes > limits.head ? CODEC_TOO_LARGE : codec_trailers_check(reader->trailers, limits, why);
}

static void refuse(struct client *client, enum codec_result result, const char *why)
{
	const struct config_limits *limits = front_h1_limits(client);
	struct problem problem = {0};
	refusal_of_head(result, why, limits, exchange_arena(client->exchange), &problem);
	exchange_spoilt(client->exchange);
	if (client->state == CLIENT_BODY)
		front_h1_raw_problem(client, problem.status, problem.reason, problem.detail, problem.hint);
	front_h1_close(client);
}

bool front_h1_trailers(struct client *client, struct fields *trailers)
{
	const struct config_limits *limits = front_h1_limits(client);
	struct reader reader = {
		.trailers = trailers,
		.arena = exchange_arena(client->exchange),
		.head = head_of(client),
	};
	const char *why;
	MHD_get_connection_values_n(client->connection, MHD_FOOTER_KIND, read_trailer, &reader);
	enum codec_result result =
		judge(&reader, (struct codec_limits){(size_t)limits->head, (size_t)limits->fields}, &why);
	if (result != CODEC_DONE)
		refuse(client, result, why);
	return result == CODEC_DONE;
}
