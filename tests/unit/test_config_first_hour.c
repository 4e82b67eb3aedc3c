/* The mistakes of a first hour: a file as somebody writes it, one thing wrong in it, and what is told. */
#include "config_rows.h"

#define TOP                                                                                                            \
	"version: 1\n"                                                                                                  \
	"listen: 127.0.0.1:8180\n"                                                                                      \
	"vault: { file: secrets.vault, key: \"file:vault.key\" }\n"                                                     \
	"\n"
#define OPENAI                                                                                                         \
	"credentials:\n"                                                                                                \
	"  openai:\n"                                                                                                   \
	"    preset: openai\n"                                                                                          \
	"    secret: vault:openai\n"
#define CODER                                                                                                          \
	"profiles:\n"                                                                                                   \
	"  coder:\n"                                                                                                    \
	"    hosts: [pypi.org]\n"                                                                                       \
	"    credentials: [openai]\n"

#define KEYS_OF_TOP                                                                                                    \
	"(known here: version, listen, advertise, admin, workers, vault, session, credentials, profiles, limits, tls, "     \
	"parent, audit, state)"
#define KEYS_OF_CREDENTIAL                                                                                             \
	"(known here: preset, upstream, secret, secrets, inject, rules, env, pass, ttl, rotation, ca, client, intercept, "  \
	"http2, rate, scrub, encoded_slash, response_idle, body)"
#define NOTHING_HINT "; what belongs to a key stands below it, indented deeper"
#define LIST_HINT "; a list stands in [ ], or each item in a line of its own after \"- \""
#define COLON                                                                                                          \
	"a \":\" that is not expected here: this line or the one before is indented wrongly, the one before lacks its "     \
	"\":\", or text with \": \" in it lacks its quotes"

