#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "dial_parent.h"
#include "keysource.h"
#include "log.h"
#include "memory.h"
#include "mint_files.h"
#include "minter.h"
#include "secrets.h"
#include "tls.h"

/* What was told so far. What would keep proxyd from starting is an error, all else a warning. */
struct findings {
	size_t errors, warnings;
};

static void tell(struct config_messages *messages, void (*log)(const char *format, ...), size_t *count)
{
	config_messages_tell(messages, log);
	*count += messages->count;
	config_messages_free(messages);
}

/* NULL where the file has an error, or asks for what is not built. */
static struct config *load(const char *given, struct findings *findings)
{
	struct fault fault = FAULT_INIT;
	struct config_messages errors = {0}, warnings = {0};
	bool found_here;
	AUTO_FREE char *path = config_find(given, &found_here, &fault);
	if (!path) {
		log_error("%s", fault.text);
		findings->errors++;
		return NULL;
	}
	struct config *config = config_load(path, found_here, &errors, &warnings);
	tell(&warnings, log_warning, &findings->warnings);
	tell(&errors, log_error, &findings->errors);
	if (!findings->errors)
		return config;
	config_free(config);
	return NULL;
}

static void __attribute__((format(printf, 3, 4)))
warn_at(struct findings *findings, struct mark mark, const char *format, ...)
{
	char text[1500];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	log_warning("%s:%u:%u: %s", mark.file, mark.line, mark.column, text);
	findings->warnings++;
}

static void tell_error(struct findings *findings, const char *what, const struct fault *fault)
{
	log_error("%s: %s", what, fault->text);
	findings->errors++;
}

static void tell_line(void *context, const char *line)
{
	struct findings *findings = context;
	log_warning("%s", line);
	findings->warnings++;
}

/* Absent, a key file is made at start, and a credential of systemd is there in its unit alone; nothing is made here. */
static void check_session_key(const struct config *config, struct findings *findings)
{
	unsigned char bytes[KEYSOURCE_BYTES];
	const struct config_session *session = &config->session;
	AUTO_FREE char *warning = NULL;
	struct fault fault = FAULT_INIT;
	if (session->none)
		return;
	if (!keysource_bytes(&session->key, bytes, &warning, &fault)) {
		bool absent = fault.code == FAULT_MISSING;
		if (!absent)
			tell_error(findings, "session key", &fault);
		else if (session->key.kind != SOURCE_FILE)
			warn_at(findings, session->mark, "session key: %s", fault.text);
	}
	explicit_bzero(bytes, sizeof bytes);
	if (warning)
		tell_line(findings, warning);
}

/* The machine's own roots: without them no upstream over https could be verified that has no `ca:`, and clients whose TLS is
 * intercepted would have none for all else. */
static void check_roots(const struct config *config, struct findings *findings)
{
	struct fault fault = FAULT_INIT;
	struct tls_trust *roots = tls_trust_load(NULL, &fault);
	bool needed = config_intercepts_any(config);
	for (size_t i = 0; i < config->credential_count; i++)
		needed |= config->credentials[i].upstream.tls && !config->credentials[i].ca;
	if (roots)
		tls_trust_free(roots);
	else if (needed)
		tell_error(findings, "root certificates", &fault);
	else
		tell_line(findings, fault.text);
}

static void check_trust(const struct config *config, struct findings *findings)
{
	check_roots(config, findings);
	for (size_t i = 0; i < config->credential_count; i++) {
		const struct config_credential *credential = &config->credentials[i];
		struct fault fault = FAULT_INIT;
		struct tls_trust *trust = credential->ca ? tls_trust_load(credential->ca, &fault) : NULL;
		if (trust)
			tls_trust_free(trust);
		else if (credential->ca)
			warn_at(findings, credential->mark, "the ca: of credential %s does not load, so its upstream is not "
			                                    "verified and not reached: %s", credential->name, fault.text);
	}
}

