#include "written.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "file.h"
#include "memory.h"
#include "state.h"
#include "trust_paths.h"
#include "watched.h"

static void add(struct written *written, char *path, char *file, const char *key, enum written_how how)
{
	written->list = memory_grow(written->list, written->count, &written->capacity, sizeof *written->list);
	written->list[written->count++] = (struct written_place){.path = path, .file = file, .key = key, .how = how};
}

static void add_folder(struct written *written, const char *path, const char *key, enum written_how how)
{
	char *whole = watched_absolute(path);
	add(written, file_folder(whole), whole, key, how);
}

/* What is opened by its name, through links: the folder in which it then lies. */
static void add_opened(struct written *written, const char *path, const char *key, enum written_how how)
{
	AUTO_FREE char *real = realpath(path, NULL);
	add_folder(written, real ? real : path, key, how);
}

static void add_audit(struct written *written, const char *path)
{
	struct stat status;
	if (!path || !strcmp(path, "-"))
		return;
	if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
		add(written, watched_absolute(path), NULL, "audit", WRITTEN_APPENDED);
	else
		add_opened(written, path, "audit", WRITTEN_APPENDED);
}

/* A token endpoint may replace the refresh token, which is then stored. */
static bool stores_tokens(const struct config *config)
{
	for (size_t i = 0; i < config->credential_count; i++) {
		const struct config_credential *credential = &config->credentials[i];
		for (size_t k = 0; config_minting(credential) && k < credential->secret_count; k++)
			if (!strcmp(credential->secrets[k].id, "refresh"))
				return true;
	}
	return false;
}

static void add_socket(struct written *written, const struct config_listener *listener, const char *key)
{
	if (listener->kind == LISTENER_UNIX)
		add_folder(written, listener->path, key, WRITTEN_REMOVED);
}

void written_find(const struct config *config, struct written *written)
{
	AUTO_FREE char *ca = trust_ca_path(config), *bundle = trust_bundle_path(config);
	char *state = state_folder(config->state);
	*written = (struct written){0};
	add_audit(written, config->audit.file);
	if (state)
		add(written, watched_absolute(state), NULL, "state", WRITTEN_REPLACED);
	free(state);
	if (ca)
		add_folder(written, ca, "tls.ca_out", WRITTEN_REPLACED);
	if (bundle)
		add_folder(written, bundle, "tls.bundle_out", WRITTEN_REPLACED);
	if (config->vault_file && stores_tokens(config))
		add_opened(written, config->vault_file, "vault", WRITTEN_REPLACED);
	for (size_t i = 0; i < config->listener_count; i++)
		add_socket(written, &config->listeners[i], "listen");
	if (config->admin.on)
		add_socket(written, &config->admin.listener, "admin");
}

void written_free(struct written *written)
{
	for (size_t i = 0; i < written->count; i++) {
		free(written->list[i].path);
		free(written->list[i].file);
	}
	free(written->list);
	*written = (struct written){0};
}
