#include "jose.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "base64.h"
#include "ed25519.h"
#include "pem.h"
#include "private_key.h"
#include "sha256.h"
#include "text.h"

#define RSA_LEAST 2048 /* bits */
#define HMAC_LEAST 32  /* bytes */
#define ES256_NUMBER 32 /* bytes of each of the two */

static const struct algorithm {
	struct span name;
	gnutls_pk_algorithm_t kind;
	gnutls_sign_algorithm_t sign;
	const char *wants;
} algorithms[] = {
	[JOSE_RS256] = {SPAN("RS256"), GNUTLS_PK_RSA, GNUTLS_SIGN_RSA_SHA256, "an RSA key of 2048 bits or more"},
	[JOSE_ES256] = {SPAN("ES256"), GNUTLS_PK_ECDSA, GNUTLS_SIGN_ECDSA_SHA256, "an EC key on the curve P-256"},
	[JOSE_EDDSA] = {SPAN("EdDSA"), GNUTLS_PK_EDDSA_ED25519, GNUTLS_SIGN_EDDSA_ED25519, "an Ed25519 key"},
	[JOSE_HS256] = {SPAN("HS256"), GNUTLS_PK_UNKNOWN, GNUTLS_SIGN_UNKNOWN, "32 bytes or more"},
};

bool jose_alg(struct span name, enum jose_alg *alg)
{
	for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++) {
		if (!span_equal(name, algorithms[i].name))
			continue;
		*alg = (enum jose_alg)i;
		return true;
	}
	return false;
}

static gnutls_ecc_curve_t curve_of(gnutls_x509_privkey_t key)
{
	gnutls_ecc_curve_t curve = GNUTLS_ECC_CURVE_INVALID;
	return gnutls_x509_privkey_export_ecc_raw(key, &curve, NULL, NULL, NULL) == 0 ? curve : GNUTLS_ECC_CURVE_INVALID;
}

static bool refuse_kind(gnutls_x509_privkey_t key, const struct algorithm *algorithm, struct fault *fault)
{
	unsigned bits = 0;
	int kind = gnutls_x509_privkey_get_pk_algorithm2(key, &bits);
	const char *name = kind == GNUTLS_PK_ECDSA ? gnutls_ecc_curve_get_name(curve_of(key))
	                                           : gnutls_pk_get_name((gnutls_pk_algorithm_t)kind);
	return fault_set(fault, FAULT_BROKEN, "%s wants %s; this one is %s%s, %u bits", algorithm->name.data, algorithm->wants,
	                 kind == GNUTLS_PK_ECDSA ? "EC on " : "", name ? name : "unknown", bits);
}

static bool kind_fits(gnutls_x509_privkey_t key, enum jose_alg alg, struct fault *fault)
{
	const struct algorithm *algorithm = &algorithms[alg];
	unsigned bits = 0;
	int kind = gnutls_x509_privkey_get_pk_algorithm2(key, &bits);
	bool fits = kind == (int)algorithm->kind;
	if (alg == JOSE_RS256)
		fits = fits && bits >= RSA_LEAST;
	if (alg == JOSE_ES256)
		fits = fits && curve_of(key) == GNUTLS_ECC_CURVE_SECP256R1;
	return fits || refuse_kind(key, algorithm, fault);
}

/* A key in PEM is one for another algorithm, and whoever it is for would take no token that is signed with its text. */
static bool is_pem(struct span key)
{
	static const struct span begin = SPAN("-----BEGIN ");
	return key.length >= begin.length && memmem(key.data, key.length, begin.data, begin.length);
}

static bool secret_fits(struct span key, struct fault *fault)
{
	if (is_pem(key))
		return fault_set(fault, FAULT_BROKEN, "HS256 wants a secret that both sides know; this is a key in PEM, for RS256, ES256 or "
		                                      "EdDSA");
	return key.length >= HMAC_LEAST || fault_set(fault, FAULT_BROKEN, "HS256 wants %s; this has %zu",
	                                             algorithms[JOSE_HS256].wants, key.length);
}

static struct span encode(struct span bytes, struct arena *arena)
{
	char *out = arena_alloc(arena, BASE64_BYTES(bytes.length));
	return (struct span){out, base64_encode_url(bytes, out)};
}

/* An Ed25519 key as all write it never gets to GnuTLS. The seed points into `der`, which the caller wipes. */
static bool read_ed25519(struct span key, struct buffer *der, struct span *seed)
{
	return pem_private_key(key, der, NULL) && ed25519_seed(buffer_view(der), seed);
}

static bool sign_ed25519(struct span key, struct span text, struct arena *arena, struct span *signature)
{
	AUTO_WIPE struct buffer der = {0};
	struct span seed;
	unsigned char bytes[ED25519_SIGNATURE];
	if (!read_ed25519(key, &der, &seed))
		return false;
	ed25519_sign(seed, text, bytes);
	*signature = encode((struct span){(const char *)bytes, sizeof bytes}, arena);
	return true;
}

