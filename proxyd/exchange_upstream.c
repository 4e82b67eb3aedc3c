/* Sending a judged request up, repeating it where that is allowed, its response, and telling failures as problems. */
#include <stdio.h>

#include "exchange_internal.h"
#include "judge_again.h"
#include "monotonic.h"
#include "protocols.h"
#include "upstream_h2.h"

static bool refuse_without_trust(struct exchange *exchange, const char *why)
{
	const struct config_credential *credential = exchange->judgement.credential;
	if (!credential || !credential->client_cert)
		return problem_set(&exchange->problem, 503, "trust_unavailable",
		                   arena_format(&exchange->arena, "the upstream's certificate cannot be verified: %s", why),
		                   credential && credential->ca ? "mend `ca:` of the credential, or its file; then it works, within a second"
		                                                : "once the system's root certificates are there it works, within half a minute");
	exchange->problem.retry_after = 5;
	exchange->problem.error = "proxy_configuration_error";
	return problem_set(&exchange->problem, 503, "client_certificate",
	                   arena_format(&exchange->arena, "credential %s has no client certificate to show: %s", credential->name,
	                                why),
	                   "mend `client:` of the credential, or what it names; then it works, within a second");
}

bool exchange_find_destination(struct exchange *exchange)
{
	const struct judgement *judgement = &exchange->judgement;
	const char *why = NULL;
	exchange->destination = (struct destination){
		.tls = judgement->tls,
		.host = judgement->host,
		.port = judgement->port,
		.policy = dial_policy_of(judgement, exchange->snapshot),
		.profile = judgement->profile->name,
	};
	if (!judgement->tls)
		return true;
	exchange->destination.trust = snapshot_trust(exchange->snapshot, judgement->credential, &why);
	return exchange->destination.trust || refuse_without_trust(exchange, why);
}

/* What each failure is to the client. */
struct failure_row {
	unsigned status;
	const char *reason, *error; /* RFC 9209 §2.3 */
	const char *hint;
};

static const struct failure_row upstream_rows[] = {
	[UPSTREAM_OK] = {502, "upstream_failed", "proxy_internal_error", NULL},
	[UPSTREAM_TLS] = {502, "upstream_certificate", "tls_certificate_error",
	                  "`upstream:` must have the scheme and the name that the server has; a CA that is no public one goes "
	                  "into the credential's `ca:`"},
	[UPSTREAM_CLIENT_CERTIFICATE] = {502, "client_certificate_refused", "tls_alert_received",
	                                 "the credential's `client:` must be a certificate that the upstream knows, from a CA that it "
	                                 "takes, and valid now"},
	[UPSTREAM_HANDSHAKE_TIME] = {504, "handshake_timeout", "connection_timeout",
	                             "see whether the upstream speaks TLS on this port, or raise limits.handshake"},
	[UPSTREAM_CLOSED] = {502, "upstream_closed", "http_response_incomplete",
	                     "if the upstream speaks TLS on this port, write https:// in `upstream:`"},
	[UPSTREAM_MALFORMED] = {502, "upstream_malformed", "http_protocol_error",
	                        "if the upstream speaks TLS on this port, write https:// in `upstream:`"},
	[UPSTREAM_HEAD_TOO_LARGE] = {502, "upstream_head_too_large", "http_response_header_section_size",
	                             "raise limits.head, or limits.fields, whichever it is over"},
	[UPSTREAM_SWITCHED] = {502, "unasked_upgrade", "http_upgrade_failed", NULL},
	[UPSTREAM_CUT] = {502, "upstream_cut", "http_response_incomplete", NULL},
	[UPSTREAM_ONLY_H1] = {502, "upstream_only_h1", "http_protocol_error",
	                      "send it once more: requests to this upstream now go by HTTP/1.1 for some minutes"},
};

static void problem_of(struct exchange *exchange, const struct upstream_error *error)
{
	const char *text = arena_format(&exchange->arena, "%s", error->text);
	const struct failure_row *row = &upstream_rows[error->failure];
	if (error->failure == UPSTREAM_DIAL) {
		dial_problem(error->dial, text, &exchange->problem);
		return;
	}
	problem_set(&exchange->problem, row->status, row->reason, text, row->hint);
	exchange->problem.error = row->error;
	exchange->problem.close = error->failure == UPSTREAM_SWITCHED;
}

static void on_connected(void *context)
{
	exchange_progress(context);
}

static void on_interim(void *context, const struct response *interim)
{
	struct exchange *exchange = context;
	if (interim->status == 100)
		exchange->held_back = false;
	exchange_progress(exchange);
	/* One that nobody waits for goes down as any 1xx does (RFC 9110 §15.2). */
	bool asked = exchange->plan.body != SIGN_HELD && fields_find(&exchange->request.fields, SPAN("expect"));
	if (interim->status == 100 && asked)
		exchange->table->proceed(exchange->front);
	else
		exchange->table->interim(exchange->front, exchange_filter(exchange, interim));
}

