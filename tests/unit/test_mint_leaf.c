/* The CA and its leaves, as OpenSSL judges them; which given CAs are refused, and in which words; what is kept for how long. */
#include "config_rows.h"

#include <pthread.h>
#include <unistd.h>

#include "file.h"
#include "memory.h"
#include "mint_internal.h"
#include "mint_leaf.h"

#define HEAD "version: 1\nsession: none\nprofiles: { a: { hosts: [{ host: a.test, intercept: true }] } }\n"

static char folder[] = "/tmp/keystile-mint-XXXXXX";

static int enter(void **state)
{
	(void)state;
	return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int leave(void **state)
{
	(void)state;
	AUTO_FREE char *command = memory_format("rm -rf %s", folder);
	return chdir("/") == 0 && system(command) == 0 ? 0 : -1;
}

/* Runs `command` without a word; what it says is in the file `said`. */
static int try(const char *command)
{
	AUTO_FREE char *whole = memory_format("{ %s\n} >said 2>&1", command);
	return system(whole);
}

static void run(const char *command)
{
	if (try(command) == 0)
		return;
	AUTO_BUFFER struct buffer said = {0};
	file_read("said", 65536, &said, NULL);
	fail_msg("`%s`: %s", command, said.data);
}

static void put(const char *file, struct span text)
{
	struct fault fault = FAULT_INIT;
	if (!file_replace(file, text, 0600, &fault))
		fail_msg("%s", fault.text);
}

static struct mint *mint_of(const char *more, struct fault *fault)
{
	AUTO_FREE char *text = memory_format(HEAD "%s", more);
	struct config *config = good(text);
	struct mint *mint = mint_new(config, fault);
	config_free(config);
	return mint;
}

static struct mint *made(void)
{
	struct fault fault = FAULT_INIT;
	struct mint *mint = mint_of("", &fault);
	if (!mint)
		fail_msg("%s", fault.text);
	return mint;
}

static struct mint *given(struct fault *fault)
{
	AUTO_FREE char *tls = memory_format("tls: { ca_cert: %s/ca.pem, ca_key: %s/ca.key }\n", folder, folder);
	return mint_of(tls, fault);
}

static struct host host_of(const char *text)
{
	struct host host;
	struct fault fault = FAULT_INIT;
	if (!host_parse(span_of(text), &host, &fault))
		fail_msg("%s", fault.text);
	return host;
}

static struct leaf *leaf_at(struct mint *mint, const char *name, time_t now)
{
	struct fault fault = FAULT_INIT;
	struct host host = host_of(name);
	struct leaf *leaf = mint_get_at(mint, &host, now, &fault);
	if (!leaf)
		fail_msg("%s: %s", name, fault.text);
	return leaf;
}

/* What a client gets: leaf.pem, the rest of the chain in chain.pem, and the CA that it trusts in out.pem. */
static void write_chain(struct mint *mint, const struct leaf *leaf)
{
	gnutls_x509_crt_t *chain;
	unsigned count;
	AUTO_BUFFER struct buffer out = {0}, above = {0};
	mint_pem(mint, &out);
	assert_null(strstr(out.data, "PRIVATE"));
	put("out.pem", buffer_view(&out));
	assert_int_equal(gnutls_certificate_get_x509_crt(leaf->credentials, 0, &chain, &count), 0);
	assert_true(count >= 2);
	for (unsigned i = 0; i < count; i++) {
		gnutls_datum_t text;
		assert_int_equal(gnutls_x509_crt_export2(chain[i], GNUTLS_X509_FMT_PEM, &text), 0);
		if (i == 0)
			put("leaf.pem", (struct span){(char *)text.data, text.size});
		else
			buffer_append(&above, text.data, text.size);
		gnutls_free(text.data);
		gnutls_x509_crt_deinit(chain[i]);
	}
	gnutls_free(chain);
	put("chain.pem", buffer_view(&above));
}

static char *verify_command(const char *name)
{
	bool literal = host_of(name).kind != HOST_NAME;
	return memory_format("openssl verify -x509_strict -purpose sslserver -verify_depth 4 -auth_level 2 -CAfile out.pem "
	                     "-untrusted chain.pem -verify_%s %s leaf.pem", literal ? "ip" : "hostname", name);
}

static void verify(struct mint *mint, const char *name)
{
	struct leaf *leaf = leaf_at(mint, name, time(NULL));
	write_chain(mint, leaf);
	leaf_free(leaf);
	AUTO_FREE char *command = verify_command(name);
	run(command);
}

/* --- names --- */

#define LABEL "a23456789-123456789-123456789-123456789-123456789-123456789-123"

static const struct {
	const char *name, *san;
} names[] = {
	{"api.example.com", "DNS:api.example.com"},
	{"localhost", "DNS:localhost"},
	{"under_score.example.com", "DNS:under_score.example.com"},
	{"xn--bcher-kva.example", "DNS:xn--bcher-kva.example"},
	{"b\xc3\xbc" "cher.example", "DNS:xn--bcher-kva.example"},
	{LABEL "." LABEL ".example.com", "DNS:" LABEL "." LABEL ".example.com"},
	{LABEL "." LABEL "." LABEL "." "a23456789-123456789-123456789-123456789-123456789-123456789-1",
	 "DNS:" LABEL "." LABEL "." LABEL "." "a23456789-123456789-123456789-123456789-123456789-123456789-1"},
	{"192.0.2.1", "IP Address:192.0.2.1"},
	{"2001:db8::1", "IP Address:2001:DB8:0:0:0:0:0:1"},
};

static void expect_certificate(const char *san)
{
	AUTO_BUFFER struct buffer said = {0};
	run("openssl x509 -in leaf.pem -noout -subject -serial -ext subjectAltName,keyUsage,extendedKeyUsage,basicConstraints");
	file_read("said", 65536, &said, NULL);
	AUTO_FREE char *line = memory_format("X509v3 Subject Alternative Name: \n    %s\n", san);
	const char *parts[] = {
		line, "subject=O = Keystile, OU = intercepted\n", "X509v3 Key Usage: critical\n    Digital Signature\n",
		"X509v3 Extended Key Usage: \n    TLS Web Server Authentication\n",
		"X509v3 Basic Constraints: critical\n    CA:FALSE\n",
	};
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		if (!strstr(said.data, parts[i]) && !(i == 1 && strstr(said.data, "subject=O=Keystile, OU=intercepted\n")))
			fail_msg("should have `%s`: %s", parts[i], said.data);
	const char *serial = strstr(said.data, "serial=");
	assert_int_equal(strcspn(serial + 7, "\n"), 40); /* 160 bits */
}

static void test_names(void **state)
{
	(void)state;
	struct mint *mint = made();
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const char *name = host_of(names[i].name).name;
		verify(mint, name);
		expect_certificate(names[i].san);
		AUTO_FREE char *other = verify_command("other.example.com");
		assert_int_not_equal(try(other), 0);
	}
	mint_free(mint);
}

