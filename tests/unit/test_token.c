/* Session tokens: the same everywhere that has the key, different wherever anything differs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "buffer.h"
#include "file.h"
#include "memory.h"
#include "secret.h"
#include "token.h"

static char folder[] = "/tmp/keystile-test-token-XXXXXX";
static struct token_key key; /* bytes 0, 1, 2 ... 31 */

/* Computed once by another implementation of BLAKE2b: replicas of all versions have to agree. */
static const struct {
	enum token_kind kind;
	uint32_t version;
	const char *profile, *credential, *token;
} known[] = {
	{TOKEN_CREDENTIAL, 1, "coder", "openai", "2pkkhDnOzUZvUg8AE6vg70kiOp3LWoFVEHY68ahNbog"},
	{TOKEN_PROXY, 1, "coder", "", "NasDrI1FF0GwjLXnfgYv5sTyLOdFABiCsJuGeO6ACeS"},
	{TOKEN_ADMIN, 1, "", "", "qFbakECMRRgaxt3OI3c5SvNjeatxjbXKMeoZYVereqp"},
	{TOKEN_CREDENTIAL, 2, "coder", "openai", "CCp9KMJ9fcUieiWKtHh5gR5Xm3gdem9spZ4ma9OENiI"},
	{TOKEN_CREDENTIAL, 1, "code", "ropenai", "MLS62BpdTGOlSXIzU6AOqma6C6o0gZefgQFlymvXuAa"},
};

static void test_known_tokens(void **context)
{
	(void)context;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		char token[TOKEN_BODY + 1];
		token_make(&key, known[i].kind, known[i].version, known[i].profile, known[i].credential, token);
		if (strcmp(token, known[i].token) != 0)
			fail_msg("row %zu (%s, %s): should be %s, is %s", i, known[i].profile, known[i].credential, known[i].token,
			         token);
		assert_true(token_looks_like(span_of(token)));
	}
}

static struct config_credential credentials[] = {
	{.name = (char *)"openai", .env = {.token_prefix = (char *)"sk-"}},
	{.name = (char *)"github"},
};
static const struct config_credential *both[] = {&credentials[0], &credentials[1]};
static struct config_profile profiles[] = {
	{.name = (char *)"coder", .credentials = both, .credential_count = 2, .token_version = 1},
	{.name = (char *)"reader", .credentials = both, .credential_count = 1, .token_version = 1},
};
static const struct config config = {.profiles = profiles, .profile_count = 2, .credentials = credentials,
                                     .credential_count = 2};

static void expect_entry(const struct token_table *table, char *token, enum token_kind kind,
                         const struct config_profile *profile, const struct config_credential *credential)
{
	const struct token_entry *entry = token_table_find(table, span_of(token));
	if (!entry || entry->kind != kind || entry->profile != profile || entry->credential != credential)
		fail_msg("%s of %s: should be found as itself", credential ? credential->name : "proxy or admin",
		         profile ? profile->name : "nobody");
	free(token);
}

static void test_table_finds(void **context)
{
	(void)context;
	struct token_table *table = token_table_new(&key, &config);
	for (size_t i = 0; i < 2; i++) {
		expect_entry(table, token_for_proxy(&key, &profiles[i]), TOKEN_PROXY, &profiles[i], NULL);
		for (size_t j = 0; j < profiles[i].credential_count; j++)
			expect_entry(table, token_for_credential(&key, &profiles[i], both[j]), TOKEN_CREDENTIAL, &profiles[i], both[j]);
	}
	expect_entry(table, token_for_admin(&key), TOKEN_ADMIN, NULL, NULL);
	token_table_free(table);
	token_table_free(NULL);
}

static void test_table_refuses(void **context)
{
	(void)context;
	struct token_table *table = token_table_new(&key, &config);
	AUTO_FREE char *token = token_for_credential(&key, &profiles[0], &credentials[0]);
	size_t length = strlen(token);
	assert_string_equal(span_head(span_of(token), 3).data, token);
	assert_memory_equal(token, "sk-", 3);
	assert_null(token_table_find(table, span_from(span_of(token), 3))); /* without its prefix */
	for (size_t i = 0; i < length; i++) {
		char kept = token[i];
		token[i] = kept == 'x' ? 'y' : 'x';
		if (token_table_find(table, span_of(token)))
			fail_msg("a token with another byte %zu should not be found", i);
		token[i] = kept;
		if (token_table_find(table, span_head(span_of(token), i)))
			fail_msg("the first %zu bytes of a token should not be found", i);
	}
	AUTO_FREE char *longer = memory_format("%sa", token);
	assert_null(token_table_find(table, span_of(longer)));
	assert_null(token_table_find(table, SPAN("")));
	static char huge[100000];
	memset(huge, 'a', sizeof huge);
	assert_null(token_table_find(table, (struct span){huge, sizeof huge}));

	profiles[0].token_version = 2;
	AUTO_FREE char *revoked = token_for_credential(&key, &profiles[0], &credentials[0]);
	profiles[0].token_version = 1;
	assert_null(token_table_find(table, span_of(revoked)));
	/* "reader" has no github: its token, rightly made, opens nothing. */
	AUTO_FREE char *foreign = token_for_credential(&key, &profiles[1], &credentials[1]);
	assert_null(token_table_find(table, span_of(foreign)));
	token_table_free(table);
}

