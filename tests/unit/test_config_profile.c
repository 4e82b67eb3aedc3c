/* Profiles: what each says, what each has from its parents, and which mistakes are told. */
#include "config_rows.h"

#define CREDENTIALS                                                                                                    \
	"version: 1\ncredentials:\n"                                                                                    \
	"  a: { upstream: https://a.com, secret: env:A, inject: { basic: x } }\n"                                       \
	"  b: { upstream: https://b.com, secret: env:B, inject: { basic: x } }\n"                                       \
	"  github: { upstream: https://*.git.com, secret: env:C, inject: { basic: x } }\n"                              \
	"profiles:\n"
/* The first line behind it is line 7. */

/* "host host | credential credential" of the profile that is named last. */
static void write_profile(const struct config_profile *profile, struct buffer *out)
{
	for (size_t i = 0; i < profile->host_count; i++)
		buffer_format(out, "%s%s%s ", profile->hosts[i].text, profile->hosts[i].rules.count ? "(rules)" : "",
		              profile->hosts[i].encoded_slash ? "(slash)" : "");
	buffer_char(out, '|');
	for (size_t i = 0; i < profile->credential_count; i++)
		buffer_format(out, " %s", profile->credentials[i]->name);
}

struct merge_row {
	const char *profiles, *merged;
};

static const struct merge_row merge_rows[] = {
	{"  p: {}\n", "|"},
	{"  p: { hosts: [x.com, \"!y.com\"], credentials: [b, a, b] }\n", "x.com !y.com | b a"},
	/* hosts append, without duplicates; a child's entry takes the place of its parent's. */
	{"  o: { hosts: [x.com, y.com] }\n  p: { extends: o, hosts: [z.com, X.com.] }\n", "X.com. y.com z.com |"},
	{"  o: { hosts: [x.com] }\n  p: { extends: [o], hosts: [x.com:443, \"*.x.com\", \"!x.com\"] }\n",
	 "x.com x.com:443 *.x.com !x.com |"},
	{"  o: { hosts: [{ host: x.com, rules: [allow GET /] }] }\n  p: { extends: o, hosts: [x.com] }\n", "x.com |"},
	{"  o: { hosts: [x.com] }\n  p: { extends: o, hosts: [{ host: x.com, rules: [allow GET /], encoded_slash: true }] }\n",
	 "x.com(rules)(slash) |"},
	/* A parent may stand behind its child. */
	{"  c: { extends: p }\n  p: { extends: o, hosts: [y.com] }\n  o: { hosts: [x.com] }\n  z: { extends: c }\n",
	 "x.com y.com |"},
	/* Left to right. */
	{"  m: { hosts: [x.com, y.com], credentials: [b] }\n"
	 "  o: { hosts: [z.com, { host: x.com, encoded_slash: true }], credentials: [a] }\n  p: { extends: [m, o] }\n",
	 "x.com(slash) y.com z.com | b a"},
	{"  m: { hosts: [x.com] }\n  p: { extends: [] }\n", "|"},
	/* credentials: absent, [], a list, !name. */
	{"  o: { credentials: [a, b] }\n  p: { extends: o }\n", "| a b"},
	{"  o: { credentials: [a, b] }\n  p: { extends: o, credentials: [] }\n", "|"},
	{"  o: { credentials: [a] }\n  p: { extends: o, credentials: [b] }\n", "| a b"},
	{"  o: { credentials: [a, b] }\n  p: { extends: o, credentials: [\"!a\"] }\n", "| b"},
	{"  o: { credentials: [a, b] }\n  p: { extends: o, credentials: [\"!a\", github] }\n", "| b github"},
	{"  o: { credentials: [b, a] }\n  p: { extends: o, credentials: [a, b, github] }\n", "| b a github"},
	{"  m: { credentials: [a, b] }\n  n: { extends: m, credentials: [\"!a\"] }\n  p: { extends: n, credentials: [a] }\n",
	 "| b a"},
	{"  m: { credentials: [a] }\n  n: { extends: m, credentials: [] }\n  p: { extends: [n, m] }\n", "| a"},
	{"  m: &m { credentials: [a], hosts: [x.com] }\n  p: *m\n", "x.com | a"},
};

static void test_merge(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof merge_rows / sizeof *merge_rows; i++) {
		AUTO_BUFFER struct buffer text = {0}, came = {0};
		buffer_format(&text, "%s%s", CREDENTIALS, merge_rows[i].profiles);
		struct config *config = good(text.data);
		write_profile(config_profile(config, SPAN("p")), &came);
		compare(merge_rows[i].profiles, "profile p", came.data, merge_rows[i].merged);
		config_free(config);
	}
	settle();
}

