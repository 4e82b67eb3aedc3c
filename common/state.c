#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "file.h"
#include "memory.h"
#include "quantity.h"

char *state_folder(const char *configured)
{
	if (configured)
		return memory_string(configured);
	const char *systemd = getenv("STATE_DIRECTORY");
	if (systemd && *systemd)
		return memory_span((struct span){systemd, strcspn(systemd, ":")});
	const char *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	if (xdg && *xdg == '/')
		return memory_format("%s/keystile", xdg);
	if (home && *home == '/')
		return memory_format("%s/.local/state/keystile", home);
	return NULL;
}

static char *path_of(const char *folder, const unsigned char uuid[STATE_UUID])
{
	char hex[2 * STATE_UUID + 1];
	for (size_t i = 0; i < STATE_UUID; i++)
		snprintf(hex + 2 * i, 3, "%02x", uuid[i]);
	return memory_format("%s/vault-%s", folder, hex);
}

static bool read_number(const char *path, uint64_t *generation, struct fault *fault)
{
	AUTO_BUFFER struct buffer content = {0};
	struct fault why = FAULT_INIT;
	*generation = 0;
	if (!file_read(path, 64, &content, &why))
		return why.code == FAULT_MISSING || fault_set(fault, why.code, "%s", why.text);
	struct span text = buffer_view(&content);
	if (span_ends(text, SPAN("\n")))
		text.length--;
	if (!quantity_number(text, 0, UINT64_MAX, generation, NULL))
		return fault_set(fault, FAULT_BROKEN, "%s: does not hold a number", path);
	return true;
}

bool state_generation(const char *folder, const unsigned char uuid[STATE_UUID], uint64_t *generation,
                      struct fault *fault)
{
	AUTO_FREE char *path = path_of(folder, uuid);
	return read_number(path, generation, fault);
}

static bool keep_locked(const char *path, uint64_t generation, bool lower, struct fault *fault)
{
	uint64_t kept;
	if (!lower && !read_number(path, &kept, fault))
		return false;
	if (!lower && kept >= generation)
		return true;
	char text[24];
	int length = snprintf(text, sizeof text, "%" PRIu64 "\n", generation);
	return file_replace(path, (struct span){text, (size_t)length}, 0600, fault);
}

bool state_keep_generation(const char *folder, const unsigned char uuid[STATE_UUID], uint64_t generation, bool lower,
                           struct fault *fault)
{
	AUTO_FREE char *path = path_of(folder, uuid);
	if (!file_make_folder(path, fault))
		return false;
	/* The folder itself is the lock: two that have seen different generations must not leave the lower one. */
	int lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0)
		return fault_errno(fault, "%s", folder);
	while (flock(lock, LOCK_EX) != 0 && errno == EINTR)
		continue;
	bool done = keep_locked(path, generation, lower, fault);
	close(lock);
	return done;
}
