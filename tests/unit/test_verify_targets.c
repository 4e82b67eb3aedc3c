/* Which targets envgen verify tries, for which reason, and what it makes of what was seen. */
#include "config_rows.h"

#include "memory.h"
#include "verify_clients.h"
#include "verify_report.h"
#include "verify_targets.h"

#define CREDENTIAL(name, upstream) \
	"  " name ": { upstream: \"" upstream "\", secret: file:/s, inject: { query: key } }\n"
#define API CREDENTIAL("api", "https://api.test")
#define UNLISTED " http://unlisted.keystile-verify.test=proxy https://unlisted.keystile-verify.test=proxy"
#define HUB " http://github.test=proxy https://github.test=proxy"

struct row {
	const char *credentials, *hosts, *others, *advertise, *no_proxy;
	const char *targets; /* what is tried, without the path */
};

static const struct row rows[] = {
	/* Both schemes at their ports, one at another */
	{"", "[a.test]", "", "127.0.0.1:8180", "localhost,127.0.0.1,a.test", "http://a.test=direct https://a.test=direct" UNLISTED},
	{"", "[\"a.test:81\"]", "", "127.0.0.1:8180", "a.test:81", "http://a.test:81=either" UNLISTED},
	{"", "[\"a.test:443\"]", "", "127.0.0.1:8180", "a.test:443", "https://a.test=either" UNLISTED},
	{"", "[\"*.a.test\"]", "", "127.0.0.1:8180", ".a.test",
	 "http://keystile-verify.a.test=direct https://keystile-verify.a.test=direct" UNLISTED},
	/* A bounded number of each kind */
	{"", "[a.test, b.test, c.test]", "", "127.0.0.1:8180", "a.test,b.test,c.test",
	 "http://a.test=direct https://a.test=direct http://b.test=direct https://b.test=direct" UNLISTED},
	/* What is guarded stays so in a wrong list; what an allowed host could lead to comes first */
	{CREDENTIAL("l", "http://127.0.0.1:1") CREDENTIAL("o", "http://o.test:8080") CREDENTIAL("hub", "https://github.test"),
	 "[hub.test]", "", "127.0.0.1:8180", "github.test",
	 "http://github.test=proxy https://github.test=proxy http://o.test:8080=proxy http://hub.test=proxy https://hub.test=proxy" UNLISTED},
	{CREDENTIAL("w", "https://*.w.test"), "[]", "", "127.0.0.1:8180", "",
	 "http://keystile-verify.w.test=proxy https://keystile-verify.w.test=proxy" UNLISTED},
	{"", "[a.test]", "  b: { hosts: [\"!a.test\", \"!10.0.0.0/8\"] }\n", "127.0.0.1:8180", "a.test",
	 "http://a.test=proxy https://a.test=proxy" UNLISTED},
	{"", "[{ host: a.test, rules: [\"allow GET /**\"] }, { host: \"*.b.test\", intercept: true }]", "", "127.0.0.1:8180", "test",
	 "http://a.test=proxy https://a.test=proxy http://keystile-verify.b.test=proxy https://keystile-verify.b.test=proxy"
	 " http://test=direct https://test=direct" UNLISTED},
	{"", "[a.test]", "  b: { hosts: [{ host: a.test, rules: [\"allow GET /**\"] }] }\n", "127.0.0.1:8180", "a.test",
	 "http://a.test=direct https://a.test=direct" UNLISTED},
	/* Addresses: not in the list, so through the proxy; neither IPv6 nor loopback */
	{"", "[203.0.113.9, \"[2001:db8::1]\", 127.0.0.2, localhost]", "", "127.0.0.1:8180", "localhost,127.0.0.1",
	 "http://203.0.113.9=proxy https://203.0.113.9=proxy" UNLISTED},
	/* The proxy's own name is no target, a base URL is */
	{API, "[]", "", "proxy.test:8180", "proxy.test",
	 "http://api.test=proxy https://api.test=proxy" UNLISTED " http://proxy.test:8180/api=endpoint"},
};

