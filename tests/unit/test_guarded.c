/* What a program must not get at: every place of the configuration that names a key or a secret. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buffer.h"
#include "guarded.h"
#include "memory.h"

#define HEAD "version: 1\nlisten: 127.0.0.1:8180\nstate: /s\nprofiles: { p: {} }\n"
#define ONE HEAD "session: none\ncredentials:\n  api:\n    upstream: https://a.test\n    inject: { query: key }\n"

/* SCRIPT and PROGRAM are files that exist: one for its owner alone, one for everybody. */
static const struct row {
	const char *text;
	const char *guarded; /* "what=path" by line; folders end in "/" */
} rows[] = {
	{HEAD "session: none\n", "the state folder=/s/\n"},
	{HEAD, "the session key=/k/session.key\nthe state folder=/s/\n"},
	{HEAD "session: none\nvault: { file: a.vault, key: \"file:/v.key\" }\n",
	 "the vault=/k/a.vault\nthe vault's key=/v.key\nthe state folder=/s/\n"},
	{HEAD "session: none\nvault: { file: a, key: \"passphrase:file:words\" }\n",
	 "the vault=/k/a\nthe vault's key=/k/words\nthe state folder=/s/\n"},
	{HEAD "session: none\nvault: { file: a, key: passphrase }\n", "the vault=/k/a\nthe state folder=/s/\n"},
	{HEAD "session: { key: \"systemd:session\" }\n", "systemd's credentials=/credentials/\nthe state folder=/s/\n"},
	{HEAD "session: none\nadmin: unix:/run/admin.sock\n", "the state folder=/s/\nthe admin socket=/run/admin.sock\n"},
	{HEAD "session: none\nadmin: 127.0.0.1:8181\n", "the state folder=/s/\n"},
	{HEAD "session: none\ntls: { ca_cert: ca.crt, ca_key: ca.key }\n", "the CA's key=/k/ca.key\nthe state folder=/s/\n"},
	{HEAD "session: none\nparent: { proxy: \"http://p.test:3128\", auth: \"file:p.auth\" }\n",
	 "the password of the parent proxy=/k/p.auth\nthe state folder=/s/\n"},
	{ONE "    secret: file:secrets/a\n", "a secret of credential api=/k/secrets/a\nthe state folder=/s/\n"},
	{ONE "    secret: env:A\n", "the state folder=/s/\n"},
	{ONE "    secret: env:A\n    client: { cert: c.pem, key: \"file:c.key\" }\n",
	 "the client key of credential api=/k/c.key\nthe state folder=/s/\n"},
	{ONE "    secret: \"exec:PROGRAM -x SCRIPT /absent relative\"\n",
	 "a secret of credential api=SCRIPT\nthe state folder=/s/\n"},
	{ONE "    secret: \"exec:SCRIPT\"\n", "a secret of credential api=SCRIPT\nthe state folder=/s/\n"},
};

static char script[] = "/tmp/keystile-guarded-XXXXXX", program[] = "/tmp/keystile-guarded-XXXXXX";

static int start(void **state)
{
	(void)state;
	int first = mkstemp(script), second = mkstemp(program);
	if (first < 0 || second < 0 || fchmod(second, 0755) != 0)
		return -1;
	close(first);
	close(second);
	return setenv("CREDENTIALS_DIRECTORY", "/credentials", 1);
}

static int end(void **state)
{
	(void)state;
	return unlink(script) || unlink(program);
}

/* The row's text with the names of the two files in it. */
static void fill(const char *text, struct buffer *out)
{
	buffer_string(out, "");
	while (*text) {
		if (span_starts(span_of(text), SPAN("SCRIPT"))) {
			buffer_string(out, script);
			text += 6;
		} else if (span_starts(span_of(text), SPAN("PROGRAM"))) {
			buffer_string(out, program);
			text += 7;
		} else {
			buffer_char(out, *text++);
		}
	}
}

static void find(struct span text, struct buffer *out)
{
	struct config_messages errors = {0}, warnings = {0};
	struct config *config = config_parse(text, "/k/keystile.yaml", false, &errors, &warnings);
	struct guarded guarded = {0};
	if (!config)
		fail_msg("%.*s: %s", SPAN_ARGS(text), errors.count ? errors.list[0] : "");
	guarded_find(config, &guarded);
	buffer_string(out, "");
	for (size_t i = 0; i < guarded.count; i++)
		buffer_format(out, "%s=%s%s\n", guarded.list[i].what, guarded.list[i].path, guarded.list[i].folder ? "/" : "");
	guarded_free(&guarded);
	config_free(config);
	config_messages_free(&errors);
	config_messages_free(&warnings);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		AUTO_BUFFER struct buffer text = {0}, should = {0}, came = {0};
		fill(rows[i].text, &text);
		fill(rows[i].guarded, &should);
		find(buffer_view(&text), &came);
		if (strcmp(came.data, should.data) != 0)
			fail_msg("%s\ncame\n%s, should be\n%s", text.data, came.data, should.data);
	}
}

/* Of a configuration that was found as ./keystile.yaml */
static void test_relative(void **state)
{
	(void)state;
	struct config_messages errors = {0}, warnings = {0};
	struct config *config = config_parse(SPAN(HEAD), "./keystile.yaml", true, &errors, &warnings);
	AUTO_FREE char *here = getcwd(NULL, 0), *should = memory_format("%s/session.key", here);
	struct guarded guarded = {0};
	guarded_find(config, &guarded);
	assert_string_equal(guarded.list[0].path, should);
	guarded_free(&guarded);
	config_free(config);
	config_messages_free(&errors);
	config_messages_free(&warnings);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_relative)};
	return cmocka_run_group_tests_name("guarded", tests, start, end);
}
