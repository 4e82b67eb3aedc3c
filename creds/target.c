#include "target.h"

#include <stdlib.h>

#include "commands.h"
#include "file.h"
#include "log.h"
#include "memory.h"
#include "prompt.h"

#define VAULT_FILE_NAME "secrets.vault"
#define VAULT_KEY_NAME "vault.key"
#define SESSION_KEY_NAME "session.key"

/* What the configuration warns of (a vault that is not there yet) is what creds is about: not told here. */
static bool load(const char *path, bool found_here, struct target *target, struct fault *fault)
{
	struct config_messages errors = {0}, warnings = {0};
	target->config = config_load(path, found_here, &errors, &warnings);
	config_messages_tell(&errors, log_error);
	config_messages_free(&errors);
	config_messages_free(&warnings);
	if (target->config)
		return true;
	return fault_set(fault, FAULT_USAGE, "mend %s, or name the vault: --vault FILE --key SOURCE", path);
}

/* A command line that names vault and key needs no configuration, unless it names that too. */
static bool find_config(const struct options *options, struct target *target, struct fault *fault)
{
	if (options->vault && options->key && !options->config)
		return true;
	bool found_here;
	AUTO_FREE char *path = config_find(options->config, &found_here, NULL);
	return !path || load(path, found_here, target, fault);
}

/* The key file `name` beside the configuration, or in this folder where there is none. */
static struct source beside(const struct target *target, const char *name)
{
	char *path = target->config ? file_resolve(target->config->folder, name) : memory_string(name);
	return (struct source){.kind = SOURCE_FILE, .name = path, .text = memory_format("file:%s", name)};
}

static bool find_vault(const struct options *options, struct target *target, struct fault *fault)
{
	const struct config *config = target->config;
	const char *file = options->vault ? options->vault : config ? config->vault_file : NULL;
	target->vault_assumed = !file;
	if (file)
		target->vault_file = memory_string(file);
	else
		target->vault_file = config ? file_resolve(config->folder, VAULT_FILE_NAME) : memory_string(VAULT_FILE_NAME);
	if (options->key)
		return source_parse_key(span_of(options->key), ".", &target->vault_key, fault) || fault_wrap(fault, "--key");
	bool said = config && config->vault_key.kind != SOURCE_NONE;
	target->vault_key = said ? source_copy(&config->vault_key) : beside(target, VAULT_KEY_NAME);
	return true;
}

static void find_session(const struct options *options, struct target *target)
{
	const struct config *config = target->config;
	if (options->vault || (config && config->session.none))
		return;
	bool said = config && config->session.key.kind != SOURCE_NONE;
	target->session_key = said ? source_copy(&config->session.key) : beside(target, SESSION_KEY_NAME);
}

bool target_find(const struct options *options, struct target *target, struct fault *fault)
{
	*target = (struct target){0};
	if (!find_config(options, target, fault) || !find_vault(options, target, fault))
		return false;
	find_session(options, target);
	return true;
}

void target_free(struct target *target)
{
	config_free(target->config);
	free(target->vault_file);
	source_free(&target->vault_key);
	source_free(&target->session_key);
}

struct vault_place target_place(const struct target *target)
{
	return (struct vault_place){
		.file = target->vault_file,
		.key = &target->vault_key,
		.state = target->config ? target->config->state : NULL,
		.ask = prompt_secret,
	};
}

void target_tell_warnings(const struct vault *vault)
{
	const char *line;
	for (size_t i = 0; (line = vault_warning(vault, i)); i++)
		log_warning("%s", line);
}

static struct vault *told(struct vault *vault)
{
	if (vault)
		target_tell_warnings(vault);
	return vault;
}

struct vault *target_open(const struct target *target, struct fault *fault)
{
	struct vault_place place = target_place(target);
	return told(vault_open(&place, fault));
}

struct vault *target_edit(const struct target *target, struct fault *fault)
{
	struct vault_place place = target_place(target);
	return told(vault_edit(&place, fault));
}
