/* Refresh tokens: what a look at the vault found, and what that says of the one in use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "minter_internal.h"
#include "secret.h"

struct step {
	const char *found;     /* by a look */
	uint64_t looked;       /* when the vault was read */
	uint64_t stored;       /* before that look is put to use, we store `put` at that time; 0: nothing */
	const char *put;
	const char *current;   /* the one in use then */
	unsigned replacements; /* by the operator */
};

/* The same as storing does once the vault has it. */
static void store(struct chain *chain, const char *put, uint64_t now)
{
	struct secret_arena *memory = secret_arena_new(64);
	chain->current = secret_arena_add(memory, span_of(put));
	chain->seen = secret_arena_add(memory, span_of(put));
	secret_arena_free(chain->memory);
	chain->memory = memory;
	chain->stored = now;
}

static void test_looks(void **state)
{
	(void)state;
	static const struct step steps[] = {
		{"first", 10, 0, NULL, "first", 1},
		{"first", 20, 0, NULL, "first", 1},
		{"first", 30, 40, "second", "second", 1}, /* a look that took long read the vault before that */
		{"first", 40, 0, NULL, "second", 1},      /* at that moment: not certain either */
		{"second", 50, 0, NULL, "second", 1},
		{"operator's", 60, 0, NULL, "operator's", 2},
		{"first", 70, 0, NULL, "first", 3},       /* it is the operator's to put an old one there */
	};
	struct config config = {.vault_file = "no-such-folder/secrets.vault"};
	struct snapshot snapshot = {.config = &config};
	struct minter minter = {.snapshot = &snapshot};
	struct chain *chain = chain_find(&minter, "refresh");
	assert_ptr_equal(chain_find(&minter, "refresh"), chain);
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		const struct step *step = &steps[i];
		struct secret_value value = {.ready = true, .bytes = span_of(step->found), .looked = step->looked};
		if (step->put)
			store(chain, step->put, step->stored);
		chain_take(chain, &value);
		if (!secret_equal(chain->current, span_of(step->current)) || chain->replacements != step->replacements)
			fail_msg("step %zu: `%.*s` after %u replacements, should be `%s` after %u", i, SPAN_ARGS(chain->current),
			         chain->replacements, step->current, step->replacements);
	}
	chain_free_all(&minter);
}

static int set_up(void **state)
{
	(void)state;
	return secret_start(NULL) ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_looks)};
	return cmocka_run_group_tests_name("minter_chain", tests, set_up, NULL);
}
