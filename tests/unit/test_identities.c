/* Which trust carries a credential's client certificate, and what a second look keeps of it. */
#include "config_rows.h"

#include <sys/stat.h>

#include "clock.h"
#include "file.h"
#include "identities.h"
#include "memory.h"
#include "secret.h"

static char folder[] = "/tmp/keystile-identities-XXXXXX";

/* `a` and `b` show the same certificate with the same key, `c` shows none. */
#define TEXT \
	"version: 1\nsession: none\ncredentials:\n" \
	"  a: { upstream: https://x.test, ca: %1$s/ca.pem, secret: env:PATH, inject: { query: k }, client: { cert: %1$s/c.pem, key: \"file:%1$s/k\" } }\n" \
	"  b: { upstream: https://x.test, ca: %1$s/ca.pem, secret: env:PATH, inject: { query: k }, client: { cert: %1$s/c.pem, key: \"file:%1$s/k\" } }\n" \
	"  c: { upstream: https://x.test, ca: %1$s/ca.pem, secret: env:PATH, inject: { query: k } }\n" \
	"profiles: { p: { credentials: [a, b, c] } }\n"

static int enter(void **state)
{
	(void)state;
	struct fault fault = FAULT_INIT;
	if (!secret_start(&fault) || !mkdtemp(folder) || chdir(folder) != 0)
		return -1;
	for (const char *name = "abd"; *name; name++) {
		AUTO_FREE char *command = memory_format("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=%c -days 2 "
		                                        "-keyout %c.key -out %c.pem 2>/dev/null", *name, *name, *name);
		if (system(command) != 0)
			return -1;
	}
	return system("cp a.pem ca.pem");
}

static int leave(void **state)
{
	AUTO_FREE char *command = memory_format("rm -rf %s", folder);
	(void)state;
	return chdir("/") == 0 ? system(command) : -1;
}

/* What stands for the certificate and for the key; NULL: nothing. */
static void put(const char *certificate, const char *key)
{
	const char *from[] = {certificate, key}, *to[] = {"c.pem", "k"};
	for (int i = 0; i < 2; i++) {
		struct fault fault = FAULT_INIT;
		AUTO_WIPE struct buffer text = {0};
		unlink(to[i]);
		if (from[i] && (!file_read(from[i], 65536, &text, &fault) || !file_replace(to[i], buffer_view(&text), 0600, &fault)))
			fail_msg("%s", fault.text);
	}
}

struct world {
	struct config *config;
	struct trusts *trusts;
	struct secrets *secrets;
	struct identities *identities;
	struct commands *commands;
};

/* Looks once more. */
static void look(struct world *world)
{
	struct secrets *secrets = secrets_load(world->config, world->secrets, world->commands);
	struct identities *identities = identities_load(world->config, world->trusts, secrets, world->identities);
	secrets_free(world->secrets);
	identities_free(world->identities);
	world->secrets = secrets;
	world->identities = identities;
}

static struct world begin_with(const char *text)
{
	struct fault fault = FAULT_INIT;
	struct world world = {.config = good(text)};
	world.trusts = trusts_load(world.config, NULL, &fault);
	world.commands = commands_new(NULL, NULL, NULL);
	commands_want(world.commands, world.config);
	if (!world.trusts || !commands_start(world.commands, &fault))
		fail_msg("%s", fault.text);
	commands_settle(world.commands, UINT64_MAX);
	look(&world);
	return world;
}

/* Until the key's command has printed another value than before. */
static void run_again(struct world *world)
{
	const struct config_credential *credential = &world->config->credentials[0];
	uint64_t before = secrets_get(world->secrets, credential, credential->secret_count)->number, number;
	commands_wake(world->commands);
	do {
		look(world);
		number = secrets_get(world->secrets, credential, credential->secret_count)->number;
	} while (number == 0 || number == before);
}

static struct world begin(void)
{
	AUTO_FREE char *text = memory_format(TEXT, folder);
	return begin_with(text);
}

static void end(struct world *world)
{
	identities_free(world->identities);
	secrets_free(world->secrets);
	trusts_unref(world->trusts);
	commands_free(world->commands);
	config_free(world->config);
}

static struct tls_trust *trust_of(const struct world *world, size_t number, const char *why)
{
	const char *said;
	struct tls_trust *trust = identities_get(world->identities, &world->config->credentials[number], &said);
	if (!said != !why || (why && !strstr(said, why)))
		fail_msg("said `%s`, should be `%s`", said ? said : "nothing", why ? why : "nothing");
	return trust;
}

