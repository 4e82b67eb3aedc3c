/* The certificate that a client shows: which are taken, who shows it to whom, what resumes for it, and what is said where the
 * server does not take it. */
#include "tls_world.h"

#include "tls_internal.h"

static const char *const versions[] = {"NORMAL:-VERS-ALL:+VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.2"};

static void make_client(const char *name, const char *options)
{
	AUTO_FREE char *command = memory_format("openssl req -x509 -nodes -days 2 -subj /CN=%s %s -keyout %s.key -out %s.pem 2>/dev/null",
	                                        name, options, name, name);
	assert_int_equal(system(command), 0);
}

static struct tls_identity *load_identity(const char *certificate, const char *key, struct fault *fault)
{
	AUTO_WIPE struct buffer text = {0};
	assert_true(file_read(key, 65536, &text, NULL));
	return tls_identity_load(certificate, buffer_view(&text), fault);
}

static struct tls_trust *trust_that_shows(const char *certificate, const char *key)
{
	struct fault fault = FAULT_INIT;
	struct tls_identity *identity = load_identity(certificate, key, &fault);
	if (!identity)
		fail_msg("%s", fault.text);
	return tls_trust_with(trust, identity);
}

/* One without tickets of other tests. */
static struct tls_trust *plain_trust(void)
{
	struct fault fault = FAULT_INIT;
	struct tls_trust *plain = tls_trust_load("ca.pem", &fault);
	if (!plain)
		fail_msg("%s", fault.text);
	return plain;
}

/* To a server that asks for a certificate; `demand` fails those who show none. */
static void meet(struct pair *pair, struct tls_trust *trusted, const char *version, bool demand)
{
	open_pair(pair);
	pair->client = tls_client_new(trusted, pair->fds[0], "asks.test", true, &pair->client_fault);
	gnutls_priority_set_direct(pair->client->session, version, NULL);
	pair->server = serve(pair->fds[1], "asks.test", true);
	gnutls_certificate_server_set_request(pair->server->session, demand ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_REQUEST);
	shake(pair);
}

/* The subject that the server was shown, into a buffer of the caller's. */
static const char *shown_to(const struct pair *pair, char *name, size_t size)
{
	unsigned count = 0;
	const gnutls_datum_t *chain = gnutls_certificate_get_peers(pair->server->session, &count);
	gnutls_x509_crt_t own;
	if (!chain)
		return "nothing";
	gnutls_x509_crt_init(&own);
	assert_int_equal(gnutls_x509_crt_import(own, &chain[0], GNUTLS_X509_FMT_DER), 0);
	assert_int_equal(gnutls_x509_crt_get_dn(own, name, &size), 0);
	gnutls_x509_crt_deinit(own);
	return name;
}

static const char *const kinds[] = {"-newkey rsa:2048", "-newkey ec -pkeyopt ec_paramgen_curve:P-256", "-newkey ed25519"};

/* By its own trust, and not by one of the same CA. */
static void test_shows(void **state)
{
	char name[64];
	(void)state;
	for (size_t i = 0; i < 3 * 2; i++) {
		make_client("shown", kinds[i / 2]);
		struct tls_trust *shows = trust_that_shows("shown.pem", "shown.key"), *plain = plain_trust();
		struct pair pair;
		meet(&pair, shows, versions[i % 2], true);
		compare(kinds[i / 2], "fault", pair.server_fault.text, "");
		compare(kinds[i / 2], "shown", shown_to(&pair, name, sizeof name), "CN=shown");
		close_pair(&pair);
		meet(&pair, plain, versions[i % 2], false);
		compare(kinds[i / 2], "fault of the other", pair.client_fault.text, "");
		compare(kinds[i / 2], "shown by the other", shown_to(&pair, name, sizeof name), "nothing");
		close_pair(&pair);
		tls_trust_free(shows);
		tls_trust_free(plain);
	}
	settle();
}

/* Whoever may be anybody does not learn who we are. */
static void test_not_to_strangers(void **state)
{
	(void)state;
	make_client("hidden", kinds[1]);
	for (size_t v = 0; v < 2; v++) {
		struct fault fault = FAULT_INIT;
		struct tls_trust *shows = tls_trust_with(stranger, load_identity("hidden.pem", "hidden.key", &fault));
		struct pair pair;
		char name[64];
		meet(&pair, shows, versions[v], true);
		assert_non_null(strstr(pair.client_fault.text, "which is not trusted here"));
		assert_int_equal(pair.client_fault.code, FAULT_BROKEN);
		assert_string_equal(shown_to(&pair, name, sizeof name), "nothing");
		close_pair(&pair);
		tls_trust_free(shows);
	}
}