/* --- the CA that is made --- */

static void test_made(void **state)
{
	(void)state;
	struct mint *one = made(), *two = made();
	verify(one, "a.test");
	run("cp out.pem one.pem; cp leaf.pem one-leaf.pem");
	run("openssl verify -x509_strict -attime $(($(date +%s) - 3600)) -CAfile one.pem one-leaf.pem"); /* back-dated */
	assert_int_not_equal(try("openssl verify -attime $(($(date +%s) + 691200)) -CAfile one.pem one-leaf.pem"), 0);
	run("openssl x509 -in one.pem -noout -text | grep -q 'CA:TRUE, pathlen:0'");
	run("openssl x509 -in one.pem -noout -text | grep -q 'NIST CURVE: P-256'");
	run("openssl x509 -in one-leaf.pem -noout -text | grep -q 'NIST CURVE: P-256'");
	verify(two, "a.test");
	assert_int_not_equal(try("openssl verify -CAfile one.pem leaf.pem"), 0);
	assert_int_not_equal(try("a=$(openssl x509 -noout -subject -in one.pem); b=$(openssl x509 -noout -subject -in out.pem); "
	                         "[ \"$a\" = \"$b\" ]"), 0);
	mint_free(one);
	mint_free(two);
}

/* --- CAs that are given --- */

