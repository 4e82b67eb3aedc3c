#include "sign.h"

const char *const sign_field_names[SIGN_FIELD_NAMES + 1] = {
	"x-amz-date", "x-amz-security-token", "x-amz-content-sha256", "x-amz-region-set", "x-amz-s3session-token", NULL,
};
const char *const sign_query_names[SIGN_QUERY_NAMES + 1] = {
	"X-Amz-Algorithm",     "X-Amz-Credential", "X-Amz-Date",           "X-Amz-Expires",    "X-Amz-Security-Token",
	"X-Amz-SignedHeaders", "X-Amz-Signature",  "X-Amz-Content-Sha256", "X-Amz-Region-Set", "X-Amz-S3session-Token",
	"X-Amz-Copy-Source",   "X-Amz-Rename-Source", NULL,
};

/* --- what the agent shows --- */

struct span sign_credential_id(struct span credential)
{
	struct span id = span_split(&credential, '/');
	return credential.data ? id : (struct span){NULL, 0};
}

struct span sign_shown_id(struct span authorization)
{
	static const struct span key = {"Credential=", 11};
	struct span rest = authorization, scheme = span_split(&rest, ' ');
	if (!span_equal_nocase(scheme, SPAN("AWS4-HMAC-SHA256")))
		return (struct span){NULL, 0};
	while (rest.data) {
		struct span part = span_trim(span_split(&rest, ','));
		if (span_starts(part, key))
			return sign_credential_id(span_from(part, key.length));
	}
	return (struct span){NULL, 0};
}

/* --- the plan --- */

static const struct span content_sha256 = {"x-amz-content-sha256", 20};

/* Words that stand in a hash's place. */
static const struct word {
	struct span text;
	enum sign_body body;
	bool trailers;
} words[] = {
	{SPAN("UNSIGNED-PAYLOAD"), SIGN_AS_SAID, false},
	{SPAN("STREAMING-UNSIGNED-PAYLOAD-TRAILER"), SIGN_AS_SAID, false},
	{SPAN("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), SIGN_CHUNKS, false},
	{SPAN("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"), SIGN_CHUNKS, true},
};

static bool has_body(const struct request *request)
{
	return request->body.kind == BODY_CHUNKED || (request->body.kind == BODY_LENGTH && request->body.length > 0);
}

static struct span empty_hash(struct arena *arena)
{
	char *hex = arena_alloc(arena, SHA256_HEX + 1);
	sha256_hex((struct span){NULL, 0}, hex);
	return (struct span){hex, SHA256_HEX};
}

static bool is_hash(struct span text)
{
	for (size_t i = 0; i < text.length; i++)
		if (!strchr("0123456789abcdef", text.data[i]) || !text.data[i])
			return false;
	return text.length == SHA256_HEX;
}

/* Nothing is said of the body. */
static void plan_unsaid(const struct signer *signer, const struct request *request, struct arena *arena,
                        struct sign_plan *plan)
{
	*plan = (struct sign_plan){.told = sigv4_is_s3(signer->service)};
	if (plan->told)
		plan->payload = words[0].text;
	else if (has_body(request))
		plan->body = SIGN_HELD;
	else
		plan->payload = empty_hash(arena);
}

static bool refuse_form(struct problem *problem, struct span said, struct arena *arena)
{
	bool streams = span_starts(said, SPAN("STREAMING-"));
	return problem_set(problem, streams ? 501 : 400, "signed_form",
	                   arena_format(arena, "X-Amz-Content-Sha256 is `%.*s`, which proxyd cannot sign",
	                                SPAN_ARGS(span_head(said, 64))),
	                   "send the body's SHA-256 in small hex digits, UNSIGNED-PAYLOAD, "
	                   "STREAMING-UNSIGNED-PAYLOAD-TRAILER or STREAMING-AWS4-HMAC-SHA256-PAYLOAD[-TRAILER]");
}

static bool plan_hash(const struct request *request, struct arena *arena, struct sign_plan *plan,
                      struct problem *problem)
{
	plan->body = has_body(request) ? SIGN_CHECKED : SIGN_AS_SAID;
	return plan->body == SIGN_CHECKED || span_equal(plan->payload, empty_hash(arena)) ||
	       problem_set(problem, 400, "content_sha256", "X-Amz-Content-Sha256 is not the SHA-256 of an empty body",
	                   "send the hash of the body that goes with it");
}

bool sign_make_plan(const struct signer *signer, const struct request *request, struct arena *arena,
                    struct sign_plan *plan, struct problem *problem)
{
	const struct field *field = fields_find(&request->fields, content_sha256);
	if (!field) {
		plan_unsaid(signer, request, arena, plan);
		return true;
	}
	if (fields_count(&request->fields, content_sha256) > 1)
		return problem_set(problem, 400, "signed_form", "X-Amz-Content-Sha256 came more than once", "send it once");
	*plan = (struct sign_plan){.payload = field->value, .told = true};
	if (is_hash(field->value))
		return plan_hash(request, arena, plan, problem);
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (!span_equal(field->value, words[i].text))
			continue;
		plan->body = has_body(request) ? words[i].body : SIGN_AS_SAID;
		plan->trailers = words[i].trailers;
		return true;
	}
	return refuse_form(problem, field->value, arena);
}

/* --- signing --- */

static bool is_signed(struct span name)
{
	static const struct span begin = {"x-amz-", 6};
	return span_equal_nocase(span_head(name, begin.length), begin) || span_equal_nocase(name, SPAN("host")) ||
	       span_equal_nocase(name, SPAN("content-type")) || span_equal_nocase(name, SPAN("content-md5"));
}

static void add(struct request *out, struct arena *arena, const char *name, struct span value, bool sensitive)
{
	fields_add(&out->fields, arena, span_of(name), value);
	out->fields.list[out->fields.count - 1].sensitive = sensitive;
}

static struct fields choose_fields(const struct request *out, struct arena *arena)
{
	struct fields chosen = {0};
	for (size_t i = 0; i < out->fields.count; i++)
		if (is_signed(out->fields.list[i].name))
			fields_add(&chosen, arena, out->fields.list[i].name, out->fields.list[i].value);
	return chosen;
}

/* What is signed is several times as long as the request: it does not stay with it. */
static struct span authorization(const struct signer *signer, const struct sign_plan *plan, struct arena *arena,
                                 const struct request *out, struct signed_head *head)
{
	struct arena scratch = {0};
	struct fields chosen = choose_fields(out, &scratch);
	const struct sigv4_request request = {out->method, out->target, &chosen, plan->payload};
	sigv4_sign(&request, &head->scope, head->key, &scratch, head->signature);
	struct span value = sigv4_authorization(&request, &head->scope, signer->id, head->signature, &scratch);
	value = arena_span(arena, value);
	arena_free(&scratch);
	return value;
}

void sign_request(const struct signer *signer, const struct sign_plan *plan, time_t now, struct sigv4_cache *cache,
                  struct arena *arena, struct request *out, struct signed_head *head)
{
	head->scope = (struct sigv4_scope){.region = signer->region, .service = signer->service};
	sigv4_time(now, head->scope.time);
	sigv4_derive(cache, signer->key, &head->scope, head->key);
	add(out, arena, "X-Amz-Date", arena_span(arena, span_of(head->scope.time)), false);
	if (signer->session.length)
		add(out, arena, "X-Amz-Security-Token", signer->session, true);
	if (plan->told)
		add(out, arena, "X-Amz-Content-Sha256", plan->payload, false);
	add(out, arena, "Authorization", authorization(signer, plan, arena, out, head), true);
}
