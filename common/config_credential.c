/* credentials: an upstream, a secret, how it is injected, which requests may use it. */
#include <stddef.h>

#include "config_internal.h"
#include "memory.h"

#define MOST_SECRETS 16
#define MOST_BODY (1ull << 50)

static void read_preset(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	/* Read before the entry's other keys, which stand over what it says: see fill_in(). */
	(void)reading, (void)node, (void)field, (void)unused;
}

static void read_upstream(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct config_credential *credential = field;
	struct origin *upstream = &credential->upstream;
	if (!config_origin(reading, node, (struct origin_options){.wildcard = true}, upstream))
		return;
	/* A pattern without a port stands for 80 and 443: what an upstream on 443 owns. */
	credential->host = (struct pattern){
		.kind = upstream->wildcard ? PATTERN_WILDCARD : PATTERN_EXACT,
		.port = upstream->port == 443 ? 0 : upstream->port,
		.host = upstream->host,
	};
}

static void forget_secrets(struct config_credential *credential)
{
	for (size_t i = 0; i < credential->secret_count; i++)
		source_free(&credential->secrets[i].source);
	credential->secret_count = 0;
}

static void add_secret(struct reading *reading, const struct node *node, struct config_credential *credential,
                       const char *id)
{
	struct named_source *secret = &credential->secrets[credential->secret_count++];
	*secret = (struct named_source){.id = arena_copy(reading->arena, id, strlen(id)), .mark = config_mark(reading, node)};
	config_read_secret(reading, node, &secret->source, NULL);
}

static void read_secret(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct config_credential *credential = field;
	forget_secrets(credential);
	credential->secrets = arena_zero(reading->arena, sizeof *credential->secrets);
	add_secret(reading, node, credential, "secret");
}

static void read_secrets(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct config_credential *credential = field;
	if (!config_expect(reading, node, NODE_MAPPING, "secrets such as {id: vault:a, key: vault:b}"))
		return;
	if (node->count == 0 || node->count > MOST_SECRETS) {
		config_error(reading, node, "expected 1 to %u secrets, found %zu", MOST_SECRETS, node->count);
		return;
	}
	forget_secrets(credential);
	credential->secrets = arena_zero(reading->arena, node->count * sizeof *credential->secrets);
	for (size_t i = 0; i < node->count; i++) {
		const struct node *id = node->pairs[i].key;
		if (config_is_variable(node_text(id)))
			add_secret(reading, node->pairs[i].value, credential, id->text);
		else
			config_error(reading, id, "expected a name of letters, digits and \"_\", for use as {NAME}");
	}
}

static const char *wrong_header(struct span text)
{
	return config_is_token(text) ? NULL : "a header's name has letters, digits and \"-\"";
}

static const struct config_key client_keys[] = {
	{"cert", config_read_path, offsetof(struct config_credential, client_cert), "the path of a certificate"},
	{"key", config_read_secret, offsetof(struct config_credential, client_key), NULL},
};
static const struct config_keys client_mapping = KEYS(client_keys, "client: { cert: PATH, key: SOURCE }");

static void read_client(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct config_credential *credential = field;
	credential->client_mark = config_mark(reading, node);
	if (!config_read_mapping(reading, node, &client_mapping, field))
		return;
	config_require(reading, node, "cert", "cert: PATH");
	config_require(reading, node, "key", "key: file:PATH");
}

/* A body of "none" has no limit, whatever limits.body says. */
static void read_body(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct fault fault = FAULT_INIT;
	uint64_t *body = field;
	if (!config_expect(reading, node, NODE_TEXT, "a size such as 10MiB, or none"))
		return;
	uint64_t bytes;
	if (!strcmp(node->text, "none"))
		*body = UINT64_MAX;
	else if (!quantity_bytes(node_text(node), &bytes, &fault))
		config_error(reading, node, "%s", fault.text);
	else if (bytes == 0 || bytes > MOST_BODY)
		config_error(reading, node, "expected a size above 0 and not above 1048576GiB, or none");
	else
		*body = bytes;
}

