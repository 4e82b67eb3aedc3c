/* Names of secrets and keys, and the words of a command. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "source.h"

typedef bool parser(struct span text, const char *folder, struct source *source, struct fault *fault);

struct good_row {
	parser *parse;
	const char *text;
	enum source_kind kind;
	const char *name;
};

static const struct good_row good_rows[] = {
	{source_parse, "vault:openai", SOURCE_VAULT, "openai"},
	{source_parse, "vault:9_A.b-c", SOURCE_VAULT, "9_A.b-c"},
	{source_parse, "file:secrets/openai", SOURCE_FILE, "/etc/keystile/secrets/openai"},
	{source_parse, "file:/vault/secrets/github", SOURCE_FILE, "/vault/secrets/github"},
	{source_parse, "file:with blank: and colon", SOURCE_FILE, "/etc/keystile/with blank: and colon"},
	{source_parse, "env:OPENAI_API_KEY", SOURCE_ENV, "OPENAI_API_KEY"},
	{source_parse, "env:_x1", SOURCE_ENV, "_x1"},
	{source_parse, "systemd:openai.key", SOURCE_SYSTEMD, "openai.key"},
	{source_parse, "exec:pass show openai", SOURCE_EXEC, "pass show openai"},
	{source_parse_key, "file:vault.key", SOURCE_FILE, "/etc/keystile/vault.key"},
	{source_parse_key, "systemd:vault.key", SOURCE_SYSTEMD, "vault.key"},
	{source_parse_key, "passphrase", SOURCE_PASSPHRASE, NULL},
	{source_parse_key, "passphrase:file:pass", SOURCE_PASSPHRASE_FILE, "/etc/keystile/pass"},
};

static bool same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof good_rows / sizeof *good_rows; i++) {
		const struct good_row *row = &good_rows[i];
		struct source source;
		struct fault fault = FAULT_INIT;
		if (!row->parse(span_of(row->text), "/etc/keystile", &source, &fault))
			fail_msg("`%s`: refused (%s)", row->text, fault.text);
		struct source copy = source_copy(&source);
		source_free(&source);
		if (copy.kind != row->kind || !same(copy.name, row->name) || !same(copy.text, row->text))
			fail_msg("`%s`: came kind %d `%s` (`%s`), should be kind %d `%s`", row->text, copy.kind, copy.name,
			         copy.text, row->kind, row->name ? row->name : "(none)");
		source_free(&copy);
		assert_int_equal(copy.kind, SOURCE_NONE);
	}
}

struct bad_row {
	parser *parse;
	const char *text;
	const char *why;
};

static const struct bad_row bad_rows[] = {
	{source_parse, "", "names no source"},
	{source_parse, "sk-canary-0123456789", "vault:NAME"},
	{source_parse, "canary:0123456789", "vault:NAME"},
	{source_parse, "Vault:canary", "vault:NAME"},
	{source_parse, " vault:canary", "vault:NAME"},
	{source_parse, "vault:", "letters, digits"},
	{source_parse, "vault:-canary", "letters, digits"},
	{source_parse, "vault:canary/x", "letters, digits"},
	{source_parse, "vault:canary\n", "control"},
	{source_parse, "file:", "no path"},
	{source_parse, "file:~/canary", "`~`"},
	{source_parse, "env:", "variable"},
	{source_parse, "env:$CANARY", "without `$`"},
	{source_parse, "env:1CANARY", "no digit"},
	{source_parse, "env:CANARY=x", "variable"},
	{source_parse, "systemd:", "CREDENTIALS_DIRECTORY"},
	{source_parse, "systemd:../canary", "without `/`"},
	{source_parse, "systemd:..", "CREDENTIALS_DIRECTORY"},
	{source_parse, "exec:", "no command"},
	{source_parse, "exec:  ", "no command"},
	{source_parse, "exec:echo 'canary", "not closed"},
	{source_parse, "passphrase", "opens a vault"},
	{source_parse, "passphrase:file:canary", "opens a vault"},
	{source_parse_key, "", "names no source"},
	{source_parse_key, "canary", "file:PATH"},
	{source_parse_key, "vault:canary", "not for keys"},
	{source_parse_key, "env:CANARY", "not for keys"},
	{source_parse_key, "exec:canary", "not for keys"},
	{source_parse_key, "passphrase:canary", "names no source"},
	{source_parse_key, "passphrase:file:", "no path"},
	{source_parse_key, "file:", "no path"},
};

/* What was written may be the secret itself, so that no message shows it. */
static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bad_rows / sizeof *bad_rows; i++) {
		const struct bad_row *row = &bad_rows[i];
		struct source source;
		struct fault fault = FAULT_INIT;
		if (row->parse(span_of(row->text), "/etc/keystile", &source, &fault))
			fail_msg("`%s`: taken, should be refused (%s)", row->text, row->why);
		if (fault.code != FAULT_USAGE || !strstr(fault.text, row->why))
			fail_msg("`%s`: refused with `%s`, should speak of `%s`", row->text, fault.text, row->why);
		if (strcasestr(fault.text, "canary"))
			fail_msg("`%s`: `%s` shows what was written", row->text, fault.text);
		assert_true(source.kind == SOURCE_NONE && !source.name && !source.text);
	}
}

