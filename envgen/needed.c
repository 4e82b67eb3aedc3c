#include "needed.h"

#include <stdlib.h>

#include "file.h"
#include "memory.h"

/* To hide one of these, or what it lies in, would break nearly every program. */
static const char *const of_every_system[] = {
	"/usr/bin", "/usr/lib", "/usr/local/bin", "/bin", "/lib", "/lib64", "/sbin", "/etc/ssl/certs", "/etc/pki", "/dev/shm",
	"/proc", "/sys", "/tmp", "/var/tmp", "/run", "/home", "/opt", "/root", "/srv", "/var/lib", "/var/run",
};

static void add(struct string_list *needed, const char *path)
{
	char *resolved = path ? realpath(path, NULL) : NULL;
	if (!resolved)
		return;
	needed->list = memory_resize(needed->list, needed->count + 1, sizeof *needed->list);
	needed->list[needed->count++] = resolved;
}

/* A socket that proxyd has yet to make is needed as much. */
static void add_socket(struct string_list *needed, const char *path)
{
	AUTO_FREE char *name = file_folder(path), *folder = realpath(name, NULL);
	const char *last = strrchr(path, '/');
	if (!folder)
		return;
	needed->list = memory_resize(needed->list, needed->count + 1, sizeof *needed->list);
	needed->list[needed->count++] = memory_format("%s/%s", folder, last ? last + 1 : path);
}

void needed_find(const struct config *config, const char *program, const char *const *bundles, size_t bundle_count,
                 struct string_list *needed)
{
	AUTO_FREE char *file = file_find_program(program);
	for (size_t i = 0; i < sizeof of_every_system / sizeof *of_every_system; i++)
		add(needed, of_every_system[i]);
	add(needed, ".");
	add(needed, getenv("HOME"));
	add(needed, file);
	for (size_t i = 0; i < bundle_count; i++)
		add(needed, bundles[i]);
	for (size_t i = 0; i < config->listener_count; i++)
		if (config->listeners[i].kind == LISTENER_UNIX)
			add_socket(needed, config->listeners[i].path);
}

void needed_free(struct string_list *needed)
{
	for (size_t i = 0; i < needed->count; i++)
		free(needed->list[i]);
	free(needed->list);
	*needed = (struct string_list){0};
}
