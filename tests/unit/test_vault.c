/* The vault as its callers see it: what is written comes back, and nothing else does. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "file.h"
#include "memory.h"
#include "secret.h"
#include "state.h"
#include "vault.h"

static char folder[] = "/tmp/keystile-test-vault-XXXXXX";
static char *vault_path, *state_path;
static struct vault_key key_a, key_b;

static struct vault_key make_key(char fill)
{
	char bytes[KEYSOURCE_BYTES];
	memset(bytes, fill, sizeof bytes);
	struct vault_key key = {.arena = secret_arena_new(64)};
	key.bytes = secret_arena_add(key.arena, (struct span){bytes, sizeof bytes});
	return key;
}

static struct vault_place place_of(const struct vault_key *key)
{
	return (struct vault_place){.file = vault_path, .held = key, .state = state_path};
}

static struct vault *must(struct vault *vault, struct fault *fault)
{
	if (!vault)
		fail_msg("the vault should have opened; it said: %s", fault->text);
	return vault;
}

static int set_up(void **context)
{
	(void)context;
	unlink(vault_path);
	struct vault_place place = place_of(&key_a);
	struct fault fault = FAULT_INIT;
	struct vault *vault = must(vault_create(&place, "a", &fault), &fault);
	vault_close(vault);
	return 0;
}

static void store_at(const struct vault_place *place, const char *name, const char *value)
{
	struct fault fault = FAULT_INIT;
	struct vault *vault = must(vault_edit(place, &fault), &fault);
	if (!vault_put(vault, span_of(name), span_of(value), VAULT_KEEP_EXPIRY, &fault) || !vault_save(vault, &fault))
		fail_msg("storing %s failed: %s", name, fault.text);
	vault_close(vault);
}

static void store(const char *name, const char *value)
{
	struct vault_place place = place_of(&key_a);
	store_at(&place, name, value);
}

static void check_value(const struct vault *vault, const char *name, const char *value)
{
	struct span found;
	bool there = vault_get(vault, span_of(name), &found);
	if (!value && there)
		fail_msg("%s should not be there", name);
	if (value && (!there || !span_equal(found, span_of(value))))
		fail_msg("%s: should be %s, was %.*s", name, value, there ? (int)found.length : 7, there ? found.data : "absent");
}

static void test_values(void **context)
{
	(void)context;
	store("openai", "sk-first");
	store("github", "ghp");
	store("openai", "sk-second");
	store("Anthropic.key_1", "x");
	struct vault_place place = place_of(&key_a);
	struct fault fault = FAULT_INIT;
	struct vault *vault = must(vault_edit(&place, &fault), &fault);
	check_value(vault, "openai", "sk-second");
	check_value(vault, "github", "ghp");
	check_value(vault, "Anthropic.key_1", "x");
	check_value(vault, "open", NULL);
	check_value(vault, "", NULL);
	assert_int_equal(vault_count(vault), 3);
	assert_int_equal(vault_generation(vault), 5);
	assert_true(vault_state_kept(vault));
	assert_true(vault_remove(vault, SPAN("github")));
	assert_false(vault_remove(vault, SPAN("github")));
	assert_true(vault_save(vault, &fault));
	vault_close(vault);
	vault = must(vault_open(&place, &fault), &fault);
	check_value(vault, "github", NULL);
	check_value(vault, "openai", "sk-second");
	vault_close(vault);
}

static void test_refused_values(void **context)
{
	(void)context;
	static char big[VAULT_VALUE + 1];
	static const struct {
		const char *name;
		size_t length;
		bool fits;
	} rows[] = {
		{"a", 1, true},    {"a", VAULT_VALUE, true}, {"a", VAULT_VALUE + 1, false}, {"a", 0, false},
		{"", 1, false},    {".a", 1, false},         {"a b", 1, false},             {"a/b", 1, false},
		{"A.b-c_9", 1, true},
	};
	struct vault_place place = place_of(&key_a);
	struct fault fault = FAULT_INIT;
	struct vault *vault = must(vault_edit(&place, &fault), &fault);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		bool put = vault_put(vault, span_of(rows[i].name), (struct span){big, rows[i].length}, 0, &fault);
		if (put != rows[i].fits)
			fail_msg("\"%s\" with %zu bytes: should be %s", rows[i].name, rows[i].length, rows[i].fits ? "taken" : "refused");
	}
	vault_close(vault);
}

static void expect_shut(const char *what, size_t at, const struct vault_key *key)
{
	struct vault_place place = place_of(key);
	struct fault fault = FAULT_INIT;
	const char *kind = key->passphrase ? "passphrase" : "key";
	char *text = memory_format("%s: does not open: this is not its %s, or the file is damaged; check the %s, or put a "
	                           "backup back", vault_path, kind, kind);
	struct vault *vault = vault_open(&place, &fault);
	if (vault || fault.code != FAULT_BROKEN || strcmp(fault.text, text) != 0)
		fail_msg("%s at %zu: should say \"%s\", said \"%s\"", what, at, text, vault ? "(it opened)" : fault.text);
	free(text);
}

static void put_file(const void *bytes, size_t length)
{
	struct fault fault;
	if (!file_replace(vault_path, (struct span){bytes, length}, 0600, &fault))
		fail_msg("%s", fault.text);
}

static void test_damage(void **context)
{
	(void)context;
	store("openai", "sk-first");
	AUTO_BUFFER struct buffer good = {0};
	assert_true(file_read(vault_path, VAULT_FILE_LIMIT, &good, NULL));
	expect_shut("another key", 0, &key_b);
	for (size_t i = 0; i < good.length; i++) {
		/* Every bit of the header, and of the ends of the payload; one of the others. */
		bool all = i < 300 || i + 40 > good.length;
		for (int bit = all ? 0 : (int)(i % 8); bit < (all ? 8 : (int)(i % 8) + 1); bit++) {
			good.data[i] = (char)(good.data[i] ^ (1 << bit));
			put_file(good.data, good.length);
			expect_shut("a flipped bit", i * 8 + (size_t)bit, &key_a);
			good.data[i] = (char)(good.data[i] ^ (1 << bit));
		}
	}
	for (size_t i = 0; i < good.length; i += i < 300 ? 1 : 97) {
		put_file(good.data, i);
		expect_shut("a cut", i, &key_a);
	}
	put_file(good.data, good.length);
	struct vault_place place = place_of(&key_a);
	struct fault fault = FAULT_INIT;
	vault_close(must(vault_open(&place, &fault), &fault));
}

