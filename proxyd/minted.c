#include "minted.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "memory.h"
#include "secret.h"

#define FIRST_BYTES 1024

struct minted {
	atomic_uint references;
	struct minted_token *tokens; /* by the credential's number */
	size_t count;
	struct secret_arena *arena;
};

struct minted *minted_new(const struct config *config)
{
	struct minted *minted = memory_alloc(sizeof *minted);
	atomic_init(&minted->references, 1);
	minted->count = config->credential_count;
	minted->tokens = memory_array(config->credential_count + 1, sizeof *minted->tokens);
	minted->arena = secret_arena_new(FIRST_BYTES);
	for (size_t i = 0; i < minted->count; i++)
		minted->tokens[i].pending = minted->tokens[i].mints = config_minting(&config->credentials[i]) != NULL;
	return minted;
}

void minted_set(struct minted *minted, const struct config_credential *credential, const struct minted_token *token)
{
	struct minted_token *mine = &minted->tokens[credential->number];
	free((char *)(uintptr_t)mine->why);
	*mine = *token;
	mine->why = memory_string(token->why);
	if (token->bytes.length)
		mine->bytes = secret_arena_add(minted->arena, token->bytes);
}

void minted_seal(struct minted *minted)
{
	secret_arena_seal(minted->arena);
}

struct minted *minted_ref(struct minted *minted)
{
	atomic_fetch_add_explicit(&minted->references, 1, memory_order_relaxed);
	return minted;
}

void minted_unref(struct minted *minted)
{
	if (!minted || atomic_fetch_sub(&minted->references, 1) != 1)
		return;
	for (size_t i = 0; i < minted->count; i++)
		free((char *)(uintptr_t)minted->tokens[i].why);
	secret_arena_free(minted->arena);
	free(minted->tokens);
	free(minted);
}

const struct minted_token *minted_get(const struct minted *minted, const struct config_credential *credential)
{
	return &minted->tokens[credential->number];
}

bool minted_ready(const struct minted_token *token, uint64_t now)
{
	return token->bytes.length > 0 && now < token->expires;
}
