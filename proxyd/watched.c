#include "watched.h"

#include <stdlib.h>
#include <unistd.h>

#include "file.h"
#include "memory.h"

char *watched_absolute(const char *path)
{
	AUTO_FREE char *here = getcwd(NULL, 0);
	while (path[0] == '.' && path[1] == '/')
		path += 2;
	return file_resolve(here ? here : "/", path);
}

void watched_add(struct watched *watched, const char *path)
{
	if (!path)
		return;
	watched->list = memory_grow(watched->list, watched->count, &watched->capacity, sizeof *watched->list);
	watched->list[watched->count++] = watched_absolute(path);
}

static void add_source(struct watched *watched, const struct source *source)
{
	const char *credentials = getenv("CREDENTIALS_DIRECTORY");
	if (source->kind == SOURCE_FILE || source->kind == SOURCE_PASSPHRASE_FILE) {
		watched_add(watched, source->name);
	} else if (source->kind == SOURCE_SYSTEMD && credentials && *credentials) {
		AUTO_FREE char *path = file_resolve(credentials, source->name);
		watched_add(watched, path);
	}
}

static void add_credential(struct watched *watched, const struct config_credential *credential)
{
	for (size_t i = 0; i < credential->secret_count; i++)
		add_source(watched, &credential->secrets[i].source);
	watched_add(watched, credential->ca);
	watched_add(watched, credential->client_cert);
	add_source(watched, &credential->client_key);
}

void watched_find(const struct config *config, struct watched *watched)
{
	*watched = (struct watched){0};
	watched_add(watched, config->vault_file);
	add_source(watched, &config->vault_key);
	if (!config->session.none)
		add_source(watched, &config->session.key);
	for (size_t i = 0; i < config->credential_count; i++)
		add_credential(watched, &config->credentials[i]);
	add_source(watched, &config->parent.auth);
	watched_add(watched, config->tls.ca_cert);
	watched_add(watched, config->tls.ca_key);
}

void watched_free(struct watched *watched)
{
	for (size_t i = 0; i < watched->count; i++)
		free(watched->list[i]);
	free(watched->list);
	*watched = (struct watched){0};
}