static const char *const words[] = {[EXPECT_PROXY] = "proxy", [EXPECT_DIRECT] = "direct", [EXPECT_EITHER] = "either",
                                    [EXPECT_ENDPOINT] = "endpoint"};

static void make(const struct row *row, struct judged *judged, struct targets *targets)
{
	AUTO_FREE char *text = memory_format("version: 1\nlisten: 127.0.0.1:1\nsession: { key: file:/k }\ncredentials:%s%s"
	                                     "profiles:\n  a: { hosts: %s, credentials: [%s] }\n%s", row->credentials[0] ? "\n" : " {}\n",
	                                     row->credentials, row->hosts,
	                                     strcmp(row->credentials, API) == 0 ? "api" : "", row->others);
	*judged = judge(text, false);
	if (!judged->config)
		fail_msg("%s", judged->errors.data);
	struct environment_request request = {.config = judged->config, .profile = judged->config->profiles};
	assert_true(authority_parse(span_of(row->advertise), &request.advertise, NULL));
	targets_make(&request, span_of(row->no_proxy), targets);
}

static void release(struct judged *judged, struct targets *targets)
{
	targets_free(targets);
	config_free(judged->config);
	buffer_free(&judged->errors);
	buffer_free(&judged->warnings);
}

static void test_targets(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct judged judged;
		struct targets targets = {0};
		AUTO_BUFFER struct buffer told = {0};
		make(&rows[i], &judged, &targets);
		for (size_t j = 0; j < targets.count; j++) {
			const char *url = targets.list[j].url;
			buffer_format(&told, "%s%.*s=%s", j ? " " : "", (int)(strstr(url, "/" VERIFY_PATH "/") - url), url,
			              words[targets.list[j].expected]);
		}
		if (strcmp(told.data, rows[i].targets) != 0)
			fail_msg("row %zu:\n%s\nbut should be\n%s", i, told.data, rows[i].targets);
		release(&judged, &targets);
	}
}

/* A name has one address, whatever the port; two names have two. */
static void test_addresses(void **state)
{
	(void)state;
	struct judged judged;
	struct targets targets = {0};
	make(&rows[4], &judged, &targets);
	assert_int_equal(targets.list[0].address.s_addr, targets.list[1].address.s_addr);
	assert_int_equal(targets.list[2].address.s_addr, targets.list[3].address.s_addr);
	assert_int_not_equal(targets.list[1].address.s_addr, targets.list[2].address.s_addr);
	release(&judged, &targets);
}

static void test_most(void **state)
{
	(void)state;
	struct judged judged;
	struct targets targets = {0};
	AUTO_BUFFER struct buffer credentials = {0}, hosts = {0};
	for (int i = 0; i < 100; i++) {
		buffer_format(&credentials, CREDENTIAL("c%d", "https://c%d.test"), i, i);
		buffer_format(&hosts, "%s\"!d%d.test\", { host: r%d.test, intercept: true }, n%d.test, \"p%d.test:1\"", i ? ", " : "[", i, i, i, i);
	}
	buffer_string(&hosts, "]");
	struct row row = {credentials.data, hosts.data, "", "p.test:8180", "n1.test,n2.test,n3.test,.x.test,.y.test,p1.test:1,p2.test:1", ""};
	make(&row, &judged, &targets);
	assert_in_range(targets.count, 20, VERIFY_TARGETS - 1);
	release(&judged, &targets);
}

struct verdict_row {
	enum expected_way expected;
	bool tls, http_only;
	unsigned char seen;
	enum verdict verdict;
};