static void test_looks_like(void **context)
{
	(void)context;
	static const struct {
		const char *text;
		bool like;
	} rows[] = {
		{"0123456789012345678901234567890123456789012", true},
		{"sk-0123456789012345678901234567890123456789012", true},
		{"012345678901234567890123456789012345678901", false},
		{"012345678901234567890123456789012345678901-", false},
		{"-----------0123456789012345678901234567890123456789012", true},
		{"", false},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (token_looks_like(span_of(rows[i].text)) != rows[i].like)
			fail_msg("\"%s\" should %s a token", rows[i].text, rows[i].like ? "look like" : "not look like");
}

static struct source source_of(char *path)
{
	return (struct source){.kind = SOURCE_FILE, .name = path, .text = path};
}

static void test_key_is_made_once(void **context)
{
	(void)context;
	AUTO_FREE char *path = memory_format("%s/session.key", folder);
	struct source source = source_of(path);
	struct token_key first, again;
	struct fault fault = FAULT_INIT;
	if (!token_key_load(&source, &first, &fault) || !token_key_load(&source, &again, &fault))
		fail_msg("%s", fault.text);
	assert_memory_equal(&first, &again, sizeof first);
	struct stat status;
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_int_equal(status.st_size, TOKEN_KEY_BYTES);
}

/* Many that start at once and find no key all end up with the same one. */
static void test_key_race(void **context)
{
	(void)context;
	AUTO_FREE char *path = memory_format("%s/raced.key", folder);
	struct source source = source_of(path);
	for (int i = 0; i < 16; i++) {
		if (fork() != 0)
			continue;
		struct token_key mine, last;
		bool same = token_key_load(&source, &mine, NULL) && token_key_load(&source, &last, NULL) &&
		            memcmp(&mine, &last, sizeof mine) == 0;
		_exit(same ? 0 : 1);
	}
	for (int i = 0; i < 16; i++) {
		int status;
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
}

static void test_bad_keys(void **context)
{
	(void)context;
	AUTO_FREE char *path = memory_format("%s/bad.key", folder);
	AUTO_FREE char *nowhere = memory_format("%s/absent/session.key", folder);
	struct source source = source_of(path), elsewhere = source_of(nowhere);
	struct source passphrase = {.kind = SOURCE_PASSPHRASE, .text = (char *)"passphrase"};
	struct token_key loaded;
	struct fault fault = FAULT_INIT;
	assert_true(file_replace(path, SPAN("0123456789012345678901234567890"), 0600, &fault));
	assert_false(token_key_load(&source, &loaded, &fault));
	assert_int_equal(fault.code, FAULT_BROKEN);
	assert_non_null(strstr(fault.text, "bad.key: a key file holds 32 bytes, this one 31"));
	assert_false(token_key_load(&elsewhere, &loaded, &fault));
	assert_int_equal(fault.code, FAULT_MISSING);
	assert_false(token_key_load(&passphrase, &loaded, &fault));
	assert_int_equal(fault.code, FAULT_USAGE);
}

static void test_key_of_systemd(void **context)
{
	(void)context;
	AUTO_FREE char *path = memory_format("%s/credential", folder);
	struct source source = {.kind = SOURCE_SYSTEMD, .name = (char *)"credential", .text = (char *)"systemd:credential"};
	struct token_key loaded;
	struct fault fault = FAULT_INIT;
	unsetenv("CREDENTIALS_DIRECTORY");
	assert_false(token_key_load(&source, &loaded, &fault));
	assert_non_null(strstr(fault.text, "CREDENTIALS_DIRECTORY is not set"));
	setenv("CREDENTIALS_DIRECTORY", folder, 1);
	assert_false(token_key_load(&source, &loaded, &fault)); /* never made there */
	assert_true(file_replace(path, (struct span){(const char *)key.bytes, sizeof key.bytes}, 0444, &fault));
	assert_true(token_key_load(&source, &loaded, &fault));
	assert_memory_equal(&loaded, &key, sizeof key);
}

int main(void)
{
	struct fault fault = FAULT_INIT;
	if (!secret_start(&fault) || !mkdtemp(folder))
		return 1;
	for (size_t i = 0; i < sizeof key.bytes; i++)
		key.bytes[i] = (unsigned char)i;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_tokens),     cmocka_unit_test(test_table_finds),
		cmocka_unit_test(test_table_refuses),    cmocka_unit_test(test_looks_like),
		cmocka_unit_test(test_key_is_made_once), cmocka_unit_test(test_key_race),
		cmocka_unit_test(test_bad_keys),         cmocka_unit_test(test_key_of_systemd),
	};
	int failed = cmocka_run_group_tests_name("token", tests, NULL, NULL);
	AUTO_FREE char *clean = memory_format("rm -rf %s", folder);
	return system(clean) != 0 ? failed + 1 : failed;
}
