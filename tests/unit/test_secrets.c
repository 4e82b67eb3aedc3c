/* Secrets from every source: values, reasons, and what a second look keeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <ftw.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "memory.h"
#include "secret.h"
#include "secrets.h"
#include "steady.h"
#include "vault.h"

#define CANARY "canary-0123456789"

static char folder[] = "/tmp/keystile-test-secrets-XXXXXX";
static time_t now = 1000000;

/* The date of secrets.c: it stands still until a test moves it. */
time_t time(time_t *out)
{
	if (out)
		*out = now * 2;
	return now * 2;
}

static int derivations; /* of a key from a passphrase, half a second each */

int crypto_pwhash(unsigned char *out, unsigned long long length, const char *passphrase, unsigned long long passphrase_length,
                  const unsigned char *salt, unsigned long long operations, size_t memory, int algorithm)
{
	int (*real)(unsigned char *, unsigned long long, const char *, unsigned long long, const unsigned char *, unsigned long long,
	            size_t, int) = (__typeof__(real))(uintptr_t)dlsym(RTLD_NEXT, "crypto_pwhash");
	derivations++;
	return real(out, length, passphrase, passphrase_length, salt, operations, memory, algorithm);
}

static const char *in_folder(const char *name)
{
	static char *path;
	free(path);
	path = memory_format("%s/%s", folder, name);
	return path;
}

static void put_file(const char *name, struct span content)
{
	struct fault fault = FAULT_INIT;
	if (!file_replace(in_folder(name), content, 0600, &fault))
		fail_msg("%s", fault.text);
}

/* A configuration of one credential with up to two secrets. */
struct fixture {
	struct config config;
	struct config_credential credential;
	struct named_source secrets[2];
	struct injection injection;
};

static struct source make_source(const char *text)
{
	struct source source;
	struct fault fault = FAULT_INIT;
	if (!source_parse(span_of(text), folder, &source, &fault))
		fail_msg("%s: %s", text, fault.text);
	return source;
}

static struct fixture *fixture_new(const char *first, const char *second)
{
	struct fixture *fixture = memory_alloc(sizeof *fixture);
	struct mark mark = {.file = "keystile.yaml", .line = 7, .column = 3};
	fixture->secrets[0] = (struct named_source){second ? "id" : "secret", make_source(first), mark};
	if (second)
		fixture->secrets[1] = (struct named_source){"key", make_source(second), mark};
	fixture->injection = (struct injection){.kind = INJECT_HEADER, .value = "Bearer {secret}", .mark = mark};
	fixture->credential = (struct config_credential){
		.name = "openai", .secrets = fixture->secrets, .secret_count = second ? 2 : 1,
		.injections = &fixture->injection, .injection_count = 1};
	fixture->config.credentials = &fixture->credential;
	fixture->config.credential_count = 1;
	fixture->config.vault_file = memory_format("%s/secrets.vault", folder);
	AUTO_FREE char *key = memory_format("file:%s/vault.key", folder);
	source_parse_key(span_of(key), folder, &fixture->config.vault_key, NULL);
	fixture->config.state = memory_format("%s/state", folder);
	return fixture;
}

static void fixture_free(struct fixture *fixture)
{
	source_free(&fixture->secrets[0].source);
	source_free(&fixture->secrets[1].source);
	source_free(&fixture->config.vault_key);
	free(fixture->config.vault_file);
	free(fixture->config.state);
	free(fixture);
}

static struct secrets *load(struct fixture *fixture, struct secrets *previous)
{
	struct secrets *secrets = secrets_load(&fixture->config, previous, NULL);
	secrets_free(previous);
	return secrets;
}

/* Commands that all have run. */
static struct commands *run_commands(struct fixture *fixture)
{
	struct fault fault = FAULT_INIT;
	struct commands *commands = commands_new(NULL, NULL, NULL);
	commands_want(commands, &fixture->config);
	if (!commands_start(commands, &fault))
		fail_msg("%s", fault.text);
	commands_settle(commands, UINT64_MAX);
	return commands;
}

static struct secrets *load_with_commands(struct fixture *fixture)
{
	struct commands *commands = run_commands(fixture);
	struct secrets *secrets = secrets_load(&fixture->config, NULL, commands);
	commands_free(commands);
	return secrets;
}