static const struct verdict_row verdict_rows[] = {
	{EXPECT_PROXY, false, false, SEEN_PROXY, VERDICT_RIGHT},
	{EXPECT_PROXY, false, false, SEEN_ENDPOINT, VERDICT_RIGHT}, /* git, by insteadOf */
	{EXPECT_PROXY, false, false, SEEN_CHALLENGED, VERDICT_UNAUTHENTICATED},
	{EXPECT_PROXY, false, false, SEEN_CHALLENGED | SEEN_PROXY, VERDICT_RIGHT}, /* it answers the 407 */
	{EXPECT_PROXY, false, false, SEEN_CHALLENGED | SEEN_ENDPOINT, VERDICT_UNAUTHENTICATED},
	{EXPECT_PROXY, false, false, SEEN_CHALLENGED | SEEN_DIRECT, VERDICT_LEAK},
	{EXPECT_PROXY, false, false, SEEN_DIRECT, VERDICT_LEAK},
	{EXPECT_PROXY, false, false, SEEN_DIRECT | SEEN_PROXY, VERDICT_LEAK},
	{EXPECT_PROXY, false, false, 0, VERDICT_SILENT},
	{EXPECT_PROXY, true, true, 0, VERDICT_UNTRIED},
	{EXPECT_PROXY, false, true, 0, VERDICT_SILENT},
	{EXPECT_DIRECT, false, false, SEEN_DIRECT, VERDICT_RIGHT},
	{EXPECT_DIRECT, false, false, SEEN_PROXY, VERDICT_DETOUR},
	{EXPECT_DIRECT, false, false, SEEN_DIRECT | SEEN_PROXY, VERDICT_DETOUR},
	{EXPECT_DIRECT, false, false, SEEN_CHALLENGED, VERDICT_UNAUTHENTICATED},
	{EXPECT_DIRECT, false, false, SEEN_CHALLENGED | SEEN_PROXY, VERDICT_DETOUR},
	{EXPECT_DIRECT, false, false, 0, VERDICT_SILENT},
	{EXPECT_EITHER, false, false, SEEN_DIRECT, VERDICT_RIGHT},
	{EXPECT_EITHER, false, false, SEEN_PROXY, VERDICT_RIGHT},
	{EXPECT_EITHER, false, false, SEEN_CHALLENGED, VERDICT_UNAUTHENTICATED},
	{EXPECT_EITHER, false, false, SEEN_CHALLENGED | SEEN_PROXY, VERDICT_RIGHT},
	{EXPECT_EITHER, false, false, 0, VERDICT_SILENT},
	{EXPECT_ENDPOINT, false, false, SEEN_ENDPOINT, VERDICT_RIGHT},
	{EXPECT_ENDPOINT, false, false, SEEN_PROXY, VERDICT_RIGHT},
	{EXPECT_ENDPOINT, false, false, SEEN_DIRECT, VERDICT_LEAK},
};

static void test_verdicts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof verdict_rows / sizeof *verdict_rows; i++) {
		const struct verdict_row *row = &verdict_rows[i];
		struct target target = {.expected = row->expected, .tls = row->tls};
		struct outcome outcome = {.http_only = row->http_only, .seen = {[3] = row->seen}};
		if (verdict_of(&target, &outcome, 3) != row->verdict)
			fail_msg("row %zu: %d, but should be %d", i, verdict_of(&target, &outcome, 3), row->verdict);
	}
}

/* Every client has a probe that is compiled in, and a name of its own. */
static void test_clients(void **state)
{
	(void)state;
	for (size_t i = 0; i < verify_client_count; i++) {
		const struct verify_client *client = &verify_client_list[i];
		size_t last = 0, probe = 0;
		while (client->runtime[last + 1])
			last++;
		while (probe < verify_probe_count && strcmp(verify_probe_list[probe].file, client->runtime[last]) != 0)
			probe++;
		assert_in_range(probe, 0, verify_probe_count - 1);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(client->name, verify_client_list[j].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_targets),  cmocka_unit_test(test_addresses), cmocka_unit_test(test_most),
		cmocka_unit_test(test_verdicts), cmocka_unit_test(test_clients),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
