/* A whole request of a hostile agent, from its bytes to the head that goes out: without the right token nothing goes, what
 * goes is what was judged, to where the profile allows it, and reads the same once more. */
#include <stdint.h>
#include <stdlib.h>

#include <sodium.h>

#include "base64.h"
#include "buffer.h"
#include "codec_h1.h"
#include "inject.h"
#include "memory.h"
#include "path.h"
#include "route.h"

#define SECRET "the-secret"

static const char text[] =
	"version: 1\n"
	"listen: 127.0.0.1:8180\n"
	"session: { key: \"file:/nonexistent\" }\n"
	"credentials:\n"
	"  k: { upstream: \"https://k.test/v1\", secret: env:FUZZ_SECRET, env: { token_prefix: sk- },\n"
	"    inject: { header: X-Key, value: \"{secret}\" }, rules: [\"deny * /v1/no/**\", \"allow GET,POST /v1/**\"] }\n"
	"  bot: { upstream: \"http://bot.test\", secret: env:FUZZ_SECRET,\n"
	"    inject: { path: [\"/bot{secret}\", \"/file/bot{secret}\"] }, rules: [\"allow * /bot{secret}/get*\"] }\n"
	"  q: { upstream: \"http://q.test:81\", secret: env:FUZZ_SECRET, encoded_slash: true, inject: [ { query: key }, { cookie: s } ] }\n"
	"  w: { upstream: \"https://*.w.test\", secret: env:FUZZ_SECRET, inject: { basic: u } }\n"
	"  b: { upstream: \"http://b.test\", secret: env:FUZZ_SECRET, inject: { header: X-Key, value: \"{secret}\" } }\n"
	"profiles:\n"
	"  a: { credentials: [k, bot, q, w], hosts: [h.test, \"*.h.test\", \"!no.h.test\", 10.0.0.0/8, \"p.test:8080\",\n"
	"    { host: r.test, rules: [\"allow GET /docs/**\"] }] }\n"
	"  b: { credentials: [b], hosts: [h.test] }\n";

static struct shared_config shared;
static struct snapshot snapshot = {.shared = &shared};
static struct authority address;
static const struct judge_listener own = {&address, 1};

/* What stands for the bytes 1 to 8 of an input: tokens of profile a, then one of b's, then what opens no endpoint. */
static char *words[9];

static void add_words(const struct token_key *key)
{
	const struct config *config = snapshot.config;
	static const char *const names[] = {"k", "bot", "q", "w"};
	for (size_t i = 0; i < 4; i++)
		words[1 + i] = token_for_credential(key, config_profile(config, SPAN("a")),
		                                    config_credential(config, span_of(names[i])));
	char *proxy = token_for_proxy(key, config_profile(config, SPAN("a")));
	char *pair = memory_format("a:%s", proxy);
	words[5] = memory_alloc(BASE64_BYTES(strlen(pair)));
	base64_encode(span_of(pair), words[5]);
	words[6] = token_for_credential(key, config_profile(config, SPAN("b")), config_credential(config, SPAN("b")));
	words[7] = proxy;
	words[8] = token_for_admin(key);
	free(pair);
}

static void start(void)
{
	struct config_messages errors = {0}, warnings = {0};
	struct token_key key = {"0"};
	if (sodium_init() < 0)
		abort();
	setenv("FUZZ_SECRET", SECRET, 1);
	struct config *config = config_parse(span_of(text), "/nonexistent/k.yaml", false, &errors, &warnings);
	if (!config)
		abort();
	snapshot.config = shared.config = config;
	shared.routes = route_table_new(config, NULL);
	shared.tokens = token_table_new(&key, config);
	snapshot.secrets = secrets_load(config, NULL, NULL);
	snapshot.minted = minted_new(config);
	snapshot.injections = inject_table_new(config, snapshot.secrets, snapshot.minted);
	authority_parse(SPAN("127.0.0.1:8180"), &address, NULL);
	add_words(&key);
	config_messages_free(&errors);
	config_messages_free(&warnings);
}

/* `used` tells which words stand in it. */
static struct span with_words(const uint8_t *data, size_t size, struct arena *arena, bool used[9])
{
	size_t length = 0, most = 1;
	for (size_t i = 0; i < size; i++)
		most += data[i] >= 1 && data[i] <= 8 ? strlen(words[data[i]]) : 1;
	char *out = arena_alloc(arena, most);
	for (size_t i = 0; i < size; i++) {
		bool word = data[i] >= 1 && data[i] <= 8;
		size_t added = word ? strlen(words[data[i]]) : 1;
		memcpy(out + length, word ? words[data[i]] : (const char *)&data[i], added);
		length += added;
		used[word ? data[i] : 0] = true;
	}
	return (struct span){out, length};
}

/* Not inlined, so that a trace names the line. */
__attribute__((noinline)) static void require(bool holds)
{
	if (!holds)
		abort();
}