static const struct secret_value *value_of(const struct fixture *fixture, const struct secrets *secrets, size_t index)
{
	return secrets_get(secrets, &fixture->credential, index);
}

static void check_value(const char *what, const struct secret_value *value, const char *expected)
{
	if (!value->ready || !span_equal(value->bytes, span_of(expected)))
		fail_msg("%s: should be `%s`, came `%.*s` %s", what, expected, SPAN_ARGS(value->bytes),
		         value->why ? value->why : "");
}

static void check_reason(const char *what, const char *reason, const char *expected)
{
	AUTO_FREE char *plain = memory_string(reason ? reason : "no reason");
	char *at;
	while ((at = strstr(plain, folder)) != NULL) /* the folder's name differs from run to run */
		memmove(at, at + sizeof folder - 2, strlen(at + sizeof folder - 2) + 1), *at = '@';
	if (strcmp(plain, expected) != 0)
		fail_msg("%s: came\n  %s\nshould be\n  %s", what, plain, expected);
	if (strstr(plain, CANARY))
		fail_msg("%s: the reason holds the secret", what);
}

struct row {
	const char *source;
	const char *file; /* what the file `s` holds; NULL: there is none */
	const char *value; /* NULL: not ready */
	const char *why;
};

static const struct row rows[] = {
	{"file:s", CANARY "\n", CANARY, NULL},
	{"file:s", "\xef\xbb\xbf" CANARY "\r\n", CANARY, NULL},
	{"file:s", NULL, NULL, "file:@/s: No such file or directory; once it is there, it is used"},
	{"file:s", "\n", NULL, "file:s is empty; the secret must stand there alone, on one line"},
	{"file:s", CANARY "\nsecond", NULL,
	 "file:s has a line break in it; the secret must stand there alone, on one line"},
	{"file:s", "<no value>", NULL, "file:s is <no value>; the secret must stand there alone, on one line"},
	{"file:.", NULL, NULL, "file:@/.: not a regular file"},
	{"env:KEYSTILE_TEST_SECRET", NULL, CANARY, NULL},
	{"env:KEYSTILE_TEST_ABSENT", NULL, NULL,
	 "env:KEYSTILE_TEST_ABSENT: not set; set it where proxyd is started"},
	{"systemd:s", CANARY, CANARY, NULL},
	{"systemd:s", NULL, NULL,
	 "systemd:s: @/s: No such file or directory; add LoadCredential=s:PATH to the unit"},
	{"exec:printf '%s' " CANARY, NULL, CANARY, NULL},
	{"exec:false", NULL, NULL, "exec:false: ended with status 1"},
	{"exec:/nonexistent/tool " CANARY, NULL, NULL,
	 "exec:/nonexistent/tool: cannot start /nonexistent/tool: No such file or directory"},
	{"exec:sh -c 'echo " CANARY " >&2; exit 2'", NULL, NULL,
	 "exec:sh: ended with status 2 (18 bytes on its standard error; run it by hand to read them)"},
	{"exec:true " CANARY, NULL, NULL, "exec:true is empty; the secret must stand there alone, on one line"},
	{"vault:s", NULL, NULL,
	 "vault:s: @/secrets.vault: there is no such vault; make it with: creds init, then: creds set s"},
};

static void check_row(const struct row *row)
{
	unlink(in_folder("s"));
	if (row->file)
		put_file("s", span_of(row->file));
	struct fixture *fixture = fixture_new(row->source, NULL);
	struct secrets *secrets = load_with_commands(fixture);
	const struct secret_value *value = value_of(fixture, secrets, 0);
	const char *why = NULL;
	bool ready = secrets_ready(secrets, &fixture->credential, &why);
	if (ready != (row->value != NULL) || (!ready && value->bytes.length > 0))
		fail_msg("%s: ready is %d, %s", row->source, ready, why ? why : "");
	if (row->value)
		check_value(row->source, value, row->value);
	else
		check_reason(row->source, why, row->why);
	secrets_free(secrets);
	fixture_free(fixture);
}

