#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "memory.h"
#include "monotonic.h"
#include "vault_private.h"

#define LOCK_PATIENCE 30u /* seconds */
#define LOCK_PAUSE (20 * 1000 * 1000) /* nanoseconds between two tries: flock() itself knows no time limit */

/* The lock file belongs to whom the vault belongs to, or root's first write would lock its owner out. */
static bool own_lock_file(int fd, const char *vault)
{
	struct stat lock, owner;
	if (geteuid() != 0 || stat(vault, &owner) != 0 || fstat(fd, &lock) != 0)
		return true;
	return (lock.st_uid == owner.st_uid && lock.st_gid == owner.st_gid) || fchown(fd, owner.st_uid, owner.st_gid) == 0;
}

static int open_lock_file(const struct vault *vault, struct fault *fault)
{
	AUTO_FREE char *path = memory_format("%s.lock", vault->path);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		fault_errno(fault, "cannot write beside %s: %s", vault->name, path);
	else if (!own_lock_file(fd, vault->path))
		fault_errno(fault, "%s", path);
	else
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* No lock file is made: it would belong to whoever asks. */
static bool lock_opens(const char *path, const char *name, struct fault *fault)
{
	AUTO_FREE char *lock = memory_format("%s.lock", path);
	int fd = open(lock, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT || fault_errno(fault, "cannot write beside %s: %s", name, lock);
	bool done = own_lock_file(fd, path) || fault_errno(fault, "%s", lock);
	close(fd);
	return done;
}

bool vault_writable(const char *file, struct fault *fault)
{
	AUTO_FREE char *path = realpath(file, NULL);
	return !path || (lock_opens(path, file, fault) && file_replaceable(path, fault));
}

static bool take_lock(struct vault *vault, struct fault *fault)
{
	vault->lock = open_lock_file(vault, fault);
	if (vault->lock < 0)
		return false;
	uint64_t end = monotonic_ms() + LOCK_PATIENCE * 1000;
	while (flock(vault->lock, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return fault_errno(fault, "cannot lock %s.lock", vault->path);
		if (monotonic_ms() >= end)
			return fault_set(fault, FAULT_BUSY, "%s: another program has been writing it for %u s; try again, or see "
			                 "who holds %s.lock (fuser)", vault->name, LOCK_PATIENCE, vault->path);
		nanosleep(&(struct timespec){0, LOCK_PAUSE}, NULL);
	}
	return true;
}

struct vault *vault_edit(const struct vault_place *place, struct fault *fault)
{
	struct vault_key own;
	/* No lock file beside a vault that does not exist. */
	const struct vault_key *key = vault_exists(place->file, fault) ? vault_place_key(place, &own, fault) : NULL;
	if (!key)
		return NULL;
	struct vault *vault = vault_new(place);
	if (!take_lock(vault, fault) || !vault_load(vault, place, key, fault)) {
		vault_close(vault);
		vault = NULL;
	}
	vault_key_free(&own);
	return vault;
}

static bool start_empty(struct vault *vault, const struct vault_key *key, const char *label, struct fault *fault)
{
	randombytes_buf(vault->header.uuid, sizeof vault->header.uuid);
	randombytes_buf(vault->data_key, VAULT_DATA_KEY);
	return vault_slot_add(vault, key, label, fault) && vault_save(vault, fault);
}

struct vault *vault_create(const struct vault_place *place, const char *label, struct fault *fault)
{
	struct vault_key own;
	const struct vault_key *key = vault_place_key(place, &own, fault);
	if (!key)
		return NULL;
	struct vault *vault = vault_new(place);
	bool done = take_lock(vault, fault);
	if (done && access(vault->path, F_OK) == 0)
		done = fault_set(fault, FAULT_BUSY, "%s is there already; nothing was changed", vault->name);
	if (!done || !start_empty(vault, key, label, fault)) {
		vault_close(vault);
		vault = NULL;
	}
	vault_key_free(&own);
	return vault;
}

struct proof {
	struct vault *vault;
	struct span text;
};

/* What was written must open again, to the same text, before it takes the old file's place. */
static bool opens(const char *temporary, void *context, struct fault *fault)
{
	struct proof *proof = context;
	AUTO_BUFFER struct buffer file = {0};
	struct vault_header header;
	if (!file_read(temporary, VAULT_FILE_LIMIT, &file, fault))
		return false;
	struct secret_arena *arena = secret_arena_new(proof->text.length + 1);
	char *text = secret_arena_room(arena, proof->text.length);
	bool same = vault_header_decode(buffer_view(&file), &header) &&
	            header.payload_length == proof->text.length + VAULT_TAG &&
	            vault_unseal(&header, proof->vault->data_key, buffer_view(&file), (unsigned char *)text) &&
	            sodium_memcmp(text, proof->text.data, proof->text.length) == 0;
	secret_arena_free(arena);
	return same || fault_set(fault, FAULT_IO, "%s: what was written does not read back the same; the disk may be failing",
	                         proof->vault->name);
}

static bool write_text(struct vault *vault, struct span text, struct fault *fault)
{
	AUTO_BUFFER struct buffer file = {0};
	AUTO_FREE char *temporary = memory_format("%s.new", vault->path);
	size_t length = vault_header_length(&vault->header) + text.length + VAULT_TAG;
	vault_seal(&vault->header, vault->data_key, text, (unsigned char *)buffer_room(&file, length));
	file.length = length;
	struct proof proof = {vault, text};
	return file_replace_checked(vault->path, temporary, buffer_view(&file), 0600, opens, &proof, fault);
}

bool vault_save(struct vault *vault, struct fault *fault)
{
	size_t length = vault_text_length(&vault->text);
	if (length > VAULT_TEXT)
		return fault_set(fault, FAULT_USAGE, "%s: all secrets together would be over %d KiB", vault->name,
		                 VAULT_TEXT / 1024);
	struct secret_arena *arena = secret_arena_new(length + 1);
	char *text = secret_arena_room(arena, length);
	vault_text_encode(&vault->text, (unsigned char *)text, length);
	vault->header.generation++;
	bool done = write_text(vault, (struct span){text, length}, fault);
	secret_arena_free(arena);
	if (done)
		vault_keep_generation(vault, false);
	return done;
}

static bool fits(struct span name, struct span value, struct fault *fault)
{
	if (!source_is_secret_name(name))
		return fault_set(fault, FAULT_USAGE, "%.*s: no name for a secret; letters, digits and . _ - make one, up to 128, "
		                 "and the first is a letter or digit", (int)(name.length < 128 ? name.length : 128), name.data);
	if (value.length == 0 || value.length > VAULT_VALUE)
		return fault_set(fault, FAULT_USAGE, "%.*s: a secret has 1 to %d bytes, this one %zu", SPAN_ARGS(name),
		                 VAULT_VALUE, value.length);
	return true;
}

static bool make_room(struct vault_text *text, size_t place, struct fault *fault)
{
	if (text->count == VAULT_ENTRIES)
		return fault_set(fault, FAULT_USAGE, "a vault holds %d secrets, and this one is full", VAULT_ENTRIES);
	text->entries = memory_grow(text->entries, text->count, &text->capacity, sizeof *text->entries);
	memmove(&text->entries[place + 1], &text->entries[place], (text->count - place) * sizeof *text->entries);
	text->count++;
	return true;
}

bool vault_put(struct vault *vault, struct span name, struct span value, uint64_t expires, struct fault *fault)
{
	if (!fits(name, value, fault))
		return false;
	bool found;
	size_t place = vault_text_place(&vault->text, name, &found);
	if (!found && !make_room(&vault->text, place, fault))
		return false;
	struct vault_entry *entry = &vault->text.entries[place];
	uint64_t now = (uint64_t)time(NULL);
	if (!found)
		*entry = (struct vault_entry){.name = secret_arena_add(vault->arena, name), .created = now};
	entry->value = secret_arena_add(vault->arena, value);
	entry->changed = now;
	if (expires != VAULT_KEEP_EXPIRY)
		entry->expires = expires;
	return true;
}

bool vault_remove(struct vault *vault, struct span name)
{
	bool found;
	size_t place = vault_text_place(&vault->text, name, &found);
	if (!found)
		return false;
	struct vault_text *text = &vault->text;
	text->count--;
	memmove(&text->entries[place], &text->entries[place + 1], (text->count - place) * sizeof *text->entries);
	return true;
}
