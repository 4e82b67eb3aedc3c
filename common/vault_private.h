/* The inside of struct vault, for vault.c, vault_write.c and vault_slots.c alone. */
#ifndef KEYSTILE_VAULT_PRIVATE_H
#define KEYSTILE_VAULT_PRIVATE_H

#include "secret.h"
#include "vault.h"
#include "vault_seal.h"

struct vault {
	char *name;                  /* as the caller calls it, for messages */
	char *path;                  /* the file itself, links followed */
	char *state;                 /* the state folder; NULL: there is none */
	bool state_kept;
	char *warnings[3];           /* of the key, of the state folder; a NULL ends it */
	struct vault_header header;
	struct vault_text text;      /* spans into `arena` */
	struct secret_arena *arena;  /* data key, text, and values set since */
	unsigned char *data_key;
	size_t slot_in_use;
	uint64_t seen;               /* the last generation seen; 0: it was not looked for */
	int lock;                    /* of vault_edit(); -1: none */
};

/* An empty vault at `place`: names and state folder, nothing read. */
struct vault *vault_new(const struct vault_place *place);

/* Reads and opens the file, and judges its generation. */
bool vault_load(struct vault *vault, const struct vault_place *place, const struct vault_key *key, struct fault *fault);

/* Keeps the generation in the state folder; where that fails, it is a warning. */
void vault_keep_generation(struct vault *vault, bool lower);

/* The key of a place: `held`, or read into `own`, which the caller frees. NULL with a fault where there is none. */
const struct vault_key *vault_place_key(const struct vault_place *place, struct vault_key *own, struct fault *fault);

#endif
