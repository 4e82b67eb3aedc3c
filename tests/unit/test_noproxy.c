/* NO_PROXY of a profile, entry by entry. That no client is led around the proxy: test_noproxy_clients. */
#include "config_rows.h"

#include "memory.h"
#include "noproxy.h"
#include "secret.h"

#define CREDENTIAL(name, upstream) \
	"  " name ": { upstream: \"" upstream "\", secret: file:/s, inject: { query: key } }\n"

struct row {
	const char *credentials; /* lines of `credentials:` */
	const char *profile;     /* what profile a says */
	const char *others;      /* lines of `profiles:` behind it */
	const char *advertise;
	const char *list;
};

#define API CREDENTIAL("api", "https://api.example.com")
#define NO_LOCAL "localhost,127.0.0.1"

static const struct row rows[] = {
	/* Each kind of entry */
	{API, "hosts: [pypi.org]", "", "", NO_LOCAL ",pypi.org"},
	{API, "hosts: [PyPI.org., pypi.org]", "", "", NO_LOCAL ",pypi.org"},
	{API, "hosts: [\"*.pythonhosted.org\"]", "", "", NO_LOCAL ",.pythonhosted.org"},
	{API, "hosts: [nats.internal:4222, \"nats.internal:443\"]", "", "", NO_LOCAL ",nats.internal:4222,nats.internal:443"},
	{API, "hosts: [\"*.nats.internal:4222\"]", "", "", NO_LOCAL},
	{API, "hosts: [203.0.113.9, \"203.0.113.9:80\", 203.0.113.0/24, \"[2001:db8::7]\", \"2001:db8::/32\"]", "", "", NO_LOCAL},
	{API, "hosts: [b\xc3\xbc" "cher.test]", "", "", NO_LOCAL ",xn--bcher-kva.test"},
	{API, "hosts: [\"!x.test\"]", "", "", NO_LOCAL},
	{API, "hosts: [{ host: x.test, rules: [\"allow GET /**\"] }, { host: y.test, intercept: true }, z.test]", "", "",
	 NO_LOCAL ",z.test"},
	{API, "hosts: [localhost, b.test]", "", "", NO_LOCAL ",b.test"},
	{"", "hosts: []", "", "", NO_LOCAL},
	/* A credential host, and whatever it ends in */
	{API, "hosts: [api.example.com, example.com, \"*.example.com\", pi.example.com, e.com, com, m]", "", "", NO_LOCAL},
	{API, "hosts: [\"api.example.com:8443\", \"example.com:8443\"]", "", "", NO_LOCAL},
	{API, "hosts: [www.example.com, xapi.example.com, sub.api.example.com, example.com.test]", "", "",
	 NO_LOCAL ",www.example.com,xapi.example.com,sub.api.example.com,example.com.test"},
	{CREDENTIAL("hub", "https://github.com:8443"), "hosts: [hub.com, \"*.hub.com\", \"hub.com:80\", thub.co]", "", "",
	 NO_LOCAL ",thub.co"},
	{CREDENTIAL("wild", "https://*.corp.test"),
	 "hosts: [corp.test, a.corp.test, \"*.a.corp.test\", rp.test, test, xcorp.test, \"*.corp.test\"]", "", "",
	 NO_LOCAL ",xcorp.test"},
	/* A client that compares what the program wrote, before it becomes A-labels, sees b\xfc" "cher.test end in cher.test */
	{CREDENTIAL("idn", "https://xn--bcher-kva.test"), "hosts: [cher.test, her.test, \"*.cher.test\", xher.test]", "", "",
	 NO_LOCAL ",xher.test"},
	{CREDENTIAL("idn", "https://a.xn--bcher-kva.test"), "hosts: [cher.test]", "", "", NO_LOCAL},
	{CREDENTIAL("idn", "https://*.xn--bcher-kva.test"), "hosts: [cher.test, b.test]", "", "", NO_LOCAL ",b.test"},
	/* Denied in any profile */
	{API, "hosts: [pypi.org, files.pypi.org]", "  b: { hosts: [\"!upload.pypi.org\"] }\n", "", NO_LOCAL ",files.pypi.org"},
	{API, "hosts: [a.test, b.test]", "  b: { hosts: [\"!*.test:25\"] }\n", "", NO_LOCAL},
	{API, "hosts: [a.test]", "  b: { hosts: [a.test] }\n", "", NO_LOCAL ",a.test"},
	/* Judged hosts of this profile, but not of another */
	{API, "hosts: [{ host: api.test, rules: [\"allow GET /**\"] }, test, www.test]", "", "", NO_LOCAL ",www.test"},
	{API, "hosts: [{ host: localhost, rules: [\"allow GET /**\"] }, a.test]", "", "", "a.test"},
	{API, "hosts: [test]", "  b: { hosts: [{ host: api.test, rules: [\"allow GET /**\"] }] }\n", "", NO_LOCAL ",test"},
	/* Loopback is one place */
	{CREDENTIAL("l", "http://localhost:9000"), "hosts: [a.test, x.localhost]", "", "127.0.0.2:8180", "a.test"},
	{CREDENTIAL("l", "http://127.0.0.1:9000"), "hosts: [a.test]", "", "", "a.test"},
	{CREDENTIAL("l", "http://[::1]:9000"), "hosts: [a.test]", "", "", "a.test"},
	{CREDENTIAL("l", "http://db.localhost"), "hosts: [a.test]", "", "", "a.test"},
	{API, "hosts: [a.test, \"!127.0.0.0/8\"]", "", "", "a.test"},
	{API, "hosts: [a.test]", "  b: { hosts: [\"!0.0.0.0/0\"] }\n", "", "a.test"},
	{API, "hosts: [a.test, \"!10.0.0.0/8\"]", "", "", NO_LOCAL ",a.test"},
	{CREDENTIAL("l", "https://notlocalhost"), "hosts: [a.test]", "", "", "127.0.0.1,a.test"},
	/* The proxy itself */
	{API, "hosts: [a.test]", "", "keystile:8180", NO_LOCAL ",keystile,a.test"},
	{API, "hosts: [keystile]", "", "keystile:8180", NO_LOCAL ",keystile"},
	{API, "hosts: []", "", "10.1.2.3:8180", NO_LOCAL ",10.1.2.3"},
	{API, "hosts: []", "", "[fd00::1]:8180", NO_LOCAL},
	{API, "hosts: []", "", "localhost:8180", NO_LOCAL},
	{API, "hosts: []", "", "example.com:8180", NO_LOCAL},
	{API, "hosts: [\"!21.2.3.0/24\"]", "", "1.2.3.4:8180", NO_LOCAL},
	{API, "hosts: [\"!22.2.3.0/24\"]", "", "1.2.3.4:8180", NO_LOCAL ",1.2.3.4"},
	{API, "hosts: [\"!112.2.3.0/24\"]", "", "12.2.3.4:8180", NO_LOCAL},
	{CREDENTIAL("l", "https://121.2.3.4"), "hosts: []", "", "1.2.3.4:8180", NO_LOCAL},
	{CREDENTIAL("l", "https://[2001:db8::102:304]"), "hosts: []", "", "1.2.3.4:8180", NO_LOCAL},
	/* A name of hexadecimal digits is the end of an IPv6 address to some */
	{CREDENTIAL("l", "https://[2001:db8::cafe]"), "hosts: [cafe, fe, face]", "", "", NO_LOCAL ",face"},
	{CREDENTIAL("l", "https://[2001:db8::c:80]"), "hosts: [\"c:80\", \"c:81\"]", "", "", NO_LOCAL ",c:81"},
	{API, "hosts: [cafe, db, \"db:5432\", host, dbdbd, a.db, \"!fd00::/8\"]", "", "", NO_LOCAL ",host,dbdbd,a.db"},
	{API, "hosts: [aa, ab, ac, ad, \"!2001:db8::aa/127\", \"!2001:db8::bac/128\"]", "", "", NO_LOCAL ",ad"},
	/* No route of its own */
	{API, "direct: false, hosts: [a.test]", "", "keystile:8180", NO_LOCAL},
	{API, "direct: false, hosts: [a.test]", "", "127.0.0.2:8180", NO_LOCAL ",127.0.0.2"},
	{API, "direct: false, hosts: [\"localhost:5432\"]", "", "127.0.0.2:8180", ""},
	{API, "direct: false, hosts: [127.0.0.0/8]", "", "", ""},
	{API, "direct: false, hosts: [\"[::1]:80\"]", "", "", ""},
	{API, "direct: false, hosts: [\"!localhost\"]", "", "", ""},
};

