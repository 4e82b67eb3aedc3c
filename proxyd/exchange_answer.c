/* What of an upstream's response head goes on to the client, and what of an exchange goes into the audit. */
#include "exchange_internal.h"
#include "log.h"
#include "location.h"
#include "monotonic.h"

/* Fields that end at this hop, that framing writes anew, or that would lead around the proxy (SPEC §3). */
static const struct span dropped[] = {
	SPAN("connection"),          SPAN("keep-alive"), SPAN("proxy-connection"), SPAN("proxy-authenticate"),
	SPAN("proxy-authentication-info"), SPAN("te"),   SPAN("transfer-encoding"), SPAN("upgrade"),
	SPAN("alt-svc"),
};

static bool is_dropped(struct span name)
{
	for (size_t i = 0; i < sizeof dropped / sizeof *dropped; i++)
		if (span_equal_nocase(name, dropped[i]))
			return true;
	return false;
}

/* Does a Connection field name others? Most say only "keep-alive", and that one is dropped anyway. */
static bool nominates(const struct fields *fields)
{
	for (size_t i = 0; i < fields->count; i++)
		if (span_equal_nocase(fields->list[i].name, SPAN("connection")) &&
		    !span_equal_nocase(fields->list[i].value, SPAN("keep-alive")))
			return true;
	return false;
}

static bool stays(const struct response *response, struct span name, bool nominations)
{
	if (response->status == 101 && span_equal_nocase(name, SPAN("upgrade")))
		return true;
	if (is_dropped(name))
		return false;
	/* Without a body (HEAD, 304) Content-Length tells of the representation; with one, framing writes it. 1xx and 204
	 * have neither (RFC 9110 §8.6), and some clients would wait for that many bytes. */
	if (span_equal_nocase(name, SPAN("content-length")))
		return response->body.kind == BODY_NONE && response->status >= 200 && response->status != 204;
	return !nominations || !fields_list_has(&response->fields, SPAN("connection"), name);
}

/* ---- URLs that lie under a reverse endpoint's upstream ---- */

typedef bool location_rewriter(struct span value, const struct location_base *base, struct arena *arena,
                               struct span *out);

/* Told by its length before anything is compared: most responses have none of them. */
static location_rewriter *rewriter_of(struct span name)
{
	switch (name.length) {
	case 4:
		return span_equal_nocase(name, SPAN("link")) ? location_rewrite_link : NULL;
	case 8:
		return span_equal_nocase(name, SPAN("location")) ? location_rewrite : NULL;
	case 16:
		return span_equal_nocase(name, SPAN("content-location")) ? location_rewrite : NULL;
	default:
		return NULL;
	}
}

static void make_base(struct exchange *exchange, struct location_base *base)
{
	const struct config_credential *credential = exchange->judgement.credential;
	struct span *values = arena_zero(&exchange->arena, credential->secret_count * sizeof *values);
	for (size_t i = 0; i < credential->secret_count; i++)
		values[i] = secrets_get(exchange->snapshot->secrets, credential, i)->bytes;
	struct location_request request = {
		.credential = credential,
		.values = values,
		.target = exchange->request.target,
		.sent = exchange->outgoing.target,
		.prefix = exchange->judgement.prefix,
	};
	location_base_make(base, &request, &exchange->arena);
	/* In the other forms the client knows the upstream by its own name: only the secret is kept from it. */
	if (exchange->judgement.way != WAY_REVERSE)
		base->prefix_count = 0;
}

static void rewrite_locations(struct exchange *exchange, struct fields *fields)
{
	struct location_base base = {0};
	if (!exchange->judgement.credential)
		return;
	for (size_t i = 0; i < fields->count; i++) {
		struct field *field = &fields->list[i];
		location_rewriter *rewrite = rewriter_of(field->name);
		if (!rewrite)
			continue;
		if (!base.upstream)
			make_base(exchange, &base);
		rewrite(field->value, &base, &exchange->arena, &field->value);
	}
}