static void check_interception(const struct config *config, struct findings *findings)
{
	struct fault fault = FAULT_INIT;
	bool needed = config_intercepts_any(config);
	AUTO_FREE char *warning = config->tls.ca_key ? keysource_warning(config->tls.ca_key) : NULL;
	struct mint *mint = needed || config->tls.ca_cert ? mint_new(config, &fault) : NULL;
	if (!mint && needed)
		tell_error(findings, "interception", &fault);
	else if (!mint && config->tls.ca_cert)
		warn_at(findings, config->tls.mark, "%s", fault.text);
	if (needed && !mint_may_write(config, &fault))
		tell_error(findings, "interception", &fault);
	if (warning)
		tell_line(findings, warning);
	mint_free(mint);
}

static void check_parent(const struct config *config, const struct secrets *secrets, struct findings *findings)
{
	struct dial_parent *parent = dial_parent_new(config, secrets_parent(secrets));
	const char *why = parent ? dial_parent_waits(parent) : NULL;
	if (why)
		warn_at(findings, config->parent.mark, "the parent proxy %s is not ready, and what goes through it gets 503: %s",
		        dial_parent_name(parent), why);
	dial_parent_unref(parent);
}

#define UNREADY "credential %s is not ready and answers 503: %s"

/* Are certificate and key a pair, and one that upstreams take? */
static void check_client(const struct config_credential *credential, const struct secret_value *key,
                         struct findings *findings)
{
	struct fault fault = FAULT_INIT;
	struct tls_identity *identity = key->ready ? tls_identity_load(credential->client_cert, key->bytes, &fault) : NULL;
	if (!identity)
		warn_at(findings, credential->client_mark, UNREADY, credential->name, key->ready ? fault.text : key->why);
	else if (!tls_identity_fits(identity, time(NULL), &fault))
		warn_at(findings, credential->client_mark, "upstreams may refuse the client certificate of %s: %s", credential->name,
		        fault.text);
	tls_identity_free(identity);
}

static void check_minting(const struct config_credential *credential, const struct secrets *secrets,
                          struct findings *findings)
{
	struct token_secrets from = minter_secrets(secrets, credential);
	struct fault fault = FAULT_INIT;
	const char *why;
	if (secrets_ready(secrets, credential, &why) && !token_request_fits(credential, &from, &fault))
		warn_at(findings, config_minting(credential)->mark, UNREADY, credential->name, fault.text);
}

static void check_credential(const struct config_credential *credential, const struct secrets *secrets,
                             struct findings *findings)
{
	for (size_t i = 0; i < credential->secret_count; i++) {
		const struct secret_value *value = secrets_get(secrets, credential, i);
		if (!value->ready)
			warn_at(findings, credential->secrets[i].mark, UNREADY, credential->name, value->why);
	}
	if (config_minting(credential))
		check_minting(credential, secrets, findings);
	if (credential->client_cert)
		check_client(credential, secrets_get(secrets, credential, credential->secret_count), findings);
}

static void check_secrets(const struct config *config, struct findings *findings)
{
	struct fault fault = FAULT_INIT;
	struct commands *commands = commands_new(NULL, NULL, NULL);
	commands_want(commands, config);
	if (commands_start(commands, &fault))
		commands_settle(commands, UINT64_MAX);
	else
		tell_line(findings, fault.text);
	struct secrets *secrets = secrets_load(config, NULL, commands);
	for (size_t i = 0; i < config->credential_count; i++)
		check_credential(&config->credentials[i], secrets, findings);
	check_parent(config, secrets, findings);
	secrets_warnings(config, secrets, NULL, tell_line, findings);
	secrets_free(secrets);
	commands_free(commands);
}

static const char *plural(size_t count)
{
	return count == 1 ? "" : "s";
}

int check_run(const char *given)
{
	struct findings findings = {0};
	struct config *config = load(given, &findings);
	if (!config)
		return EXIT_FAILURE;
	check_session_key(config, &findings);
	check_trust(config, &findings);
	check_interception(config, &findings);
	check_secrets(config, &findings);
	if (!findings.errors) {
		printf("%s: good: %zu credential%s, %zu profile%s", config->file, config->credential_count,
		       plural(config->credential_count), config->profile_count, plural(config->profile_count));
		if (findings.warnings)
			printf(", %zu warning%s", findings.warnings, plural(findings.warnings));
		putchar('\n');
	}
	config_free(config);
	return findings.errors || fflush(stdout) != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
