/* A handshake that failed, in words. */
#include <arpa/inet.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <time.h>

#include "tls_internal.h"

#define RECORD_ALERT 21 /* RFC 8446 §5.1 */

static void printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

void tls_date(time_t time, char text[32])
{
	struct tm parts;
	gmtime_r(&time, &parts);
	strftime(text, 32, "%Y-%m-%d", &parts);
}

/* The first names that the certificate is for. */
static void names_text(gnutls_x509_crt_t leaf, char *text, size_t size)
{
	size_t used = 0;
	for (unsigned i = 0; i < 3; i++) {
		char name[128] = "";
		size_t length = sizeof name - 1;
		int kind = gnutls_x509_crt_get_subject_alt_name(leaf, i, name, &length, NULL);
		if (kind != GNUTLS_SAN_DNSNAME && kind != GNUTLS_SAN_IPADDRESS)
			break;
		char address[INET6_ADDRSTRLEN] = "";
		if (kind == GNUTLS_SAN_IPADDRESS)
			inet_ntop(length == 4 ? AF_INET : AF_INET6, name, address, sizeof address);
		used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "",
		                         kind == GNUTLS_SAN_IPADDRESS ? address : name);
		if (used >= size)
			break;
	}
	if (used == 0)
		snprintf(text, size, "no host name at all");
	printable(text);
}

static bool fault_of_issuer(gnutls_x509_crt_t leaf, struct fault *fault)
{
	char issuer[160] = "an unknown authority";
	size_t length = sizeof issuer;
	if (gnutls_x509_crt_check_issuer(leaf, leaf))
		return fault_set(fault, FAULT_BROKEN, "the certificate is self-signed; put its CA into `ca:`");
	gnutls_x509_crt_get_issuer_dn(leaf, issuer, &length);
	printable(issuer);
	return fault_set(fault, FAULT_BROKEN,
	                 "the certificate is signed by \"%s\", which is not trusted here; put that CA into `ca:`", issuer);
}

static bool fault_of_time(gnutls_x509_crt_t leaf, bool expired, struct fault *fault)
{
	char text[32];
	time_t now = time(NULL), end = gnutls_x509_crt_get_expiration_time(leaf);
	if (!expired) {
		tls_date(gnutls_x509_crt_get_activation_time(leaf), text);
		return fault_set(fault, FAULT_BROKEN,
		                 "the certificate is not valid before %s; is this machine's clock right?", text);
	}
	if (end >= now)
		return fault_set(fault, FAULT_BROKEN, "a CA certificate behind the certificate has expired");
	tls_date(end, text);
	return fault_set(fault, FAULT_BROKEN, "the certificate expired on %s", text);
}

static bool fault_of_names(const struct tls *tls, gnutls_x509_crt_t leaf, struct fault *fault)
{
	char names[200];
	names_text(leaf, names, sizeof names);
	return fault_set(fault, FAULT_BROKEN, "the certificate is for %s, not for %.253s", names, tls->host);
}

static bool fault_of_status(unsigned status, struct fault *fault)
{
	gnutls_datum_t text = {0};
	if (gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0) != 0)
		return fault_set(fault, FAULT_BROKEN, "the certificate does not verify");
	fault_set(fault, FAULT_BROKEN, "the certificate does not verify: %s", (const char *)text.data);
	gnutls_free(text.data);
	return false;
}

static bool fault_of_leaf(const struct tls *tls, gnutls_x509_crt_t leaf, unsigned status, struct fault *fault)
{
	if (status & GNUTLS_CERT_SIGNER_NOT_FOUND)
		return fault_of_issuer(leaf, fault);
	if (status & (GNUTLS_CERT_EXPIRED | GNUTLS_CERT_NOT_ACTIVATED))
		return fault_of_time(leaf, status & GNUTLS_CERT_EXPIRED, fault);
	if (status & GNUTLS_CERT_UNEXPECTED_OWNER)
		return fault_of_names(tls, leaf, fault);
	return fault_of_status(status, fault);
}