static void test_rows(void **state)
{
	(void)state;
	setenv("KEYSTILE_TEST_SECRET", CANARY, 1);
	setenv("CREDENTIALS_DIRECTORY", folder, 1);
	setenv("LC_ALL", "C", 1);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		check_row(&rows[i]);
	unsetenv("CREDENTIALS_DIRECTORY");
	struct row without = {"systemd:s", CANARY, NULL,
	                      "systemd:s: $CREDENTIALS_DIRECTORY is not set; add LoadCredential=s:PATH to the unit"};
	check_row(&without);
}

/* The key of `client:` stands behind the secrets, and has lines. The same file is no secret of one line. */
static void test_client_key(void **state)
{
	(void)state;
	static const char pem[] = "-----BEGIN PRIVATE KEY-----\r\nAAAA\nBBBB\n-----END PRIVATE KEY-----";
	struct fixture *fixture = fixture_new("file:one", NULL);
	const char *why = NULL;
	unlink(in_folder("s"));
	put_file("one", SPAN(CANARY));
	fixture->credential.client_cert = "c.pem";
	fixture->credential.client_key = make_source("file:s");
	assert_int_equal(secrets_count(&fixture->credential), 2);
	struct secrets *secrets = load(fixture, NULL);
	assert_false(secrets_ready(secrets, &fixture->credential, &why));
	check_reason("no key", why, "file:@/s: No such file or directory; once it is there, it is used");
	put_file("s", SPAN("\n"));
	secrets = load(fixture, secrets);
	check_reason("an empty one", value_of(fixture, secrets, 1)->why, "file:s is empty; the secret must stand there alone");
	put_file("s", SPAN("a\x01" "b"));
	secrets = load(fixture, secrets);
	check_reason("a control byte", value_of(fixture, secrets, 1)->why,
	             "file:s has a control character; the secret must stand there alone");
	put_file("s", (struct span){pem, sizeof pem - 1});
	secrets = load(fixture, secrets);
	assert_true(secrets_ready(secrets, &fixture->credential, &why));
	check_value("the key", value_of(fixture, secrets, 1), pem);
	check_value("the secret beside it", value_of(fixture, secrets, 0), CANARY);
	source_free(&fixture->secrets[0].source);
	fixture->secrets[0].source = make_source("file:s");
	secrets = load(fixture, secrets);
	assert_false(value_of(fixture, secrets, 0)->ready);
	check_value("the key beside it", value_of(fixture, secrets, 1), pem);
	secrets_free(secrets);
	source_free(&fixture->credential.client_key);
	fixture_free(fixture);
}

/* What is taken together are the secrets: a key that is gone keeps no secret from changing. */
static void test_client_key_is_apart(void **state)
{
	(void)state;
	struct fixture *fixture = fixture_new("file:id", "file:key");
	fixture->credential.client_cert = "c.pem";
	fixture->credential.client_key = make_source("file:s");
	put_file("id", SPAN("id-1"));
	put_file("key", SPAN("key-1"));
	put_file("s", SPAN("pem-1"));
	struct secrets *first = load(fixture, NULL), *secrets = secrets_load(&fixture->config, first, NULL);
	assert_true(secrets_same(first, secrets));
	put_file("s", SPAN("pem-2"));
	secrets = load(fixture, secrets);
	assert_false(secrets_same(first, secrets));
	secrets_free(first);
	put_file("id", SPAN("id-2"));
	unlink(in_folder("s"));
	secrets = load(fixture, secrets);
	check_value("the secret", value_of(fixture, secrets, 0), "id-2");
	check_value("the key", value_of(fixture, secrets, 2), "pem-2");
	assert_non_null(value_of(fixture, secrets, 2)->stale);
	secrets_free(secrets);
	source_free(&fixture->credential.client_key);
	fixture_free(fixture);
}

static void put_in_vault(struct fixture *fixture, const char *name, const char *value)
{
	struct vault_place place = {.file = fixture->config.vault_file, .key = &fixture->config.vault_key,
	                            .state = fixture->config.state};
	struct fault fault = FAULT_INIT;
	struct vault *vault = vault_edit(&place, &fault);
	if (!vault || (value && !vault_put(vault, span_of(name), span_of(value), 0, &fault)) ||
	    (!value && !vault_remove(vault, span_of(name))) || !vault_save(vault, &fault))
		fail_msg("%s", fault.text);
	vault_close(vault);
}