static void test_older_copy(void **context)
{
	(void)context;
	AUTO_BUFFER struct buffer old = {0};
	assert_true(file_read(vault_path, VAULT_FILE_LIMIT, &old, NULL));
	store("openai", "sk-first");
	put_file(old.data, old.length);
	struct vault_place place = place_of(&key_a);
	struct fault fault = FAULT_INIT;
	assert_null(vault_open(&place, &fault));
	assert_int_equal(fault.code, FAULT_DENIED);
	assert_null(vault_edit(&place, &fault));
	assert_non_null(strstr(fault.text, "generation 1 is older than 2"));
	assert_non_null(strstr(fault.text, "creds accept-older"));
	place.accept_older = true;
	vault_close(must(vault_open(&place, &fault), &fault));
	place.accept_older = false;
	vault_close(must(vault_open(&place, &fault), &fault));
}

static void test_no_state_folder(void **context)
{
	(void)context;
	struct vault_place place = place_of(&key_a);
	place.state = "/proc/no-such-folder/state";
	struct fault fault = FAULT_INIT;
	struct vault *vault = must(vault_open(&place, &fault), &fault);
	assert_false(vault_state_kept(vault));
	assert_non_null(vault_warning(vault, 0));
	assert_null(vault_warning(vault, 1));
	vault_close(vault);
}

static void test_missing(void **context)
{
	(void)context;
	unlink(vault_path);
	struct vault_place place = place_of(&key_a);
	struct fault fault = FAULT_INIT;
	assert_null(vault_open(&place, &fault));
	assert_int_equal(fault.code, FAULT_MISSING);
	assert_non_null(strstr(fault.text, "creds init"));
}

static void test_slots(void **context)
{
	(void)context;
	store("openai", "sk-first");
	struct vault_place place = place_of(&key_a);
	struct fault fault = FAULT_INIT;
	struct vault *vault = must(vault_edit(&place, &fault), &fault);
	assert_true(vault_slot_add(vault, &key_b, "b", &fault));
	assert_false(vault_slot_remove(vault, 0, &fault));
	assert_true(vault_save(vault, &fault));
	vault_close(vault);

	place.held = &key_b;
	vault = must(vault_edit(&place, &fault), &fault);
	assert_int_equal(vault_slot_count(vault), 2);
	assert_true(vault_slot_info(vault, 1).in_use);
	assert_true(span_equal(vault_slot_info(vault, 1).label, SPAN("b")));
	assert_false(vault_rekey(vault, &key_b, 1, false, &fault));
	assert_non_null(strstr(fault.text, "(a)"));
	vault_close(vault);

	struct vault_key both[] = {key_a, key_b};
	vault = must(vault_edit(&place, &fault), &fault);
	assert_true(vault_rekey(vault, both, 2, false, &fault));
	assert_true(vault_save(vault, &fault));
	vault_close(vault);
	place.held = &key_a;
	vault = must(vault_edit(&place, &fault), &fault);
	check_value(vault, "openai", "sk-first");
	assert_true(span_equal(vault_slot_info(vault, 0).label, SPAN("a")));
	assert_true(vault_rekey(vault, &key_a, 1, true, &fault));
	assert_true(vault_save(vault, &fault));
	assert_int_equal(vault_slot_count(vault), 1);
	vault_close(vault);
	expect_shut("a removed key", 0, &key_b);
	vault_close(must(vault_open(&place, &fault), &fault));
}

