/* Listings of secrets: list, show. Names, times and uses; never a value. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "commands.h"
#include "text.h"

/* Calls `visit` for each use of a vault secret that the configuration names. */
static void each_use(const struct config *config,
                     void (*visit)(const struct config_credential *credential, struct span secret, void *context),
                     void *context)
{
	for (size_t i = 0; config && i < config->credential_count; i++) {
		const struct config_credential *credential = &config->credentials[i];
		for (size_t j = 0; j < credential->secret_count; j++)
			if (credential->secrets[j].source.kind == SOURCE_VAULT)
				visit(credential, span_of(credential->secrets[j].source.name), context);
		if (credential->client_key.kind == SOURCE_VAULT)
			visit(credential, span_of(credential->client_key.name), context);
	}
}

struct users {
	struct span secret;
	struct buffer *out;
	const struct config_credential *last; /* one that uses a secret twice is named once */
	bool json;
	size_t count;
};

static void add_user(const struct config_credential *credential, struct span secret, void *context)
{
	struct users *users = context;
	if (!span_equal(secret, users->secret) || credential == users->last)
		return;
	users->last = credential;
	if (users->json)
		json_element(users->out, span_of(credential->name));
	else
		buffer_format(users->out, "%s%s", users->count ? ", " : "", credential->name);
	users->count++;
}

static void users_of(const struct call *call, struct span secret, struct buffer *out)
{
	struct users users = {.secret = secret, .out = out, .json = call->options->json};
	each_use(call->target->config, add_user, &users);
}

static void expiry_text(uint64_t now, uint64_t expires, struct buffer *out)
{
	char length[TEXT_TIME];
	if (!expires) {
		buffer_string(out, "never");
		return;
	}
	bool past = expires <= now;
	text_span_of_time(past ? expires : now, past ? now : expires, length);
	buffer_format(out, past ? "EXPIRED %s ago" : "in %s", length);
}

static void entry_json(const struct call *call, const struct vault_entry *entry, struct buffer *out)
{
	json_open(out, NULL, '{');
	json_text(out, "name", entry->name);
	json_time(out, "created", entry->created);
	json_time(out, "changed", entry->changed);
	json_time(out, "expires", entry->expires);
	json_bool(out, "expired", entry->expires && entry->expires <= (uint64_t)time(NULL));
	json_number(out, "bytes", entry->value.length);
	json_open(out, "used_by", '[');
	users_of(call, entry->name, out);
	buffer_string(out, "]}");
}

/* A row for each secret that the configuration wants of the vault, and that is not in it. */
struct wanting {
	const struct call *call;
	const struct vault *vault;
	struct buffer *out;
	struct span seen[64]; /* one that several credentials want is told once */
	size_t count;
};

static void add_missing(const struct config_credential *credential, struct span secret, void *context)
{
	(void)credential;
	struct wanting *wanting = context;
	struct span value;
	if (vault_get(wanting->vault, secret, &value) || wanting->count == 64)
		return;
	for (size_t i = 0; i < wanting->count; i++)
		if (span_equal(wanting->seen[i], secret))
			return;
	wanting->seen[wanting->count++] = secret;
	if (wanting->call->options->json) {
		json_element(wanting->out, secret);
		return;
	}
	buffer_format(wanting->out, "%.*s is wanted by ", SPAN_ARGS(secret));
	users_of(wanting->call, secret, wanting->out);
	buffer_format(wanting->out, ", and is not there; do: creds set %.*s\n", SPAN_ARGS(secret));
}

static void missing_of(const struct call *call, const struct vault *vault, struct buffer *out)
{
	struct wanting wanting = {.call = call, .vault = vault, .out = out};
	each_use(call->target->config, add_missing, &wanting);
}

static void list_json(const struct call *call, const struct vault *vault, struct buffer *out)
{
	json_open(out, NULL, '{');
	json_text(out, "vault", span_of(call->target->vault_file));
	json_number(out, "generation", vault_generation(vault));
	json_open(out, "secrets", '[');
	for (size_t i = 0; i < vault_count(vault); i++)
		entry_json(call, vault_entry(vault, i), out);
	buffer_char(out, ']');
	json_open(out, "missing", '[');
	missing_of(call, vault, out);
	buffer_string(out, "]}\n");
}

static void list_row(const struct call *call, const struct vault_entry *entry, uint64_t now, struct text_table *table)
{
	char age[TEXT_TIME];
	text_span_of_time(entry->changed, now, age);
	buffer_span(text_cell(table), entry->name);
	buffer_string(text_cell(table), age);
	expiry_text(now, entry->expires, text_cell(table));
	users_of(call, entry->name, text_cell(table));
}

static void list_table(const struct call *call, const struct vault *vault, struct buffer *out)
{
	static const char *const heading[] = {"NAME", "AGE", "EXPIRES", "USED BY"};
	struct text_table table = {.columns = 4};
	uint64_t now = (uint64_t)time(NULL);
	for (size_t i = 0; i < 4; i++)
		buffer_string(text_cell(&table), heading[i]);
	for (size_t i = 0; i < vault_count(vault); i++)
		list_row(call, vault_entry(vault, i), now, &table);
	if (vault_count(vault) > 0)
		text_table_write(&table, out);
	else
		buffer_format(out, "%s holds no secrets yet; do: creds set NAME\n", call->target->vault_file);
	text_table_free(&table);
	missing_of(call, vault, out);
}

bool command_list_secrets(const struct call *call, struct fault *fault)
{
	struct vault *vault = target_open(call->target, fault);
	if (!vault)
		return false;
	AUTO_BUFFER struct buffer out = {0};
	(call->options->json ? list_json : list_table)(call, vault, &out);
	vault_close(vault);
	return text_print(buffer_view(&out), fault);
}

static void show_text(const struct call *call, const struct vault_entry *entry, struct buffer *out)
{
	char created[TEXT_TIME], changed[TEXT_TIME], expires[TEXT_TIME];
	text_time(entry->created, created);
	text_time(entry->changed, changed);
	text_time(entry->expires, expires);
	buffer_format(out, "name:     %.*s\nbytes:    %zu\ncreated:  %s\nchanged:  %s\nexpires:  ", SPAN_ARGS(entry->name),
	              entry->value.length, created, changed);
	if (entry->expires)
		buffer_format(out, "%s, ", expires);
	expiry_text((uint64_t)time(NULL), entry->expires, out);
	buffer_string(out, "\nused by:  ");
	size_t before = out->length;
	users_of(call, entry->name, out);
	buffer_string(out, out->length == before ? "nothing in the configuration\n" : "\n");
}

bool command_show(const struct call *call, struct fault *fault)
{
	struct vault *vault = target_open(call->target, fault);
	if (!vault)
		return false;
	AUTO_BUFFER struct buffer out = {0};
	const struct vault_entry *entry = vault_find(vault, span_of(call->words[0]));
	if (!entry) {
		fault_set(fault, FAULT_MISSING, "%s: no such secret in %s; see: creds list", call->words[0],
		          call->target->vault_file);
	} else if (call->options->json) {
		entry_json(call, entry, &out);
		buffer_char(&out, '\n');
	} else {
		show_text(call, entry, &out);
	}
	bool done = entry && text_print(buffer_view(&out), fault);
	vault_close(vault);
	return done;
}
