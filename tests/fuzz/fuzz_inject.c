/* What a hostile agent sends with a request: whatever it is, what goes up has the secret in each place, and neither the
 * agent's own value nor a session token. */
#include <stdint.h>
#include <stdlib.h>

#include <sodium.h>

#include "codec_h1.h"
#include "inject.h"
#include "path.h"

#define SECRET "the-secret"

static struct injection injections[] = {
	{.kind = INJECT_HEADER, .name = (char *)"X-Api-Key", .value = (char *)"{secret}"},
	{.kind = INJECT_QUERY, .name = (char *)"key", .value = (char *)"{secret}"},
	{.kind = INJECT_COOKIE, .name = (char *)"sid", .value = (char *)"{secret}"},
};
static struct named_source source = {.id = (char *)"secret",
                                     .source = {.kind = SOURCE_ENV, .name = (char *)"FUZZ_SECRET"}};
static struct config_credential credential = {
	.name = (char *)"api", .secrets = &source, .secret_count = 1, .injections = injections, .injection_count = 3,
	.upstream = {.path = (char *)""}, .env = {.token_prefix = (char *)"sk-"},
};
static const struct config_credential *credentials[] = {&credential};
static struct config_profile profile = {.name = (char *)"agent", .credentials = credentials, .credential_count = 1,
                                        .token_version = 1};
static struct config config = {.profiles = &profile, .profile_count = 1, .credentials = &credential,
                               .credential_count = 1};
static struct shared_config shared = {.config = &config};
static struct snapshot snapshot = {.shared = &shared, .config = &config};
static char *token;

static void start(void)
{
	struct token_key key = {"0"};
	if (sodium_init() < 0)
		abort();
	setenv("FUZZ_SECRET", SECRET, 1);
	shared.tokens = token_table_new(&key, &config);
	token = token_for_credential(&key, &profile, &credential);
	snapshot.secrets = secrets_load(&config, NULL, NULL);
	snapshot.injections = inject_table_new(&config, snapshot.secrets, NULL);
}

/* The fuzzer's bytes, with the token for each 0x01. */
static struct span with_tokens(const uint8_t *data, size_t size, struct arena *arena)
{
	size_t length = 0, token_length = strlen(token);
	char *text = arena_alloc(arena, size * token_length + 1);
	for (size_t i = 0; i < size; i++) {
		bool here = data[i] == 1;
		memcpy(text + length, here ? token : (const char *)&data[i], here ? token_length : 1);
		length += here ? token_length : 1;
	}
	return (struct span){text, length};
}

static size_t count(struct span text, const char *part)
{
	size_t found = 0, length = strlen(part);
	for (const char *at; text.length && (at = memmem(text.data, text.length, part, length)); found++)
		text = span_from(text, (size_t)(at - text.data) + length);
	return found;
}

/* A digit in front of a token or behind it makes it another word. */
static bool holds_token(struct span text)
{
	size_t length = strlen(token);
	for (const char *at; text.length && (at = memmem(text.data, text.length, token, length));) {
		text = span_from(text, (size_t)(at - text.data) + length);
		char next = text.length ? text.data[0] : ' ', lower = span_lower(next);
		if (!((next >= '0' && next <= '9') || (lower >= 'a' && lower <= 'z')))
			return true;
	}
	return false;
}

static bool is_place(struct span name)
{
	return span_equal_nocase(name, SPAN("x-api-key")) || span_equal_nocase(name, SPAN("x_api_key"));
}

static void check_field(const struct field *field)
{
	if (holds_token(field->value) || span_equal_nocase(span_head(field->name, 6), SPAN("proxy-")))
		abort();
}

static void check(const struct request *request, bool injected)
{
	size_t secrets = count(request->target, SECRET);
	if (holds_token(request->target))
		abort();
	for (size_t i = 0; i < request->fields.count; i++) {
		const struct field *field = &request->fields.list[i];
		check_field(field);
		secrets += count(field->value, SECRET);
		if (is_place(field->name) && injected && !span_equal(field->value, SPAN(SECRET)))
			abort();
	}
	if (injected && (secrets < 3 || fields_count(&request->fields, SPAN("x-api-key")) != 1 ||
	                 fields_find(&request->fields, SPAN("x_api_key")) ||
	                 !span_ends(request->target, SPAN("key=" SECRET))))
		abort();
}

/* Connection and Upgrade go up together, or not at all. */
static void check_upgrade(const struct request *request)
{
	const struct field *connection = fields_find(&request->fields, SPAN("connection"));
	bool upgrades = fields_find(&request->fields, SPAN("upgrade")) != NULL;
	if (upgrades != request->upgrade || upgrades != (connection != NULL) ||
	    fields_count(&request->fields, SPAN("connection")) != upgrades ||
	    (upgrades && !span_equal(connection->value, SPAN("Upgrade"))))
		abort();
}

/* The same fields behind the body. */
static void check_trailers(const struct judgement *judgement, const struct request *request, struct arena *arena)
{
	struct fields out = {0};
	inject_trailers(&snapshot, judgement, request, &request->fields, arena, &out);
	for (size_t i = 0; i < out.count; i++) {
		check_field(&out.list[i]);
		if ((is_place(out.list[i].name) && judgement->credential) ||
		    span_equal_nocase(out.list[i].name, SPAN("connection")) || span_equal_nocase(out.list[i].name, SPAN("upgrade")))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = {0};
	struct request request, out;
	struct problem problem = {0};
	struct judgement judgement = {0};
	const char *why;
	size_t used;
	bool injected;
	if (!token)
		start();
	struct span text = with_tokens(data, size, &arena);
	if (codec_request_head(text, (struct codec_limits){65536, 100}, &arena, &request, &used, &why) == CODEC_DONE) {
		judgement.credential = size % 2 ? &credential : NULL;
		judgement.path = SPAN("/");
		path_split_query(request.target, &judgement.query);
		if (!inject_request(&snapshot, &judgement, &request, &arena, &out, &injected, &problem) ||
		    injected != (judgement.credential != NULL))
			abort();
		check(&out, injected);
		check_upgrade(&out);
		check_trailers(&judgement, &request, &arena);
	}
	arena_free(&arena);
	return 0;
}