static void expect_stale(const struct world *world, const char *why)
{
	const char *said = identities_stale(world->identities, &world->config->credentials[0]);
	if (!said != !why || (why && !strstr(said, why)))
		fail_msg("stale is `%s`, should be `%s`", said ? said : "not so", why ? why : "not so");
}

static void test_of_its_own(void **state)
{
	(void)state;
	put("a.pem", "a.key");
	struct world world = begin();
	const char *why;
	struct tls_trust *a = trust_of(&world, 0, NULL), *b = trust_of(&world, 1, NULL);
	struct tls_trust *c = trusts_get(world.trusts, &world.config->credentials[2], &why);
	assert_true(a && b && c && a != b && a != c && b != c);
	assert_ptr_not_equal(a, trusts_get(world.trusts, &world.config->credentials[0], &why));
	assert_null(tls_trust_identity(c));
	assert_true(tls_identity_equal(tls_trust_identity(a), tls_trust_identity(b)));
	assert_null(identities_stale(world.identities, &world.config->credentials[2]));
	end(&world);
}

static const struct {
	const char *certificate, *key; /* the second look finds */
	bool same;         /* is the trust */
	const char *stale; /* NULL: it is not */
} looks[] = {
	{"a.pem", "a.key", true, NULL},
	{"b.pem", "b.key", false, NULL},
	{"b.pem", "a.key", true, "client.key: it is not the key of the certificate in "},
	{"a.pem", "b.key", true, "client.key: it is not the key of the certificate in "},
	{"a.key", "a.key", true, "there is no PEM certificate in it"},
	{"a.pem", "a.pem", true, "there is no PEM private key in it; one begins with -----BEGIN PRIVATE KEY-----"},
	{NULL, "a.key", true, "c.pem: No such file or directory"},
	{"a.pem", NULL, true, NULL}, /* the last good key, as any secret's */
	{"b.pem", NULL, true, "client.key: it is not the key of the certificate in "},
};

static void test_looks(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
		put("a.pem", "a.key");
		struct world world = begin();
		struct tls_trust *first = tls_trust_ref(trust_of(&world, 0, NULL));
		put(looks[i].certificate, looks[i].key);
		look(&world);
		struct tls_trust *second = trust_of(&world, 0, NULL);
		if (!second || (second == first) != looks[i].same)
			fail_msg("look %zu: the trust is %s", i, second == first ? "the same" : second ? "new" : "none");
		expect_stale(&world, looks[i].stale);
		/* Whatever it was: a pair that is whole is taken. */
		put("d.pem", "d.key");
		look(&world);
		assert_true(trust_of(&world, 0, NULL) != first && trust_of(&world, 0, NULL) != second);
		expect_stale(&world, NULL);
		end(&world);
		tls_trust_free(first);
	}
}

/* By what the upstream is verified now, though the pair is none. */
static void test_another_ca(void **state)
{
	(void)state;
	put("a.pem", "a.key");
	struct world world = begin();
	const char *why;
	struct fault fault = FAULT_INIT;
	struct tls_trust *first = tls_trust_ref(trust_of(&world, 0, NULL));
	assert_int_equal(system("cp b.pem ca.pem"), 0);
	struct trusts *fresh = trusts_load(world.config, world.trusts, &fault);
	trusts_unref(world.trusts);
	world.trusts = fresh;
	put("a.pem", "b.key");
	look(&world);
	struct tls_trust *second = trust_of(&world, 0, NULL);
	expect_stale(&world, "client.key: it is not the key of the certificate in ");
	assert_ptr_equal(tls_trust_verifier(second), trusts_get(world.trusts, &world.config->credentials[0], &why));
	assert_ptr_not_equal(tls_trust_verifier(second), tls_trust_verifier(first));
	assert_true(tls_identity_equal(tls_trust_identity(second), tls_trust_identity(first)));
	assert_int_equal(system("cp a.pem ca.pem"), 0);
	tls_trust_free(first);
	end(&world);
}