#define EC "ec -pkeyopt ec_paramgen_curve:P-256"
#define BASIC "basicConstraints=critical,CA:TRUE\n"
#define USAGE "keyUsage=critical,keyCertSign,cRLSign\n"
#define ID "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=none\n"
#define NO_ID "subjectKeyIdentifier=none\nauthorityKeyIdentifier=none\n"
#define LACKS "tls.ca_cert: %s/ca.pem: strict clients would refuse what the CA CN=Test CA signs; it lacks "
#define COMMAND "; keystile.yaml(5) has a command that makes a CA"

static const struct {
	const char *extensions;
	const char *key;     /* of openssl req -newkey */
	const char *subject; /* NULL: CN=Test CA */
	const char *told;    /* NULL: it is good; %s is the folder */
} cas[] = {
	{BASIC USAGE ID, EC, NULL, NULL},
	{BASIC USAGE ID, "ec -pkeyopt ec_paramgen_curve:P-384", NULL, NULL},
	{BASIC USAGE ID, "rsa:2048", NULL, NULL},
	{BASIC USAGE ID, "ed25519", NULL, NULL},
	{BASIC "keyUsage=keyCertSign\n" ID, EC, NULL, NULL},
	{"basicConstraints=critical,CA:TRUE,pathlen:0\n" USAGE ID, EC, NULL, NULL},
	{BASIC USAGE ID "extendedKeyUsage=clientAuth,serverAuth\n", EC, NULL, NULL},
	{BASIC USAGE ID "extendedKeyUsage=anyExtendedKeyUsage\n", EC, NULL, LACKS "serverAuth in its extendedKeyUsage" COMMAND},
	{BASIC USAGE ID "extendedKeyUsage=clientAuth\n", EC, NULL, LACKS "serverAuth in its extendedKeyUsage" COMMAND},
	{BASIC USAGE NO_ID, EC, NULL, LACKS "subjectKeyIdentifier" COMMAND},
	{BASIC ID, EC, NULL, LACKS "keyUsage with keyCertSign" COMMAND},
	{BASIC ID "keyUsage=critical,digitalSignature\n", EC, NULL, LACKS "keyUsage with keyCertSign" COMMAND},
	{"basicConstraints=CA:TRUE\n" USAGE ID, EC, NULL, LACKS "\"critical\" on basicConstraints" COMMAND},
	{"basicConstraints=critical,CA:FALSE\n" USAGE ID, EC, NULL, LACKS "basicConstraints with CA:TRUE" COMMAND},
	{"basicConstraints=CA:TRUE\n" NO_ID, EC, NULL,
	 LACKS "\"critical\" on basicConstraints, keyUsage with keyCertSign, subjectKeyIdentifier" COMMAND},
	{BASIC USAGE ID, "rsa:1024", NULL, LACKS "a key as strong as RSA with 2048 bits" COMMAND},
	{BASIC USAGE ID, EC, "O=Keystile\nOU=intercepted",
	 "tls.ca_cert: %s/ca.pem: strict clients would refuse what the CA O=Keystile,OU=intercepted signs; it lacks a subject other "
	 "than that of leaves (O=Keystile,OU=intercepted)" COMMAND},
};

/* FILE.pem and FILE.key, signed by itself. */
static void write_ca(const char *file, const char *extensions, const char *key, const char *subject)
{
	AUTO_FREE char *text = memory_format("[req]\ndistinguished_name=dn\nprompt=no\nx509_extensions=x\n[dn]\n%s\n[x]\n%s",
	                                     subject ? subject : "CN=Test CA", extensions);
	AUTO_FREE char *command = memory_format("openssl req -x509 -config ca.cnf -newkey %s -nodes -days 30 -keyout %s.key "
	                                        "-out %s.pem", key, file, file);
	put("ca.cnf", span_of(text));
	run(command);
}

static void expect_given(const char *what, const char *told)
{
	struct fault fault = FAULT_INIT;
	struct mint *mint = given(&fault);
	if (told[0] && strlen(fault.text) > strlen(told) && !strchr(told, ';')) /* GnuTLS's own words follow */
		fault.text[strlen(told)] = 0;
	compare(what, "fault", fault.text, told);
	if (mint)
		verify(mint, "api.example.com");
	mint_free(mint);
}

