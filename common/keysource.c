#include "keysource.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "memory.h"
#include "secret.h"

#define FILE_LIMIT 4096

/* Others than its owner, and, for reading, its group. */
char *keysource_warning(const char *path)
{
	struct stat status;
	if (stat(path, &status) != 0 || !(status.st_mode & (S_IRWXO | S_IWGRP)))
		return NULL;
	unsigned mode = status.st_mode & 07777;
	return memory_format("%s: others may %s this key (mode %04o); do: chmod 600 %s", path,
	                     mode & S_IROTH ? "read" : "change", mode, path);
}

/* The file behind a source of kind FILE, PASSPHRASE_FILE or SYSTEMD. The caller frees it. */
static char *path_of(const struct source *source, struct fault *fault)
{
	if (source->kind != SOURCE_SYSTEMD)
		return memory_string(source->name);
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	if (folder && *folder)
		return file_resolve(folder, source->name);
	fault_set(fault, FAULT_MISSING,
	          "%s: CREDENTIALS_DIRECTORY is not set; systemd sets it for a service with LoadCredential=%s:FILE",
	          source->text, source->name);
	return NULL;
}

static bool read_file(const struct source *source, size_t limit, struct buffer *out, char **warning, struct fault *fault)
{
	struct fault why = FAULT_INIT;
	AUTO_FREE char *path = path_of(source, fault);
	if (!path)
		return false;
	if (!file_read(path, limit, out, &why)) {
		if (why.code == FAULT_DENIED)
			return fault_set(fault, why.code, "%s; let user %u read it", why.text, (unsigned)geteuid());
		return fault_set(fault, why.code, "%s", why.text);
	}
	*warning = source->kind == SOURCE_SYSTEMD ? NULL : keysource_warning(path);
	return true;
}

static bool right_size(const struct source *source, size_t length, struct fault *fault)
{
	return length == KEYSOURCE_BYTES ||
	       fault_set(fault, FAULT_BROKEN, "%s: a key file holds %d bytes, this one %zu; make one with: creds keygen FILE",
	                 source->name, KEYSOURCE_BYTES, length);
}

bool keysource_bytes(const struct source *source, unsigned char bytes[KEYSOURCE_BYTES], char **warning,
                     struct fault *fault)
{
	AUTO_WIPE struct buffer content = {0};
	AUTO_FREE char *open_to_others = NULL;
	if (source->kind != SOURCE_FILE && source->kind != SOURCE_SYSTEMD)
		return fault_set(fault, FAULT_USAGE, "%s is no key file; write file:PATH or systemd:NAME", source->text);
	if (!read_file(source, FILE_LIMIT, &content, &open_to_others, fault) || !right_size(source, content.length, fault))
		return false;
	memcpy(bytes, content.data, KEYSOURCE_BYTES);
	*warning = open_to_others;
	open_to_others = NULL;
	return true;
}

static void keep(struct vault_key *key, bool passphrase, struct span bytes)
{
	key->passphrase = passphrase;
	key->arena = secret_arena_new(bytes.length + 1);
	key->bytes = secret_arena_add(key->arena, bytes);
	secret_arena_seal(key->arena);
}

static bool read_passphrase(const struct source *source, keysource_ask *ask, void *context, const char *prompt,
                            struct vault_key *key, struct fault *fault)
{
	AUTO_WIPE struct buffer answer = {0};
	bool asks = source->kind == SOURCE_PASSPHRASE;
	if (asks && !ask)
		return fault_set(fault, FAULT_DENIED, "the vault's key is a passphrase, and there is no terminal to ask on; "
		                                      "write passphrase:file:PATH or file:PATH as the key");
	if (!(asks ? ask(context, prompt, &answer, fault) : read_file(source, FILE_LIMIT, &answer, &key->warning, fault)))
		return false;
	struct span passphrase = buffer_view(&answer);
	const char *wrong = secret_clean(&passphrase, false);
	if (wrong) {
		vault_key_free(key);
		return fault_set(fault, FAULT_BROKEN, "%s: the passphrase %s", asks ? "terminal" : source->name, wrong);
	}
	keep(key, true, passphrase);
	return true;
}

bool keysource_read(const struct source *source, keysource_ask *ask, void *context, const char *prompt,
                    struct vault_key *key, struct fault *fault)
{
	*key = (struct vault_key){0};
	if (source->kind == SOURCE_PASSPHRASE || source->kind == SOURCE_PASSPHRASE_FILE)
		return read_passphrase(source, ask, context, prompt, key, fault);
	unsigned char bytes[KEYSOURCE_BYTES];
	if (!keysource_bytes(source, bytes, &key->warning, fault))
		return false;
	keep(key, false, (struct span){(const char *)bytes, sizeof bytes});
	explicit_bzero(bytes, sizeof bytes);
	return true;
}

void vault_key_free(struct vault_key *key)
{
	secret_arena_free(key->arena);
	free(key->warning);
	*key = (struct vault_key){0};
}

static bool write_key(int fd, struct fault *fault)
{
	unsigned char bytes[KEYSOURCE_BYTES];
	randombytes_buf(bytes, sizeof bytes);
	bool done = file_write_all(fd, (struct span){(const char *)bytes, sizeof bytes}) && fsync(fd) == 0;
	explicit_bzero(bytes, sizeof bytes);
	return done || fault_errno(fault, "cannot write the new key");
}

/* link() and not rename(): of two that make the same key at once, one wins and the other one is told. */
static bool publish(const char *temporary, const char *path, struct fault *fault)
{
	if (link(temporary, path) == 0)
		return true;
	if (errno == EEXIST)
		return fault_set(fault, FAULT_BUSY, "%s is there already; nothing was changed", path);
	return fault_errno(fault, "cannot make %s", path);
}

bool keysource_make(const char *path, struct fault *fault)
{
	AUTO_FREE char *temporary = memory_format("%s.XXXXXX", path);
	int fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return fault_errno(fault, "cannot make %s", path);
	bool done = write_key(fd, fault) && publish(temporary, path, fault);
	close(fd);
	unlink(temporary);
	return done && file_sync_folder(path, fault);
}