/* Another configuration may have other files under the same name: of those none was ever good. */
static void test_other_files(void **state)
{
	(void)state;
	put("a.pem", "a.key");
	struct world world = begin(), other;
	AUTO_FREE char *text = memory_format("version: 1\nsession: none\ncredentials:\n  a: { upstream: https://x.test, ca: %1$s/ca.pem, "
	                                     "secret: env:PATH, inject: { query: k }, client: { cert: %1$s/d.pem, key: \"file:%1$s/k\" } }\n"
	                                     "profiles: { p: { credentials: [a] } }\n", folder);
	other = begin_with(text);
	identities_free(other.identities);
	other.identities = identities_load(other.config, other.trusts, other.secrets, world.identities);
	assert_null(trust_of(&other, 0, "client.key: it is not the key of the certificate in "));
	end(&other);
	end(&world);
}

/* Without a key there is none, and never one that was made with a key that is not good any more. */
static void test_without_key(void **state)
{
	(void)state;
	put("a.pem", NULL);
	struct world world = begin();
	assert_null(trust_of(&world, 0, "/k: No such file or directory"));
	put("a.pem", "a.key");
	look(&world);
	assert_non_null(trust_of(&world, 0, NULL));
	end(&world);
}

/* What a command printed is good for its `ttl`, also where what it prints then is no key of the certificate. */
static void test_key_that_expires(void **state)
{
	(void)state;
	static const char wrong[] = "client.key: it is not the key of the certificate in ";
	AUTO_FREE char *text = memory_format("version: 1\nsession: none\ncredentials:\n  a: { upstream: https://x.test, ca: %1$s/ca.pem, "
	                                     "secret: env:PATH, inject: { query: k }, ttl: 100s, client: { cert: %1$s/c.pem, key: "
	                                     "\"exec:/bin/cat %1$s/k\" } }\nprofiles: { p: { credentials: [a] } }\n", folder);
	put("a.pem", "a.key");
	struct world world = begin_with(text);
	struct tls_trust *first = trust_of(&world, 0, NULL);
	put("a.pem", "b.key");
	atomic_store(&ahead, 90000);
	run_again(&world);
	assert_ptr_equal(trust_of(&world, 0, NULL), first);
	expect_stale(&world, wrong);
	atomic_store(&ahead, 110000); /* no look since */
	assert_null(trust_of(&world, 0, wrong));
	look(&world);
	assert_null(trust_of(&world, 0, wrong));
	put("a.pem", "a.key");
	atomic_store(&ahead, 200000);
	run_again(&world);
	assert_non_null(trust_of(&world, 0, NULL));
	end(&world);
	atomic_store(&ahead, 0);
}

static void keep_line(void *context, const char *line)
{
	buffer_format(context, "%s\n", line);
}

static void test_warnings(void **state)
{
	(void)state;
	put("a.pem", "a.key");
	struct world world = begin();
	AUTO_BUFFER struct buffer lines = {0};
	identities_warnings(world.config, world.identities, keep_line, &lines);
	assert_int_equal(lines.length, 0);
	put("b.pem", "a.key");
	look(&world);
	identities_warnings(world.config, world.identities, keep_line, &lines);
	assert_true(span_starts(buffer_view(&lines), SPAN(PREFIX "4:")));
	assert_non_null(strstr(lines.data, ": a goes on with its last good client certificate: client.key: it is not the key"));
	assert_non_null(strstr(lines.data, "\n" PREFIX "5:"));
	end(&world);
}

/* Is what is the same told to be? */
static void test_same(void **state)
{
	(void)state;
	put("a.pem", "a.key");
	struct world world = begin();
	static const char *const pairs[][2] = {{"a.pem", "a.key"}, {"b.pem", "a.key"}, {"b.pem", "b.key"}, {"b.pem", "b.key"}};
	static const bool same[] = {true, false, false, true};
	for (size_t i = 0; i < 4; i++) {
		put(pairs[i][0], pairs[i][1]);
		struct secrets *secrets = secrets_load(world.config, world.secrets, world.commands);
		struct identities *fresh = identities_load(world.config, world.trusts, secrets, world.identities);
		assert_int_equal(identities_same(world.identities, fresh), same[i]);
		secrets_free(world.secrets);
		identities_free(world.identities);
		world.secrets = secrets;
		world.identities = fresh;
	}
	end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_of_its_own),
		cmocka_unit_test(test_looks), cmocka_unit_test(test_another_ca), cmocka_unit_test(test_other_files),
		cmocka_unit_test(test_without_key),
		cmocka_unit_test(test_key_that_expires),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_same),
	};
	return cmocka_run_group_tests(tests, enter, leave);
}
