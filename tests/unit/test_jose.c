/* JSON Web Tokens: the RFCs' own signatures, whether GnuTLS takes ours, and which key is refused for which algorithm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>

#include "base64.h"
#include "jose.h"
#include "jose_keys.h"
#include "pem.h"

#define PAYLOAD "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

static const unsigned char hmac_key[] = {
	3,   35,  53,  75,  43,  15,  165, 188, 131, 126, 6,   101, 119, 123, 166, 143, 90,  179, 40,  230, 240, 84,
	201, 40,  169, 15,  132, 178, 210, 80,  46,  191, 211, 251, 90,  146, 210, 6,   71,  239, 150, 138, 180, 195,
	119, 98,  61,  34,  61,  46,  33,  114, 5,   46,  79,  8,   192, 205, 154, 245, 103, 208, 128, 163};

/* RFC 7515 A.1 and A.2, RFC 8037 A.4; signatures that are the same each time. */
static const struct {
	enum jose_alg alg;
	struct span key, text, signature;
} vectors[] = {
	{JOSE_HS256, {(const char *)hmac_key, sizeof hmac_key}, SPAN("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." PAYLOAD),
	 SPAN("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")},
	{JOSE_RS256, SPAN(KEY_RSA), SPAN("eyJhbGciOiJSUzI1NiJ9." PAYLOAD),
	 SPAN("cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dn"
	      "ZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-e"
	      "OkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw")},
	{JOSE_EDDSA, SPAN(KEY_ED25519), SPAN("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"),
	 SPAN("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")},
	{JOSE_EDDSA, SPAN(KEY_ED25519_PAIR), SPAN("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"),
	 SPAN("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")},
};

static void test_vectors(void **state)
{
	struct arena arena = {0};
	(void)state;
	for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
		struct fault fault = FAULT_INIT;
		struct span signature = {0};
		if (!jose_sign(vectors[i].key, vectors[i].alg, vectors[i].text, &arena, &signature, &fault))
			fail_msg("%s", fault.text);
		if (!span_equal(signature, vectors[i].signature))
			fail_msg("row %zu: came %.*s", i, SPAN_ARGS(signature));
	}
	arena_free(&arena);
}

static gnutls_pubkey_t public_key(const char *pem)
{
	AUTO_WIPE struct buffer der = {0};
	gnutls_x509_privkey_t own;
	gnutls_privkey_t key;
	gnutls_pubkey_t public;
	assert_true(pem_private_key(span_of(pem), &der, NULL));
	gnutls_datum_t data = {(unsigned char *)der.data, (unsigned)der.length};
	gnutls_x509_privkey_init(&own);
	assert_int_equal(gnutls_x509_privkey_import2(own, &data, GNUTLS_X509_FMT_DER, NULL, GNUTLS_PKCS_PLAIN), 0);
	gnutls_privkey_init(&key);
	gnutls_pubkey_init(&public);
	assert_int_equal(gnutls_privkey_import_x509(key, own, GNUTLS_PRIVKEY_IMPORT_AUTO_RELEASE), 0);
	assert_int_equal(gnutls_pubkey_import_privkey(public, key, 0, 0), 0);
	gnutls_privkey_deinit(key);
	return public;
}

static size_t decode(struct span text, char *out)
{
	char plain[1024];
	size_t length = 0;
	assert_true(text.length < sizeof plain);
	for (size_t i = 0; i < text.length; i++)
		plain[i] = text.data[i] == '-' ? '+' : text.data[i] == '_' ? '/' : text.data[i];
	assert_true(base64_decode((struct span){plain, text.length}, out, &length));
	return length;
}

static const struct {
	enum jose_alg alg;
	const char *key;
	gnutls_sign_algorithm_t sign;
	const char *header;
} verified[] = {
	{JOSE_RS256, KEY_RSA, GNUTLS_SIGN_RSA_SHA256, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"a\\\"b\"}"},
	{JOSE_RS256, KEY_RSA_PKCS1, GNUTLS_SIGN_RSA_SHA256, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"a\\\"b\"}"},
	{JOSE_ES256, KEY_P256, GNUTLS_SIGN_ECDSA_SHA256, "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"a\\\"b\"}"},
	{JOSE_ES256, KEY_P256_SEC1, GNUTLS_SIGN_ECDSA_SHA256, "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"a\\\"b\"}"},
	{JOSE_EDDSA, KEY_ED25519, GNUTLS_SIGN_EDDSA_ED25519, "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"a\\\"b\"}"},
};

/* The signature in the form that GnuTLS reads. */
static gnutls_datum_t raw_signature(enum jose_alg alg, struct span text)
{
	char out[1024];
	size_t length = decode(text, out);
	gnutls_datum_t both = {(unsigned char *)gnutls_malloc(length), (unsigned)length}, der;
	memcpy(both.data, out, length);
	if (alg != JOSE_ES256)
		return both;
	assert_int_equal(length, 64);
	gnutls_datum_t r = {both.data, 32}, s = {both.data + 32, 32};
	assert_int_equal(gnutls_encode_rs_value(&der, &r, &s), 0);
	gnutls_free(both.data);
	return der;
}

