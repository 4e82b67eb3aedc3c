/* Hosts and authorities: every spelling of one host comes out as one text, and addresses in disguise do not come out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "authority.h"

/* "a…" repeated, for the limits of labels and names. */
#define A10 "aaaaaaaaaa"
#define A60 A10 A10 A10 A10 A10 A10
#define A63 A60 "aaa"
#define NAME_253 A63 "." A63 "." A63 "." A60 "a"

struct good_host {
	const char *text;
	enum host_kind kind;
	const char *name;
};

static const struct good_host good_hosts[] = {
	{"api.openai.com", HOST_NAME, "api.openai.com"},
	{"API.OpenAI.COM", HOST_NAME, "api.openai.com"},
	{"api.openai.com.", HOST_NAME, "api.openai.com"},
	{"localhost", HOST_NAME, "localhost"},
	{"a", HOST_NAME, "a"},
	{"_dmarc.my-host.example", HOST_NAME, "_dmarc.my-host.example"},
	{"1password.com", HOST_NAME, "1password.com"},
	{"3com", HOST_NAME, "3com"},
	{"0xyz", HOST_NAME, "0xyz"},
	{"0x7f.example", HOST_NAME, "0x7f.example"},
	{"xn--bcher-kva.example", HOST_NAME, "xn--bcher-kva.example"},
	{A63, HOST_NAME, A63},
	{NAME_253, HOST_NAME, NAME_253},
	{NAME_253 ".", HOST_NAME, NAME_253},
	{"b\xc3\xbc" "cher.example", HOST_NAME, "xn--bcher-kva.example"},
	{"B\xc3\x9c" "CHER.Example", HOST_NAME, "xn--bcher-kva.example"},
	{"bu\xcc\x88" "cher.example", HOST_NAME, "xn--bcher-kva.example"},
	{"stra\xc3\x9f" "e.de", HOST_NAME, "xn--strae-oqa.de"},
	{"\xe4\xbe\x8b\xe3\x81\x88\xe3\x80\x82\xe3\x83\x86\xe3\x82\xb9\xe3\x83\x88", HOST_NAME, "xn--r8jz45g.xn--zckzah"},
	{"\xef\xbd\x81pi.example\xe3\x80\x82", HOST_NAME, "api.example"},
	{"127.0.0.1", HOST_IPV4, "127.0.0.1"},
	{"255.255.255.255", HOST_IPV4, "255.255.255.255"},
	{"0.0.0.0", HOST_IPV4, "0.0.0.0"},
	{"10.20.30.40.", HOST_IPV4, "10.20.30.40"},
	{"\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1", HOST_IPV4, "127.0.0.1"},
	{"\xe2\x91\xa0.1.1.1", HOST_IPV4, "1.1.1.1"},
	{"::1", HOST_IPV6, "::1"},
	{"[::1]", HOST_IPV6, "::1"},
	{"[::]", HOST_IPV6, "::"},
	{"2001:DB8:0:0:0:0:0:1", HOST_IPV6, "2001:db8::1"},
	{"2001:0db8:0000:0001:0001:0001:0001:0001", HOST_IPV6, "2001:db8:0:1:1:1:1:1"},
	{"[2001:db8::1:0:0:1]", HOST_IPV6, "2001:db8::1:0:0:1"},
	{"::ffff:169.254.169.254", HOST_IPV4, "169.254.169.254"},
	{"[::FFFF:7f00:1]", HOST_IPV4, "127.0.0.1"},
	{"64:ff9b::10.0.0.1", HOST_IPV6, "64:ff9b::a00:1"},
};

static void test_good_hosts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof good_hosts / sizeof *good_hosts; i++) {
		const struct good_host *row = &good_hosts[i];
		struct host host;
		struct fault fault = FAULT_INIT;
		memset(&host, 0xa5, sizeof host);
		if (!host_parse(span_of(row->text), &host, &fault))
			fail_msg("`%s`: refused (%s), should be `%s`", row->text, fault.text, row->name);
		if (host.kind != row->kind || strcmp(host.name, row->name) != 0 || host.length != strlen(row->name))
			fail_msg("`%s`: came kind %d `%s` length %u, should be kind %d `%s`", row->text, host.kind, host.name,
			         host.length, row->kind, row->name);
	}
}

struct bad_host {
	struct span text;
	const char *why; /* part of the message */
};

#define BAD(literal, why) {{literal, sizeof literal - 1}, why}

