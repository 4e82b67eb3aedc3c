#include "config.h"

#include <stddef.h>

#include "config_internal.h"
#include "file.h"
#include "memory.h"

#define GUESSES 20000000u /* steps of edit distance for all hints of one file: a fraction of a second */

static void read_version(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)field, (void)unused;
	if (node->kind != NODE_TEXT || !node->plain || strcmp(node->text, "1") != 0)
		config_error(reading, node, "expected 1, the only version of this file's format, without quotes");
}

static void read_workers(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	uint64_t number = 0;
	if (node->kind == NODE_TEXT && !strcmp(node->text, "auto"))
		return;
	if (node->kind == NODE_TEXT && node->plain && node->count && quantity_number(node_text(node), 1, 256, &number, NULL))
		*(unsigned *)field = (unsigned)number;
	else
		config_error(reading, node, "expected auto or a number of threads from 1 to 256");
}

static void read_key(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct fault fault = FAULT_INIT;
	if (config_expect(reading, node, NODE_TEXT, "where a key comes from, such as \"file:vault.key\"") &&
	    !source_parse_key(node_text(node), reading->config->folder, field, &fault)) {
		*(struct source *)field = (struct source){0};
		config_error(reading, node, "%s", fault.text);
	}
}

static const struct config_key vault_keys[] = {
	{"file", config_read_path, offsetof(struct config, vault_file), "the path of the vault"},
	{"key", read_key, offsetof(struct config, vault_key), NULL},
};
static const struct config_keys vault_mapping =
	KEYS(vault_keys, "vault: { file: secrets.vault, key: \"file:vault.key\" }");

static void read_vault(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct config *config = field;
	config->vault_mark = config_mark(reading, node);
	if (!config_read_mapping(reading, node, &vault_mapping, config))
		return;
	config_require(reading, node, "file", "file: secrets.vault");
	config_require(reading, node, "key", "key: \"file:vault.key\"");
}

static void read_session_key(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct source *key = field;
	read_key(reading, node, key, NULL);
	if (key->kind == SOURCE_PASSPHRASE || key->kind == SOURCE_PASSPHRASE_FILE)
		config_error(reading, node, "a session key is 32 random bytes, not a passphrase; write \"file:session.key\"");
}

static const struct config_key session_keys[] = {
	{"key", read_session_key, offsetof(struct config_session, key), NULL},
};
static const struct config_keys session_mapping = KEYS(session_keys, "session: { key: \"file:session.key\" }, or none");

static void read_session(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct config_session *session = field;
	session->mark = config_mark(reading, node);
	session->none = node->kind == NODE_TEXT && !strcmp(node->text, "none");
	if (!session->none && config_read_mapping(reading, node, &session_mapping, session))
		config_require(reading, node, "key", "key: \"file:session.key\"");
}

#define TLS(name) offsetof(struct config_tls, name)

static const struct config_key tls_keys[] = {
	{"ca_cert", config_read_path, TLS(ca_cert), "the path of a certificate"},
	{"ca_key", config_read_path, TLS(ca_key), "the path of a key"},
	{"ca_out", config_read_path, TLS(ca_out), "a path"},
	{"bundle_out", config_read_path, TLS(bundle_out), "a path"},
	/* As clients see it, so not resolved here. */
	{"advertise_ca", config_read_text, TLS(advertise_ca), "the folder in which clients see the CA"},
};
static const struct config_keys tls_mapping = KEYS(tls_keys, "tls: { ca_cert: PATH, ca_key: PATH }");

static void read_tls(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct config_tls *tls = field;
	tls->mark = config_mark(reading, node);
	if (!config_read_mapping(reading, node, &tls_mapping, tls))
		return;
	if (node_find(node, "ca_cert") || node_find(node, "ca_key")) {
		config_require(reading, node, "ca_cert", "ca_cert: PATH beside ca_key");
		config_require(reading, node, "ca_key", "ca_key: PATH beside ca_cert");
	}
}

static bool is_http(struct span text)
{
	return span_equal_nocase(span_head(text, 7), SPAN("http://")) || span_equal_nocase(span_head(text, 8), SPAN("https://"));
}

static void read_socks(struct reading *reading, const struct node *node, struct span text, struct config_parent *parent)
{
	struct fault fault = FAULT_INIT;
	struct authority authority;
	if (text.length > 0 && text.data[text.length - 1] == '/')
		text.length--;
	if (!authority_parse(text, &authority, &fault))
		config_error(reading, node, "expected socks5h://HOST:PORT: %s", fault.text);
	else if (!authority.port)
		config_error(reading, node, "a port is missing; write socks5h://HOST:PORT");
	parent->socks = true;
	parent->proxy = (struct origin){.host = authority.host, .port = authority.port, .path = arena_copy(reading->arena, "", 0)};
}