/* `told` with %s for the folder. */
static char *told_here(const char *told)
{
	const char *place = told ? strstr(told, "%s") : NULL;
	if (!place)
		return memory_string(told ? told : "");
	return memory_format("%.*s%s%s", (int)(place - told), told, folder, place + 2);
}

static void test_given(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof cas / sizeof *cas; i++) {
		AUTO_FREE char *told = told_here(cas[i].told);
		write_ca("ca", cas[i].extensions, cas[i].key, cas[i].subject);
		expect_given(cas[i].extensions, told);
	}
	settle();
}

/* A CA below a root: all of it must be there. */
static void sign_sub(const char *extensions)
{
	put("sub.ext", span_of(extensions));
	run("openssl req -new -newkey " EC " -nodes -subj '/CN=Test Sub' -keyout ca.key -out sub.csr");
	run("openssl x509 -req -in sub.csr -CA root.pem -CAkey root.key -set_serial 7 -days 30 -extfile sub.ext -out sub.pem");
}

#define SUB BASIC USAGE "subjectKeyIdentifier=hash\n"

static void test_chain(void **state)
{
	(void)state;
	AUTO_FREE char *alone = told_here("tls.ca_cert: %s/ca.pem: CN=Test Sub is signed by CN=Test Root, whose certificate is not "
	                                  "behind it in this file; put it there, and so on up to the root");
	AUTO_FREE char *without = told_here("tls.ca_cert: %s/ca.pem: strict clients would refuse what the CA CN=Test Sub signs; it "
	                                    "lacks authorityKeyIdentifier with a keyid" COMMAND);
	AUTO_FREE char *path = told_here("tls.ca_cert: %s/ca.pem: the CA CN=Test Root allows 0 CAs below it (pathlen), and there "
	                               "are 1");
	AUTO_FREE char *forged = told_here("tls.ca_cert: %s/ca.pem: the chain up to its root does not verify: ");
	write_ca("root", BASIC USAGE ID, EC, "CN=Test Root");
	sign_sub(SUB "authorityKeyIdentifier=keyid\n");
	run("cat sub.pem root.pem >ca.pem");
	expect_given("chain", "");
	run("cp sub.pem ca.pem");
	expect_given("alone", alone);
	sign_sub(SUB "authorityKeyIdentifier=none\n");
	run("cat sub.pem root.pem >ca.pem");
	expect_given("no AKI", without);
	write_ca("root", "basicConstraints=critical,CA:TRUE,pathlen:0\n" USAGE ID, EC, "CN=Test Root");
	sign_sub(SUB "authorityKeyIdentifier=keyid\n");
	run("cat sub.pem root.pem >ca.pem");
	expect_given("pathlen", path);
	write_ca("root", BASIC USAGE "subjectKeyIdentifier=01020304\nauthorityKeyIdentifier=none\n", EC, "CN=Test Root");
	sign_sub(SUB "authorityKeyIdentifier=keyid\n");
	write_ca("root", BASIC USAGE "subjectKeyIdentifier=01020304\nauthorityKeyIdentifier=none\n", EC, "CN=Test Root");
	run("cat sub.pem root.pem >ca.pem");
	expect_given("another root of that name", forged);
	settle();
}

static const struct {
	const char *command, *told;
} files[] = {
	{"rm ca.pem", "tls.ca_cert: %s/ca.pem: No such file or directory"},
	{"echo nothing >ca.pem", "tls.ca_cert: %s/ca.pem: there is no PEM certificate in it"},
	{"cp ca.key ca.pem", "tls.ca_cert: %s/ca.pem: there is no PEM certificate in it"},
	{"rm ca.key", "tls.ca_key: %s/ca.key: No such file or directory"},
	{"echo nothing >ca.key", "tls.ca_key: %s/ca.key: there is no PEM private key in it"},
	{"openssl genpkey -algorithm ed25519 -out ca.key", "tls.ca_key: %s/ca.key: is not the key of the first certificate in ca.pem"},
	{"openssl pkey -in good.key -aes256 -passout pass:x -out ca.key",
	 "tls.ca_key: %s/ca.key: the key is under a passphrase, which nobody is there to type; take it off: openssl pkey -in ca.key "
	 "-out NEW"},
	{"openssl ec -in good.key -out ca.key", NULL}, /* the older form */
	{"openssl x509 -in good.pem -text -out ca.pem; cat good.key >>ca.pem", NULL},
};

