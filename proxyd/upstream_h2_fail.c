/* What went wrong with a request, as a value and in words. */
#include <stdarg.h>
#include <stdio.h>

#include "upstream_h2_internal.h"

/* Its stream, or its place in the line, is given up. */
static void part(struct h2_request *request)
{
	struct h2_connection *connection = request->connection;
	if (request->state == H2_WAITING)
		TAILQ_REMOVE(&request->origin->waiting, request, in_line);
	if (!connection)
		return;
	nghttp2_submit_rst_stream(connection->session, NGHTTP2_FLAG_NONE, request->id, NGHTTP2_CANCEL);
	h2_request_leave(request);
}

void h2_request_fail(struct h2_request *request, enum upstream_failure failure, const char *format, ...)
{
	struct upstream_error *error = &request->error;
	va_list arguments;
	part(request);
	error->failure = request->state == H2_BODY ? UPSTREAM_CUT : failure;
	error->unanswered = !request->answered;
	error->unsent = !request->sent;
	va_start(arguments, format);
	vsnprintf(error->text, sizeof error->text, format, arguments);
	va_end(arguments);
	request->state = H2_FAILED;
	h2_tell(request, H2_NEWS_FAILED);
}

static const char *where(const struct h2_request *request)
{
	return request->state == H2_BODY ? "within the body of its answer" : "without an answer";
}

void h2_request_closed(struct h2_request *request, uint32_t code)
{
	const char *host = h2_host(request->origin), *name = nghttp2_http2_strerror(code);
	enum upstream_failure failure = UPSTREAM_CLOSED;
	bool theirs = !request->ours;
	h2_request_leave(request);
	request->error.unprocessed = !request->sent || (theirs && code == NGHTTP2_REFUSED_STREAM);
	if (request->error.unprocessed) {
		h2_request_fail(request, failure, "%.100s did not take the request (%s)", host, name);
		return;
	}
	request->answered = true;
	if (theirs && code == NGHTTP2_HTTP_1_1_REQUIRED && request->state == H2_HEAD) {
		h2_origin_remember(request->origin);
		failure = UPSTREAM_ONLY_H1;
	}
	if (theirs)
		h2_request_fail(request, failure, "%.100s reset the request %s (%s)", host, where(request), name);
	else
		h2_request_fail(request, UPSTREAM_MALFORMED, "the answer of %.100s breaks the rules of HTTP/2 (%s)", host, name);
}

void h2_request_lost(struct h2_request *request, const struct h2_connection *connection)
{
	const char *host = h2_host(request->origin);
	struct fault fault = FAULT_INIT;
	if (request->ended)
		h2_request_leave(request);
	else if (tls_is_refused(connection->end.tls, &fault))
		h2_request_fail(request, upstream_tls_failure(&fault), "%.100s: %.200s", host, fault.text);
	else if (connection->wrong)
		h2_request_fail(request, UPSTREAM_MALFORMED, "%.100s %s", host, connection->wrong);
	else
		h2_request_fail(request, UPSTREAM_CLOSED, "%.100s %s the connection %s", host,
		                connection->reset ? "reset" : "closed", where(request));
}