const struct response *exchange_filter(struct exchange *exchange, const struct response *response)
{
	bool nominations = nominates(&response->fields);
	struct response *out = arena_alloc(&exchange->arena, sizeof *out);
	*out = *response;
	out->fields = (struct fields){0};
	for (size_t i = 0; i < response->fields.count; i++) {
		struct field field = response->fields.list[i];
		if (stays(response, field.name, nominations))
			fields_add_like(&out->fields, &exchange->arena, &field, field.value);
	}
	rewrite_locations(exchange, &out->fields);
	scrub_head(&exchange->scrub, out, &exchange->arena);
	return out;
}

const struct fields *exchange_filter_trailers(struct exchange *exchange, const struct fields *trailers)
{
	struct fields *out = arena_zero(&exchange->arena, sizeof *out);
	for (size_t i = 0; i < trailers->count; i++)
		if (!is_dropped(trailers->list[i].name))
			fields_add_like(out, &exchange->arena, &trailers->list[i], trailers->list[i].value);
	rewrite_locations(exchange, out);
	scrub_fields(&exchange->scrub, out, &exchange->arena);
	return out;
}

void exchange_log(const struct exchange *exchange, const struct audit_record *record)
{
	log_debug("%s: %s %.*s %s:%u, %u%s%s, %llu bytes up, %llu down, %llu us", record->client, record->way,
	          SPAN_ARGS(record->method), record->host.data ? exchange->judgement.host.name : "-", record->port,
	          record->status, record->reason ? ", " : "", record->reason ? record->reason : "",
	          (unsigned long long)record->bytes_up, (unsigned long long)record->bytes_down,
	          (unsigned long long)record->total_us);
}

/* Nothing of the exchange decides twice: the verdict follows from its state and its problem. */
static enum audit_verdict verdict_of(const struct exchange *exchange)
{
	if (exchange->gone || (exchange->state == EXCHANGE_BROKEN && !exchange->body_refused))
		return AUDIT_FAIL;
	if (exchange->problem.status == 0)
		return AUDIT_ALLOW;
	return audit_verdict_of(exchange->problem.status);
}

static const char *reason_of(const struct exchange *exchange)
{
	if (exchange->gone)
		return "client_gone";
	if (exchange->scrub.broken)
		return exchange->scrub.broken;
	if (exchange->state == EXCHANGE_BROKEN && !exchange->body_refused)
		return exchange->stalled ? "stalled" : "upstream_cut";
	return exchange->problem.reason;
}

void exchange_fill_record(const struct exchange *exchange, struct audit_record *record, const char *event)
{
	const struct judgement *judgement = &exchange->judgement;
	uint64_t now = monotonic_us();
	*record = (struct audit_record){
		.event = event,
		.profile = judgement->profile ? judgement->profile->name : exchange->way->profile,
		.client = exchange->way->client,
		.way_kind = judgement->way,
		.way = way_name(judgement->way),
		.credential = judgement->credential ? judgement->credential->name : NULL,
		.credential_tally = snapshot_credential_tally(exchange->snapshot, judgement->credential),
		.profile_tally = snapshot_profile_tally(exchange->snapshot, judgement->profile),
		.method = exchange->request.method,
		.path = judgement->path,
		.port = judgement->port,
		.verdict = verdict_of(exchange),
		.rule = exchange->problem.rule ? exchange->problem.rule : judgement->rule,
		.reason = reason_of(exchange),
		.rotated = exchange->rotated,
		.injected = exchange->injected && !exchange->unsent,
		.scrubbed = (uint32_t)exchange->scrub.finds,
		.status = exchange->response.status,
		.bytes_up = exchange->bytes_up,
		.bytes_down = exchange->bytes_down,
		.first_us = exchange->first ? exchange->first - exchange->started : 0,
		.total_us = now - exchange->started,
	};
	memcpy(record->id, exchange->id, sizeof record->id);
	if (judgement->host.length > 0)
		record->host = host_span(&judgement->host);
}