/* Rules and templates write {secret}, which stands for a segment's part without special bytes. */
static struct span without_placeholder(struct span path, struct arena *arena)
{
	char *copy = arena_copy(arena, path.data, path.length);
	for (size_t i = 0; i < path.length; i++)
		if (copy[i] == '{' || copy[i] == '}')
			copy[i] = '-';
	return (struct span){copy, path.length};
}

static void check_path(const struct judgement *judgement, const struct rules *rules, bool encoded_slash,
                       const struct request *request, struct arena *arena)
{
	struct path_options options = {.encoded_slash = encoded_slash, .whole_segments = rules->count > 0};
	struct span path = without_placeholder(judgement->path, arena);
	char *again = arena_alloc(arena, path_canonical_room(path) + 1);
	size_t length;
	require(path_canonical(path, options, again, &length) == PATH_OK);
	require(span_equal(path, (struct span){again, length}));
	require(rules_judge(rules, request->method, judgement->path, encoded_slash).allow);
	require(!token_table_within(shared.tokens, judgement->path).data);
}

static void check_allowed(const struct judgement *judgement, const struct request *request, const bool used[9],
                          struct arena *arena)
{
	const struct config_credential *credential = judgement->credential;
	require(judgement->profile && !credential == (judgement->entry != NULL));
	bool is_a = span_equal(span_of(judgement->profile->name), SPAN("a"));
	require(!span_equal(request->method, SPAN("TRACE")) && !span_equal(request->method, SPAN("CONNECT")));
	if (judgement->way == WAY_FORWARD)
		require(is_a && (used[5] || used[7])); /* a fuzzer may well write Base64 */
	else
		require(credential && used[is_a ? 1 + credential->number : 6]);
	if (!credential) {
		require(!route_credential_host(shared.routes, &judgement->host, judgement->port));
		require(!route_denial(shared.routes, judgement->profile, &judgement->host, judgement->port));
		require(pattern_matches(&judgement->entry->pattern, &judgement->host, judgement->port));
		check_path(judgement, &judgement->entry->rules, judgement->entry->encoded_slash, request, arena);
		return;
	}
	require(route_has(shared.routes, judgement->profile, credential));
	require(config_owns(credential, &judgement->host, judgement->port) && judgement->tls == credential->upstream.tls);
	require(judgement->port == credential->upstream.port);
	require(path_has_prefix(judgement->path, span_of(credential->upstream.path)));
	check_path(judgement, &credential->rules, credential->encoded_slash, request, arena);
}

/* What is written reads the same, and no token is in a value. */
static void check_sent(const struct judgement *judgement, const struct request *out, bool knows_secret,
                       struct arena *arena)
{
	AUTO_BUFFER struct buffer head = {0};
	struct request again;
	const char *why;
	size_t used;
	codec_write_request(out, &head);
	require(codec_request_head(buffer_view(&head), (struct codec_limits){1 << 20, 200}, arena, &again, &used, &why) ==
	        CODEC_DONE);
	require(used == head.length && span_equal(again.method, out->method) && span_equal(again.target, out->target));
	require(again.body.kind == out->body.kind && again.body.length == out->body.length);
	require(fields_count(&again.fields, SPAN("host")) == 1 && !token_table_within(shared.tokens, out->target).data);
	for (size_t i = 0; i < out->fields.count; i++)
		require(!token_table_within(shared.tokens, out->fields.list[i].value).data);
	require(judgement->credential || knows_secret || !memmem(head.data, head.length, SECRET, sizeof SECRET - 1));
}

static void check_refused(const struct judgement *judgement, const struct problem *problem)
{
	require(problem->status >= 400 && problem_title(problem->status)[0] && problem->reason && problem->detail[0]);
	require(!token_table_within(shared.tokens, judgement->path).data); /* the audit shows it */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct way way = {.kind = WAY_REVERSE};
	struct arena arena = {0};
	struct request request, out;
	struct judgement judgement = {0};
	struct problem problem = {0};
	bool used[9] = {false}, injected;
	const char *why;
	size_t length;
	if (!snapshot.config)
		start();
	struct span bytes = with_words(data, size, &arena, used);
	if (codec_request_head(bytes, (struct codec_limits){65536, 100}, &arena, &request, &length, &why) == CODEC_DONE) {
		bool allowed = judge_request(&snapshot, &own, &way, &request, &arena, &judgement, &problem);
		if (allowed)
			check_allowed(&judgement, &request, used, &arena);
		if (allowed && inject_request(&snapshot, &judgement, &request, &arena, &out, &injected, &problem))
			check_sent(&judgement, &out, memmem(data, size, SECRET, sizeof SECRET - 1), &arena);
		else
			check_refused(&judgement, &problem);
	}
	arena_free(&arena);
	return 0;
}
