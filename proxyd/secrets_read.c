/* One look at one source, and whether what stands there is a secret. */
#include <stdlib.h>
#include <unistd.h>

#include "exec.h"
#include "file.h"
#include "memory.h"
#include "minted.h"
#include "secrets_internal.h"

#define VALUE_LIMIT (64 * 1024)
#define EXEC_MS 30000

static void keep_vault_warnings(struct secrets *secrets, const struct vault *vault)
{
	const char *line;
	for (size_t i = 0; (line = vault_warning(vault, i)) != NULL; i++) {
		secrets->vault_warnings = memory_grow(secrets->vault_warnings, secrets->warning_count,
		                                      &secrets->warning_capacity, sizeof *secrets->vault_warnings);
		secrets->vault_warnings[secrets->warning_count++] = memory_string(line);
	}
}

/* One look at the vault serves all secrets in it. */
static void open_vault(struct look *look, struct secrets *secrets)
{
	look->vault_tried = true;
	look->vault_opened = minted_now();
	look->vault = secrets_vault_open(look->config, look->previous == NULL, &secrets->held, &look->vault_fault);
	if (look->vault)
		keep_vault_warnings(secrets, look->vault);
}

static void read_vault(struct look *look, struct secrets *secrets, const struct entry *entry, struct find *find)
{
	const char *name = entry->source->name;
	struct span value;
	if (!look->vault_tried)
		open_vault(look, secrets);
	if (!look->vault) {
		bool absent = look->config->vault_file && access(look->config->vault_file, F_OK) != 0;
		find->why = memory_format("vault:%s: %s%s%s", name, look->vault_fault.text,
		                          absent ? ", then: creds set " : "", absent ? name : "");
	} else if (vault_get(look->vault, span_of(name), &value)) {
		buffer_span(&find->raw, value);
	} else {
		find->why = memory_format("vault:%s: not in the vault %s; put it there: creds set %s", name,
		                          look->config->vault_file, name);
		find->withdrawn = true;
	}
}

static void read_path(const char *prefix, const char *path, const char *missing, struct find *find)
{
	struct fault fault = FAULT_INIT;
	if (file_read(path, VALUE_LIMIT, &find->raw, &fault))
		return;
	if (fault.code == FAULT_MISSING)
		find->why = memory_format("%s%s; %s", prefix, fault.text, missing);
	else if (fault.code == FAULT_DENIED)
		find->why = memory_format("%s%s; let user %u, who runs proxyd, read it", prefix, fault.text,
		                          (unsigned)geteuid());
	else
		find->why = memory_format("%s%s", prefix, fault.text);
}

static void read_systemd(const struct entry *entry, struct find *find)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY"), *name = entry->source->name;
	AUTO_FREE char *advice = memory_format("add LoadCredential=%s:PATH to the unit", name);
	if (!folder || !*folder) {
		find->why = memory_format("systemd:%s: $CREDENTIALS_DIRECTORY is not set; %s", name, advice);
		return;
	}
	AUTO_FREE char *path = file_resolve(folder, name);
	AUTO_FREE char *prefix = memory_format("systemd:%s: ", name);
	read_path(prefix, path, advice, find);
}

static void read_env(const struct entry *entry, struct find *find)
{
	const char *name = entry->source->name, *value = getenv(name);
	if (value)
		buffer_string(&find->raw, value);
	else
		find->why = memory_format("env:%s: not set; set it where proxyd is started", name);
}

/* The program alone: an argument may hold what should not be shown. */
static char *exec_label(const struct source *source)
{
	AUTO_FREE char **words = source_words(source->name);
	return memory_format("exec:%s", words ? words[0] : "");
}

static void read_exec(const struct entry *entry, struct find *find)
{
	struct fault fault = FAULT_INIT;
	AUTO_FREE char *label = exec_label(entry->source);
	if (!exec_run(entry->source->name, EXEC_MS, VALUE_LIMIT, &find->raw, &fault))
		find->why = memory_format("%s: %s", label, fault.text);
}

static char *source_label(const struct source *source)
{
	return source->kind == SOURCE_EXEC ? exec_label(source) : memory_string(source->text);
}

/* A value that was read, and is no secret as it stands. */
static void judge_value(const struct entry *entry, struct find *find)
{
	find->value = buffer_view(&find->raw);
	const char *unfit = secret_clean(&find->value, entry->lines);
	if (!unfit)
		return;
	AUTO_FREE char *label = source_label(entry->source);
	if (entry->source->kind == SOURCE_VAULT)
		find->why = memory_format("%s %s; set it again: creds set %s", label, unfit, entry->source->name);
	else
		find->why = memory_format("%s %s; the secret must stand there alone%s", label, unfit,
		                          entry->lines ? "" : ", on one line");
}

void secrets_read(struct look *look, struct secrets *secrets, const struct entry *entry, struct find *find)
{
	const struct source *source = entry->source;
	if (source->kind == SOURCE_VAULT)
		read_vault(look, secrets, entry, find);
	else if (source->kind == SOURCE_FILE)
		read_path("file:", source->name, "once it is there, send proxyd SIGHUP", find);
	else if (source->kind == SOURCE_ENV)
		read_env(entry, find);
	else if (source->kind == SOURCE_SYSTEMD)
		read_systemd(entry, find);
	else if (source->kind == SOURCE_EXEC)
		read_exec(entry, find);
	else
		find->why = memory_string("no source is named");
	if (!find->why)
		judge_value(entry, find);
}