static void read_proxy(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	static const struct span socks = SPAN("socks5h://");
	struct config_parent *parent = field;
	struct origin *proxy = &parent->proxy;
	(void)unused;
	if (!config_expect(reading, node, NODE_TEXT, "http://HOST:PORT"))
		return;
	if (memchr(node->text, '@', node_text(node).length))
		config_error(reading, node, "expected http://HOST:PORT; user and password have a source of their own: auth: vault:NAME");
	else if (span_equal_nocase(span_head(node_text(node), socks.length), socks))
		read_socks(reading, node, span_from(node_text(node), socks.length), parent);
	else if (!is_http(node_text(node)))
		config_error(reading, node, "expected http://HOST:PORT, or socks5h://HOST:PORT, which leaves names to the proxy");
	else if (config_origin(reading, node, (struct origin_options){0}, proxy) && *proxy->path)
		config_error(reading, node, "expected http://HOST:PORT, without a path");
	else if (proxy->tls)
		config_error(reading, node, "TLS to the parent proxy itself is not spoken; expected http://HOST:PORT");
}

static void read_except(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct config_parent *parent = field;
	if (!config_expect(reading, node, NODE_LIST, "patterns such as [\"*.corp\"]"))
		return;
	parent->except = arena_zero(reading->arena, (node->count + 1) * sizeof *parent->except);
	for (size_t i = 0; i < node->count; i++) {
		struct fault fault = FAULT_INIT;
		const struct node *item = node->items[i];
		if (!config_expect(reading, item, NODE_TEXT, "a pattern such as \"*.corp\""))
			continue;
		struct pattern *pattern = &parent->except[parent->except_count];
		if (!pattern_parse(node_text(item), pattern, &fault))
			config_error(reading, item, "%s", fault.text);
		else if (pattern->deny)
			config_error(reading, item, "\"!\" means nothing here: what is listed does not go through the parent");
		else
			parent->except_count++;
	}
}

static const struct config_key parent_keys[] = {
	{"proxy", read_proxy, 0, NULL},
	{"auth", config_read_secret, offsetof(struct config_parent, auth), NULL},
	{"except", read_except, 0, NULL},
};
static const struct config_keys parent_mapping = KEYS(parent_keys, "parent: { proxy: http://HOST:PORT }");

static void read_parent(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct config_parent *parent = field;
	parent->mark = config_mark(reading, node);
	parent->on = config_read_mapping(reading, node, &parent_mapping, parent) &&
	             config_require(reading, node, "proxy", "proxy: http://HOST:PORT");
}

static void read_audit_file(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	if (node->kind == NODE_TEXT && !strcmp(node->text, "stdout"))
		*(char **)field = arena_copy(reading->arena, "-", 1);
	else
		config_read_path(reading, node, field, "a path, or stdout");
}

static const struct config_key audit_keys[] = {
	{"file", read_audit_file, offsetof(struct config_audit, file), NULL},
	{"required", config_read_bool, offsetof(struct config_audit, required), NULL},
};
static const struct config_keys audit_mapping = KEYS(audit_keys, "audit: { file: PATH }");

static void read_audit(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	if (config_read_mapping(reading, node, &audit_mapping, field))
		config_require(reading, node, "file", "file: PATH, or file: stdout");
}

#define TOP(name) offsetof(struct config, name)

static const struct config_key top_keys[] = {
	{"version", read_version, 0, NULL},
	{"listen", config_read_listen, 0, NULL},
	{"advertise", config_read_advertise, 0, NULL},
	{"admin", config_read_admin, TOP(admin), NULL},
	{"workers", read_workers, TOP(workers), NULL},
	{"vault", read_vault, 0, NULL},
	{"session", read_session, TOP(session), NULL},
	{"credentials", config_read_credentials, 0, NULL},
	{"profiles", config_read_profiles, 0, NULL},
	{"limits", config_read_limits, TOP(limits), NULL},
	{"tls", read_tls, TOP(tls), NULL},
	{"parent", read_parent, TOP(parent), NULL},
	{"audit", read_audit, TOP(audit), NULL},
	{"state", config_read_path, TOP(state), "the path of a folder"},
};
static const struct config_keys top_mapping = KEYS(top_keys, "the configuration");

static void read_root(struct reading *reading, const struct node *root)
{
	struct config *config = reading->config;
	reading->has_vault = root->kind == NODE_MAPPING && node_find(root, "vault");
	if (!config_read_mapping(reading, root, &top_mapping, config))
		return;
	config_require(reading, root, "version", "version: 1");
	if (!node_find(root, "session"))
		source_parse_key(SPAN("file:session.key"), config->folder, &config->session.key, NULL);
	if (!node_find(root, "profiles"))
		config_warning_at(reading, config_mark(reading, root), "there are no \"profiles\", so nobody reaches anything");
	config_inherit(reading);
	config_check_listeners(reading, root);
	config_check_environments(reading);
	config_check_hosts(reading);
}