/* A list with all that it points into. */
struct made {
	struct config *config;
	struct authority advertise;
	struct noproxy_guard *guard;
	struct noproxy *list;
};

static struct made make(const struct row *row, size_t limit)
{
	struct made made = {0};
	AUTO_FREE char *text = memory_format("version: 1\nlisten: 127.0.0.1:8180\nsession: { key: file:/k }\ncredentials:%s%s"
	                                     "profiles:\n  a: { %s }\n%s", row->credentials[0] ? "\n" : " {}\n",
	                                     row->credentials, row->profile, row->others);
	made.config = good(text);
	if (row->advertise[0])
		assert_true(authority_parse(span_of(row->advertise), &made.advertise, NULL));
	made.guard = noproxy_guard_new(made.config);
	made.list = noproxy_new(made.guard, &made.config->profiles[0], &made.advertise, limit);
	return made;
}

static void made_free(struct made *made)
{
	noproxy_free(made->list);
	noproxy_guard_free(made->guard);
	config_free(made->config);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct made made = make(&rows[i], NOPROXY_LIMIT);
		AUTO_BUFFER struct buffer came = {0};
		buffer_string(&came, "");
		noproxy_write(made.list, &came);
		AUTO_FREE char *what = memory_format("%s%s %s%s", rows[i].credentials, rows[i].profile, rows[i].others,
		                                     rows[i].advertise);
		compare(what, "NO_PROXY", came.data, rows[i].list);
		made_free(&made);
	}
	settle();
}