/* Often enough that some number of ES256 is short, and some long. */
static void test_verified(void **state)
{
	struct arena arena = {0};
	(void)state;
	for (size_t i = 0; i < sizeof verified / sizeof *verified; i++) {
		gnutls_pubkey_t public = public_key(verified[i].key);
		for (unsigned round = 0; round < (verified[i].alg == JOSE_ES256 ? 1000 : 2); round++) {
			struct span token = {0};
			char header[256];
			const char *claims = arena_format(&arena, "{\"n\":\"%u\"}", round);
			assert_true(jose_token(span_of(verified[i].key), verified[i].alg, SPAN("a\"b"), span_of(claims), &arena, &token, NULL));
			struct span rest = token, first = span_split(&rest, '.'), second = span_split(&rest, '.');
			gnutls_datum_t data = {(unsigned char *)token.data, (unsigned)(first.length + 1 + second.length)};
			gnutls_datum_t signature = raw_signature(verified[i].alg, rest);
			if (gnutls_pubkey_verify_data2(public, verified[i].sign, 0, &data, &signature) < 0)
				fail_msg("row %zu, round %u: %.*s is not verified", i, round, SPAN_ARGS(token));
			gnutls_free(signature.data);
			header[decode(first, header)] = 0;
			assert_string_equal(header, verified[i].header);
			header[decode(second, header)] = 0;
			assert_string_equal(header, claims);
		}
		gnutls_pubkey_deinit(public);
	}
	arena_free(&arena);
}

static void test_header_without_id(void **state)
{
	struct arena arena = {0};
	struct span token = {0}, none = {0};
	(void)state;
	assert_true(jose_token(SPAN("0123456789abcdef0123456789abcdef"), JOSE_HS256, none, SPAN("{}"), &arena, &token, NULL));
	assert_true(span_starts(token, SPAN("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.")));
	arena_free(&arena);
}

#define HS256_PEM "HS256 wants a secret that both sides know; this is a key in PEM, for RS256, ES256 or EdDSA"
#define RS256_WANTS "RS256 wants an RSA key of 2048 bits or more; this one is "
#define ES256_WANTS "ES256 wants an EC key on the curve P-256; this one is "
#define EDDSA_WANTS "EdDSA wants an Ed25519 key; this one is "

static const struct {
	const char *key;
	enum jose_alg alg;
	const char *fault; /* "": it fits */
} fits[] = {
	{KEY_RSA, JOSE_RS256, ""},
	{KEY_RSA_PKCS1, JOSE_RS256, ""},
	{KEY_P256, JOSE_ES256, ""},
	{KEY_P256_SEC1, JOSE_ES256, ""},
	{KEY_ED25519, JOSE_EDDSA, ""},
	{KEY_ED25519_PAIR, JOSE_EDDSA, ""},
	{"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/Q==\n-----END PRIVATE KEY-----\n", JOSE_EDDSA,
	 "the PEM private key is damaged, or of a kind that GnuTLS does not know"},
	{"0123456789abcdef0123456789abcdef", JOSE_HS256, ""},
	{KEY_RSA_SMALL, JOSE_RS256, RS256_WANTS "RSA, 1024 bits"},
	{KEY_P256, JOSE_RS256, RS256_WANTS "EC on SECP256R1, 256 bits"},
	{KEY_ED25519, JOSE_RS256, RS256_WANTS "EdDSA (Ed25519), 256 bits"},
	{KEY_P384, JOSE_ES256, ES256_WANTS "EC on SECP384R1, 384 bits"},
	{KEY_RSA, JOSE_ES256, ES256_WANTS "RSA, 2048 bits"},
	{KEY_ED25519, JOSE_ES256, ES256_WANTS "EdDSA (Ed25519), 256 bits"},
	{KEY_ED448, JOSE_EDDSA, EDDSA_WANTS "EdDSA (Ed448), 456 bits"},
	{KEY_P256, JOSE_EDDSA, EDDSA_WANTS "EC on SECP256R1, 256 bits"},
	{"0123456789abcdef0123456789abcde", JOSE_HS256, "HS256 wants 32 bytes or more; this has 31"},
	{KEY_RSA, JOSE_HS256, HS256_PEM},
	{" " KEY_P256, JOSE_HS256, HS256_PEM},
	{"", JOSE_HS256, "HS256 wants 32 bytes or more; this has 0"},
	{"no key", JOSE_RS256, "there is no PEM private key in it; one begins with -----BEGIN PRIVATE KEY-----"},
	{"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", JOSE_ES256,
	 "the PEM private key is damaged, or of a kind that GnuTLS does not know"},
};

static void test_fits(void **state)
{
	struct arena arena = {0};
	(void)state;
	for (size_t i = 0; i < sizeof fits / sizeof *fits; i++) {
		struct fault fault = FAULT_INIT, signing = FAULT_INIT;
		struct span signature;
		bool good = jose_fits(span_of(fits[i].key), fits[i].alg, &fault);
		if (good != !*fits[i].fault || strcmp(fault.text, fits[i].fault) != 0)
			fail_msg("row %zu: said `%s`, should be `%s`", i, fault.text, fits[i].fault);
		assert_int_equal(jose_sign(span_of(fits[i].key), fits[i].alg, SPAN("x"), &arena, &signature, &signing), good);
		assert_string_equal(signing.text, fault.text);
	}
	arena_free(&arena);
}

static void test_names(void **state)
{
	enum jose_alg alg = JOSE_RS256;
	(void)state;
	assert_true(jose_alg(SPAN("EdDSA"), &alg) && alg == JOSE_EDDSA);
	assert_true(jose_alg(SPAN("HS256"), &alg) && alg == JOSE_HS256);
	assert_false(jose_alg(SPAN("none"), &alg) || jose_alg(SPAN("hs256"), &alg) || jose_alg(SPAN(""), &alg));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),           cmocka_unit_test(test_verified), cmocka_unit_test(test_header_without_id),
		cmocka_unit_test(test_fits), cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