static bool is_ed25519(struct span key)
{
	AUTO_WIPE struct buffer der = {0};
	struct span seed;
	return read_ed25519(key, &der, &seed);
}

bool jose_fits(struct span text, enum jose_alg alg, struct fault *fault)
{
	if (alg == JOSE_HS256)
		return secret_fits(text, fault);
	if (alg == JOSE_EDDSA && is_ed25519(text))
		return true;
	gnutls_x509_privkey_t key = private_key_read(text, fault);
	bool fits = key && kind_fits(key, alg, fault);
	if (key)
		gnutls_x509_privkey_deinit(key);
	return fits;
}

/* A number of DER, which has a 0 in front where its first bit is set, and none that is not needed, in `ES256_NUMBER` bytes. */
static bool put_number(gnutls_datum_t number, char *out)
{
	struct span bytes = {(const char *)number.data, number.size};
	while (bytes.length > 0 && bytes.data[0] == 0)
		bytes = span_from(bytes, 1);
	if (bytes.length > ES256_NUMBER)
		return false;
	memset(out, 0, ES256_NUMBER);
	if (bytes.length)
		memcpy(out + ES256_NUMBER - bytes.length, bytes.data, bytes.length);
	return true;
}

/* RFC 7518 §3.4: both numbers as they are, where GnuTLS has DER. */
static bool encode_es256(gnutls_datum_t der, struct arena *arena, struct span *signature)
{
	gnutls_datum_t r = {0}, s = {0};
	char both[2 * ES256_NUMBER];
	bool good = gnutls_decode_rs_value(&der, &r, &s) == 0 && put_number(r, both) && put_number(s, both + ES256_NUMBER);
	if (good)
		*signature = encode((struct span){both, sizeof both}, arena);
	gnutls_free(r.data);
	gnutls_free(s.data);
	return good;
}

static bool sign(gnutls_x509_privkey_t own, enum jose_alg alg, struct span text, struct arena *arena,
                 struct span *signature)
{
	gnutls_privkey_t key;
	gnutls_datum_t data = {(unsigned char *)text.data, (unsigned)text.length}, raw = {0};
	if (gnutls_privkey_init(&key) != 0)
		return false;
	bool good = gnutls_privkey_import_x509(key, own, 0) == 0 &&
	            gnutls_privkey_sign_data2(key, algorithms[alg].sign, 0, &data, &raw) == 0;
	if (good && alg == JOSE_ES256)
		good = encode_es256(raw, arena, signature);
	else if (good)
		*signature = encode((struct span){(const char *)raw.data, raw.size}, arena);
	gnutls_free(raw.data);
	gnutls_privkey_deinit(key);
	return good;
}

static bool sign_hmac(struct span key, struct span text, struct arena *arena, struct span *signature, struct fault *fault)
{
	unsigned char hash[SHA256_BYTES];
	if (!secret_fits(key, fault))
		return false;
	hmac_sha256(key, text, hash);
	*signature = encode((struct span){(const char *)hash, sizeof hash}, arena);
	explicit_bzero(hash, sizeof hash);
	return true;
}

bool jose_sign(struct span key, enum jose_alg alg, struct span text, struct arena *arena, struct span *signature,
               struct fault *fault)
{
	if (alg == JOSE_HS256)
		return sign_hmac(key, text, arena, signature, fault);
	if (alg == JOSE_EDDSA && sign_ed25519(key, text, arena, signature))
		return true;
	gnutls_x509_privkey_t own = private_key_read(key, fault);
	bool good = own && kind_fits(own, alg, fault);
	if (good && !sign(own, alg, text, arena, signature))
		good = fault_set(fault, FAULT_BROKEN, "GnuTLS cannot sign with the key; is it damaged?");
	if (own)
		gnutls_x509_privkey_deinit(own);
	return good;
}

static struct span make_header(enum jose_alg alg, struct span key_id, struct arena *arena)
{
	AUTO_BUFFER struct buffer json = {0};
	json_open(&json, NULL, '{');
	json_text(&json, "alg", algorithms[alg].name);
	json_text(&json, "typ", SPAN("JWT"));
	if (key_id.length)
		json_text(&json, "kid", key_id);
	buffer_char(&json, '}');
	return encode(buffer_view(&json), arena);
}

bool jose_token(struct span key, enum jose_alg alg, struct span key_id, struct span claims, struct arena *arena,
                struct span *token, struct fault *fault)
{
	struct span header = make_header(alg, key_id, arena), payload = encode(claims, arena), signature = {0};
	struct span text = span_of(arena_format(arena, "%.*s.%.*s", SPAN_ARGS(header), SPAN_ARGS(payload)));
	if (!jose_sign(key, alg, text, arena, &signature, fault))
		return false;
	*token = span_of(arena_format(arena, "%.*s.%.*s", SPAN_ARGS(text), SPAN_ARGS(signature)));
	return true;
}