/* All names of files in a message are whole; here the folder stands in front of each. */
static void test_files(void **state)
{
	(void)state;
	write_ca("good", BASIC USAGE ID, EC, NULL);
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		struct fault fault = FAULT_INIT;
		AUTO_FREE char *told = told_here(files[i].told);
		AUTO_FREE char *slash = memory_format("%s/", folder);
		run("cp good.pem ca.pem; cp good.key ca.key");
		run(files[i].command);
		mint_free(given(&fault));
		const char *second = fault.text[0] ? strstr(strstr(fault.text, slash) + 1, slash) : NULL;
		if (second) /* told once more, without it */
			memmove((char *)(uintptr_t)second, second + strlen(slash), strlen(second + strlen(slash)) + 1);
		compare(files[i].command, "fault", fault.text, told);
	}
	settle();
}

static void write_dated(time_t start, time_t end)
{
	gnutls_x509_crt_t certificate = ca_certificate(start, end);
	gnutls_x509_privkey_t key = ca_key();
	gnutls_datum_t text;
	assert_true(certificate && key);
	assert_int_equal(gnutls_x509_crt_set_dn(certificate, "CN=Test CA", NULL), 0);
	gnutls_x509_crt_set_key(certificate, key);
	gnutls_x509_crt_set_basic_constraints(certificate, 1, -1);
	gnutls_x509_crt_set_key_usage(certificate, GNUTLS_KEY_KEY_CERT_SIGN);
	gnutls_x509_crt_set_subject_key_id(certificate, "id", 2);
	assert_int_equal(gnutls_x509_crt_sign2(certificate, certificate, key, GNUTLS_DIG_SHA256, 0), 0);
	assert_int_equal(gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &text), 0);
	put("ca.pem", (struct span){(char *)text.data, text.size});
	gnutls_free(text.data);
	assert_int_equal(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &text), 0);
	put("ca.key", (struct span){(char *)text.data, text.size});
	gnutls_free(text.data);
	gnutls_x509_privkey_deinit(key);
	gnutls_x509_crt_deinit(certificate);
}

static void test_dates(void **state)
{
	(void)state;
	AUTO_FREE char *expired = told_here("tls.ca_cert: %s/ca.pem: the CA CN=Test CA expired on 2001-09-09" COMMAND);
	AUTO_FREE char *early = told_here("tls.ca_cert: %s/ca.pem: the CA CN=Test CA is not valid before 2100-01-01; is this "
	                                  "machine's clock right?");
	write_dated(900000000, 1000000000);
	expect_given("expired", expired);
	write_dated(4102444800, 4202444800);
	expect_given("early", early);
	settle();
}

/* A leaf ends with its CA, and near that end there is not one for each asking. */
static void test_end_of_ca(void **state)
{
	(void)state;
	struct fault fault = FAULT_INIT;
	time_t now = time(NULL), start = now - 3600, end = now + DAY;
	struct host host = host_of("a.test");
	write_dated(start, end);
	struct mint *mint = given(&fault);
	if (!mint)
		fail_msg("%s", fault.text);
	verify(mint, "a.test");
	struct leaf *leaf = leaf_at(mint, "a.test", now);
	assert_true(leaf->start == start && leaf->end == end);
	struct leaf *last = leaf_at(mint, "a.test", end - 600), *same = leaf_at(mint, "a.test", end - 1);
	assert_ptr_equal(last, same);
	assert_null(mint_get_at(mint, &host, end, &fault));
	assert_string_equal(fault.text, "the CA for interception is not valid now; look at tls.ca_cert, and at the clock");
	leaf_free(leaf);
	leaf_free(last);
	leaf_free(same);
	mint_free(mint);
}

/* --- what is kept --- */