static void make_vault(struct fixture *fixture)
{
	struct vault_place place = {.file = fixture->config.vault_file, .key = &fixture->config.vault_key,
	                            .state = fixture->config.state};
	struct fault fault = FAULT_INIT;
	unlink(fixture->config.vault_file);
	unlink(fixture->config.vault_key.name);
	if (!keysource_make(fixture->config.vault_key.name, &fault))
		fail_msg("%s", fault.text);
	struct vault *vault = vault_create(&place, "test", &fault);
	if (!vault)
		fail_msg("%s", fault.text);
	vault_close(vault);
}

static void test_vault(void **state)
{
	(void)state;
	struct fixture *fixture = fixture_new("vault:s", NULL);
	make_vault(fixture);
	struct secrets *secrets = load(fixture, NULL);
	check_reason("an empty vault", value_of(fixture, secrets, 0)->why,
	             "vault:s: not in the vault @/secrets.vault; put it there: creds set s");
	put_in_vault(fixture, "s", CANARY);
	secrets = load(fixture, secrets);
	check_value("set", value_of(fixture, secrets, 0), CANARY);

	/* A vault that is damaged keeps what is in use; a secret that was taken out of a sound one goes. */
	AUTO_BUFFER struct buffer sound = {0};
	assert_true(file_read(fixture->config.vault_file, 1 << 20, &sound, NULL));
	put_file("secrets.vault", SPAN("KEYSTILE VAULT\n"));
	secrets = load(fixture, secrets);
	check_value("damaged", value_of(fixture, secrets, 0), CANARY);
	assert_non_null(strstr(value_of(fixture, secrets, 0)->stale, "vault:s: "));
	put_file("secrets.vault", buffer_view(&sound));
	put_in_vault(fixture, "s", NULL);
	secrets = load(fixture, secrets);
	assert_false(value_of(fixture, secrets, 0)->ready);
	secrets_free(secrets);
	fixture_free(fixture);
}

/* What a look at the vault finds, and by how many derivations. */
static struct secrets *look(struct fixture *fixture, struct secrets *secrets, const char *what, int most)
{
	derivations = 0;
	secrets = load(fixture, secrets);
	if (derivations != most)
		fail_msg("%s: %d derivations instead of %d", what, derivations, most);
	return secrets;
}

static void test_passphrase_once(void **state)
{
	(void)state;
	struct fixture *fixture = fixture_new("vault:s", "vault:t"), *other = fixture_new("vault:s", "vault:u");
	AUTO_FREE char *key = memory_format("passphrase:file:%s/passphrase", folder);
	put_file("passphrase", SPAN("correct horse battery"));
	source_free(&fixture->config.vault_key);
	source_free(&other->config.vault_key);
	source_parse_key(span_of(key), folder, &fixture->config.vault_key, NULL);
	source_parse_key(span_of(key), folder, &other->config.vault_key, NULL);
	struct vault_place place = {.file = fixture->config.vault_file, .key = &fixture->config.vault_key,
	                            .state = fixture->config.state};
	unlink(place.file);
	vault_close(vault_create(&place, "test", NULL));
	put_in_vault(fixture, "s", CANARY);

	struct secrets *secrets = look(fixture, NULL, "the first look", 1);
	struct secrets *again = secrets_load(&fixture->config, secrets, NULL);
	assert_true(secrets_same(secrets, again));
	secrets_free(again);
	secrets = look(fixture, secrets, "nothing has changed", 0);
	check_value("nothing has changed", value_of(fixture, secrets, 0), CANARY);
	check_reason("nothing has changed", value_of(fixture, secrets, 1)->why,
	             "vault:t: not in the vault @/secrets.vault; put it there: creds set t");
	assert_true(secrets_state_kept(secrets));
	put_in_vault(fixture, "t", "t1\n\n");
	secrets = look(fixture, secrets, "a secret more", 1);
	put_in_vault(fixture, "t", "t2");
	secrets = look(fixture, look(fixture, secrets, "it has changed", 1), "and stays", 0);
	check_value("and stays", value_of(fixture, secrets, 1), "t2");

	/* A secret that was not looked for: it is opened for that, and once more to be sure of all. */
	secrets = look(other, secrets, "another secret", 1);
	check_value("another secret", value_of(other, secrets, 0), CANARY);
	assert_non_null(value_of(other, secrets, 1)->why);
	secrets = look(other, look(other, secrets, "all of them", 1), "all of them again", 0);
	secrets = look(fixture, look(fixture, secrets, "back again", 1), "once more", 1);

	put_file("passphrase", SPAN("another one"));
	secrets = look(fixture, secrets, "another passphrase", 1);
	assert_non_null(value_of(fixture, secrets, 0)->stale);
	put_file("passphrase", SPAN("correct horse battery"));
	secrets = look(fixture, look(fixture, secrets, "the right one", 1), "it again", 0);
	assert_null(value_of(fixture, secrets, 0)->stale);
	unlink(place.file);
	secrets = look(fixture, secrets, "gone", 0);
	check_value("gone", value_of(fixture, secrets, 0), CANARY);
	assert_non_null(value_of(fixture, secrets, 0)->stale);
	secrets_free(secrets);
	fixture_free(fixture);
	fixture_free(other);
}

