/* Session tokens (SPEC §9): what an agent shows in place of a secret.
 *
 * A token is `prefix` + base62 of BLAKE2b-256, keyed with session.key, over format, kind, token version, profile and
 * credential, each length-prefixed. Nothing is stored. A token is not a secret of ours to guard as an API key is, but it
 * opens the proxy: it is never logged. */
#ifndef KEYSTILE_TOKEN_H
#define KEYSTILE_TOKEN_H

#include <stdint.h>

#include "config.h"
#include "fault.h"
#include "span.h"

#define TOKEN_KEY_BYTES 32
#define TOKEN_BODY 43 /* base62 digits of 256 bits, always all of them */

enum token_kind { TOKEN_CREDENTIAL, TOKEN_PROXY, TOKEN_ADMIN };

struct token_key {
	unsigned char bytes[TOKEN_KEY_BYTES];
};

/* Reads session.key (32 raw bytes); makes it, 0600, where it is absent (never over anything else). */
bool token_key_load(const struct source *source, struct token_key *key, struct fault *fault);

/* Writes TOKEN_BODY digits and a NUL. Profile and credential are "" where the kind has none. */
void token_make(const struct token_key *key, enum token_kind kind, uint32_t version, const char *profile,
                const char *credential, char out[TOKEN_BODY + 1]);

/* The whole token of a profile's credential, prefix included. The caller frees it. */
char *token_for_credential(const struct token_key *key, const struct config_profile *profile,
                           const struct config_credential *credential);
char *token_for_proxy(const struct token_key *key, const struct config_profile *profile);
char *token_for_admin(const struct token_key *key);

/* What a presented token opens. */
struct token_entry {
	enum token_kind kind;
	const struct config_profile *profile;       /* NULL for the admin token */
	const struct config_credential *credential; /* NULL but for TOKEN_CREDENTIAL */
};

/* All tokens of a configuration, found by hash: timing tells nothing of how much of a guess was right. */
struct token_table;

struct token_table *token_table_new(const struct token_key *key, const struct config *config);
const struct token_entry *token_table_find(const struct token_table *table, struct span presented); /* or NULL */
/* The first of the tokens that stand anywhere in `text`; data NULL: there is none. */
struct span token_table_within(const struct token_table *table, struct span text);

/* Could `text` end in a token, by its form alone (TOKEN_BODY base62 digits at its end)? Cheap, for scanning fields. */
bool token_looks_like(struct span text);
void token_table_free(struct token_table *table);

#endif