static void refuse_switch(struct exchange *exchange, enum upstream_failure failure, const char *what)
{
	struct upstream_error error = {.failure = failure};
	snprintf(error.text, sizeof error.text, "%.100s %s (101)", exchange->judgement.host.name, what);
	exchange_release_upstream(exchange);
	problem_of(exchange, &error);
	exchange_answer(exchange);
}

/* What follows a switch is no request under way: it would stand for as long as both like (SPEC §11). */
static bool is_revoked(struct exchange *exchange)
{
	const struct snapshot *fresh = exchange->worker->snapshot;
	const struct standing standing = judge_standing(exchange->snapshot, &exchange->judgement, exchange->way->place);
	struct judgement now;
	const char *why =
		fresh->shared == exchange->snapshot->shared ? NULL : judge_lost(fresh, &standing, &exchange->arena, &now);
	if (!why)
		return false;
	exchange_release_upstream(exchange);
	problem_set(&exchange->problem, 403, why, "a new configuration does not allow this connection any more",
	            "source envgen's output again");
	exchange_answer(exchange);
	return true;
}

static void take_switch(struct exchange *exchange, const struct response *response)
{
	if (!protocols_granted(&exchange->outgoing, response)) {
		refuse_switch(exchange, UPSTREAM_SWITCHED, "switched to a protocol that was not asked for");
		return;
	}
	if (is_revoked(exchange))
		return;
	exchange->response = *exchange_filter(exchange, response);
	if (!exchange->table->upgrade(exchange->front)) {
		refuse_switch(exchange, UPSTREAM_HEAD_TOO_LARGE, "switched protocols with a head that is too long");
		return;
	}
	exchange_become(exchange, EXCHANGE_RELAYING);
	scrub_start(&exchange->scrub, response);
	exchange_progress(exchange);
}

static void on_head(void *context, const struct response *response)
{
	struct exchange *exchange = context;
	exchange->first = monotonic_us();
	if (response->status == 101) {
		take_switch(exchange, response);
		return;
	}
	if (exchange_is_renewed(exchange, response) || exchange_is_rotated(exchange, response))
		return;
	exchange_become(exchange, EXCHANGE_RELAYING);
	exchange_forget_replay(exchange);
	scrub_start(&exchange->scrub, response);
	exchange->response = *exchange_filter(exchange, response);
	exchange_progress(exchange);
	exchange->table->respond(exchange->front);
}

static void on_readable(void *context)
{
	struct exchange *exchange = context;
	exchange_progress(exchange);
	exchange->table->readable(exchange->front);
}

static void on_writable(void *context)
{
	struct exchange *exchange = context;
	if (!exchange_push(exchange))
		return;
	bool blocked = exchange->upload_blocked;
	exchange->upload_blocked = false;
	exchange_progress(exchange);
	if (blocked && !exchange->body_complete)
		exchange->table->writable(exchange->front);
}

void exchange_release_upstream(struct exchange *exchange)
{
	struct upstream *upstream = exchange->upstream;
	if (!upstream)
		return;
	exchange->unsent = upstream->table->error(upstream)->unsent && (exchange->unsent || !exchange->tried);
	exchange->tried = true;
	upstream->table->release(upstream);
	exchange->upstream = NULL;
}

/* SPEC §3: once more, on a new connection, where a reused one gave not one byte back, if the method is idempotent or
 * nothing was written; or on any, where the upstream did nothing with it. */
static bool may_repeat(const struct exchange *exchange, const struct upstream_error *error)
{
	bool lost = error->reused && error->unanswered && (error->unsent || method_is_idempotent(exchange->request.method));
	return !exchange->repeated && (error->unprocessed || lost);
}

void exchange_send_replay(struct exchange *exchange, bool fresh)
{
	exchange->replay_written = 0;
	const struct body_framing *body = &exchange->outgoing.body;
	exchange->finish_pending = exchange->body_complete && body->kind != BODY_NONE &&
	                           !(body->kind == BODY_LENGTH && body->length == 0);
	exchange_send_upstream(exchange, fresh);
	/* The dead connection took less than it was given. Where the new one took all of the replay, no event will tell that
	 * it takes more. */
	if (exchange_push(exchange) && exchange->upload_blocked)
		on_writable(exchange);
}

static void on_failed(void *context, const struct upstream_error *error)
{
	struct exchange *exchange = context;
	if (exchange->state != EXCHANGE_WAITING) {
		/* exchange_read() tells the front, or has: until that ends it, a response that broke has its upstream still. */
		exchange->table->readable(exchange->front);
		return;
	}
	struct upstream_error copy = *error;
	exchange_release_upstream(exchange);
	/* Only if what was taken of the body is still here. */
	bool whole = exchange->bytes_up == 0 || exchange->replay_whole;
	if (whole && copy.failure == UPSTREAM_ONLY_H1) {
		exchange->only_h1 = true;
		exchange_send_replay(exchange, false);
		return;
	}
	if (whole && may_repeat(exchange, &copy)) {
		exchange->repeated = true;
		exchange_send_replay(exchange, !copy.unprocessed);
		return;
	}
	problem_of(exchange, &copy);
	exchange_answer(exchange);
}