/* A ticket stands for the certificate that was shown when it was given. */
static void test_ticket_of_identity(void **state)
{
	static const char order[] = "sspps"; /* who shows one, and who is plain */
	static const bool resumed[] = {false, true, false, true, true};
	(void)state;
	make_client("ticket", kinds[1]);
	for (size_t v = 0; v < 2; v++) {
		struct tls_trust *shows = trust_that_shows("ticket.pem", "ticket.key"), *plain = plain_trust();
		for (size_t i = 0; order[i]; i++) {
			struct pair pair;
			char name[64];
			meet(&pair, order[i] == 's' ? shows : plain, versions[v], false);
			say(pair.server, pair.client, "ticket");
			assert_int_equal(gnutls_session_is_resumed(pair.server->session) != 0, resumed[i]);
			assert_string_equal(shown_to(&pair, name, sizeof name), order[i] == 's' ? "CN=ticket" : "nothing");
			close_pair(&pair);
		}
		tls_trust_free(shows);
		tls_trust_free(plain);
	}
}

/* With TLS 1.3 the client learns it when it reads: its own handshake is over. */
static void test_refused(void **state)
{
	(void)state;
	for (size_t v = 0; v < 2; v++) {
		struct pair pair;
		struct fault fault = FAULT_INIT;
		struct tls_trust *plain = plain_trust();
		char byte;
		size_t count;
		meet(&pair, plain, versions[v], true);
		assert_true(pair.server_fault.text[0]);
		if (!pair.client_fault.text[0]) {
			assert_int_equal(v, 0);
			assert_false(tls_is_refused(pair.client, &fault));
			assert_int_equal(tls_read(pair.client, &byte, 1, &count), TLS_FAILED);
			assert_true(tls_is_refused(pair.client, &pair.client_fault));
		}
		if (pair.client_fault.code != FAULT_DENIED)
			fail_msg("%s: %d, %s", versions[v], pair.client_fault.code, pair.client_fault.text);
		assert_true(span_starts(span_of(pair.client_fault.text), SPAN("the server wants a client certificate, and none was shown (its alert: ")));
		assert_false(tls_is_refused(pair.server, &fault));
		close_pair(&pair);
		tls_trust_free(plain);
	}
}

static const struct {
	const char *certificate, *key, *fault;
} unfit[] = {
	{"one.pem", "two.key", "client.key: it is not the key of the certificate in one.pem"},
	{"both.pem", "two.key", "client.key: it is the key of certificate 2 in both.pem; put that one first"},
	{"one.key", "one.key", "client.cert: one.key: there is no PEM certificate in it"},
	{"none.pem", "one.key", "client.cert: none.pem: No such file or directory"},
	{"one.pem", "one.pem", "client.key: there is no PEM private key in it; one begins with -----BEGIN PRIVATE KEY-----"},
	{"one.pem", "short.key", "client.key: the PEM private key is damaged, or of a kind that GnuTLS does not know"},
};

static void test_unfit_identities(void **state)
{
	(void)state;
	make_client("one", kinds[1]);
	make_client("two", kinds[0]);
	assert_int_equal(system("cat one.pem two.pem >both.pem; sed 2d one.key >short.key"), 0);
	for (size_t i = 0; i < sizeof unfit / sizeof *unfit; i++) {
		struct fault fault = FAULT_INIT;
		assert_null(load_identity(unfit[i].certificate, unfit[i].key, &fault));
		compare(unfit[i].certificate, "fault", fault.text, unfit[i].fault);
	}
	settle();
}

static void test_times_of_identity(void **state)
{
	(void)state;
	struct fault fault = FAULT_INIT;
	make_client("times", kinds[1]);
	make_client("serves", "-newkey ed25519 -addext extendedKeyUsage=serverAuth");
	time_t now = time(NULL);
	struct tls_identity *times = load_identity("times.pem", "times.key", &fault);
	struct tls_identity *serves = load_identity("serves.pem", "serves.key", &fault);
	assert_true(tls_identity_fits(times, now, &fault));
	assert_false(tls_identity_fits(times, now + 3 * 86400, &fault));
	assert_true(span_starts(span_of(fault.text), SPAN("it expired on 20")));
	assert_false(tls_identity_fits(times, now - 86400, &fault));
	assert_true(span_starts(span_of(fault.text), SPAN("it is not valid before 20")));
	assert_false(tls_identity_fits(serves, now, &fault));
	assert_true(span_starts(span_of(fault.text), SPAN("it is not for clients")));
	assert_true(tls_identity_equal(times, times) && !tls_identity_equal(times, serves));
	tls_identity_free(times);
	tls_identity_free(serves);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shows),
		cmocka_unit_test(test_not_to_strangers),
		cmocka_unit_test(test_ticket_of_identity),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_unfit_identities),
		cmocka_unit_test(test_times_of_identity),
	};
	return cmocka_run_group_tests(tests, enter, leave);
}
