/* Private keys in PEM: which block is taken, how its lines may be broken, and what is said where there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pem.h"

#define BEGIN(label) "-----BEGIN " label "-----"
#define END(label) "-----END " label "-----"
#define KEY(body) BEGIN("PRIVATE KEY") "\n" body "\n" END("PRIVATE KEY")
#define CERT BEGIN("CERTIFICATE") "\nMIIB\n" END("CERTIFICATE") "\n"
#define PASSPHRASE "the key is under a passphrase, which nobody is there to type; take it off: openssl pkey -in OLD -out NEW"
#define NONE "there is no PEM private key in it; one begins with -----BEGIN PRIVATE KEY-----"
#define DAMAGED "the PEM private key is damaged"

static const struct {
	const char *text;
	const char *key; /* NULL: there is none */
	const char *fault;
} rows[] = {
	{KEY("a2V5IQ=="), "key!", NULL},
	{KEY("a2V5IQ"), "key!", NULL},
	{KEY("a2V5") "\n", "key", NULL},
	{BEGIN("RSA PRIVATE KEY") "\na2V5\n" END("RSA PRIVATE KEY"), "key", NULL},
	{BEGIN("EC PRIVATE KEY") "\na2V5\n" END("EC PRIVATE KEY"), "key", NULL},
	{KEY("a2\nV5\nIQ\n=="), "key!", NULL},
	{KEY("a2V5\r\nIQ==\r"), "key!", NULL},
	{KEY("  a2V5\n\tIQ=="), "key!", NULL},
	{BEGIN("PRIVATE KEY") "a2V5" END("PRIVATE KEY"), "key", NULL},
	{BEGIN("PRIVATE KEY") " a2V5 IQ== " END("PRIVATE KEY"), "key!", NULL},
	{BEGIN("PRIVATE KEY") "\\na2V5\\nIQ==\\n" END("PRIVATE KEY") "\\n", "key!", NULL},
	{BEGIN("PRIVATE KEY") "\\r\\na2V5\\r\\n" END("PRIVATE KEY"), "key", NULL},
	{CERT KEY("a2V5"), "key", NULL},
	{KEY("a2V5") "\n" CERT, "key", NULL},
	{"Bag Attributes\n    friendlyName: x\n" KEY("a2V5"), "key", NULL},
	{BEGIN("EC PARAMETERS") "\nBggq\n" END("EC PARAMETERS") "\n" BEGIN("EC PRIVATE KEY") "\na2V5\n" END("EC PRIVATE KEY"), "key", NULL},
	{KEY("a2V5") "\n" KEY("b3RoZXI="), "key", NULL},

	{"", NULL, NONE},
	{"a2V5", NULL, NONE},
	{CERT, NULL, NONE},
	{BEGIN("PUBLIC KEY") "\na2V5\n" END("PUBLIC KEY"), NULL, NONE},
	{BEGIN("DSA PRIVATE KEY") "\na2V5\n" END("DSA PRIVATE KEY"), NULL, NONE},
	{"-----BEGIN PRIVATE KEY", NULL, NONE},
	{"-----BEGIN ", NULL, NONE},
	{BEGIN("PRIVATE KEY") "\na2V5\n", NULL, "the PEM private key has no end"},
	{KEY("a2V5!"), NULL, DAMAGED},
	{KEY("a2=V5"), NULL, DAMAGED},
	{KEY("a2V5\\t"), NULL, DAMAGED},
	{KEY("a2V5\\"), NULL, DAMAGED},
	{KEY("a"), NULL, DAMAGED},
	{KEY(""), NULL, DAMAGED},
	{BEGIN("ENCRYPTED PRIVATE KEY") "\na2V5\n" END("ENCRYPTED PRIVATE KEY"), NULL, PASSPHRASE},
	{BEGIN("RSA PRIVATE KEY") "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\na2V5\n" END("RSA PRIVATE KEY"), NULL, PASSPHRASE},
	{BEGIN("OPENSSH PRIVATE KEY") "\na2V5\n" END("OPENSSH PRIVATE KEY"), NULL,
	 "the key is in OpenSSH's form; turn it into PKCS #8: ssh-keygen -p -m PKCS8 -f FILE"},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		AUTO_WIPE struct buffer der = {0};
		struct fault fault = FAULT_INIT;
		bool found = pem_private_key(span_of(rows[i].text), &der, &fault);
		if (found != (rows[i].key != NULL))
			fail_msg("`%s`: found is %d: %s", rows[i].text, found, fault.text);
		if (found && !span_equal(buffer_view(&der), span_of(rows[i].key)))
			fail_msg("`%s`: came `%.*s`", rows[i].text, SPAN_ARGS(buffer_view(&der)));
		if (!found && (strcmp(fault.text, rows[i].fault) != 0 || fault.code != FAULT_BROKEN || der.length > 0))
			fail_msg("`%s`: said `%s`, should be `%s`", rows[i].text, fault.text, rows[i].fault);
	}
}

/* It begins where the caller's bytes end. */
static void test_appends(void **state)
{
	AUTO_WIPE struct buffer der = {0};
	struct fault fault = FAULT_INIT;
	(void)state;
	buffer_string(&der, "before ");
	assert_true(pem_private_key(SPAN(KEY("a2V5")), &der, &fault));
	assert_true(span_equal(buffer_view(&der), SPAN("before key")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_appends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