static void test_passphrase(void **context)
{
	(void)context;
	struct vault_key passphrase = {.passphrase = true, .arena = secret_arena_new(64)};
	passphrase.bytes = secret_arena_add(passphrase.arena, SPAN("correct horse"));
	struct vault_place place = place_of(&key_a);
	struct fault fault = FAULT_INIT;
	struct vault *vault = must(vault_edit(&place, &fault), &fault);
	assert_true(vault_slot_add(vault, &passphrase, "passphrase", &fault));
	assert_true(vault_save(vault, &fault));
	vault_close(vault);
	place.held = &passphrase;
	vault_close(must(vault_open(&place, &fault), &fault));
	secret_arena_free(passphrase.arena);
	passphrase.arena = secret_arena_new(64);
	passphrase.bytes = secret_arena_add(passphrase.arena, SPAN("correct horsf"));
	expect_shut("another passphrase", 0, &passphrase);
	secret_arena_free(passphrase.arena);
}

/* Every entry that fits a vault comes back in order, whatever order it went in. */
static void test_many(void **context)
{
	(void)context;
	struct vault_place place = place_of(&key_a);
	struct fault fault = FAULT_INIT;
	struct vault *vault = must(vault_edit(&place, &fault), &fault);
	char name[32];
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(name, sizeof name, "n%04u", i * 7919 % 2000);
		assert_true(vault_put(vault, span_of(name), span_of(name), i, &fault));
	}
	assert_true(vault_save(vault, &fault));
	vault_close(vault);
	vault = must(vault_open(&place, &fault), &fault);
	assert_int_equal(vault_count(vault), 2000);
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(name, sizeof name, "n%04u", i);
		assert_true(span_equal(vault_entry(vault, i)->name, span_of(name)));
		assert_true(span_equal(vault_entry(vault, i)->value, span_of(name)));
	}
	vault_close(vault);
}

static void test_link(void **context)
{
	(void)context;
	AUTO_FREE char *link = memory_format("%s/link", folder);
	unlink(link);
	assert_int_equal(symlink(vault_path, link), 0);
	struct vault_place place = place_of(&key_a);
	place.file = link;
	store_at(&place, "a", "b");
	struct stat status;
	assert_int_equal(lstat(link, &status), 0);
	assert_true(S_ISLNK(status.st_mode));
	assert_int_equal(stat(vault_path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
}

static void *keep_storing(void *context)
{
	(void)context;
	for (int i = 0; i < 300; i++)
		store("busy", "value");
	return NULL;
}

/* Whoever looks finds the old file or the new one, and takes neither for an older copy. */
static void test_read_while_written(void **context)
{
	(void)context;
	pthread_t writer;
	struct vault_place place = place_of(&key_a);
	store("busy", "value");
	assert_int_equal(pthread_create(&writer, NULL, keep_storing, NULL), 0);
	while (pthread_tryjoin_np(writer, NULL) != 0) {
		struct fault fault = FAULT_INIT;
		vault_close(must(vault_open(&place, &fault), &fault));
	}
}

int main(void)
{
	struct fault fault = FAULT_INIT;
	if (!secret_start(&fault) || !mkdtemp(folder))
		return 1;
	vault_path = memory_format("%s/secrets.vault", folder);
	state_path = memory_format("%s/state", folder);
	key_a = make_key('a');
	key_b = make_key('b');
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_values, set_up),      cmocka_unit_test_setup(test_refused_values, set_up),
		cmocka_unit_test_setup(test_damage, set_up),      cmocka_unit_test_setup(test_older_copy, set_up),
		cmocka_unit_test_setup(test_no_state_folder, set_up), cmocka_unit_test_setup(test_missing, set_up),
		cmocka_unit_test_setup(test_slots, set_up),       cmocka_unit_test_setup(test_passphrase, set_up),
		cmocka_unit_test_setup(test_many, set_up),        cmocka_unit_test_setup(test_link, set_up),
		cmocka_unit_test_setup(test_read_while_written, set_up),
	};
	int failed = cmocka_run_group_tests_name("vault", tests, NULL, NULL);
	AUTO_FREE char *clean = memory_format("rm -rf %s", folder);
	if (system(clean) != 0)
		failed++;
	vault_key_free(&key_a);
	vault_key_free(&key_b);
	free(vault_path);
	free(state_path);
	return failed;
}
