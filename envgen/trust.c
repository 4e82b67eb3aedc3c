#include "trust.h"

#include <stdlib.h>

#include "file.h"
#include "memory.h"
#include "trust_paths.h"

#define CERTIFICATE "-----BEGIN CERTIFICATE-----"
#define BUNDLE_LIMIT ((size_t)16 << 20)
#define CA_LIMIT ((size_t)64 << 10)

/* Takes `path` over. */
static char *as_clients_see(const struct config *config, char *path)
{
	if (!config->tls.advertise_ca || !path)
		return path;
	const char *slash = strrchr(path, '/');
	char *seen = file_resolve(config->tls.advertise_ca, slash ? slash + 1 : path);
	free(path);
	return seen;
}

void trust_for_clients(const struct config *config, struct environment_trust *trust)
{
	trust->ca = as_clients_see(config, trust_ca_path(config));
	trust->bundle = as_clients_see(config, trust_bundle_path(config));
	trust->store = trust->bundle ? memory_format("%s" TRUST_STORE_ENDING, trust->bundle) : NULL;
}

void trust_free(struct environment_trust *trust)
{
	free(trust->ca);
	free(trust->bundle);
	free(trust->store);
	*trust = (struct environment_trust){0};
}

static bool read_ca(const char *ca, struct buffer *out, struct fault *fault)
{
	struct fault why = FAULT_INIT;
	AUTO_WIPE struct buffer text = {0};
	if (!ca)
		return fault_set(fault, FAULT_MISSING, "nobody knows where the proxy's CA certificate is; set `state: PATH`");
	if (!file_read(ca, CA_LIMIT, &text, &why))
		return fault_set(fault, why.code, "the proxy's CA certificate: %s; proxyd writes it when it starts with `intercept: "
		                 "true`, and without interception no bundle needs it: leave --ca-over out", why.text);
	if (!strstr(text.data, CERTIFICATE) || strstr(text.data, "PRIVATE KEY-----"))
		return fault_set(fault, FAULT_BROKEN, "the proxy's CA certificate: %s: must hold a certificate in PEM, and no "
		                 "private key", ca);
	buffer_span(out, buffer_view(&text));
	return true;
}

bool trust_read(const char *bundle, const char *ca, struct buffer *out, struct fault *fault)
{
	struct fault why = FAULT_INIT;
	if (!file_read(bundle, BUNDLE_LIMIT, out, &why))
		return fault_set(fault, why.code, "--ca-over %s", why.text);
	if (!strstr(out->data, CERTIFICATE))
		return fault_set(fault, FAULT_BROKEN, "--ca-over %s: not a trust bundle: there is no PEM certificate in it", bundle);
	if (!span_ends(buffer_view(out), SPAN("\n")))
		buffer_char(out, '\n');
	return read_ca(ca, out, fault) || fault_wrap(fault, "--ca-over %s", bundle);
}