static bool fault_of_certificate(const struct tls *tls, struct fault *fault)
{
	unsigned count = 0, status = gnutls_session_get_verify_cert_status(tls->session);
	const gnutls_datum_t *chain = gnutls_certificate_get_peers(tls->session, &count);
	gnutls_x509_crt_t leaf;
	if (count == 0 || gnutls_x509_crt_init(&leaf) != 0)
		return fault_of_status(status, fault);
	if (gnutls_x509_crt_import(leaf, &chain[0], GNUTLS_X509_FMT_DER) == 0)
		fault_of_leaf(tls, leaf, status, fault);
	else
		fault_of_status(status, fault);
	gnutls_x509_crt_deinit(leaf);
	return false;
}

/* What servers say of a client's certificate, or of there being none; each library has its own word for it. Whoever asked for
 * one had nothing else left to judge. */
static bool is_of_client(gnutls_alert_description_t alert)
{
	static const gnutls_alert_description_t alerts[] = {
		GNUTLS_A_HANDSHAKE_FAILURE, GNUTLS_A_BAD_CERTIFICATE, GNUTLS_A_UNSUPPORTED_CERTIFICATE, GNUTLS_A_CERTIFICATE_REVOKED,
		GNUTLS_A_CERTIFICATE_EXPIRED, GNUTLS_A_CERTIFICATE_UNKNOWN, GNUTLS_A_UNKNOWN_CA, GNUTLS_A_ACCESS_DENIED,
		GNUTLS_A_DECODE_ERROR /* GnuTLS's, of none */, GNUTLS_A_DECRYPT_ERROR, GNUTLS_A_CERTIFICATE_REQUIRED,
	};
	for (size_t i = 0; i < sizeof alerts / sizeof *alerts; i++)
		if (alert == alerts[i])
			return true;
	return false;
}

static bool fault_of_refusal(const struct tls *tls, gnutls_alert_description_t code, struct fault *fault)
{
	const struct tls_identity *shown = tls->trust->identity;
	const char *alert = gnutls_alert_get_name(code);
	struct fault why = FAULT_INIT;
	if (!shown)
		return fault_set(fault, FAULT_DENIED, "the server wants a client certificate, and none was shown (its alert: %s)", alert);
	if (code == GNUTLS_A_CERTIFICATE_REQUIRED) /* RFC 8446 §6.2: it got none */
		return fault_set(fault, FAULT_DENIED, "the server takes no signature by the client certificate's kind of key, so that was "
		                                      "not shown (its alert: %s)", alert);
	bool fits = tls_identity_fits(shown, time(NULL), &why);
	return fault_set(fault, FAULT_DENIED, "the server did not take the client certificate that was shown (its alert: %s)%s%s",
	                 alert, fits ? "" : "; ", why.text);
}

static bool fault_of_server_alert(const struct tls *tls, gnutls_alert_description_t alert, struct fault *fault)
{
	const char *name = gnutls_alert_get_name(alert);
	if (tls->asked && is_of_client(alert))
		return fault_of_refusal(tls, alert, fault);
	return fault_set(fault, FAULT_BROKEN, "the server refused the TLS handshake: %s", name ? name : "unknown alert");
}

bool tls_is_refused(const struct tls *tls, struct fault *fault)
{
	return tls->trust && tls->asked && is_of_client(tls->alert) && !fault_of_server_alert(tls, tls->alert, fault);
}

/* With TLS 1.2 the server has proved who it is before we are asked, so what does not fit then is ours. */
static bool is_own(const struct tls *tls, int code)
{
	return tls->asked && tls->trust->identity && gnutls_protocol_get_version(tls->session) == GNUTLS_TLS1_2 &&
	       (code == GNUTLS_E_UNWANTED_ALGORITHM || code == GNUTLS_E_KEY_USAGE_VIOLATION);
}

