/* A service account's key file: what is taken of it, and what is said of one that is none, without a byte of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service_account.h"

#define EMAIL "\"client_email\": \"secret-me@p.iam\""
#define KEY "\"private_key\": \"-----BEGIN secret\\n\""
#define ID "\"private_key_id\": \"secret-id\""
#define URI "\"token_uri\": \"https://oauth2.googleapis.com/token\""
#define MISSING(name) "it has no \"" name "\"; is it the whole JSON key of a service account?"
#define UNFIT(name) "its \"" name "\" is empty, or no text"
#define NO_HTTPS "its \"token_uri\" is no https:// URL; Google writes https://oauth2.googleapis.com/token"
#define NONE "not the JSON key of a service account: "
#define TYPE "its \"type\" is not \"service_account\"; create a JSON key for a service account"

static const struct {
	const char *text;
	const char *fault; /* "": it is one */
} rows[] = {
	{"{" EMAIL "," KEY "," ID "," URI "}", ""},
	{"{\"type\": \"service_account\", \"project_id\": \"x\"," EMAIL "," KEY "," ID "," URI ",\"other\": [1]}", ""},
	{"{" KEY "," ID "," URI "}", MISSING("client_email")},
	{"{" EMAIL "," ID "," URI "}", MISSING("private_key")},
	{"{" EMAIL "," KEY "," URI "}", MISSING("private_key_id")},
	{"{" EMAIL "," KEY "," ID "}", MISSING("token_uri")},
	{"{" EMAIL "," KEY "," ID ",\"token_uri\": null}", MISSING("token_uri")},
	{"{" EMAIL ",\"private_key\": \"\"," ID "," URI "}", UNFIT("private_key")},
	{"{" EMAIL ",\"private_key\": [\"secret\"]," ID "," URI "}", UNFIT("private_key")},
	{"{\"client_email\": 5," KEY "," ID "," URI "}", UNFIT("client_email")},
	{"{" EMAIL "," KEY "," ID ",\"token_uri\": \"ftp://secret\"}", NO_HTTPS},
	{"{" EMAIL "," KEY "," ID ",\"token_uri\": \"https://u:secret@a.com\"}", NO_HTTPS},
	{"{" EMAIL "," KEY "," ID ",\"token_uri\": \"https://*.a.com\"}", NO_HTTPS},
	{"{" EMAIL "," KEY "," ID ",\"token_uri\": \"http://a.com/token\"}", NO_HTTPS},
	{"{" EMAIL "," KEY "," ID ",\"token_uri\": \"http://10.0.0.1/token\"}", NO_HTTPS},
	{"{" EMAIL "," KEY "," ID ",\"token_uri\": \"http://127.0.0.1:9000/token\"}", ""},
	{"{\"type\": \"authorized_user\", \"client_id\": \"secret\"}", TYPE},
	{"{\"type\": 7}", TYPE},
	{"{}", MISSING("client_email")},
	{"{" EMAIL "," EMAIL "," KEY "," ID "," URI "}", NONE "it has a member twice"},
	{"-----BEGIN PRIVATE KEY----- secret", NONE "it is no JSON"},
	{"[\"secret\"]", NONE "it is JSON, but no object"},
	{"", NONE "it is no JSON"},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct arena arena = {0};
		struct service_account account;
		struct fault fault = FAULT_INIT;
		bool good = service_account_read(span_of(rows[i].text), &arena, &account, &fault);
		if (good != !*rows[i].fault || strcmp(fault.text, rows[i].fault) != 0 || (!good && fault.code != FAULT_BROKEN))
			fail_msg("`%s`: said `%s`, should be `%s`", rows[i].text, fault.text, rows[i].fault);
		arena_free(&arena);
	}
}

static void test_members(void **state)
{
	struct arena arena = {0};
	struct service_account account;
	(void)state;
	assert_true(service_account_read(SPAN("{" EMAIL "," KEY "," ID "," URI "}"), &arena, &account, NULL));
	assert_true(span_equal(account.email, SPAN("secret-me@p.iam")));
	assert_true(span_equal(account.key, SPAN("-----BEGIN secret\n")));
	assert_true(span_equal(account.key_id, SPAN("secret-id")));
	assert_true(span_equal(account.token_uri, SPAN("https://oauth2.googleapis.com/token")));
	assert_true(account.endpoint.tls && account.endpoint.port == 443);
	assert_string_equal(account.endpoint.host.name, "oauth2.googleapis.com");
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_members),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
