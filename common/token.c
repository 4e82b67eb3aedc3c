#include "token.h"

#include <sodium.h>
#include <string.h>

#include "keysource.h"
#include "log.h"
#include "memory.h"
#include "table.h"

#define FORMAT 1
#define ADMIN_VERSION 1
#define DIGEST 32
#define PRESENTED_LIMIT 1024

_Static_assert(TOKEN_KEY_BYTES == KEYSOURCE_BYTES, "session.key is a key file like the others");

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* Of several that start at once, whoever makes the file first is read by all. */
static bool read_or_make(const struct source *source, struct token_key *key, char **warning, struct fault *fault)
{
	struct fault why = FAULT_INIT;
	if (keysource_bytes(source, key->bytes, warning, &why))
		return true;
	bool absent = source->kind == SOURCE_FILE && why.code == FAULT_MISSING;
	if (!absent || (!keysource_make(source->name, &why) && why.code != FAULT_BUSY))
		return fault_set(fault, why.code, "%s", why.text);
	return keysource_bytes(source, key->bytes, warning, fault);
}

bool token_key_load(const struct source *source, struct token_key *key, struct fault *fault)
{
	AUTO_FREE char *warning = NULL;
	if (!read_or_make(source, key, &warning, fault))
		return fault_wrap(fault, "session key");
	if (warning)
		log_warning("%s", warning);
	return true;
}

static void absorb(crypto_generichash_state *state, const void *bytes, size_t length)
{
	unsigned char prefix[4] = {(unsigned char)(length >> 24), (unsigned char)(length >> 16),
	                           (unsigned char)(length >> 8), (unsigned char)length};
	crypto_generichash_update(state, prefix, sizeof prefix);
	crypto_generichash_update(state, bytes, length);
}

/* All 256 bits as 43 base62 digits, the highest first: long division by 62, one digit a round. */
static void write_base62(unsigned char number[DIGEST], char out[TOKEN_BODY + 1])
{
	for (int at = TOKEN_BODY - 1; at >= 0; at--) {
		unsigned rest = 0;
		for (int i = 0; i < DIGEST; i++) {
			unsigned part = rest << 8 | number[i];
			number[i] = (unsigned char)(part / 62);
			rest = part % 62;
		}
		out[at] = digits[rest];
	}
	out[TOKEN_BODY] = 0;
}

void token_make(const struct token_key *key, enum token_kind kind, uint32_t version, const char *profile,
                const char *credential, char out[TOKEN_BODY + 1])
{
	unsigned char format = FORMAT, kind_byte = (unsigned char)kind, digest[DIGEST];
	unsigned char version_bytes[4] = {(unsigned char)(version >> 24), (unsigned char)(version >> 16),
	                                  (unsigned char)(version >> 8), (unsigned char)version};
	crypto_generichash_state state;
	crypto_generichash_init(&state, key->bytes, sizeof key->bytes, sizeof digest);
	absorb(&state, &format, 1);
	absorb(&state, &kind_byte, 1);
	absorb(&state, version_bytes, sizeof version_bytes);
	absorb(&state, profile, strlen(profile));
	absorb(&state, credential, strlen(credential));
	crypto_generichash_final(&state, digest, sizeof digest);
	write_base62(digest, out);
	sodium_memzero(&state, sizeof state);
}

char *token_for_credential(const struct token_key *key, const struct config_profile *profile,
                           const struct config_credential *credential)
{
	char body[TOKEN_BODY + 1];
	token_make(key, TOKEN_CREDENTIAL, profile->token_version, profile->name, credential->name, body);
	const char *prefix = credential->env.token_prefix;
	return memory_format("%s%s", prefix ? prefix : "", body);
}

char *token_for_proxy(const struct token_key *key, const struct config_profile *profile)
{
	char body[TOKEN_BODY + 1];
	token_make(key, TOKEN_PROXY, profile->token_version, profile->name, "", body);
	return memory_string(body);
}

char *token_for_admin(const struct token_key *key)
{
	char body[TOKEN_BODY + 1];
	token_make(key, TOKEN_ADMIN, ADMIN_VERSION, "", "", body);
	return memory_string(body);
}

#define MARK crypto_shorthash_siphashx24_BYTES /* 128 bits: a guess that has another token's is none */

struct row {
	unsigned char mark[MARK];
	struct token_entry entry;
};

/* Keyed by what a pseudorandom function makes of the token under a key of this table alone. What a look-up compares is
 * then nothing that a guess could be steered towards, so how long it takes tells nothing. */
struct token_table {
	unsigned char key[crypto_shorthash_siphashx24_KEYBYTES];
	struct row *rows;
	size_t count;
	struct table table;
	struct span *prefixes; /* each one once; "" is among them; the configuration's */
	size_t prefix_count;
};