static void test_fields(void **state)
{
	(void)state;
	struct config *config = good("version: 1\nprofiles:\n"
	                             "  o: { token_version: 7, direct: false, rate: 10/s }\n"
	                             "  p: { extends: o }\n"
	                             "  q: { extends: o, token_version: 4294967295, direct: true, rate: 600/m }\n"
	                             "  two: { extends: [q, o, none] }\n"
	                             "  none: {}\n"
	                             "  no: { hosts: [true, {host: 1.20.1.1, http2: off}, \"[::1]:8\", B\xc3\xbc" "cher.de] }\n");
	const struct config_profile *o = config_profile(config, SPAN("o")), *p = config_profile(config, SPAN("p"));
	const struct config_profile *q = config_profile(config, SPAN("q")), *no = config_profile(config, SPAN("no"));
	assert_true(o->token_version == 7 && !o->direct && o->rate.count == 10);
	assert_true(p->token_version == 1 && !p->direct && p->rate.count == 10);
	assert_true(q->token_version == UINT32_MAX && q->direct && q->rate.count == 600 && q->rate.seconds == 60);
	const struct config_profile *two = config_profile(config, SPAN("two"));
	assert_true(two->rate.count == 10 && two->rate.seconds == 1); /* the last parent that says one */
	assert_true(p->mark.line == 4 && p->mark.column == 3 && p->number == 1);
	assert_true(no->direct && no->rate.count == 0);
	assert_string_equal(no->hosts[0].pattern.host.name, "true");
	assert_int_equal(no->hosts[1].pattern.host.kind, HOST_IPV4);
	assert_int_equal(no->hosts[1].http2, HTTP2_OFF);
	assert_int_equal(no->hosts[2].pattern.port, 8);
	assert_string_equal(no->hosts[3].pattern.host.name, "xn--bcher-kva.de");
	assert_true(no->hosts[3].mark.line == 8 && no->hosts[3].mark.column == 64);
	config_free(config);
}

#define KEYS_OF_PROFILE "(known here: extends, hosts, credentials, token_version, direct, rate)"
#define NAME_SHAPE                                                                                                     \
	"the name of a profile has 1 to 63 lower-case letters, digits, \".\", \"_\" and \"-\", and begins with a letter or " \
	"digit"
#define LIST_HINT "; a list stands in [ ], or each item in a line of its own after \"- \""
#define P CREDENTIALS "  p: "
#define LONG "abcdefghijklmnopqrstuvwxyz0123456789._-abcdefghijklmnopqrstuvwx"