static const struct bad_host bad_hosts[] = {
	BAD("", "empty"),
	BAD(".", "empty label"),
	BAD("..", "empty label"),
	BAD(".example", "empty label"),
	BAD("a..b", "empty label"),
	BAD("example..", "empty label"),
	BAD(A63 "a", "63 bytes"),
	BAD("x." A63 "a.example", "63 bytes"),
	BAD(NAME_253 "a", "253 bytes"),
	BAD("a." NAME_253, "253 bytes"),
	BAD("exa mple", "blank"),
	BAD(" example", "blank"),
	BAD("example\t", "control"),
	BAD("example\0.com", "control"),
	BAD("example\r\n", "control"),
	BAD("ex\x7f", "control"),
	BAD("%65xample", "percent-escape"),
	BAD("user@example", "user name or password"),
	BAD("user:pw@example", "user name or password"),
	BAD("https://example", "not an IPv6 address"),
	BAD("example/", "scheme, path"),
	BAD("*.example", "no host name"),
	BAD("ex,ample", "no host name"),
	BAD("ex\\ample", "no host name"),
	BAD("2130706433", "single number"),
	BAD("0", "single number"),
	BAD("017700000001", "single number"),
	BAD("0x7f000001", "hexadecimal"),
	BAD("0X7F000001", "hexadecimal"),
	BAD("0x7f.0.0.1", "hexadecimal"),
	BAD("127.0.0.0x1", "hexadecimal"),
	BAD("127.0.0.0x", "hexadecimal"),
	BAD("0177.0.0.1", "octal"),
	BAD("127.0.0.01", "octal"),
	BAD("127.1", "four numbers"),
	BAD("127.0.1", "four numbers"),
	BAD("127.0.0.1.5", "four numbers"),
	BAD("127.0.0.256", "four numbers"),
	BAD("1.2.3.4444", "four numbers"),
	BAD("host.1", "four numbers"),
	BAD("host.0x7f", "hexadecimal"),
	BAD("\xef\xbc\x90x7f000001", "hexadecimal"),
	BAD("127\xe3\x80\x82" "1", "four numbers"),
	BAD("\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.1", "four numbers"),
	BAD("a\xef\xbc\x8f.example", "host"),
	BAD("a\xef\xbc\x85" "41.example", "host"),
	BAD("\xff\xfe", "host"),
	BAD("\xc2\xad", "host"),
	BAD("b\xc3\xbc" "cher .example", "blank"),
	BAD("[::1", "without a `]`"),
	BAD("[]", "IPv6"),
	BAD("[127.0.0.1]", "IPv6"),
	BAD("[example]", "IPv6"),
	BAD("::1%eth0", "zone id"),
	BAD("[fe80::1%25eth0]", "zone id"),
	BAD(":", "IPv6"),
	BAD("::1::", "IPv6"),
	BAD("1:2:3:4:5:6:7:8:9", "IPv6"),
	BAD("::ffff:127.0.0.01", "IPv6"),
	BAD("::1\0", "IPv6"),
	BAD("[::1\0]", "IPv6"),
	BAD("::00000000000000000000000000000000000000000000000000001", "IPv6"),
};

static void expect_refusal(const struct bad_host *row, bool parsed, const char *came, const struct fault *fault)
{
	if (parsed)
		fail_msg("`%.*s`: came `%s`, should be refused (%s)", SPAN_ARGS(row->text), came, row->why);
	if (fault->code != FAULT_USAGE || !strstr(fault->text, row->why))
		fail_msg("`%.*s`: refused with code %d `%s`, should speak of `%s`", SPAN_ARGS(row->text), fault->code,
		         fault->text, row->why);
}

static void test_bad_hosts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bad_hosts / sizeof *bad_hosts; i++) {
		struct host host;
		struct fault fault = FAULT_INIT;
		bool parsed = host_parse(bad_hosts[i].text, &host, &fault);
		expect_refusal(&bad_hosts[i], parsed, host.name, &fault);
		assert_false(host_parse(bad_hosts[i].text, &host, NULL));
	}
}

struct good_authority {
	const char *text;
	const char *name;
	uint16_t port;
	const char *formatted;
};

static const struct good_authority good_authorities[] = {
	{"example.com", "example.com", 0, "example.com"},
	{"Example.COM.:443", "example.com", 443, "example.com:443"},
	{"example.com:1", "example.com", 1, "example.com:1"},
	{"example.com:65535", "example.com", 65535, "example.com:65535"},
	{"127.0.0.1:8180", "127.0.0.1", 8180, "127.0.0.1:8180"},
	{"[::1]", "::1", 0, "::1"},
	{"[2001:DB8::1]:443", "2001:db8::1", 443, "[2001:db8::1]:443"},
	{"[::ffff:10.0.0.1]:80", "10.0.0.1", 80, "10.0.0.1:80"},
	{"b\xc3\xbc" "cher.example:8443", "xn--bcher-kva.example", 8443, "xn--bcher-kva.example:8443"},
	{NAME_253 ":65535", NAME_253, 65535, NAME_253 ":65535"},
};

