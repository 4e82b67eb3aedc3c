/* Minted tokens at one moment: what goes out of them, and what is told of one that is not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "inject.h"
#include "memory.h"
#include "secret.h"
#include "snapshot.h"

#define TOKEN "ya29.a-token-that-was-minted"

static const char yaml[] = "version: 1\n"
                           "credentials:\n"
                           "  plain: { upstream: http://a.example, secret: env:MINTED_SECRET, inject: { basic: me } }\n"
                           "  crm: { upstream: http://b.example, secrets: { id: env:MINTED_SECRET, key: env:MINTED_SECRET },\n"
                           "    inject: [{ oauth2: { token_url: https://auth.example/token } }, { header: Client-Id, value: \"{id}\" }] }\n"
                           "profiles: { a: { credentials: [plain, crm] } }\n";

static struct config *config;
static struct secrets *secrets;
static struct shared_config shared;

static const struct config_credential *credential(const char *name)
{
	return config_credential(config, span_of(name));
}

static int set_up(void **state)
{
	(void)state;
	struct config_messages errors = {0}, warnings = {0};
	if (!secret_start(NULL))
		return -1;
	setenv("MINTED_SECRET", "what-it-is-minted-from", 1);
	config = config_parse(SPAN(yaml), "/nonexistent/keystile.yaml", false, &errors, &warnings);
	if (!config)
		fail_msg("%s", errors.list[0]);
	config_messages_free(&errors);
	config_messages_free(&warnings);
	secrets = secrets_load(config, NULL, NULL);
	shared.config = config;
	shared.trusts = trusts_load(config, NULL, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	trusts_unref(shared.trusts);
	secrets_free(secrets);
	config_free(config);
	return 0;
}

/* `made` is sealed, and goes with the snapshot. */
static struct snapshot with(struct minted *made)
{
	minted_seal(made);
	return (struct snapshot){.shared = &shared, .config = config, .secrets = secrets, .minted = made,
	                         .identities = identities_load(config, NULL, secrets, NULL),
	                         .injections = inject_table_new(config, secrets, made)};
}

static void end(struct snapshot *snapshot)
{
	inject_table_free(snapshot->injections);
	identities_free(snapshot->identities);
	minted_unref(snapshot->minted);
}

static struct minted *made(uint64_t expires, const char *why)
{
	struct minted *minted = minted_new(config);
	char bytes[] = TOKEN;
	const struct minted_token token = {.mints = true, .bytes = span_of(bytes), .number = 7, .expires = expires, .why = why};
	minted_set(minted, credential("crm"), &token);
	explicit_bzero(bytes, sizeof bytes); /* a copy is kept */
	return minted;
}

static void test_first(void **state)
{
	(void)state;
	struct snapshot snapshot = with(minted_new(config));
	const struct minted_token *token = minted_get(snapshot.minted, credential("crm"));
	assert_true(token->mints && token->pending && !minted_ready(token, 0));
	assert_false(minted_get(snapshot.minted, credential("plain"))->mints);
	assert_null(snapshot_waits(&snapshot, credential("plain")));
	assert_string_equal(snapshot_waits(&snapshot, credential("crm")), "its token is being asked for");
	assert_int_equal(snapshot_perishable(&snapshot, credential("plain")).number, 0);
	end(&snapshot);
}

static void test_ready(void **state)
{
	(void)state;
	uint64_t later = steady_now() + 100000;
	struct snapshot snapshot = with(made(later, NULL));
	const struct minted_token *token = minted_get(snapshot.minted, credential("crm"));
	assert_true(span_equal(token->bytes, SPAN(TOKEN)));
	assert_true(minted_ready(token, later - 1));
	assert_false(minted_ready(token, later)); /* never used after it */
	assert_null(snapshot_waits(&snapshot, credential("crm")));
	assert_null(snapshot_stale(&snapshot, credential("crm")));
	struct spent *spent = spent_new();
	assert_int_equal(snapshot_perishable(&snapshot, credential("crm")).number, 7);
	snapshot_spend(&snapshot, credential("plain"), spent);
	assert_false(spent_has(spent, 7));
	snapshot_spend(&snapshot, credential("crm"), spent);
	assert_true(spent_has(spent, 7));
	spent_free(spent);
	end(&snapshot);
}

/* What cannot be renewed is told, and works until its end. */
static void test_stale(void **state)
{
	(void)state;
	struct snapshot snapshot = with(made(steady_now() + 100000, "the endpoint is down"));
	assert_null(snapshot_waits(&snapshot, credential("crm")));
	assert_string_equal(snapshot_stale(&snapshot, credential("crm")), "the endpoint is down");
	end(&snapshot);
	snapshot = with(made(steady_now(), "the endpoint is down"));
	assert_string_equal(snapshot_waits(&snapshot, credential("crm")), "the endpoint is down");
	assert_null(snapshot_stale(&snapshot, credential("crm")));
	end(&snapshot);
}

/* The token, and no byte of what it was made from but the id that is to go along. */
static void test_injected(void **state)
{
	(void)state;
	struct snapshot snapshot = with(made(steady_now() + 100000, NULL));
	struct arena arena = {0};
	struct request request = {.method = SPAN("GET"), .target = SPAN("/"), .minor = 1}, out;
	struct problem problem = {0};
	bool injected;
	fields_add(&request.fields, &arena, SPAN("Authorization"), SPAN("Bearer the-agents-own"));
	const struct judgement judgement = {.credential = credential("crm"), .profile = &config->profiles[0], .path = SPAN("/")};
	assert_true(inject_request(&snapshot, &judgement, &request, &arena, &out, &injected, &problem));
	assert_true(injected);
	assert_int_equal(fields_count(&out.fields, SPAN("Authorization")), 1);
	assert_true(span_equal(fields_find(&out.fields, SPAN("Authorization"))->value, SPAN("Bearer " TOKEN)));
	assert_true(fields_find(&out.fields, SPAN("Authorization"))->sensitive);
	assert_true(span_equal(fields_find(&out.fields, SPAN("Client-Id"))->value, SPAN("what-it-is-minted-from")));
	uint64_t finds = 0;
	struct span said = needle_replace(inject_needles(snapshot.injections, credential("crm")), SPAN("<" TOKEN ">"), &arena, &finds);
	assert_true(span_equal(said, SPAN("<[secret]>")));
	arena_free(&arena);
	end(&snapshot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first),
		cmocka_unit_test(test_ready),
		cmocka_unit_test(test_stale),
		cmocka_unit_test(test_injected),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