/* A value that was kept since the one beside it is no good is not taken for what the vault has. */
static void test_vault_beside_a_file(void **state)
{
	(void)state;
	struct fixture *fixture = fixture_new("vault:s", "file:s");
	make_vault(fixture);
	put_in_vault(fixture, "s", "v1");
	put_file("s", SPAN("f1"));
	struct secrets *secrets = load(fixture, load(fixture, NULL));
	put_in_vault(fixture, "s", "v2");
	put_file("s", SPAN(""));
	secrets = load(fixture, load(fixture, secrets));
	check_value("kept", value_of(fixture, secrets, 0), "v1");
	put_file("s", SPAN("f2"));
	secrets = load(fixture, secrets);
	check_value("both are good", value_of(fixture, secrets, 0), "v2");
	check_value("both are good", value_of(fixture, secrets, 1), "f2");
	secrets_free(secrets);
	fixture_free(fixture);
}

static void test_last_good(void **state)
{
	(void)state;
	struct fixture *fixture = fixture_new("file:s", NULL);
	put_file("s", SPAN("first"));
	struct secrets *secrets = load(fixture, NULL);
	time_t first = time(NULL);
	assert_int_equal(value_of(fixture, secrets, 0)->changed, first);
	now += 60;
	unlink(in_folder("s"));
	secrets = load(fixture, secrets);
	check_value("gone", value_of(fixture, secrets, 0), "first");
	check_reason("gone", value_of(fixture, secrets, 0)->stale,
	             "file:@/s: No such file or directory; once it is there, it is used");
	put_file("s", SPAN("first\n"));
	secrets = load(fixture, secrets);
	check_value("back", value_of(fixture, secrets, 0), "first");
	assert_null(value_of(fixture, secrets, 0)->stale);
	assert_int_equal(value_of(fixture, secrets, 0)->changed, first);
	put_file("s", SPAN("second"));
	secrets = load(fixture, secrets);
	check_value("new", value_of(fixture, secrets, 0), "second");
	assert_int_equal(value_of(fixture, secrets, 0)->changed, time(NULL));
	secrets_free(secrets);
	fixture_free(fixture);
}

/* Two secrets that belong together change together or not at all. */
static void test_together(void **state)
{
	(void)state;
	struct fixture *fixture = fixture_new("file:id", "file:key");
	put_file("id", SPAN("id-1"));
	put_file("key", SPAN("key-1"));
	struct secrets *secrets = load(fixture, NULL);
	put_file("id", SPAN("id-2"));
	put_file("key", SPAN(""));
	secrets = load(fixture, secrets);
	check_value("id", value_of(fixture, secrets, 0), "id-1");
	check_value("key", value_of(fixture, secrets, 1), "key-1");
	put_file("key", SPAN("key-2"));
	secrets = load(fixture, secrets);
	check_value("id", value_of(fixture, secrets, 0), "id-2");
	check_value("key", value_of(fixture, secrets, 1), "key-2");
	secrets_free(secrets);
	fixture_free(fixture);
}

