#include "buffer.h"
#include "codec_h1.h"

#define NUMBER_TEXT 24

static char *put(char *out, struct span text)
{
	return mempcpy(out, text.data, text.length);
}

static char *put_field(char *out, struct span name, struct span value)
{
	out = put(put(put(out, name), SPAN(": ")), value);
	return put(out, SPAN("\r\n"));
}

static size_t fields_size(const struct fields *fields)
{
	size_t size = 0;
	for (size_t i = 0; i < fields->count; i++)
		size += fields->list[i].name.length + fields->list[i].value.length + sizeof ": \r\n" - 1;
	return size;
}

static char *put_fields(char *out, const struct fields *fields)
{
	for (size_t i = 0; i < fields->count; i++)
		out = put_field(out, fields->list[i].name, fields->list[i].value);
	return out;
}

static struct span decimal(uint64_t number, char text[NUMBER_TEXT])
{
	char *start = text + NUMBER_TEXT;
	do {
		*--start = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	return (struct span){start, (size_t)(text + NUMBER_TEXT - start)};
}

static bool is_chunked(struct body_framing body, bool chunks)
{
	return chunks && (body.kind == BODY_CHUNKED || body.kind == BODY_UNTIL_CLOSE);
}

static char *put_framing(char *out, struct body_framing body, bool chunks)
{
	char text[NUMBER_TEXT];
	if (body.kind == BODY_LENGTH)
		return put_field(out, SPAN("Content-Length"), decimal(body.length, text));
	if (is_chunked(body, chunks))
		return put_field(out, SPAN("Transfer-Encoding"), SPAN("chunked"));
	return out;
}

/* Room for start line, framing field, Connection and the line ends around them. */
#define HEAD_SPARE 160

void codec_write_request(const struct request *request, struct buffer *out)
{
	size_t size = request->method.length + request->target.length + fields_size(&request->fields) + HEAD_SPARE;
	char *start = buffer_room(out, size), *end = put(start, request->method);
	end = put(put(end, SPAN(" ")), request->target);
	end = put(end, SPAN(" HTTP/1.1\r\n"));
	end = put_fields(end, &request->fields);
	end = put_framing(end, request->body, true);
	end = put(end, SPAN("\r\n"));
	*end = 0;
	out->length += (size_t)(end - start);
}

void codec_write_response(const struct response *response, unsigned minor, bool close, struct buffer *out)
{
	char text[NUMBER_TEXT];
	size_t size = response->reason.length + fields_size(&response->fields) + HEAD_SPARE;
	char *start = buffer_room(out, size), *end = put(start, SPAN("HTTP/1.1 "));
	end = put(end, decimal(response->status, text));
	end = put(put(end, SPAN(" ")), response->reason);
	end = put(end, SPAN("\r\n"));
	end = put_fields(end, &response->fields);
	end = put_framing(end, response->body, minor >= 1);
	if (close)
		end = put_field(end, SPAN("Connection"), SPAN("close"));
	end = put(end, SPAN("\r\n"));
	*end = 0;
	out->length += (size_t)(end - start);
}

size_t codec_chunk_head(uint64_t size, char *out)
{
	static const char digits[] = "0123456789abcdef";
	size_t length = 1;
	while (length < 16 && size >> (4 * length))
		length++;
	for (size_t i = 0; i < length; i++)
		out[i] = digits[size >> (4 * (length - 1 - i)) & 15];
	out[length] = '\r';
	out[length + 1] = '\n';
	return length + 2;
}

void codec_write_last_chunk(const struct fields *trailers, struct buffer *out)
{
	size_t size = sizeof "0\r\n\r\n" + (trailers ? fields_size(trailers) : 0);
	char *start = buffer_room(out, size), *end = put(start, SPAN("0\r\n"));
	if (trailers)
		end = put_fields(end, trailers);
	end = put(end, SPAN("\r\n"));
	*end = 0;
	out->length += (size_t)(end - start);
}

void codec_write_piece(const struct response *response, unsigned minor, struct span piece, struct buffer *out)
{
	char head[20];
	bool chunked = is_chunked(response->body, minor >= 1);
	if (chunked)
		buffer_append(out, head, codec_chunk_head(piece.length, head));
	buffer_span(out, piece);
	if (chunked)
		buffer_string(out, "\r\n");
}

void codec_write_end(const struct response *response, unsigned minor, const struct fields *trailers, struct buffer *out)
{
	if (is_chunked(response->body, minor >= 1))
		codec_write_last_chunk(trailers, out);
}

bool codec_ends_by_close(const struct response *response, unsigned minor)
{
	return minor == 0 && (response->body.kind == BODY_CHUNKED || response->body.kind == BODY_UNTIL_CLOSE);
}