static void read_scrub(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	static const char *const words[] = {"off", "on", NULL};
	unsigned choice = 1;
	config_read_choice(reading, node, &choice, words);
	*(bool *)field = choice == 1;
}

static const char *const rotations[] = {"overlap", "strict", NULL};
static const char *const http2_modes[] = {"on", "off", "tunnel", NULL};
static const struct text_check header_names = {"header names such as [Authorization]", false, wrong_header};

#define FIELD(name) offsetof(struct config_credential, name)

static const struct config_key credential_keys[] = {
	{"preset", read_preset, 0, NULL},
	{"upstream", read_upstream, 0, NULL},
	{"secret", read_secret, 0, NULL},
	{"secrets", read_secrets, 0, NULL},
	{"inject", config_read_inject, 0, NULL},
	{"rules", config_read_rules, FIELD(rules), NULL},
	{"env", config_read_env, FIELD(env), NULL},
	{"pass", config_read_names, FIELD(pass), &header_names},
	{"ttl", config_read_duration, FIELD(ttl), NULL},
	{"rotation", config_read_choice, FIELD(rotation), rotations},
	{"ca", config_read_path, FIELD(ca), "the path of a PEM file"},
	{"client", read_client, 0, NULL},
	{"intercept", config_read_bool, FIELD(intercept), NULL},
	{"http2", config_read_choice, FIELD(http2), http2_modes},
	{"rate", config_read_rate, FIELD(rate), NULL},
	{"scrub", read_scrub, FIELD(scrub), NULL},
	{"encoded_slash", config_read_bool, FIELD(encoded_slash), NULL},
	{"response_idle", config_read_duration, FIELD(response_idle), NULL},
	{"body", read_body, FIELD(body), NULL},
};
static const struct config_keys credential_mapping = KEYS(credential_keys, "a credential");

/* The preset's text as nodes, parsed once however many entries name it. */
static const struct node *preset_nodes(struct reading *reading, const struct preset *preset)
{
	const struct node **kept = &reading->presets[preset - preset_list];
	if (!*kept)
		*kept = document_parse((struct span){preset->text, preset->length}, reading->nodes, config_document_error,
		                       reading);
	return *kept;
}

/* What the entry leaves out may come from its preset. False where that cannot be told, since the preset is none. */
static bool fill_in(struct reading *reading, const struct node *entry, struct config_credential *credential)
{
	const struct node *node = node_find(entry, "preset");
	if (!node)
		return true;
	if (!config_expect(reading, node, NODE_TEXT, "the name of a preset"))
		return false;
	credential->preset = config_keep(reading, node);
	const struct preset *preset = preset_find(node_text(node));
	if (!preset) {
		config_error(reading, node, "no preset has the name \"%.100s\"%s (proxyd --presets lists them)", node->text,
		             config_guess_name(reading, node_text(node), preset_list, preset_count, sizeof *preset_list));
		return false;
	}
	reading->entry = node;
	const struct node *nodes = preset_nodes(reading, preset);
	if (nodes)
		config_read_mapping(reading, nodes, &credential_mapping, credential);
	reading->entry = NULL;
	return nodes;
}

static bool has_kind(const struct config_credential *credential, enum source_kind kind)
{
	for (size_t i = 0; i < credential->secret_count; i++)
		if (credential->secrets[i].source.kind == kind)
			return true;
	return credential->client_key.kind == kind;
}

static void check_whole(struct reading *reading, const struct node *entry, struct config_credential *credential,
                        bool filled)
{
	const struct node *secret = node_find(entry, "secret"), *secrets = node_find(entry, "secrets");
	if (filled && !credential->upstream.host.length)
		config_require(reading, entry, "upstream", "upstream: https://api.example.com, or preset: NAME");
	if (!secret && !secrets && !credential->secret_count)
		config_error(reading, entry, "\"secret\" is missing here; write secret: vault:NAME, or file:PATH, env:NAME, "
		                             "systemd:NAME, exec:COMMAND");
	if (secret && secrets)
		config_error(reading, secrets, "\"secret\" and \"secrets\" do not go together; name all of them in \"secrets\"");
	if (filled && !credential->injection_count)
		config_require(reading, entry, "inject",
		               "inject: { header: Authorization, value: \"Bearer {secret}\" }, or preset: NAME");
}