struct words_row {
	const char *command;
	const char *words[5]; /* none: refused */
};

static const struct words_row words_rows[] = {
	{"pass", {"pass"}},
	{"  pass \t show\nopenai ", {"pass", "show", "openai"}},
	{"a 'b c' \"d e\" f", {"a", "b c", "d e", "f"}},
	{"a b'c d'e\"f g\"", {"a", "bc def g"}},
	{"a '' \"\"", {"a", "", ""}},
	{"a b\\ c \\'d\\\"", {"a", "b c", "'d\""}},
	{"a 'b\\c' \"b\\c\" \"b\\\"c\" \"b\\\\c\"", {"a", "b\\c", "b\\c", "b\"c", "b\\c"}},
	{"a '\"' \"'\"", {"a", "\"", "'"}},
	{"a $HOME `x` *;|&", {"a", "$HOME", "`x`", "*;|&"}},
	{"a \"\\$x\\`\"", {"a", "$x`"}},
	{"", {NULL}},
	{"   ", {NULL}},
	{"a 'b", {NULL}},
	{"a \"b", {NULL}},
	{"a \"b\\\"", {NULL}},
	{"a b\\", {NULL}},
	{"'' a", {NULL}},
};

static void test_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof words_rows / sizeof *words_rows; i++) {
		const struct words_row *row = &words_rows[i];
		char **words = source_words(row->command);
		if (!words != !row->words[0])
			fail_msg("`%s`: came %s", row->command, words ? words[0] : "nothing");
		for (size_t k = 0; words && (k < 5 ? row->words[k] != NULL || words[k] : words[k] != NULL); k++)
			if (k == 5 || !same(words[k], row->words[k]))
				fail_msg("`%s`: word %zu came `%s`, should be `%s`", row->command, k, words[k] ? words[k] : "(none)",
				         k < 5 && row->words[k] ? row->words[k] : "(none)");
		free(words);
	}
}

/* The block is just large enough for the most words that a command can have. */
static void test_many_words(void **state)
{
	(void)state;
	for (size_t length = 1; length < 40; length++) {
		char command[41] = "";
		for (size_t i = 0; i < length; i++)
			command[i] = i % 2 ? ' ' : 'x';
		char **words = source_words(command);
		assert_non_null(words);
		size_t count = 0;
		while (words[count])
			assert_string_equal(words[count++], "x");
		assert_int_equal(count, (length + 1) / 2);
		free(words);
	}
}

static void test_secret_names(void **state)
{
	(void)state;
	char longest[130];
	memset(longest, 'a', sizeof longest);
	assert_true(source_is_secret_name((struct span){longest, 128}));
	assert_false(source_is_secret_name((struct span){longest, 129}));
	static const char *const good[] = {"a", "Z", "0", "a.b_c-D", "a..", "a-"};
	static const char *const bad[] = {"", ".a", "-a", "_a", "a b", "a/b", "a:b", "\xc3\xbc", "a\n"};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		if (!source_is_secret_name(span_of(good[i])))
			fail_msg("`%s`: should be a name", good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (source_is_secret_name(span_of(bad[i])))
			fail_msg("`%s`: should be no name", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),       cmocka_unit_test(test_bad),
		cmocka_unit_test(test_words),      cmocka_unit_test(test_many_words),
		cmocka_unit_test(test_secret_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