static void test_good_authorities(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof good_authorities / sizeof *good_authorities; i++) {
		const struct good_authority *row = &good_authorities[i];
		struct authority authority;
		struct fault fault = FAULT_INIT;
		char formatted[AUTHORITY_TEXT];
		if (!authority_parse(span_of(row->text), &authority, &fault))
			fail_msg("`%s`: refused (%s), should be `%s`", row->text, fault.text, row->formatted);
		size_t length = authority_format(&authority.host, authority.port, formatted);
		if (authority.port != row->port || strcmp(authority.host.name, row->name) != 0 ||
		    strcmp(formatted, row->formatted) != 0 || length != strlen(formatted))
			fail_msg("`%s`: came `%s` port %u, `%s`, should be `%s` port %u, `%s`", row->text, authority.host.name,
			         authority.port, formatted, row->name, row->port, row->formatted);
	}
}

static const struct bad_host bad_authorities[] = {
	BAD("", "empty"),
	BAD(":443", "empty"),
	BAD("example:", "port"),
	BAD("example:0", "port"),
	BAD("example:00443", "port"),
	BAD("example:0443", "port"),
	BAD("example:65536", "port"),
	BAD("example:99999", "port"),
	BAD("example:100000", "port"),
	BAD("example:+80", "port"),
	BAD("example:80 ", "port"),
	BAD("example:http", "port"),
	BAD("example:\xef\xbc\x98", "port"),
	BAD("::1", "brackets"),
	BAD("2001:db8::1:443", "brackets"),
	BAD("example:80:80", "brackets"),
	BAD("[::1]:", "port"),
	BAD("[::1]443", "only a port may follow"),
	BAD("[::1]:80:80", "more than one"),
	BAD("[::1", "without a `]`"),
	BAD("]", "no host name"),
	BAD("user@example:80", "user name or password"),
	BAD("user:secret@example:80", "user name or password"),
	BAD("us:er:secret@example", "user name or password"),
	BAD("[::1]@example", "user name or password"),
	BAD("127.1:80", "four numbers"),
	BAD("2130706433:80", "single number"),
};

static void test_bad_authorities(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bad_authorities / sizeof *bad_authorities; i++) {
		struct authority authority;
		struct fault fault = FAULT_INIT;
		bool parsed = authority_parse(bad_authorities[i].text, &authority, &fault);
		expect_refusal(&bad_authorities[i], parsed, authority.host.name, &fault);
		if (strstr(fault.text, "secret"))
			fail_msg("`%.*s`: `%s` shows the userinfo", SPAN_ARGS(bad_authorities[i].text), fault.text);
	}
}

static void test_address_bytes(void **state)
{
	(void)state;
	static const unsigned char v4[16] = {192, 0, 2, 1}, v6[16] = {0x20, 1, 0x0d, 0xb8, [15] = 7}, none[16] = {0};
	struct host host;
	assert_true(host_parse(SPAN("192.0.2.1"), &host, NULL));
	assert_memory_equal(host.address, v4, 16);
	assert_true(host_parse(SPAN("[::ffff:192.0.2.1]"), &host, NULL));
	assert_memory_equal(host.address, v4, 16);
	assert_true(host_parse(SPAN("[2001:db8::7]"), &host, NULL));
	assert_memory_equal(host.address, v6, 16);
	assert_true(host_parse(SPAN("example"), &host, NULL));
	assert_memory_equal(host.address, none, 16);
}

static void test_unspecified(void **state)
{
	(void)state;
	static const struct unspecified_row {
		struct span text;
		bool unspecified;
	} rows[] = {
		{SPAN("0.0.0.0"), true}, {SPAN("[::]"), true}, {SPAN("[::ffff:0.0.0.0]"), true}, {SPAN("0.0.0.1"), false},
		{SPAN("127.0.0.1"), false}, {SPAN("[::1]"), false}, {SPAN("0.0.0.0.example"), false}, {SPAN("localhost"), false},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct host host;
		assert_true(host_parse(rows[i].text, &host, NULL));
		if (host_is_unspecified(&host) != rows[i].unspecified)
			fail_msg("`%.*s`: came %d", SPAN_ARGS(rows[i].text), !rows[i].unspecified);
	}
}

/* What a message shows is short and has no control characters. */
static void test_quoting(void **state)
{
	(void)state;
	struct host host;
	struct fault fault = FAULT_INIT;
	static char text[4000];
	memset(text, 'a', sizeof text);
	assert_false(host_parse((struct span){text, sizeof text}, &host, &fault));
	assert_true(strlen(fault.text) < 200);
	memset(text, '\xff', sizeof text);
	assert_false(host_parse((struct span){text, sizeof text}, &host, &fault));
	assert_true(strlen(fault.text) < 200);
	assert_false(host_parse(SPAN("a\nb\x1b[0m"), &host, &fault));
	for (const char *c = fault.text; *c; c++)
		assert_true(*c >= 0x20 && *c < 0x7f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_hosts),
		cmocka_unit_test(test_bad_hosts),
		cmocka_unit_test(test_good_authorities),
		cmocka_unit_test(test_bad_authorities),
		cmocka_unit_test(test_address_bytes),
		cmocka_unit_test(test_unspecified),
		cmocka_unit_test(test_quoting),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
