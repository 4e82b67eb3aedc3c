/* One look at one source, and whether what stands there is a secret. */
#include <stdlib.h>
#include <unistd.h>

#include "file.h"
#include "memory.h"
#include "steady.h"
#include "secret_use.h"
#include "secrets_internal.h"

#define VALUE_LIMIT (64 * 1024)

void secrets_keep_warning(struct secrets *secrets, const char *line)
{
	secrets->vault_warnings = memory_grow(secrets->vault_warnings, secrets->warning_count, &secrets->warning_capacity,
	                                      sizeof *secrets->vault_warnings);
	secrets->vault_warnings[secrets->warning_count++] = memory_string(line);
}

/* One look at the vault serves all secrets in it. Its print is taken first: what is put in its place meanwhile is found at the next
 * look. There is none where the generation could not be kept, which is tried each time, nor where some values are those of the look
 * before, between which and now it may have changed. */
static void open_vault(struct look *look, struct secrets *secrets)
{
	const char *line;
	struct vault_print *print = secrets_vault_print(look->config, secrets->held);
	look->vault_tried = true;
	look->vault_opened = steady_now();
	look->vault = secrets_vault_open(look->config, look->previous == NULL, &secrets->held, &look->vault_fault);
	for (size_t i = 0; look->vault && (line = vault_warning(look->vault, i)) != NULL; i++)
		secrets_keep_warning(secrets, line);
	secrets->state_lost = look->vault && !vault_state_kept(look->vault);
	if (look->vault && !secrets->state_lost && !look->vault_fits)
		secrets->vault_print = vault_print_ref(print);
	vault_print_unref(print);
}

/* Is it the same as at the look before? Then what was found in it then is there now. */
static bool find_again(struct look *look, const struct entry *entry, struct find *find)
{
	const struct entry *last = secrets_last_look(look, entry);
	if (!last || look->vault_tried)
		return false;
	if (!look->vault_opened) {
		look->vault_opened = steady_now();
		look->vault_fits = secrets_vault_fits(look->config, look->previous->held, look->previous->vault_print);
	}
	if (!look->vault_fits)
		return false;
	buffer_span(&find->raw, last->value.bytes);
	find->value = buffer_view(&find->raw);
	find->clean = true;
	find->why = memory_string(last->stale ? last->stale : last->why);
	return true;
}

void secrets_read_end(struct look *look, struct secrets *secrets)
{
	vault_close(look->vault);
	if (look->vault_tried || !look->vault_fits)
		return;
	secrets->vault_print = vault_print_ref(look->previous->vault_print);
	for (size_t i = 0; i < look->previous->warning_count; i++)
		secrets_keep_warning(secrets, look->previous->vault_warnings[i]);
}

static void read_vault(struct look *look, struct secrets *secrets, const struct entry *entry, struct find *find)
{
	const char *name = entry->source->name;
	struct span value;
	if (find_again(look, entry, find))
		return;
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

static void read_path(const struct look *look, const char *prefix, const char *path, const char *missing, struct find *find)
{
	struct fault fault = FAULT_INIT;
	find->path = memory_string(path);
	find->print = file_print(path);
	bool done = file_read(path, VALUE_LIMIT, &find->raw, &fault);
	find->unsettled = look->still && file_is_fresh(path, look->still); /* behind the reading: what was written meanwhile counts */
	if (done)
		return;
	if (fault.code == FAULT_MISSING)
		find->why = memory_format("%s%s; %s", prefix, fault.text, missing);
	else if (fault.code == FAULT_DENIED)
		find->why = memory_format("%s%s; let user %u, who runs proxyd, read it", prefix, fault.text,
		                          (unsigned)geteuid());
	else
		find->why = memory_format("%s%s", prefix, fault.text);
}

static void read_systemd(const struct look *look, const struct entry *entry, struct find *find)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY"), *name = entry->source->name;
	AUTO_FREE char *advice = memory_format("add LoadCredential=%s:PATH to the unit", name);
	if (!folder || !*folder) {
		find->why = memory_format("systemd:%s: $CREDENTIALS_DIRECTORY is not set; %s", name, advice);
		return;
	}
	AUTO_FREE char *path = file_resolve(folder, name);
	AUTO_FREE char *prefix = memory_format("systemd:%s: ", name);
	read_path(look, prefix, path, advice, find);
}

static void read_env(const struct entry *entry, struct find *find)
{
	const char *name = entry->source->name, *value = getenv(name);
	if (value)
		buffer_string(&find->raw, value);
	else
		find->why = memory_format("env:%s: not set; set it where proxyd is started", name);
}

/* A value that was read, and is no secret as it stands. */
static void judge_value(const struct entry *entry, struct find *find)
{
	find->value = buffer_view(&find->raw);
	const char *unfit = secret_clean(&find->value, entry->lines);
	if (unfit)
		find->why = secret_use_unfit(entry->source, entry->lines, unfit);
}

void secrets_read(struct look *look, struct secrets *secrets, const struct entry *entry, struct find *find)
{
	const struct source *source = entry->source;
	if (source->kind == SOURCE_VAULT)
		read_vault(look, secrets, entry, find);
	else if (source->kind == SOURCE_FILE)
		read_path(look, "file:", source->name, "once it is there, it is used", find);
	else if (source->kind == SOURCE_ENV)
		read_env(entry, find);
	else if (source->kind == SOURCE_SYSTEMD)
		read_systemd(look, entry, find);
	else
		find->why = memory_string("no source is named");
	if (!find->why && !find->clean)
		judge_value(entry, find);
}