static void test_kept(void **state)
{
	(void)state;
	struct mint *mint = made();
	time_t now = time(NULL);
	struct leaf *leaf = leaf_at(mint, "a.test", now);
	assert_true(leaf->start == now - MINT_BACK_DAYS * DAY && leaf->end == now + MINT_LEAF_DAYS * DAY);
	assert_true(leaf->renewal > now && leaf->end - leaf->renewal > DAY);
	const struct {
		time_t at;
		bool same; /* as the one before */
	} rows[] = {
		{now, true},
		{leaf->renewal - 1, true},
		{leaf->renewal, false},
		{leaf->renewal - MINT_BACK_DAYS * DAY, true},
		{leaf->renewal - MINT_BACK_DAYS * DAY - 1, false}, /* the clock went back */
		{now + MINT_LEAF_DAYS * DAY * 5, false},
	};
	struct leaf *last = leaf_ref(leaf);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct leaf *next = leaf_at(mint, "a.test", rows[i].at);
		assert_int_equal(next == last, rows[i].same);
		assert_memory_equal(next->ticket_key, leaf->ticket_key, MINT_TICKET_KEY); /* tickets outlive a leaf */
		leaf_free(last);
		last = next;
	}
	leaf_free(last);
	struct leaf *other = leaf_at(mint, "b.test", now);
	assert_memory_not_equal(other->ticket_key, leaf->ticket_key, MINT_TICKET_KEY);
	mint_free(mint);
	leaf_free(other);
	leaf_free(leaf);
}

static void test_bounded(void **state)
{
	(void)state;
	struct mint *mint = made();
	time_t now = time(NULL);
	struct leaf *first = leaf_at(mint, "0.test", now), *second = leaf_at(mint, "1.test", now);
	for (int i = 2; i < MINT_LEAVES; i++) {
		AUTO_FREE char *name = memory_format("%d.test", i);
		leaf_free(leaf_at(mint, name, now));
	}
	struct leaf *again = leaf_at(mint, "0.test", now); /* so that the second one is the oldest */
	assert_ptr_equal(again, first);
	leaf_free(again);
	leaf_free(leaf_at(mint, "new.test", now));
	again = leaf_at(mint, "0.test", now);
	assert_ptr_equal(again, first);
	leaf_free(again);
	again = leaf_at(mint, "1.test", now);
	assert_ptr_not_equal(again, second);
	leaf_free(again);
	leaf_free(first);
	leaf_free(second);
	mint_free(mint);
}

/* --- threads --- */

#define THREADS 8

struct asker {
	pthread_t thread;
	struct mint *mint;
	pthread_barrier_t *start;
	time_t now;
	struct leaf *leaf;
};

static void *ask(void *context)
{
	struct asker *asker = context;
	pthread_barrier_wait(asker->start);
	asker->leaf = leaf_at(asker->mint, "same.test", asker->now);
	for (int i = 0; i < 50; i++) {
		AUTO_FREE char *name = memory_format("%d.test", i % 17);
		leaf_free(leaf_at(asker->mint, name, asker->now));
	}
	mint_free(asker->mint);
	return NULL;
}

/* Who asks at once gets one leaf. */
static void test_threads(void **state)
{
	(void)state;
	struct asker askers[THREADS];
	pthread_barrier_t start;
	struct mint *mint = made();
	pthread_barrier_init(&start, NULL, THREADS);
	for (int i = 0; i < THREADS; i++) {
		askers[i] = (struct asker){.mint = mint_ref(mint), .start = &start, .now = time(NULL)};
		assert_int_equal(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
	}
	mint_free(mint);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(askers[i].thread, NULL);
		assert_ptr_equal(askers[i].leaf, askers[0].leaf);
	}
	for (int i = 0; i < THREADS; i++)
		leaf_free(askers[i].leaf);
	pthread_barrier_destroy(&start);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),      cmocka_unit_test(test_made),  cmocka_unit_test(test_given),
		cmocka_unit_test(test_chain),      cmocka_unit_test(test_files), cmocka_unit_test(test_dates),
		cmocka_unit_test(test_end_of_ca),  cmocka_unit_test(test_kept),  cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_threads),
	};
	return cmocka_run_group_tests(tests, enter, leave);
}
