/* Worlds to judge requests in: two configurations, their tokens by name, and requests as rows of text. */
#ifndef KEYSTILE_JUDGE_WORLD_H
#define KEYSTILE_JUDGE_WORLD_H

#include <stdlib.h>

#include "base64.h"
#include "judge.h"
#include "memory.h"
#include "route.h"
#include "secret.h"

static const char text[] =
	"version: 1\n"
	"listen: [127.0.0.1:8180, \"[::1]:8181\", unix:/tmp/keystile-judge.sock]\n"
	"advertise: keystile.test:9000\n"
	"session: { key: \"file:/nonexistent/session.key\" }\n"
	"credentials:\n"
	"  plain: { upstream: https://api.example.com, secret: env:JUDGE_SECRET, env: { token_prefix: sk- },\n"
	"    inject: { header: X-Api-Key, value: \"{secret}\" } }\n"
	"  ruled: { upstream: \"https://api.example.com/v1\", secret: env:JUDGE_SECRET, inject: { basic: user },\n"
	"    rules: [\"deny * /v1/secret/**\", \"allow GET,POST /v1/**\"] }\n"
	"  bot: { upstream: \"http://127.0.0.1:8080/say\", secret: env:JUDGE_SECRET, env: { token_prefix: \"1:\" },\n"
	"    inject: { path: [\"/bot{secret}\", \"/file/bot{secret}\"] }, rules: [\"allow * /say/bot{secret}/get*\", \"allow * /say/file/**\"] }\n"
	"  mixed: { upstream: http://mixed.example, secret: env:JUDGE_SECRET, encoded_slash: true, env: { token_prefix: \"m:\" },\n"
	"    inject: [ { query: key }, { cookie: sid } ] }\n"
	"  wild: { upstream: \"https://*.wild.example\", secret: env:JUDGE_SECRET, inject: { header: X-Key, value: \"k {secret}\" } }\n"
	"  absent: { upstream: http://localhost:81, secret: env:JUDGE_ABSENT, inject: { header: X-Key, value: \"{secret}\" } }\n"
	"  hook: { upstream: http://hook.example, secrets: { T: env:JUDGE_SECRET, B: env:JUDGE_SECRET },\n"
	"    inject: { path: \"/services/{T}/x{B}\" }, rules: [\"allow POST /services/{secret}/x{secret}/**\"] }\n"
	"  seen: { upstream: https://seen.example, secret: env:JUDGE_SECRET, inject: { header: X-Key, value: \"{secret}\" },\n"
	"    intercept: true, rules: [\"allow GET /v1/**\"] }\n"
	"  beside: { upstream: https://seen.example/other, secret: env:JUDGE_SECRET, inject: { header: X-Key, value: \"{secret}\" }, http2: off }\n"
	"  aws: { upstream: https://s3.example, secrets: { id: env:JUDGE_SECRET, key: env:JUDGE_SECRET },\n"
	"    inject: { aws_sigv4: { region: r, service: s3 } } }\n"
	"  aws_ruled: { upstream: https://s3.example, secrets: { id: env:JUDGE_SECRET, key: env:JUDGE_SECRET },\n"
	"    inject: { aws_sigv4: { region: r, service: s3 } }, rules: [\"allow PUT /b/**\"] }\n"
	"  aws_copies: { upstream: https://s3.example, secrets: { id: env:JUDGE_SECRET, key: env:JUDGE_SECRET },\n"
	"    inject: { aws_sigv4: { region: r, service: s3 } }, rules: [\"allow PUT /b/**\"], pass: [X-Amz-Copy-Source] }\n"
	"  minting: { upstream: http://minting.example, secrets: { id: env:JUDGE_SECRET, key: env:JUDGE_SECRET },\n"
	"    inject: { oauth2: { token_url: https://auth.example/token } } }\n"
	"  other: { upstream: http://other.example, secret: env:JUDGE_SECRET, inject: { header: X-Key, value: \"{secret}\" } }\n"
	"profiles:\n"
	"  a:\n"
	"    credentials: [plain, ruled, bot, mixed, wild, absent, hook, beside, seen, aws, aws_ruled, aws_copies, minting]\n"
	"    hosts: [allowed.example, \"*.deep.example\", \"port.example:8080\", \"!no.deep.example\", 10.0.0.0/8, 192.0.2.7,\n"
	"      { host: ruled.example, rules: [\"allow GET /docs/**\"] }, { host: slash.example, encoded_slash: true },\n"
	"      { host: opened.example, intercept: true, http2: off, rules: [\"allow GET /docs/**\"] }]\n"
	"  b: { credentials: [other, plain], hosts: [\"!api.example.com\"] }\n";

static const char none_text[] =
	"version: 1\n"
	"listen: 127.0.0.1:8180\n"
	"session: none\n"
	"credentials:\n"
	"  plain: { upstream: http://127.0.0.1:8080, secret: env:JUDGE_SECRET, inject: { header: X-Key, value: \"{secret}\" } }\n"
	"profiles:\n"
	"  only: { credentials: [plain], hosts: [allowed.example] }\n";

static struct token_key key = {.bytes = "0123456789abcdef0123456789abcde"};

