/* What becomes of a host, why, and which clients go another way. */
#include "config_rows.h"

#include "clients.h"
#include "memory.h"
#include "secret.h"
#include "verdict.h"

static const char text[] =
	"version: 1\n"
	"listen: 127.0.0.1:8180\n"
	"session: { key: file:/k }\n"
	"credentials:\n"
	"  api: { upstream: \"https://api.example.com\", secret: file:/s, inject: { query: key } }\n"
	"  wild: { upstream: \"https://*.wild.test\", secret: file:/s, inject: { query: key } }\n"
	"  other: { upstream: \"http://other.test:9000\", secret: file:/s, inject: { query: key } }\n"
	"profiles:\n"
	"  a:\n"
	"    credentials: [api, wild]\n"
	"    hosts:\n"
	"      - a.test\n"
	"      - \"*.b.test\"\n"
	"      - \"c.test:4222\"\n"
	"      - { host: r.test, rules: [\"allow GET /**\"] }\n"
	"      - 10.0.0.0/8\n"
	"      - \"*.p.test:81\"\n"
	"      - com\n"
	"      - \"!no.b.test\"\n"
	"      - x.r.test\n"
	"  b: { direct: false, hosts: [a.test] }\n";

#define NO_PORTS "curl, git, PHP; wget; wget2; aria2; apt; gRPC; httpx; aiohttp; Node http 24; Node http 22; npm; Deno; Perl LWP; " \
	"HTTP::Tiny; reqwest; .NET"
#define BY_LETTERS "apt; gRPC; requests, pip; Perl LWP; HTTP::Tiny"
#define ONE_HOST "Node fetch 22; got, axios 1.7; Node http 24; Node http 22; axios; global-agent; .NET"

struct row {
	size_t profile;
	const char *authority; /* the port is what the URL says */
	const char *verdict, *rule, *why, *differ;
};

static const struct row rows[] = {
	{0, "a.test", "direct", "a.test:12", "NO_PROXY has a.test", ""},
	{0, "x.a.test", "direct", "a.test:12", "NO_PROXY has a.test; the proxy would refuse it", ONE_HOST},
	{0, "a.test:8443", "direct", "a.test:12", "NO_PROXY has a.test; the proxy would refuse it", ""},
	{0, "xa.test", "refused", "", "no entry of `hosts:` of profile a allows it", BY_LETTERS},
	{0, "x.b.test", "proxied", "*.b.test:13",
	 "in NO_PROXY it would lead some client past the proxy to !no.b.test (" FOLDER "/k.yaml:19)", ""},
	{0, "no.b.test", "refused", "!no.b.test:19", "denied, whatever else allows it", ""},
	{0, "c.test:4222", "direct", "c.test:4222:14", "NO_PROXY has c.test:4222", NO_PORTS},
	{0, "github.com", "refused", "", "no entry of `hosts:` of profile a allows it; for a credential: preset git-github", ""},
	{0, "gitlab.com", "refused", "",
	 "no entry of `hosts:` of profile a allows it; for a credential: preset git-gitlab, or gitlab", ""},
	{0, "c.test", "refused", "", "no entry of `hosts:` of profile a allows it", ""},
	{0, "xc.test:4222", "refused", "", "no entry of `hosts:` of profile a allows it", "requests, pip"},
	{0, "r.test", "proxied", "r.test:15", "its rules judge each request", ""},
	{0, "x.r.test", "direct", "x.r.test:20", "NO_PROXY has x.r.test", ""},
	{0, "10.1.2.3", "proxied", "10.0.0.0/8:16",
	 "addresses stay out of NO_PROXY: a client that resolves names would follow them", ""},
	{0, "x.p.test:81", "proxied", "*.p.test:81:17", "no client reads a wildcard with a port in NO_PROXY", ""},
	{0, "com", "proxied", "com:18",
	 "in NO_PROXY it would lead some client past the proxy to api.example.com of credential api (" FOLDER "/k.yaml:5)", ""},
	{0, "api.example.com", "injected", "api:5", "credential api, at http://127.0.0.1:8180/api", ""},
	{0, "api.example.com:8443", "refused", "", "no entry of `hosts:` of profile a allows it", ""},
	{0, "q.wild.test", "injected", "wild:6", "credential wild, through the proxy: a wildcard has no base URL", ""},
	{0, "wild.test", "refused", "", "no entry of `hosts:` of profile a allows it", ""},
	{0, "other.test:9000", "refused", "other:7", "it is of credential other, which profile a does not have", ""},
	{0, "localhost", "direct", "", "NO_PROXY has localhost", ""},
	{0, "127.0.0.2", "refused", "", "no entry of `hosts:` of profile a allows it", "axios; Go, Docker; Ruby"},
	{1, "a.test", "proxied", "a.test:21", "`direct: false`: the sandbox has no route of its own", ""},
	{1, "localhost", "direct", "", "NO_PROXY has localhost", ""},
	{1, "api.example.com", "refused", "api:5", "it is of credential api, which profile b does not have", ""},
};

static void append_differing(const struct verdict *verdict, struct buffer *out)
{
	buffer_string(out, "");
	for (size_t i = 0; i < client_count; i++)
		if (verdict->differs[i])
			buffer_format(out, "%s%s", out->length ? "; " : "", client_list[i].name);
}

static void check(const struct config *config, const struct row *row)
{
	struct environment_request request = {.config = config, .profile = &config->profiles[row->profile],
	                                      .advertise = config->advertise};
	struct authority authority;
	struct verdict verdict;
	AUTO_BUFFER struct buffer rule = {0}, why = {0}, differ = {0};
	assert_true(authority_parse(span_of(row->authority), &authority, NULL));
	struct verdicts *verdicts = verdicts_new(&request);
	verdicts_judge(verdicts, &authority.host, authority.port ? authority.port : 443, authority.port != 0, &verdict);
	buffer_string(&rule, "");
	if (verdict.rule)
		buffer_format(&rule, "%s:%u", verdict.rule, verdict.mark.line);
	buffer_string(&why, "");
	buffer_span(&why, buffer_view(&verdict.why));
	append_differing(&verdict, &differ);
	compare(row->authority, "verdict", verdict_name(verdict.kind), row->verdict);
	compare(row->authority, "rule", rule.data, row->rule);
	compare(row->authority, "why", why.data, row->why);
	compare(row->authority, "clients", differ.data, row->differ);
	verdict_free(&verdict);
	verdicts_free(verdicts);
}

static void test_rows(void **state)
{
	(void)state;
	struct config *config = good(text);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		check(config, &rows[i]);
	config_free(config);
	settle();
}

static int set_up(void **state)
{
	(void)state;
	return secret_start(NULL) ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
	return cmocka_run_group_tests_name("verdict", tests, set_up, NULL);
}