/* A spent value that stays for the other's sake was looked for all the same: nobody waits for another one. */
static void test_together_with_command(void **state)
{
	(void)state;
	AUTO_FREE char *command = memory_format("exec:cat %s", in_folder("id"));
	struct fixture *fixture = fixture_new(command, "file:key");
	fixture->credential.ttl = 60000;
	put_file("id", SPAN("id-1"));
	put_file("key", SPAN("key-1"));
	struct commands *commands = run_commands(fixture);
	struct secrets *first = secrets_load(&fixture->config, NULL, commands);
	uint64_t number = value_of(fixture, first, 0)->number;
	put_file("id", SPAN("id-2"));
	put_file("key", SPAN(""));
	struct secrets *second = secrets_load(&fixture->config, first, commands);
	check_value("key", value_of(fixture, second, 1), "key-1");
	commands_retry(commands);
	struct secrets *third = secrets_ref(second);
	while (value_of(fixture, third, 0)->number == number) {
		struct secrets *before = third;
		third = secrets_with_commands(&fixture->config, second, commands);
		secrets_free(before);
	}
	check_value("id", value_of(fixture, third, 0), "id-1");
	check_value("key", value_of(fixture, third, 1), "key-1");
	assert_true(value_of(fixture, third, 0)->number > number);
	put_file("key", SPAN("key-2"));
	struct secrets *fourth = secrets_load(&fixture->config, third, commands);
	check_value("id", value_of(fixture, fourth, 0), "id-2");
	check_value("key", value_of(fixture, fourth, 1), "key-2");
	assert_false(secrets_any_over(fourth, steady_now()));
	assert_true(secrets_any_over(fourth, steady_now() + 60000));
	secrets_free(first);
	secrets_free(second);
	secrets_free(third);
	secrets_free(fourth);
	commands_free(commands);
	fixture_free(fixture);
}

/* A set with what commands gave since reads nothing else, and keeps all that was found before. */
static void test_with_commands(void **state)
{
	(void)state;
	struct fixture *fixture = fixture_new("file:s", NULL);
	struct commands *commands = run_commands(fixture);
	put_file("s", SPAN("one"));
	struct secrets *first = secrets_load(&fixture->config, NULL, commands);
	put_file("s", SPAN("two"));
	struct secrets *same = secrets_with_commands(&fixture->config, first, commands);
	check_value("file", value_of(fixture, same, 0), "one");
	assert_true(secrets_same(first, same));
	unlink(in_folder("s"));
	struct secrets *none = secrets_load(&fixture->config, NULL, commands);
	struct secrets *still = secrets_with_commands(&fixture->config, none, commands);
	assert_string_equal(value_of(fixture, still, 0)->why, value_of(fixture, none, 0)->why);
	assert_true(secrets_same(none, still));
	secrets_free(first);
	secrets_free(same);
	secrets_free(none);
	secrets_free(still);
	commands_free(commands);
	fixture_free(fixture);
}

static void test_same(void **state)
{
	(void)state;
	struct fixture *fixture = fixture_new("file:s", NULL);
	put_file("s", SPAN("one"));
	struct secrets *a = load(fixture, NULL), *b = load(fixture, NULL);
	assert_true(secrets_same(a, b));
	put_file("s", SPAN("two"));
	b = load(fixture, b);
	assert_false(secrets_same(a, b));
	unlink(in_folder("s"));
	struct secrets *none = load(fixture, NULL);
	assert_false(secrets_same(a, none));
	secrets_free(a);
	secrets_free(b);
	secrets_free(none);
	fixture_free(fixture);
}

struct warning_row {
	const char *value;
	const char *template;
	const char *warning; /* NULL: none */
};

static const struct warning_row warning_rows[] = {
	{"abc", "Bearer {secret}", NULL},
	{"Bearerabc", "Bearer {secret}", NULL},
	{" abc", "Bearer {secret}",
	 "keystile.yaml:7:3: the secret `secret` of openai begins or ends with a blank, and is sent that way"},
	{"abc ", "{secret}",
	 "keystile.yaml:7:3: the secret `secret` of openai begins or ends with a blank, and is sent that way"},
	{"bearer abc", "Bearer {secret}",
	 "keystile.yaml:7:3: the secret `secret` of openai begins with `Bearer ` already, which is put in front of it once "
	 "more"},
	{"bot123", "/bot{secret}",
	 "keystile.yaml:7:3: the secret `secret` of openai begins with `bot` already, which is put in front of it once more"},
	{"123", "/bot{secret}", NULL},
};