/* Tokens by what stands for them in a row: {plain}, {b.plain}, {proxy} … */
struct named_token {
	const char *name;
	char *token;
};
static struct named_token tokens[21];
static size_t token_count;

struct world {
	struct snapshot snapshot;
	struct shared_config shared;
	struct authority addresses[2];
	struct judge_listener own;
};
static struct world sessions, open_world;

static struct config *parse(const char *yaml)
{
	struct config_messages errors = {0}, warnings = {0};
	struct config *config = config_parse(span_of(yaml), "/nonexistent/keystile.yaml", false, &errors, &warnings);
	if (!config)
		fail_msg("%s", errors.count ? errors.list[0] : "no configuration");
	config_messages_free(&errors);
	config_messages_free(&warnings);
	return config;
}

static void build(struct world *world, const char *yaml)
{
	struct config *config = parse(yaml);
	world->shared.config = config;
	world->shared.routes = route_table_new(config, NULL);
	world->shared.tokens = config->session.none ? NULL : token_table_new(&key, config);
	world->snapshot.shared = &world->shared;
	world->snapshot.config = config;
	world->snapshot.secrets = secrets_load(config, NULL, NULL);
	world->snapshot.minted = minted_new(config);
	authority_parse(SPAN("127.0.0.1:8180"), &world->addresses[0], NULL);
	authority_parse(SPAN("[::1]:8181"), &world->addresses[1], NULL);
	world->own = (struct judge_listener){world->addresses, 2};
}

static void add_token(const char *name, char *token)
{
	tokens[token_count++] = (struct named_token){name, token};
}

static void basic_of(const char *name, const char *user, const char *password)
{
	AUTO_FREE char *pair = memory_format("%s:%s", user, password);
	char *coded = memory_alloc(BASE64_BYTES(strlen(pair)));
	base64_encode(span_of(pair), coded);
	add_token(name, coded);
}

static const struct config_profile *profile_of(const struct world *world, const char *name)
{
	return config_profile(world->snapshot.config, span_of(name));
}

static char *token_of(const char *profile, const char *credential)
{
	return token_for_credential(&key, profile_of(&sessions, profile),
	                            config_credential(sessions.snapshot.config, span_of(credential)));
}

static int start(void **state)
{
	(void)state;
	if (!secret_start(NULL))
		return -1;
	setenv("JUDGE_SECRET", "canary-of-the-judge", 1);
	unsetenv("JUDGE_ABSENT");
	build(&sessions, text);
	build(&open_world, none_text);
	add_token("{plain}", token_of("a", "plain"));
	add_token("{ruled}", token_of("a", "ruled"));
	add_token("{bot}", token_of("a", "bot"));
	add_token("{mixed}", token_of("a", "mixed"));
	add_token("{wild}", token_of("a", "wild"));
	add_token("{absent}", token_of("a", "absent"));
	add_token("{hook}", token_of("a", "hook"));
	add_token("{b.plain}", token_of("b", "plain"));
	add_token("{other}", token_of("b", "other"));
	add_token("{proxy}", token_for_proxy(&key, profile_of(&sessions, "a")));
	add_token("{bot escaped}", memory_format("1%%3a%s", tokens[2].token + strlen("1:")));
	add_token("{mixed escaped}", memory_format("%%6D%%3A%s", tokens[3].token + strlen("m:")));
	basic_of("{basic ruled}", "anyone", tokens[1].token);
	basic_of("{basic proxy}", "a", tokens[9].token);
	basic_of("{user plain}", tokens[0].token, "");
	add_token("{minting}", token_of("a", "minting"));
	add_token("{aws}", token_of("a", "aws"));
	add_token("{aws_ruled}", token_of("a", "aws_ruled"));
	add_token("{aws_copies}", token_of("a", "aws_copies"));
	return 0;
}

static void destroy(struct world *world)
{
	minted_unref(world->snapshot.minted);
	secrets_free(world->snapshot.secrets);
	route_table_free(world->shared.routes);
	token_table_free(world->shared.tokens);
	config_free(world->shared.config);
}

static int stop(void **state)
{
	(void)state;
	destroy(&sessions);
	destroy(&open_world);
	while (token_count > 0)
		free(tokens[--token_count].token);
	return 0;
}

/* The row's text with tokens for their names; in the arena. */
static const char *fill(struct arena *arena, const char *row)
{
	const char *out = "";
	while (*row) {
		const struct named_token *found = NULL;
		for (size_t i = 0; i < token_count && !found; i++)
			if (strncmp(row, tokens[i].name, strlen(tokens[i].name)) == 0)
				found = &tokens[i];
		out = found ? arena_format(arena, "%s%s", out, found->token) : arena_format(arena, "%s%c", out, *row);
		row += found ? strlen(found->name) : 1;
	}
	return out;
}

/* "GET /x|Name: value|Name: value" */
static struct request request_of(struct arena *arena, const char *row)
{
	struct span rest = span_of(fill(arena, row));
	struct request request = {.minor = 1};
	struct span line = span_split(&rest, '|');
	request.method = span_split(&line, ' ');
	request.target = line;
	while (rest.data) {
		struct span value = span_split(&rest, '|');
		struct span name = span_split(&value, ':');
		fields_add(&request.fields, arena, name, span_trim(value));
	}
	return request;
}

#endif