static const struct upstream_events events = {
	.connected = on_connected,
	.interim = on_interim,
	.head = on_head,
	.readable = on_readable,
	.writable = on_writable,
	.failed = on_failed,
};

/* SPEC §3: what came by HTTP/2 goes up by it, where the upstream offers it. */
static bool goes_by_h2(const struct exchange *exchange)
{
	const struct judgement *judgement = &exchange->judgement;
	enum http2_mode mode = judgement->credential ? judgement->credential->http2 : judgement->entry->http2;
	return exchange->request.h2 && mode != HTTP2_OFF && !exchange->only_h1 &&
	       upstream_h2_offers(exchange->worker->upstream_h2, &exchange->destination);
}

void exchange_send_upstream(struct exchange *exchange, bool fresh)
{
	struct worker *worker = exchange->worker;
	exchange_become(exchange, EXCHANGE_WAITING);
	exchange->replay_whole = true;
	exchange->by_h2 = goes_by_h2(exchange);
	if (exchange->by_h2)
		exchange->upstream = upstream_h2_start(worker->upstream_h2, &exchange->destination, &exchange->outgoing, fresh,
		                                       &events, exchange);
	else
		exchange->upstream = upstream_h1_start(worker->pool, &exchange->destination, &exchange->outgoing, fresh, &events,
		                                       exchange);
	exchange_progress(exchange);
}

/* The stall timer: whose turn was it? */
void exchange_on_stall(struct loop_timer *timer)
{
	struct exchange *exchange = (struct exchange *)((char *)timer - offsetof(struct exchange, timer));
	/* The client takes no more of what we say. */
	if (exchange->state == EXCHANGE_ANSWERED || exchange->state == EXCHANGE_BROKEN) {
		exchange->table->abort(exchange->front);
		return;
	}
	if (exchange->state == EXCHANGE_RELAYING) {
		exchange->stalled = !exchange->body_refused;
		exchange_become(exchange, EXCHANGE_BROKEN);
		exchange->table->abort(exchange->front);
		return;
	}
	if (exchange->state == EXCHANGE_AWAITING) {
		exchange_await_late(exchange);
		return;
	}
	exchange_release_upstream(exchange);
	if (exchange_owes_body(exchange)) {
		problem_set(&exchange->problem, 408, "body_late", "the request body stopped coming",
		            "send it without a pause, or raise limits.body_idle");
	} else {
		problem_set(&exchange->problem, 504, "response_late",
		            arena_format(&exchange->arena, "%s did not answer in time", exchange->judgement.host.name),
		            "raise limits.response_idle, or the credential's response_idle");
		exchange->problem.error = "http_response_timeout";
	}
	exchange_answer(exchange);
}

static ssize_t read_own(struct exchange *exchange, void *bytes, size_t size)
{
	struct span rest = span_from(exchange->own_body, exchange->own_body_read);
	if (size > rest.length)
		size = rest.length;
	memcpy(bytes, rest.data, size);
	exchange->own_body_read += size;
	exchange->bytes_down += size;
	return (ssize_t)size;
}

static ssize_t read_upstream(void *context, void *bytes, size_t size)
{
	struct exchange *exchange = context;
	return exchange->upstream->table->read(exchange->upstream, bytes, size);
}

static bool upstream_is_over(void *context)
{
	struct exchange *exchange = context;
	bool whole;
	return exchange->upstream->table->ready(exchange->upstream, &whole) == 0 && whole;
}

ssize_t exchange_read(struct exchange *exchange, void *bytes, size_t size)
{
	if (exchange->state == EXCHANGE_ANSWERED)
		return read_own(exchange, bytes, size);
	if (exchange->state != EXCHANGE_RELAYING)
		return UPSTREAM_READ_ERROR;
	const struct scrub_source source = {read_upstream, upstream_is_over, exchange};
	ssize_t count = scrub_read(&exchange->scrub, &source, bytes, size);
	if (count > 0) {
		exchange->bytes_down += (uint64_t)count;
		exchange_progress(exchange);
	} else if (count == UPSTREAM_READ_ERROR || count == SCRUB_BROKEN) {
		exchange_become(exchange, EXCHANGE_BROKEN);
		return UPSTREAM_READ_ERROR;
	}
	return count;
}

size_t exchange_ready(struct exchange *exchange, bool *whole)
{
	*whole = true;
	if (exchange->state == EXCHANGE_ANSWERED)
		return exchange->own_body.length - exchange->own_body_read;
	return exchange->upstream->table->ready(exchange->upstream, whole) + scrub_ready(&exchange->scrub);
}

const struct fields *exchange_trailers(struct exchange *exchange)
{
	if (exchange->state != EXCHANGE_RELAYING)
		return NULL;
	const struct fields *trailers = exchange->upstream->table->trailers(exchange->upstream);
	return trailers ? exchange_filter_trailers(exchange, trailers) : NULL;
}