static const struct told_row profile_rows[] = {
	{CREDENTIALS "  " LONG ": {}\n", ""},
	{CREDENTIALS "  " LONG "y: {}\n", "7:3: " NAME_SHAPE},
	{CREDENTIALS "  Coder: {}\n", "7:3: " NAME_SHAPE},
	{CREDENTIALS "  \"\": {}\n  -a: {}\n  a b: {}\n  a/b: {}\n  0a: {}\n",
	 "7:3: " NAME_SHAPE "\n8:3: " NAME_SHAPE "\n9:3: " NAME_SHAPE "\n10:3: " NAME_SHAPE},
	{P "{ host: [x.com] }\n", "7:8: unknown key \"host\"; did you mean \"hosts\"? " KEYS_OF_PROFILE},
	{P "{ extend: q }\n  q: {}\n", "7:8: unknown key \"extend\"; did you mean \"extends\"? " KEYS_OF_PROFILE},
	{P "\n", "7:5: expected a profile (a mapping), found nothing; what belongs to a key stands below it, indented deeper"},
	{P "[x.com]\n", "7:6: expected a profile (a mapping), found a list"},
	{P "\n  hosts: [x.com]\n",
	 "7:5: expected a profile (a mapping), found nothing; what belongs to a key stands below it, indented deeper\n"
	 "8:3: \"hosts\" is a key of a profile, not the name of one; indent its line deeper"},
	{"version: 1\nprofiles: [a]\n", "2:11: expected profiles, each by its name (a mapping), found a list"},
	{P "{ hosts: x.com }\n",
	 "7:15: expected hosts such as [pypi.org, \"*.example.com\"] (a list), found text" LIST_HINT},
	{P "{ hosts: [], credentials: a }\n",
	 "7:32: expected names of credentials such as [openai, \"!github\"] (a list), found text" LIST_HINT},
	{P "{ credentials: [githb, \"!x\", {}, c] }\n",
	 "7:22: no credential has the name \"githb\"; did you mean \"github\"?\n7:29: no credential has the name \"x\"\n"
	 "7:35: expected the name of a credential (text), found a mapping; text that starts with \"{\" goes in quotes\n"
	 "7:39: no credential has the name \"c\""},
	{P "{ credentials: [a, \"!a\"] }\n", "7:25: \"a\" is both named and dropped in this list"},
	{P "{ extends: o, credentials: [\"!a\", b, a] }\n  o: { credentials: [a] }\n",
	 "7:43: \"a\" is both named and dropped in this list"},
	{P "{ extends: coder }\n  code: {}\n", "7:17: no profile has the name \"coder\"; did you mean \"code\"?"},
	/* The nearest of several, in whatever order; capitals and swapped letters are near. */
	{P "{ extends: [coder1, coderss] }\n  coders: {}\n  coder-12: {}\n",
	 "7:18: no profile has the name \"coder1\"; did you mean \"coders\"?\n"
	 "7:26: no profile has the name \"coderss\"; did you mean \"coders\"?"},
	{P "{ extends: [coder1, CODERS, ocders, x] }\n  coder-12: {}\n  coders: {}\n",
	 "7:18: no profile has the name \"coder1\"; did you mean \"coders\"?\n"
	 "7:26: no profile has the name \"CODERS\"; did you mean \"coders\"?\n"
	 "7:34: no profile has the name \"ocders\"; did you mean \"coders\"?\n7:42: no profile has the name \"x\""},
	{P "{ extends: {} }\n",
	 "7:17: expected the name of a profile (text), found a mapping; text that starts with \"{\" goes in quotes"},
	{P "{ extends: p }\n", "7:17: a cycle: profile \"p\" extends itself, by itself or through others"},
	{P "{ extends: q }\n  q: { extends: r }\n  r: { extends: [s, p] }\n  s: {}\n",
	 "9:21: a cycle: profile \"p\" extends itself, by itself or through others"},
	{P "{ token_version: 0, direct: no, rate: 5 }\n",
	 "7:23: `0` is not a whole number from 1 to 4294967295\n7:34: expected true or false; did you mean false, without quotes?\n"
	 "7:44: `5` is not a rate; write requests per second, minute or hour, like 10/s, 600/m or 5000/h"},
	{P "{ token_version: two, direct: \"true\" }\n",
	 "7:23: `two` is not a whole number from 1 to 4294967295\n"
	 "7:36: expected true or false; did you mean true, without quotes?"},
	{P "{ token_version: \"2\", direct: 1 }\n",
	 "7:23: expected a whole number from 1 to 4294967295, without quotes\n7:36: expected true or false"},
};

#define PATTERN "; a pattern is a name, *.name, an address or a network like 10.0.0.0/8, and may end in :port"

static const struct told_row host_rows[] = {
	{P "{ hosts: [https://x.com/y, \"*x.com\", 10.0.0.1/8] }\n",
	 "7:16: `https://x.com/y` has a `/` and is no network; leave out scheme and path" PATTERN "\n"
	 "7:33: `*x.com` has a `*` that is not its whole first label" PATTERN "\n"
	 "7:43: `10.0.0.1/8` has bits set behind its first 8; the network is 10.0.0.0/8"},
	{P "{ hosts: [{}, { hst: x.com }] }\n",
	 "7:16: \"host\" is missing here; write host: NAME\n7:20: \"host\" is missing here; write host: NAME\n"
	 "7:22: unknown key \"hst\"; did you mean \"host\"? (known here: host, rules, intercept, http2, encoded_slash)"},
	{P "{ hosts: [[x.com], 5] }\n",
	 "7:16: expected a host such as pypi.org, \"*.example.com\" or 10.0.0.0/8 (text), found a list\n"
	 "7:25: host `5` is a single number, which some read as an address; write it like 192.0.2.1"},
	{P "{ hosts: [{ host: x.com, rules: allow GET / }] }\n",
	 "7:38: expected rules such as [\"allow GET /v1/**\"] (a list), found text" LIST_HINT},
	{P "{ hosts: [{ host: x.com, intercept: yes, rules: [permit GET /, []] }] }\n",
	 "7:42: expected true or false; did you mean true, without quotes?\n"
	 "7:55: rule `permit GET /` begins with neither `allow` nor `deny`; a rule is like `allow GET,POST /v1/**` or `deny * "
	 "/v1/admin/**`\n7:69: expected a rule such as \"allow GET /v1/**\" (text), found a list"},
	{P "{ hosts: [{ host: \"!x.com\", rules: [] }, { host: \"!x.com\" }] }\n",
	 "7:16: \"!x.com\" is denied whatever else is said, so it takes no options"},
	{P "{ hosts: [{ host: x.com, http2: tunnel }] }\n",
	 "7:38: http2: tunnel goes with intercept: true; without it every connection is a tunnel"},
	{P "{ hosts: [{ host: x.com, intercept: true, http2: tunnel, rules: [allow GET /] }] }\n",
	 "7:55: http2: tunnel carries requests past the rules; with rules it is on or off"},
	{P "{ hosts: [{ host: x.com, http2: no }, { host: y.com, http2: tunel }] }\n",
	 "7:38: expected on, off or tunnel; did you mean \"on\"?\n"
	 "7:66: expected on, off or tunnel; did you mean \"tunnel\"?"},
	{P "{ hosts: [{ host: a.com, intercept: true, http2: tunnel }] }\n",
	 "7:16: a.com is the host of credential \"a\", and http2: tunnel would carry requests past it"},
	{P "{ hosts: [x.com, { host: X.COM., rules: [allow GET /] }] }\n",
	 "7:23: X.COM. stands at line 7 already; one entry says all about a host"},
	{P "{ hosts: [x.com, x.com, x.com:80] }\n", ""},
};