static void keep_line(void *context, const char *line)
{
	buffer_string(context, line);
}

static void test_warnings(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof warning_rows / sizeof *warning_rows; i++) {
		const struct warning_row *row = &warning_rows[i];
		struct fixture *fixture = fixture_new("env:KEYSTILE_TEST_SECRET", NULL);
		char *template = memory_string(row->template);
		setenv("KEYSTILE_TEST_SECRET", row->value, 1);
		if (template[0] == '/') {
			fixture->injection.kind = INJECT_PATH;
			fixture->injection.paths = (struct string_list){&template, 1};
		} else {
			fixture->injection.value = template;
		}
		struct secrets *secrets = load(fixture, NULL);
		AUTO_BUFFER struct buffer lines = {0};
		secrets_warnings(&fixture->config, secrets, NULL, keep_line, &lines);
		if (!span_equal(buffer_view(&lines), span_of(row->warning ? row->warning : "")))
			fail_msg("`%s` in `%s`: came `%.*s`, should be `%s`", row->value, row->template,
			         SPAN_ARGS(buffer_view(&lines)), row->warning ? row->warning : "");
		secrets_free(secrets);
		fixture_free(fixture);
		free(template);
	}
}

#define AN_HOUR (3600 * 1000)

static struct secrets *look_still(struct fixture *fixture, struct secrets *previous, unsigned still, bool unsettled)
{
	struct secrets *secrets = secrets_look(&fixture->config, previous, NULL, still);
	assert_int_equal(secrets_unsettled(secrets), unsettled);
	secrets_free(previous);
	return secrets;
}

/* Files here are younger than an hour, and may be half written: what was known of them stays, good or not. */
static void test_fresh(void **state)
{
	(void)state;
	struct fixture *fixture = fixture_new("file:fresh", NULL);
	struct secrets *secrets = look_still(fixture, NULL, AN_HOUR, false);
	assert_false(value_of(fixture, secrets, 0)->ready);
	put_file("fresh", SPAN("half"));
	secrets = look_still(fixture, secrets, AN_HOUR, true);
	assert_false(value_of(fixture, secrets, 0)->ready);
	assert_non_null(strstr(value_of(fixture, secrets, 0)->why, "No such file"));
	secrets = look_still(fixture, secrets, 0, false);
	check_value("as it stands", value_of(fixture, secrets, 0), "half");
	put_file("fresh", SPAN("half and half"));
	secrets = look_still(fixture, secrets, AN_HOUR, true);
	check_value("it is fresh", value_of(fixture, secrets, 0), "half");
	put_file("fresh", SPAN(""));
	secrets = look_still(fixture, secrets, AN_HOUR, true);
	check_value("it is fresh and empty", value_of(fixture, secrets, 0), "half");
	assert_null(value_of(fixture, secrets, 0)->stale);
	secrets = look_still(fixture, secrets, 0, false);
	assert_non_null(value_of(fixture, secrets, 0)->stale);
	secrets_free(secrets);
	secrets = look_still(fixture, NULL, 0, false);
	assert_false(value_of(fixture, secrets, 0)->ready);
	secrets_free(secrets);
	fixture_free(fixture);
}

/* A file system may say of every file that it has changed just now. */
static void test_always_fresh(void **state)
{
	(void)state;
	struct fixture *fixture = fixture_new("file:always", NULL);
	put_file("always", SPAN("old"));
	struct secrets *secrets = look_still(fixture, NULL, AN_HOUR, false);
	put_file("always", SPAN("new"));
	for (unsigned i = 0; i < 50; i++) {
		secrets = look_still(fixture, secrets, AN_HOUR, true);
		check_value("fresh", value_of(fixture, secrets, 0), "old");
	}
	secrets = look_still(fixture, secrets, AN_HOUR, false);
	check_value("as it stands", value_of(fixture, secrets, 0), "new");
	secrets_free(secrets);
	fixture_free(fixture);
}