static void mark_of(const struct token_table *table, struct span token, unsigned char mark[MARK])
{
	crypto_shorthash_siphashx24(mark, (const unsigned char *)token.data, token.length, table->key);
}

static void add(struct token_table *table, char *token, struct token_entry entry)
{
	struct row *row = &table->rows[table->count++];
	row->entry = entry;
	mark_of(table, span_of(token), row->mark);
	table_put(&table->table, (struct span){(const char *)row->mark, MARK}, row);
	sodium_memzero(token, strlen(token));
	free(token);
}

static size_t count_tokens(const struct config *config)
{
	size_t count = 1 + config->profile_count;
	for (size_t i = 0; i < config->profile_count; i++)
		count += config->profiles[i].credential_count;
	return count;
}

static void add_prefix(struct token_table *table, struct span prefix)
{
	for (size_t i = 0; i < table->prefix_count; i++)
		if (span_equal(table->prefixes[i], prefix))
			return;
	table->prefixes[table->prefix_count++] = prefix;
}

static void list_prefixes(struct token_table *table, const struct config *config)
{
	table->prefixes = memory_array(config->credential_count + 1, sizeof *table->prefixes);
	add_prefix(table, SPAN(""));
	for (size_t i = 0; i < config->credential_count; i++) {
		const char *prefix = config->credentials[i].env.token_prefix;
		add_prefix(table, span_of(prefix ? prefix : ""));
	}
}

struct token_table *token_table_new(const struct token_key *key, const struct config *config)
{
	struct token_table *table = memory_alloc(sizeof *table);
	list_prefixes(table, config);
	randombytes_buf(table->key, sizeof table->key);
	table->rows = memory_array(count_tokens(config), sizeof *table->rows);
	add(table, token_for_admin(key), (struct token_entry){.kind = TOKEN_ADMIN});
	for (size_t i = 0; i < config->profile_count; i++) {
		const struct config_profile *profile = &config->profiles[i];
		add(table, token_for_proxy(key, profile), (struct token_entry){.kind = TOKEN_PROXY, .profile = profile});
		for (size_t j = 0; j < profile->credential_count; j++) {
			const struct config_credential *credential = profile->credentials[j];
			add(table, token_for_credential(key, profile, credential),
			    (struct token_entry){TOKEN_CREDENTIAL, profile, credential});
		}
	}
	return table;
}

const struct token_entry *token_table_find(const struct token_table *table, struct span presented)
{
	if (presented.length > PRESENTED_LIMIT || !token_looks_like(presented))
		return NULL;
	unsigned char mark[MARK];
	mark_of(table, presented, mark);
	const struct row *row = table_get(&table->table, (struct span){(const char *)mark, MARK});
	return row ? &row->entry : NULL;
}

static bool is_digit(char c)
{
	static const bool is_one[256] = {['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true};
	return is_one[(unsigned char)c];
}

bool token_looks_like(struct span text)
{
	if (text.length < TOKEN_BODY)
		return false;
	for (size_t i = text.length - TOKEN_BODY; i < text.length; i++)
		if (!is_digit(text.data[i]))
			return false;
	return true;
}

/* The token that ends where `text` does. */
static struct span token_at_end(const struct token_table *table, struct span text)
{
	struct span before = span_head(text, text.length - TOKEN_BODY);
	for (size_t i = 0; i < table->prefix_count; i++) {
		struct span prefix = table->prefixes[i];
		struct span token = span_from(text, before.length - prefix.length);
		if (span_ends(before, prefix) && token_table_find(table, token))
			return token;
	}
	return (struct span){NULL, 0};
}

/* A token ends in TOKEN_BODY base62 digits. So each run of digits that is long enough has one candidate, its end, with
 * each prefix that a token of this configuration has. */
struct span token_table_within(const struct token_table *table, struct span text)
{
	size_t start = 0;
	while (text.length - start >= TOKEN_BODY) {
		size_t end = start + TOKEN_BODY, at = end;
		while (at > start && is_digit(text.data[at - 1]))
			at--;
		if (at > start) { /* not a digit in front of `at`: the next run begins there at the earliest */
			start = at;
			continue;
		}
		while (end < text.length && is_digit(text.data[end]))
			end++;
		struct span token = token_at_end(table, span_head(text, end));
		if (token.data)
			return token;
		start = end;
	}
	return (struct span){NULL, 0};
}

void token_table_free(struct token_table *table)
{
	if (!table)
		return;
	table_free(&table->table);
	free(table->rows);
	free(table->prefixes);
	sodium_memzero(table->key, sizeof table->key);
	free(table);
}