static const struct row mixed = {
	API CREDENTIAL("other", "https://other.test"),
	"hosts: [example.com, \"*.a.test\", { host: r.test, rules: [\"allow GET /**\"] }, 10.0.0.1, \"*.p.test:81\", "
	"\"q.test:82\", test, \"!no.b.test\", a.test, a.test]",
	"", "keystile:8180", "",
};

static void test_reasons(void **state)
{
	(void)state;
	static const struct {
		const char *text; /* NULL: of a local entry */
		enum noproxy_reason reason;
		const char *against;
	} should[] = {
		{NULL, NOPROXY_LISTED, NULL},           {NULL, NOPROXY_LISTED, NULL},
		{NULL, NOPROXY_LISTED, NULL},           {"example.com", NOPROXY_GUARDED, "api"},
		{"*.a.test", NOPROXY_LISTED, NULL},     {"r.test", NOPROXY_JUDGED, NULL},
		{"10.0.0.1", NOPROXY_ADDRESS, NULL},    {"*.p.test:81", NOPROXY_PORTS, NULL},
		{"q.test:82", NOPROXY_LISTED, NULL},    {"test", NOPROXY_GUARDED, "!no.b.test"},
		{"a.test", NOPROXY_LISTED, NULL},
	};
	struct made made = make(&mixed, NOPROXY_LIMIT);
	assert_int_equal(made.list->count, sizeof should / sizeof *should);
	for (size_t i = 0; i < made.list->count; i++) {
		const struct noproxy_entry *entry = &made.list->entries[i];
		const struct noproxy_guarded *against = entry->against;
		const char *came = !against ? NULL : against->credential ? against->credential->name : against->host->text;
		if (!entry->host != !should[i].text || (entry->host && strcmp(entry->host->text, should[i].text) != 0) ||
		    entry->reason != should[i].reason || !came != !should[i].against ||
		    (came && strcmp(came, should[i].against) != 0))
			fail_msg("entry %zu, %.*s: reason %d against %s", i, SPAN_ARGS(entry->text), (int)entry->reason,
			         came ? came : "nothing");
	}
	made_free(&made);
}