/* Also where each look that finds nothing new is dropped. */
static void test_always_fresh_where_one_set_stays(void **state)
{
	(void)state;
	struct fixture *fixture = fixture_new("file:always", NULL);
	put_file("always", SPAN("old"));
	struct secrets *kept = look_still(fixture, NULL, AN_HOUR, false), *dropped;
	put_file("always", SPAN("new"));
	for (unsigned i = 0; i < 50; i++) {
		dropped = secrets_look(&fixture->config, kept, NULL, AN_HOUR);
		assert_true(secrets_unsettled(dropped) && secrets_same(kept, dropped));
		secrets_count_looks(kept, dropped);
		secrets_free(dropped);
	}
	kept = look_still(fixture, kept, AN_HOUR, false);
	check_value("as it stands", value_of(fixture, kept, 0), "new");
	secrets_free(kept);
	fixture_free(fixture);
}

static void test_fresh_beside_another(void **state)
{
	(void)state;
	struct fixture *fixture = fixture_new("file:id", "env:KEYSTILE_TEST_KEY");
	put_file("id", SPAN("old id"));
	setenv("KEYSTILE_TEST_KEY", "old key", 1);
	struct secrets *secrets = look_still(fixture, NULL, AN_HOUR, false); /* nothing is known of it: as it stands */
	put_file("id", SPAN("new id"));
	setenv("KEYSTILE_TEST_KEY", "new key", 1);
	secrets = look_still(fixture, secrets, AN_HOUR, true);
	check_value("fresh", value_of(fixture, secrets, 0), "old id");
	check_value("beside it", value_of(fixture, secrets, 1), "old key");
	secrets = look_still(fixture, secrets, 0, false);
	check_value("still", value_of(fixture, secrets, 0), "new id");
	check_value("beside it", value_of(fixture, secrets, 1), "new key");
	secrets_free(secrets);
	fixture_free(fixture);
}

/* A source that swaps a folder in the moment in which it is read. */
char *getenv(const char *name)
{
	if (strcmp(name, "SWAP") != 0)
		return secure_getenv(name);
	return system("rm now; ln -s $(cat to) now") == 0 ? (char *)(uintptr_t)"swapped" : NULL;
}

/* A folder that is swapped between its first file and its second one gives neither. */
static void test_swapped_while_read(void **state)
{
	(void)state;
	struct fixture *fixture = fixture_new("file:now/id", "file:now/key");
	struct named_source all[3] = {fixture->secrets[0], {"swap", make_source("env:SWAP"), {0}},
	                              fixture->secrets[1]};
	fixture->credential.secrets = all;
	fixture->credential.secret_count = 3;
	assert_int_equal(system("mkdir first second; for i in first second; do echo $i id >$i/id; echo $i key >$i/key; done; "
	                        "ln -s first now; echo first >to"), 0);
	struct secrets *secrets = look_still(fixture, NULL, 0, false);
	secrets = look_still(fixture, secrets, 0, false);
	check_value("the same folder again", value_of(fixture, secrets, 0), "first id");
	put_file("to", SPAN("second"));
	for (unsigned i = 0; i < 2; i++) {
			secrets = look_still(fixture, secrets, 0, i == 0);
		check_value("beside it", value_of(fixture, secrets, 1), "swapped");
		check_value("before", value_of(fixture, secrets, 0), i ? "second id" : "first id");
		check_value("behind", value_of(fixture, secrets, 2), i ? "second key" : "first key");
	}
	secrets_free(secrets);
	source_free(&all[1].source);
	fixture_free(fixture);
}

static int set_up(void **state)
{
	(void)state;
	return secret_start(NULL) && mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)status, (void)type, (void)place;
	return remove(path);
}

static int tear_down(void **state)
{
	(void)state;
	return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),       cmocka_unit_test(test_vault), cmocka_unit_test(test_last_good),
		cmocka_unit_test(test_passphrase_once), cmocka_unit_test(test_vault_beside_a_file),
		cmocka_unit_test(test_together),   cmocka_unit_test(test_together_with_command),
		cmocka_unit_test(test_with_commands), cmocka_unit_test(test_same),
		cmocka_unit_test(test_fresh),      cmocka_unit_test(test_fresh_beside_another), cmocka_unit_test(test_swapped_while_read),
		cmocka_unit_test(test_always_fresh), cmocka_unit_test(test_always_fresh_where_one_set_stays),
		cmocka_unit_test(test_warnings),   cmocka_unit_test(test_client_key), cmocka_unit_test(test_client_key_is_apart),
	};
	return cmocka_run_group_tests_name("secrets", tests, set_up, tear_down);
}
