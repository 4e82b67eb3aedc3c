/* What trusts a later look finds, with roots and files that can be had or not: nothing is parsed here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "memory.h"
#include "trusts.h"

struct tls_trust {
	unsigned references;
};

static bool roots_there, beside_there;
static unsigned loads, living;

static struct tls_trust *load(bool there, const char *why, struct fault *fault)
{
	loads++;
	if (!there) {
		fault_set(fault, FAULT_MISSING, "%s", why);
		return NULL;
	}
	struct tls_trust *trust = memory_alloc(sizeof *trust);
	trust->references = 1;
	living++;
	return trust;
}

struct tls_trust *tls_trust_load(const char *ca_file, struct fault *fault)
{
	return load(ca_file || roots_there, "no roots", fault);
}

struct tls_trust *tls_trust_load_beside(const char *ca_file, struct fault *fault)
{
	(void)ca_file;
	return load(beside_there, "no roots beside", fault);
}

struct tls_trust *tls_trust_ref(struct tls_trust *trust)
{
	if (trust)
		trust->references++;
	return trust;
}

void tls_trust_free(struct tls_trust *trust)
{
	if (!trust || --trust->references)
		return;
	free(trust);
	living--;
}

static char path[] = "/tmp/keystile-test-trusts-XXXXXX";
static struct config_credential credential = {.name = "a", .ca = path};
static struct config config = {.credentials = &credential, .credential_count = 1};

/* Another look, in the place of the one before. */
static struct trusts *look(struct trusts *before)
{
	struct trusts *trusts = trusts_load(&config, before, NULL);
	assert_non_null(trusts);
	trusts_unref(before);
	return trusts;
}

static bool have(struct trusts *trusts, bool beside, const char *reason)
{
	const char *why;
	struct tls_trust *trust = beside ? trusts_beside(trusts, &credential, &why) : trusts_get(trusts, NULL, &why);
	if (!trust)
		assert_string_equal(why, reason);
	return trust;
}

/* Nothing is new while they are not there, and once they are there they stay. */
static void test_late(bool beside, bool *there, const char *reason)
{
	roots_there = beside_there = false;
	struct trusts *trusts = look(NULL);
	assert_false(have(trusts, beside, reason));
	struct trusts *before = trusts;
	trusts = look(trusts);
	assert_ptr_equal(trusts, before);
	*there = true;
	assert_false(have(trusts, beside, reason));
	trusts = look(trusts);
	assert_ptr_not_equal(trusts, before);
	assert_true(have(trusts, beside, reason));
	before = trusts;
	*there = false;
	unsigned count = loads;
	trusts = look(trusts);
	assert_ptr_equal(trusts, before);
	assert_true(have(trusts, beside, reason));
	assert_int_equal(loads, count);
	trusts_unref(trusts);
	assert_int_equal(living, 0);
}

static void test_late_roots(void **state)
{
	(void)state;
	test_late(false, &roots_there, "no roots");
}

static void test_late_beside(void **state)
{
	(void)state;
	test_late(true, &beside_there, "no roots beside");
}

/* What nobody asked for is not looked for. */
static void test_not_asked_for(void **state)
{
	(void)state;
	struct trusts *trusts = look(NULL), *before = trusts;
	unsigned count = loads;
	trusts = look(trusts);
	assert_ptr_equal(trusts, before);
	assert_int_equal(loads, count);
	trusts_unref(trusts);
}

static int set_up(void **state)
{
	(void)state;
	int fd = mkstemp(path);
	return fd < 0 || write(fd, "ca", 2) != 2 || close(fd) != 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_late_roots), cmocka_unit_test(test_late_beside), cmocka_unit_test(test_not_asked_for),
	};
	return cmocka_run_group_tests_name("trusts", tests, set_up, tear_down);
}