/* What does not fit is left out from there on, so that the list never ends within a name. */
static void test_limit(void **state)
{
	(void)state;
	static const struct row row = {"", "hosts: [a.test, bb.test, c]", "", "", ""};
	static const struct {
		size_t limit;
		const char *list;
	} should[] = {
		{0, ""}, {8, ""}, {9, "localhost"}, {25, NO_LOCAL}, {26, NO_LOCAL ",a.test"}, {33, NO_LOCAL ",a.test"},
		{34, NO_LOCAL ",a.test,bb.test"}, {35, NO_LOCAL ",a.test,bb.test"}, {36, NO_LOCAL ",a.test,bb.test,c"},
	};
	for (size_t i = 0; i < sizeof should / sizeof *should; i++) {
		struct made made = make(&row, should[i].limit);
		AUTO_BUFFER struct buffer came = {0};
		buffer_string(&came, "");
		noproxy_write(made.list, &came);
		AUTO_FREE char *what = memory_format("%zu bytes", should[i].limit);
		compare(what, "NO_PROXY", came.data, should[i].list);
		made_free(&made);
	}
	settle();
}

static void test_java(void **state)
{
	(void)state;
	static const struct {
		struct row row;
		size_t limit, omitted;
		const char *list;
	} should[] = {
		{{API, "hosts: [a.test, \"*.b.test\", \"c.test:81\"]", "", "k:1", ""}, 1000, 0,
		 "localhost|127.0.0.1|k|a.test|*.b.test"},
		{{API, "hosts: [a.test, \"*.b.test\", c]", "", "k:1", ""}, 36, 1, "localhost|127.0.0.1|k|a.test|c"},
		{{API, "hosts: [a.test, \"*.b.test\"]", "", "k:1", ""}, 37, 0, "localhost|127.0.0.1|k|a.test|*.b.test"},
		/* Java adds its own names of loopback to any list but an empty one */
		{{CREDENTIAL("l", "http://localhost:9000"), "hosts: [a.test]", "", "", ""}, 1000, 0, ""},
		{{API, "hosts: [a.test, { host: 127.0.0.1, rules: [\"allow GET /**\"] }]", "", "", ""}, 1000, 0, ""},
		{{API, "direct: false, hosts: [localhost]", "", "", ""}, 1000, 0, ""},
	};
	for (size_t i = 0; i < sizeof should / sizeof *should; i++) {
		struct made made = make(&should[i].row, NOPROXY_LIMIT);
		AUTO_BUFFER struct buffer came = {0};
		buffer_string(&came, "");
		size_t omitted = noproxy_write_java(made.list, should[i].limit, &came);
		compare(should[i].row.profile, "nonProxyHosts", came.data, should[i].list);
		assert_int_equal(omitted, should[i].omitted);
		made_free(&made);
	}
	settle();
}

static void test_find(void **state)
{
	(void)state;
	static const struct row row = {API, "hosts: [a.test, \"*.b.test\", \"c.test:81\", example.com]", "", "10.1.2.3:1", ""};
	static const struct {
		const char *authority, *entry;
	} should[] = {
		{"a.test:443", "a.test"}, {"a.test:8080", "a.test"},   {"x.y.a.test:443", "a.test"}, {"xa.test:443", ""},
		{"b.test:443", ""},       {"x.b.test:443", ".b.test"}, {"c.test:81", "c.test:81"},   {"c.test:443", ""},
		{"x.c.test:81", ""},      {"example.com:443", ""},     {"localhost:1", "localhost"}, {"127.0.0.1:9", "127.0.0.1"},
		{"10.1.2.3:1", "10.1.2.3"}, {"0.1.2.3:1", ""},         {"[fd00::1]:1", ""},          {"test:443", ""},
	};
	struct made made = make(&row, NOPROXY_LIMIT);
	for (size_t i = 0; i < sizeof should / sizeof *should; i++) {
		struct authority authority;
		assert_true(authority_parse(span_of(should[i].authority), &authority, NULL));
		const struct noproxy_entry *entry = noproxy_find(made.list, &authority.host, authority.port);
		AUTO_FREE char *came = entry ? memory_span(entry->text) : memory_string("");
		compare(should[i].authority, "entry", came, should[i].entry);
	}
	made_free(&made);
	settle();
}

static int set_up(void **state)
{
	(void)state;
	return secret_start(NULL) ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows), cmocka_unit_test(test_reasons), cmocka_unit_test(test_limit),
		cmocka_unit_test(test_java), cmocka_unit_test(test_find),
	};
	return cmocka_run_group_tests_name("noproxy", tests, set_up, NULL);
}