static void test_errors(void **state)
{
	(void)state;
	expect_errors(ROWS(profile_rows));
	expect_errors(ROWS(host_rows));
}

static const struct told_row warning_rows[] = {
	{P "{ credentials: [\"!a\", b] }\n", "7:22: \"!a\" drops a credential that no parent has"},
	{P "{ hosts: [a.com, a.com:443, a.com:8443, x.git.com, git.com, \"*.com\", \"!a.com\"] }\n",
	 "7:16: a.com is the host of credential \"a\", so this entry has no effect: only a profile with that credential "
	 "reaches it\n"
	 "7:23: a.com:443 is the host of credential \"a\", so this entry has no effect: only a profile with that credential "
	 "reaches it\n"
	 "7:46: x.git.com is the host of credential \"github\", so this entry has no effect: only a profile with that "
	 "credential reaches it"},
	{P "{ hosts: [{ host: x.com, rules: [allow GET /] }, { host: y.com:80, rules: [allow GET /] }] }\n",
	 "7:16: rules for x.com cannot be judged inside a tunnel without intercept: true"},
};

static void test_warnings(void **state)
{
	(void)state;
	expect_warnings(ROWS(warning_rows));
}

/* `count` profiles, each extending the next, in either order. */
static void chain(struct buffer *text, unsigned count, bool parents_first)
{
	buffer_clear(text);
	buffer_string(text, "version: 1\nprofiles:\n");
	for (unsigned i = 0; i < count; i++) {
		unsigned number = parents_first ? count - 1 - i : i;
		if (number == count - 1)
			buffer_format(text, "  p%u: {}\n", number);
		else
			buffer_format(text, "  p%u: { extends: p%u }\n", number, number + 1);
	}
}

static void test_levels(void **state)
{
	(void)state;
	AUTO_BUFFER struct buffer text = {0};
	for (unsigned first = 0; first < 2; first++) {
		chain(&text, 64, first);
		expect_errors(&(struct told_row){text.data, ""}, 1);
	}
	chain(&text, 65, true);
	expect_errors(&(struct told_row){text.data, "67:18: profile \"p1\" is extended over more than 64 levels"}, 1);
	chain(&text, 65, false);
	expect_errors(&(struct told_row){text.data, "66:19: profile \"p64\" is extended over more than 64 levels"}, 1);
}

/* A file of some kilobytes cannot ask for gigabytes. */
static void test_inherited(void **state)
{
	(void)state;
	AUTO_BUFFER struct buffer text = {0};
	buffer_string(&text, "version: 1\nprofiles:\n  o: { hosts: [");
	for (unsigned i = 0; i < 2000; i++)
		buffer_format(&text, "h%u.com,", i);
	buffer_string(&text, "] }\n");
	for (unsigned i = 0; i < 501; i++)
		buffer_format(&text, "  p%u: { extends: o }\n", i);
	expect_errors(&(struct told_row){text.data, "504:20: profiles take over more than 1000000 hosts and credentials, "
	                                            "counted each time"}, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_merge),    cmocka_unit_test(test_fields), cmocka_unit_test(test_errors),
		cmocka_unit_test(test_warnings), cmocka_unit_test(test_levels), cmocka_unit_test(test_inherited),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
