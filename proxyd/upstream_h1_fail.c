/* What went wrong with an upstream, as a value and in words. */
#include <stdarg.h>
#include <stdio.h>

#include "upstream_connection.h"

__attribute__((format(printf, 3, 0))) static void set_error(struct connection *connection,
                                                            enum upstream_failure failure, const char *format,
                                                            va_list arguments)
{
	struct upstream_error *error = &connection->error;
	error->failure = failure;
	error->unanswered = !connection->answered;
	error->unsent = !connection->sent_any;
	error->reused = connection->reused;
	vsnprintf(error->text, sizeof error->text, format, arguments);
	connection_close(connection);
	connection->state = CONNECTION_FAILED;
}

void h1_fail_quietly(struct connection *connection, enum upstream_failure failure, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	set_error(connection, failure, format, arguments);
	va_end(arguments);
}

void h1_failed(struct connection *connection, enum upstream_failure failure, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	set_error(connection, failure, format, arguments);
	va_end(arguments);
	connection->upstream.events->failed(connection->upstream.context, &connection->error);
}

void h1_fail_closed(struct connection *connection, bool reset)
{
	struct fault fault = FAULT_INIT;
	if (connection->end.tls && tls_is_refused(connection->end.tls, &fault)) {
		h1_failed(connection, upstream_tls_failure(&fault), "%.100s: %.200s", connection_host(connection), fault.text);
		return;
	}
	h1_failed(connection, UPSTREAM_CLOSED, "%.100s %s the connection %s", connection_host(connection),
	          reset ? "reset" : "closed", connection->answered ? "within the head of its answer" : "without an answer");
}

/* A TLS record where a status line should be. */
static bool looks_like_tls(const struct connection *connection)
{
	return connection->in_end - connection->in_start >= 2 &&
	       (connection->in[connection->in_start] == 0x15 || connection->in[connection->in_start] == 0x16) &&
	       connection->in[connection->in_start + 1] == 0x03;
}

void h1_fail_head(struct connection *connection, enum codec_result result, const char *why)
{
	const char *host = connection_host(connection);
	if (result == CODEC_TOO_LARGE || result == CODEC_TOO_MANY)
		h1_failed(connection, UPSTREAM_HEAD_TOO_LARGE, "the answer of %.100s %s (limits: %s)", host, why,
		          result == CODEC_TOO_LARGE ? "head" : "fields");
	else if (looks_like_tls(connection))
		h1_failed(connection, UPSTREAM_MALFORMED, "%.100s answers in TLS; should the URL start with https://?", host);
	else
		h1_failed(connection, UPSTREAM_MALFORMED, "the answer of %.100s %s", host, why);
}