static const struct told_row rows[] = {
	{TOP OPENAI CODER, ""},
	/* A wrong key. */
	{TOP "credential:\n  openai: {}\n" CODER,
	 "5:1: unknown key \"credential\"; did you mean \"credentials\"? " KEYS_OF_TOP "\n"
	 "10:19: no credential has the name \"openai\""},
	{TOP OPENAI "    injects: { basic: x }\n" CODER,
	 "9:5: unknown key \"injects\"; did you mean \"inject\"? " KEYS_OF_CREDENTIAL},
	{TOP OPENAI "profiles:\n  coder:\n    Hosts: [pypi.org]\n",
	 "11:5: unknown key \"Hosts\"; did you mean \"hosts\"? (known here: extends, hosts, credentials, token_version, direct, "
	 "rate)"},
	{TOP OPENAI "    secret: vault:other\n" CODER, "9:5: duplicate key \"secret\"; it stands at line 8 already"},
	/* Wrong indent. */
	{TOP "credentials:\n  openai:\n  preset: openai\n  secret: vault:openai\n" CODER,
	 "6:10: expected a credential (a mapping), found nothing" NOTHING_HINT "\n"
	 "7:3: \"preset\" is a key of a credential, not the name of one; indent its line deeper\n"
	 "8:3: \"secret\" is a key of a credential, not the name of one; indent its line deeper"},
	{TOP "credentials:\nopenai:\n  preset: openai\n  secret: vault:openai\n" CODER,
	 "5:13: expected credentials, each by its name (a mapping), found nothing" NOTHING_HINT "\n"
	 "6:1: unknown key \"openai\" " KEYS_OF_TOP "\n12:19: no credential has the name \"openai\""},
	{TOP OPENAI "   rules: []\n" CODER, "9:4: no key where one is expected; is this line indented like its neighbours?"},
	{TOP OPENAI "     rules: []\n" CODER, "9:11: " COLON},
	/* Tabs. */
	{TOP "credentials:\n\topenai:\n\t\tpreset: openai\n", "6:1: a tab; YAML is indented with spaces"},
	{TOP OPENAI "\trules: []\n", "9:1: a tab; YAML is indented with spaces"},
	/* A missing value. */
	{TOP "credentials:\n  openai:\n    preset: openai\n    secret:\n" CODER,
	 "8:12: expected where a secret comes from, such as vault:NAME or file:PATH (text), found nothing"},
	{TOP OPENAI "profiles:\n  coder:\n    hosts:\n    credentials: [openai]\n",
	 "11:11: expected hosts such as [pypi.org, \"*.example.com\"] (a list), found nothing" NOTHING_HINT},
	{TOP "credentials:\n  openai:\n    preset: openai\n" CODER,
	 "7:5: \"secret\" is missing here; write secret: vault:NAME, or file:PATH, env:NAME, systemd:NAME, exec:COMMAND"},
	/* Text for a list, a list for text. */
	{TOP OPENAI "profiles:\n  coder:\n    hosts: pypi.org\n    credentials: openai\n",
	 "11:12: expected hosts such as [pypi.org, \"*.example.com\"] (a list), found text" LIST_HINT "\n"
	 "12:18: expected names of credentials such as [openai, \"!github\"] (a list), found text" LIST_HINT},
	{TOP OPENAI "    rules: allow GET /v1/**\n" CODER,
	 "9:12: expected rules such as [\"allow GET /v1/**\"] (a list), found text" LIST_HINT},
	{TOP "credentials:\n  openai:\n    preset: [openai]\n    secret: [vault:openai]\n" CODER,
	 "7:13: expected the name of a preset (text), found a list\n"
	 "8:13: expected where a secret comes from, such as vault:NAME or file:PATH (text), found a list"},
	{TOP "credentials:\n  - preset: openai\n    secret: vault:openai\n",
	 "6:3: expected credentials, each by its name (a mapping), found a list"},
	/* Other spellings of true. */
	{TOP OPENAI "    encoded_slash: yes\n" CODER, "9:20: expected true or false; did you mean true, without quotes?"},
	{TOP OPENAI "    encoded_slash: \"true\"\n" CODER,
	 "9:20: expected true or false; did you mean true, without quotes?"},
	{TOP OPENAI "    encoded_slash: 1\n" CODER, "9:20: expected true or false"},
	/* Quotes. */
	{TOP OPENAI "profiles:\n  coder:\n    hosts: [*.pypi.org]\n",
	 "11:13: text that starts with \"*\" goes in quotes, such as \"*.example.com\""},
	{TOP OPENAI "profiles:\n  coder:\n    hosts:\n      - !pypi.org\n",
	 "12:9: a YAML tag, which means nothing here; text that starts with \"!\" goes in quotes, such as \"!name\""},
	{TOP OPENAI "    inject: { header: Authorization, value: Bearer {secret} }\n" CODER,
	 "9:52: text with \"{\" or \"[\" in it goes in quotes where it stands in a list or mapping"},
	{TOP OPENAI "    inject:\n      header: Authorization\n      value: {secret}\n" CODER,
	 "11:14: expected text such as \"Bearer {secret}\" (text), found a mapping; text that starts with \"{\" goes in quotes"},
	{"version: 1\nlisten: [::1]:8180\n", "2:10: text that starts with \"[\" goes in quotes, such as \"[::1]:8180\""},
	{TOP "credentials:\n  openai:\n    preset:openai\n    secret: vault:openai\n", "8:11: " COLON},
	/* The secret itself where its source should stand: never shown. */
	{TOP "credentials:\n  openai:\n    preset: openai\n    secret: sk-proj-abcdefgh\n" CODER,
	 "8:13: this names no source; a secret is named by vault:NAME, file:PATH, env:NAME, systemd:NAME or exec:COMMAND"},
	{TOP OPENAI "    inject: { header: Authorization, value: Bearer sk-proj-abcdefgh }\n" CODER,
	 "9:13: no secret goes anywhere: a value needs {secret} or the {NAME} of one of \"secrets\"; a constant stands only "
	 "beside such a one"},
	{"version: 1\n" OPENAI CODER,
	 "5:13: there is no vault in this file; add vault: { file: secrets.vault, key: \"file:vault.key\" }"},
	/* In a container. */
	{"version: 1\nlisten: 0.0.0.0:8180\nprofiles: { a: {} }\n",
	 "1:1: \"advertise\" is missing here: 0.0.0.0 is every address of this machine, so write the one that agents use, such "
	 "as advertise: keystile:8180"},
	{"version: 1\nsession: none\nlisten: 0.0.0.0:8180\nadvertise: keystile:8180\nprofiles: { a: {} }\n",
	 "3:9: with `session: none` every client is let in, so a listener is a unix socket or on loopback, such as "
	 "127.0.0.1:8180"},
	/* Names. */
	{TOP OPENAI "profiles:\n  coder:\n    credentials: [open-ai]\n",
	 "11:19: no credential has the name \"open-ai\"; did you mean \"openai\"?"},
	{TOP "credentials:\n  openai:\n    preset: open_ai\n    secret: vault:openai\n" CODER,
	 "7:13: no preset has the name \"open_ai\"; did you mean \"openai\"? (proxyd --presets lists them)"},
	{TOP "credentials:\n  OpenAI:\n    preset: openai\n    secret: vault:openai\n",
	 "6:3: the name of a credential has 1 to 63 lower-case letters, digits, \".\", \"_\" and \"-\", and begins with a letter "
	 "or digit"},
	{TOP "credentials:\n  mine:\n    upstream: api.example.com\n    secret: vault:mine\n    inject: { basic: x }\n",
	 "7:15: expected a URL that starts with https:// or http://, such as https://api.example.com"},
	{TOP OPENAI "    <<: *base\n" CODER,
	 "9:5: \"<<\" is not used here; a profile takes over another with \"extends\"\n"
	 "9:9: alias *base has no anchor &base before it; text that starts with \"*\" goes in quotes"},
};

static void test_first_hour(void **state)
{
	(void)state;
	expect_errors(ROWS(rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_hour),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