static struct config *new_config(const char *path)
{
	struct config *config = memory_alloc(sizeof *config);
	config->private = memory_alloc(sizeof *config->private);
	atomic_init(&config->private->references, 1);
	config->file = memory_string(path);
	config->folder = file_folder(path);
	config_default_limits(&config->limits);
	return config;
}

struct config *config_parse(struct span text, const char *path, bool found_here, struct config_messages *errors,
                            struct config_messages *warnings)
{
	struct arena nodes = {0};
	struct config *config = new_config(path);
	struct reading reading = {.config = config, .arena = &config->private->arena, .nodes = &nodes,
	                          .found_here = found_here, .guesses = GUESSES};
	reading.presets = memory_array(preset_count, sizeof *reading.presets);
	const struct node *root = document_parse(text, &nodes, config_document_error, &reading);
	if (root)
		read_root(&reading, root);
	bool good = reading.errors.count == 0;
	config_report_write(&reading.errors, path, errors);
	config_report_write(&reading.warnings, path, warnings);
	free(reading.presets);
	arena_free(&nodes);
	if (good)
		return config;
	config_free(config);
	return NULL;
}

struct config *config_load(const char *path, bool found_here, struct config_messages *errors,
                           struct config_messages *warnings)
{
	AUTO_BUFFER struct buffer text = {0};
	struct fault fault = FAULT_INIT;
	if (file_read(path, DOCUMENT_BYTES, &text, &fault))
		return config_parse(buffer_view(&text), path, found_here, errors, warnings);
	config_message_add(errors, memory_format("%s%s", fault.text,
	                                         fault.code == FAULT_MISSING  ? "; name the configuration with --config FILE or "
	                                                                        "KEYSTILE_CONFIG"
	                                         : fault.code == FAULT_DENIED ? "; let the user who runs this read it"
	                                                                      : ""));
	return NULL;
}

const struct config_profile *config_profile(const struct config *config, struct span name)
{
	return table_get(&config->private->profiles, name);
}

const struct config_credential *config_credential(const struct config *config, struct span name)
{
	return table_get(&config->private->credentials, name);
}

const struct injection *config_minting(const struct config_credential *credential)
{
	for (size_t i = 0; i < credential->injection_count; i++)
		if (credential->injections[i].kind == INJECT_OAUTH2 || credential->injections[i].kind == INJECT_JWT)
			return &credential->injections[i];
	return NULL;
}

const char *config_parameter(const struct injection *injection, const char *name)
{
	for (size_t i = 0; i < injection->parameter_names.count; i++)
		if (!strcmp(injection->parameter_names.list[i], name))
			return injection->parameter_values.list[i];
	return NULL;
}

bool config_owns(const struct config_credential *credential, const struct host *host, uint16_t port)
{
	return pattern_matches(&credential->host, host, port);
}

bool config_intercepts(const struct config_profile *profile)
{
	for (size_t i = 0; i < profile->credential_count; i++)
		if (profile->credentials[i]->intercept)
			return true;
	for (size_t i = 0; i < profile->host_count; i++)
		if (profile->hosts[i].intercept)
			return true;
	return false;
}

bool config_intercepts_any(const struct config *config)
{
	for (size_t i = 0; i < config->profile_count; i++)
		if (config_intercepts(&config->profiles[i]))
			return true;
	return false;
}

/* Sources and rules have memory of their own; all else is in the arena. */
static void free_parts(struct config *config)
{
	for (size_t i = 0; i < config->credential_count; i++) {
		struct config_credential *credential = &config->credentials[i];
		for (size_t k = 0; k < credential->secret_count; k++)
			source_free(&credential->secrets[k].source);
		source_free(&credential->client_key);
		rules_free(&credential->rules);
	}
	for (size_t i = 0; i < config->profile_count; i++)
		for (size_t k = 0; k < config->private->own[i].host_count; k++)
			rules_free(&config->private->own[i].hosts[k].rules);
	source_free(&config->vault_key);
	source_free(&config->session.key);
	source_free(&config->parent.auth);
}

struct config *config_ref(struct config *config)
{
	atomic_fetch_add_explicit(&config->private->references, 1, memory_order_relaxed);
	return config;
}

void config_free(struct config *config)
{
	if (!config || atomic_fetch_sub(&config->private->references, 1) != 1)
		return;
	free_parts(config);
	table_free(&config->private->credentials);
	table_free(&config->private->profiles);
	arena_free(&config->private->arena);
	free(config->private);
	free(config->file);
	free(config->folder);
	free(config);
}
