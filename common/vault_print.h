/* What a vault and its key were at one moment, so that a later look can tell whether opening it again would give the same: with
 * a passphrase that takes half a second and 256 MiB (Argon2id).
 *
 * A hash of the file, of the key, and of what there is to tell of the key, under a random key. In guarded memory, since a quick
 * hash of a passphrase is a quick way to guess it. Immutable, counted. */
#ifndef KEYSTILE_VAULT_PRINT_H
#define KEYSTILE_VAULT_PRINT_H

#include "vault.h"

struct vault_print;

/* Reads both. NULL where one of them cannot be read, or the file is an older copy than the last one seen: what becomes of that
 * vault_open() says. */
struct vault_print *vault_print_take(const struct vault_place *place);
struct vault_print *vault_print_ref(struct vault_print *print); /* NULL is fine, for both */
void vault_print_unref(struct vault_print *print);

/* Are both as they were? Reads them again. False for NULL. */
bool vault_print_fits(const struct vault_print *print, const struct vault_place *place);

#endif
