/* The keys that Keystile itself needs, the vault's and the session's: read from where the configuration says. */
#ifndef KEYSTILE_KEYSOURCE_H
#define KEYSTILE_KEYSOURCE_H

#include "buffer.h"
#include "fault.h"
#include "source.h"
#include "span.h"

#define KEYSOURCE_BYTES 32 /* of a key file, raw */

/* Asks the operator for a line, without echo, and appends it to `answer`, which the caller wipes. `prompt` has no colon
 * and no blank behind it. */
typedef bool keysource_ask(void *context, const char *prompt, struct buffer *answer, struct fault *fault);

/* What opens a slot of a vault: 32 bytes of a key file, or a passphrase. In guarded memory. */
struct vault_key {
	bool passphrase;
	struct span bytes;
	struct secret_arena *arena;
	char *warning; /* others may read the file: what to tell the operator; NULL: nothing */
};

/* Reads a key: FILE, SYSTEMD, PASSPHRASE and PASSPHRASE_FILE. Without `ask` a passphrase that only a terminal could give
 * is FAULT_DENIED and says so. `prompt` is what is asked. On success vault_key_free() ends it. */
bool keysource_read(const struct source *source, keysource_ask *ask, void *context, const char *prompt,
                    struct vault_key *key, struct fault *fault);
void vault_key_free(struct vault_key *key);

/* Reads the 32 bytes of a FILE or SYSTEMD source. FAULT_BROKEN where there are more or fewer, FAULT_MISSING where the
 * file is not there. Sets `*warning` as above; the caller frees it. */
bool keysource_bytes(const struct source *source, unsigned char bytes[KEYSOURCE_BYTES], char **warning,
                     struct fault *fault);

/* What to tell the operator of a key's file that others may read or change; NULL: nothing. The caller frees it. */
char *keysource_warning(const char *path);

/* Makes a key file of 32 random bytes, 0600, whole or not at all, never over anything: FAULT_BUSY where `path` exists. */
bool keysource_make(const char *path, struct fault *fault);

#endif