static void check_options(struct reading *reading, const struct node *entry, struct config_credential *credential)
{
	const struct node *ttl = node_find(entry, "ttl"), *http2 = node_find(entry, "http2"), *client = node_find(entry, "client");
	bool runs = has_kind(credential, SOURCE_EXEC), app = config_is_app(credential);
	bool lives = runs || config_injects(credential, INJECT_JWT) || config_injects(credential, INJECT_OAUTH2);
	if (ttl && !lives)
		config_error(reading, ttl, "\"ttl\" says how long what an exec: prints, or a token of oauth2 or jwt, is good; there is "
		                           "none of these here");
	if (ttl && app && !runs)
		config_warning_at(reading, config_mark(reading, ttl),
		                  "GitHub says how long tokens of its Apps are good, so \"ttl\" changes nothing here");
	if (http2 && credential->http2 == HTTP2_TUNNEL)
		config_error(reading, http2,
		             "http2: tunnel would carry requests past the injection; on a credential it is on or off");
	if (client && credential->upstream.host.length && !credential->upstream.tls)
		config_error(reading, client, "\"client\" is a certificate for TLS, and the upstream has http://; write https:// there, or "
		                              "take \"client\" out");
}

static bool is_local(const struct host *host)
{
	return (host->kind == HOST_IPV4 && host->address[0] == 127) || !strcmp(host->name, "::1") ||
	       !strcmp(host->name, "localhost") || span_ends(host_span(host), SPAN(".localhost"));
}

static void warn_plain(struct reading *reading, const struct node *entry, const struct config_credential *credential)
{
	const struct node *node = node_find(entry, "upstream");
	const struct origin *upstream = &credential->upstream;
	if (node && upstream->host.length && !upstream->tls && !is_local(&upstream->host))
		config_warning_at(reading, config_mark(reading, node),
		                  "the secret goes to %s over plain http, where everyone on the way can read it; is there an "
		                  "https:// address?", upstream->host.name);
}

bool config_name(struct reading *reading, const struct node *key, const char *what)
{
	struct span text = node_text(key);
	bool good = text.length >= 1 && text.length <= 63;
	for (size_t i = 0; good && i < text.length; i++) {
		char c = text.data[i];
		good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (i > 0 && (c == '.' || c == '_' || c == '-'));
	}
	if (!good)
		config_error(reading, key, "the name of %s has 1 to 63 lower-case letters, digits, \".\", \"_\" and \"-\", and "
		                           "begins with a letter or digit", what);
	return good;
}

static void read_credential(struct reading *reading, const struct node *key, const struct node *entry,
                            struct config_credential *credential)
{
	size_t errors = reading->errors.count;
	credential->name = config_keep(reading, key);
	credential->mark = config_mark(reading, key);
	credential->scrub = true;
	config_name(reading, key, "a credential");
	if (!config_expect_entry(reading, key, entry, &credential_mapping))
		return;
	bool filled = fill_in(reading, entry, credential);
	config_read_mapping(reading, entry, &credential_mapping, credential);
	check_whole(reading, entry, credential, filled);
	check_options(reading, entry, credential);
	config_check_injections(reading, entry, credential, errors);
	config_check_env(reading, entry, credential);
	warn_plain(reading, entry, credential);
}

void config_read_credentials(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)field;
	(void)unused;
	struct config *config = reading->config;
	if (!config_expect(reading, node, NODE_MAPPING, "credentials, each by its name"))
		return;
	config->credentials = arena_zero(reading->arena, (node->count + 1) * sizeof *config->credentials);
	for (size_t i = 0; i < node->count; i++) {
		struct config_credential *credential = &config->credentials[i];
		credential->number = (unsigned)i;
		config->credential_count++;
		read_credential(reading, node->pairs[i].key, node->pairs[i].value, credential);
		table_put(&config->private->credentials, span_of(credential->name), credential);
	}
}
