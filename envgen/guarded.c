#include "guarded.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "memory.h"
#include "state.h"

static char *absolute(const char *path)
{
	AUTO_FREE char *here = path[0] == '/' ? NULL : getcwd(NULL, 0);
	while (path[0] == '.' && path[1] == '/')
		path += 2;
	return here ? file_resolve(here, path) : memory_string(path);
}

static void add(struct guarded *guarded, const char *path, bool folder, int access, const char *what)
{
	if (!path)
		return;
	guarded->list = memory_grow(guarded->list, guarded->count, &guarded->capacity, sizeof *guarded->list);
	guarded->list[guarded->count++] = (struct guarded_path){absolute(path), memory_string(what), folder, access};
}

/* A script and the files it is told to read may hold a secret; what everybody may read, as programs are, holds none. */
static void add_words(struct guarded *guarded, const char *command, const char *what)
{
	AUTO_FREE char **words = source_words(command);
	struct stat status;
	for (size_t i = 0; words && words[i]; i++)
		if (words[i][0] == '/' && stat(words[i], &status) == 0 && S_ISREG(status.st_mode) &&
		    !(status.st_mode & S_IROTH))
			add(guarded, words[i], false, R_OK, what);
}

static void add_source(struct guarded *guarded, const struct source *source, const char *what)
{
	const char *credentials = getenv("CREDENTIALS_DIRECTORY");
	switch (source->kind) {
	case SOURCE_FILE:
	case SOURCE_PASSPHRASE_FILE:
		add(guarded, source->name, false, R_OK, what);
		return;
	case SOURCE_SYSTEMD:
		if (credentials && *credentials)
			add(guarded, credentials, true, R_OK, "systemd's credentials");
		return;
	case SOURCE_EXEC:
		add_words(guarded, source->name, what);
		return;
	case SOURCE_NONE:
	case SOURCE_VAULT:
	case SOURCE_ENV:
	case SOURCE_PASSPHRASE:
		return;
	}
}

static void add_credential(struct guarded *guarded, const struct config_credential *credential)
{
	AUTO_FREE char *what = memory_format("a secret of credential %s", credential->name);
	AUTO_FREE char *key = memory_format("the client key of credential %s", credential->name);
	for (size_t i = 0; i < credential->secret_count; i++)
		add_source(guarded, &credential->secrets[i].source, what);
	add_source(guarded, &credential->client_key, key);
}

void guarded_find(const struct config *config, struct guarded *guarded)
{
	AUTO_FREE char *state = state_folder(config->state);
	add(guarded, config->vault_file, false, R_OK, "the vault");
	add_source(guarded, &config->vault_key, "the vault's key");
	if (!config->session.none)
		add_source(guarded, &config->session.key, "the session key");
	for (size_t i = 0; i < config->credential_count; i++)
		add_credential(guarded, &config->credentials[i]);
	add_source(guarded, &config->parent.auth, "the password of the parent proxy");
	add(guarded, config->tls.ca_key, false, R_OK, "the CA's key");
	add(guarded, state, true, R_OK | X_OK, "the state folder");
	if (config->admin.on && config->admin.listener.kind == LISTENER_UNIX)
		add(guarded, config->admin.listener.path, false, W_OK, "the admin socket");
}

void guarded_free(struct guarded *guarded)
{
	for (size_t i = 0; i < guarded->count; i++) {
		free(guarded->list[i].path);
		free(guarded->list[i].what);
	}
	free(guarded->list);
	*guarded = (struct guarded){0};
}