static bool fault_of_server(const struct tls *tls, int code, struct fault *fault)
{
	if (is_own(tls, code))
		return fault_set(fault, FAULT_DENIED, "the client certificate cannot be shown: %s",
		                 code == GNUTLS_E_KEY_USAGE_VIOLATION ? "its keyUsage has no digitalSignature"
		                                                      : "the server takes no signature by its kind of key");
	switch (code) {
	case GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR:
	case GNUTLS_E_CERTIFICATE_ERROR:
		return fault_of_certificate(tls, fault);
	case GNUTLS_E_FATAL_ALERT_RECEIVED:
		return fault_of_server_alert(tls, gnutls_alert_get(tls->session), fault);
	case GNUTLS_E_UNEXPECTED_PACKET:
	case GNUTLS_E_UNEXPECTED_PACKET_LENGTH:
	case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
	case GNUTLS_E_RECORD_OVERFLOW:
		return fault_set(fault, FAULT_BROKEN, "the server does not answer in TLS; should the URL start with http://?");
	case GNUTLS_E_PREMATURE_TERMINATION:
	case GNUTLS_E_PULL_ERROR:
	case GNUTLS_E_PUSH_ERROR:
		return fault_set(fault, FAULT_BROKEN, "the server closed the connection during the TLS handshake");
	default:
		return fault_set(fault, FAULT_BROKEN, "the TLS handshake failed: %s", gnutls_strerror(code));
	}
}

/* What clients say who do not take the certificate; each library has its own word for it. */
static bool fault_of_alert(gnutls_alert_description_t alert, struct fault *fault)
{
	const char *name = gnutls_alert_get_name(alert);
	switch (alert) {
	case GNUTLS_A_UNKNOWN_CA:
	case GNUTLS_A_BAD_CERTIFICATE:
	case GNUTLS_A_CERTIFICATE_UNKNOWN:
		return fault_set(fault, FAULT_BROKEN, "the client does not trust the CA in ca_out (its alert: %s)", name);
	case GNUTLS_A_CERTIFICATE_EXPIRED:
		return fault_set(fault, FAULT_BROKEN, "the client says that the certificate is not valid now; is its clock right?");
	default:
		return fault_set(fault, FAULT_BROKEN, "the client refused the TLS handshake: %s", name ? name : "unknown alert");
	}
}

/* OpenSSL's clients say of a TLS 1.3 certificate what they think of it in the clear, where GnuTLS looks for a sealed record.
 * It was the last one that was read. -1: there is no such alert. */
static int clear_alert(const struct tls *tls)
{
	static const unsigned char head[] = {RECORD_ALERT, 3, 3, 0, 2};
	const unsigned char *record = tls->input + tls->start - (sizeof head + 2);
	return tls->start >= sizeof head + 2 && !memcmp(record, head, sizeof head) ? record[sizeof head + 1] : -1;
}

static bool fault_of_client(const struct tls *tls, int code, struct fault *fault)
{
	int alert = code == GNUTLS_E_DECRYPTION_FAILED ? clear_alert(tls) : -1;
	if (alert >= 0)
		return fault_of_alert((gnutls_alert_description_t)alert, fault);
	switch (code) {
	case GNUTLS_E_FATAL_ALERT_RECEIVED:
		return fault_of_alert(gnutls_alert_get(tls->session), fault);
	case GNUTLS_E_NO_APPLICATION_PROTOCOL:
		return fault_set(fault, FAULT_BROKEN, "the client offers no protocol that is spoken here (ALPN)");
	case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
		return fault_set(fault, FAULT_BROKEN, "the client offers neither TLS 1.3 nor 1.2");
	case GNUTLS_E_NO_CIPHER_SUITES:
		return fault_set(fault, FAULT_BROKEN, "the client offers no cipher that is spoken here");
	case GNUTLS_E_PREMATURE_TERMINATION:
	case GNUTLS_E_PULL_ERROR:
	case GNUTLS_E_PUSH_ERROR:
		return fault_set(fault, FAULT_BROKEN, "the client closed the connection during the TLS handshake; "
		                                      "some do that who do not trust the CA in ca_out");
	default:
		return fault_set(fault, FAULT_BROKEN, "the TLS handshake with the client failed: %s", gnutls_strerror(code));
	}
}

bool tls_fault(const struct tls *tls, int code, struct fault *fault)
{
	return tls->leaf ? fault_of_client(tls, code, fault) : fault_of_server(tls, code, fault);
}
