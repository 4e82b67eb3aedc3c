/* Signed requests (SPEC §2 Signers): when they are signed, and what that asks of their bodies. */
#include <time.h>

#include "exchange_internal.h"
#include "inject.h"

static bool refuse_signed_length(struct exchange *exchange, uint64_t limit)
{
	return problem_set(&exchange->problem, 413, "signed_body_too_large",
	                   arena_format(&exchange->arena, "the request body is longer than the %llu bytes that are held to be signed",
	                                (unsigned long long)limit),
	                   "send its SHA-256 in X-Amz-Content-Sha256, or raise limits.signed_body");
}

/* Bodies of this size that are held at a time: clients that begin many and end none must not take all memory. */
#define HELD_MOST 64

static bool refuse_held(struct exchange *exchange)
{
	exchange->problem.retry_after = 1;
	return problem_set(&exchange->problem, 503, "signed_bodies",
	                   "too many request bodies are held to be signed at this time",
	                   "send it again, or send its SHA-256 in X-Amz-Content-Sha256, so that it need not be held");
}

/* False with a problem: no more of the body is to be held. */
static bool may_hold(struct exchange *exchange, size_t more)
{
	struct server *server = exchange->worker->server;
	uint64_t limit = exchange->worker->limits.signed_body;
	if (exchange->replay.length > limit || more > limit - exchange->replay.length)
		return refuse_signed_length(exchange, limit);
	exchange->held += more;
	return atomic_fetch_add(&server->held, more) + more <= HELD_MOST * limit || refuse_held(exchange);
}

void exchange_wipe_replay(struct exchange *exchange)
{
	buffer_wipe(&exchange->replay);
	if (exchange->held)
		atomic_fetch_sub(&exchange->worker->server->held, exchange->held);
	exchange->held = 0;
}

static void keep_chunks(struct exchange *exchange, const struct signed_head *head)
{
	struct sigv4_chunks *chunks = arena_zero(&exchange->arena, sizeof *chunks);
	chunks->scope = head->scope;
	memcpy(chunks->key, head->key, sizeof chunks->key);
	memcpy(chunks->previous, head->signature, sizeof chunks->previous);
	sigv4_chunks_start(chunks, exchange->plan.trailers);
	exchange->chunks = chunks;
}

static void sign(struct exchange *exchange)
{
	struct worker *worker = exchange->worker;
	struct signed_head head;
	if (!worker->signing_keys)
		worker->signing_keys = sigv4_cache_new();
	sign_request(exchange->signer, &exchange->plan, time(NULL), worker->signing_keys, &exchange->arena, &exchange->outgoing,
	             &head);
	if (exchange->plan.body == SIGN_CHUNKS)
		keep_chunks(exchange, &head);
	explicit_bzero(&head, sizeof head);
}

bool exchange_sign(struct exchange *exchange)
{
	const struct config_credential *credential = exchange->judgement.credential;
	uint64_t limit = exchange->worker->limits.signed_body;
	exchange->signer = credential ? inject_signer(inject_table_for(exchange->snapshot, &exchange->judgement), credential) : NULL;
	if (!exchange->signer)
		return true;
	bool planned =
		sign_make_plan(exchange->signer, &exchange->request, &exchange->arena, &exchange->plan, &exchange->problem);
	bool held = planned && exchange->plan.body == SIGN_HELD;
	if (held && exchange->request.body.kind == BODY_LENGTH && exchange->request.body.length > limit)
		planned = refuse_signed_length(exchange, limit);
	else if (planned && !held)
		sign(exchange);
	sha256_start(&exchange->hash);
	exchange->unsent = !planned;
	return planned;
}

/* --- a body that is held --- */

/* What the front was told to keep for now. */
static void take_up(struct exchange *exchange)
{
	bool blocked = exchange->upload_blocked;
	exchange->upload_blocked = false;
	exchange_progress(exchange);
	if (blocked)
		exchange->table->writable(exchange->front);
}

void exchange_hold(struct exchange *exchange)
{
	exchange_become(exchange, EXCHANGE_HOLDING);
	exchange->unsent = true;
	/* Nobody but us can ask for the body, which comes to the upstream whole. */
	if (exchange->held_back)
		loop_later(exchange->worker->loop, &exchange->task);
	exchange->held_back = false;
	fields_remove(&exchange->outgoing.fields, SPAN("Expect"));
	if (exchange->body_complete) /* it came, or was sent before, while a secret was waited for */
		exchange_hold_whole(exchange);
	else
		take_up(exchange);
}

void exchange_hold_more(struct exchange *exchange, const void *bytes, size_t size)
{
	if (!may_hold(exchange, size)) {
		exchange_wipe_replay(exchange);
		exchange_answer(exchange);
		return;
	}
	buffer_append(&exchange->replay, bytes, size);
	exchange->bytes_up += size;
	exchange_progress(exchange);
}

void exchange_hold_whole(struct exchange *exchange)
{
	char *hash = arena_alloc(&exchange->arena, SHA256_HEX + 1);
	/* The body came within the round in which it was to be asked for. */
	loop_later_cancel(exchange->worker->loop, &exchange->task);
	sha256_hex(buffer_view(&exchange->replay), hash);
	exchange->plan.payload = (struct span){hash, SHA256_HEX};
	/* Its length is known now, and most services want to be told. */
	if (exchange->trailers.count == 0)
		exchange->outgoing.body = (struct body_framing){BODY_LENGTH, exchange->replay.length};
	sign(exchange);
	exchange_send_replay(exchange, false);
}

/* --- a body whose hash was said --- */

static bool is_hash_said(const struct exchange *exchange, struct span more)
{
	char hash[SHA256_HEX + 1];
	struct sha256 all = exchange->hash;
	sha256_add(&all, more);
	sha256_end(&all, hash);
	return span_equal(exchange->plan.payload, (struct span){hash, SHA256_HEX});
}

/* The last bytes, or, where it has no length, the end, go on only where the hash is right: so a body that is not what was
 * signed stays a part of one. */
static bool check(struct exchange *exchange, struct span last)
{
	return is_hash_said(exchange, last) ||
	       problem_set(&exchange->problem, 400, "content_sha256",
	                   "the request body does not have the SHA-256 that X-Amz-Content-Sha256 says",
	                   "send the hash of the body that goes with it");
}

bool exchange_check_last(struct exchange *exchange, struct span bytes)
{
	const struct body_framing *body = &exchange->request.body;
	bool ends = body->kind == BODY_LENGTH && bytes.length >= body->length - exchange->bytes_up;
	return exchange->plan.body != SIGN_CHECKED || !ends || check(exchange, bytes);
}

void exchange_check_add(struct exchange *exchange, struct span bytes)
{
	if (exchange->plan.body == SIGN_CHECKED)
		sha256_add(&exchange->hash, bytes);
}

/* --- a body in signed chunks --- */

bool exchange_chunks_fit(struct exchange *exchange)
{
	return !exchange->chunks->wrong ||
	       problem_set(&exchange->problem, 400, "signed_chunks",
	                   arena_format(&exchange->arena, "the request body is said to be in signed chunks, but %s",
	                                exchange->chunks->wrong),
	                   "send chunks of at most 128 KiB as AWS's SDKs write them, or send UNSIGNED-PAYLOAD");
}

bool exchange_check_end(struct exchange *exchange)
{
	if (exchange->chunks)
		return sigv4_chunks_finish(exchange->chunks) || exchange_chunks_fit(exchange);
	return exchange->plan.body != SIGN_CHECKED || exchange->request.body.kind != BODY_CHUNKED ||
	       check(exchange, (struct span){"", 0});
}
