/* What an agent presents as a token: it opens nothing unless it is one, byte for byte. */
#include <stdint.h>
#include <stdlib.h>

#include <sodium.h>

#include "token.h"

static struct config_credential credential = {.name = (char *)"openai", .env = {.token_prefix = (char *)"sk-"}};
static const struct config_credential *credentials[] = {&credential};
static struct config_profile profile = {.name = (char *)"coder", .credentials = credentials, .credential_count = 1,
                                        .token_version = 1};
static const struct config config = {.profiles = &profile, .profile_count = 1};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct token_key key;
	static struct token_table *table;
	static char *token;
	if (!table) {
		if (sodium_init() < 0)
			abort();
		table = token_table_new(&key, &config);
		token = token_for_credential(&key, &profile, &credential);
	}
	/* The first byte says how much of the right token stands in front, so that a fuzzer gets near. */
	char presented[4096];
	size_t length = size ? data[0] % (strlen(token) + 1) : 0;
	memcpy(presented, token, length);
	size_t rest = size ? size - 1 : 0;
	rest = rest < sizeof presented - length ? rest : sizeof presented - length;
	if (rest)
		memcpy(presented + length, data + 1, rest);
	struct span text = {presented, length + rest};
	bool found = token_table_find(table, text) != NULL;
	if (found != span_equal(text, span_of(token)) || (found && !token_looks_like(text)))
		abort();
	return 0;
}
