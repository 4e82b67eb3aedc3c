#include "secrets.h"

#include <stdlib.h>
#include <unistd.h>

#include "exec.h"
#include "file.h"
#include "memory.h"
#include "secret.h"
#include "secrets_vault.h"
#include "table.h"

#define VALUE_LIMIT (64 * 1024)
#define EXEC_MS 30000
#define RENEW_PERCENT 80
#define RETRY 30 /* seconds until a failed exec is tried again, at most */

/* One source, however many credentials use it. */
struct entry {
	char *key; /* what makes two uses of a source the same */
	const struct source *source;
	bool lines;    /* line breaks inside are fine */
	uint64_t ttl;  /* seconds; exec alone */
	char *why, *stale;
	struct secret_value value;
};

struct secrets {
	struct entry *entries;
	size_t count, capacity;
	size_t **used; /* for each credential and each of its secrets: which entry */
	size_t credentials;
	size_t parent; /* the entry of the parent proxy's `auth`, from 1; 0: none */
	struct table by_key;
	struct secret_arena *arena;
	struct held_key *held;
	char **vault_warnings;
	size_t warning_count, warning_capacity;
};

/* What one look at a source found. */
struct find {
	struct buffer raw;
	struct span value; /* within `raw` */
	char *why;         /* NULL: a good value */
	bool withdrawn;    /* the operator took it away: the last good value goes too */
};

struct look {
	const struct config *config;
	const struct secrets *previous;
	time_t now;
	struct find *finds;
	bool vault_tried;
	struct vault *vault;
	struct fault vault_fault;
};

static bool takes_lines(const struct config_credential *credential)
{
	for (size_t i = 0; i < credential->injection_count; i++)
		if (credential->injections[i].kind == INJECT_JWT)
			return true;
	return false;
}

static bool is_client_key(const struct config_credential *credential, size_t index)
{
	return index == credential->secret_count;
}

static const struct source *source_of(const struct config_credential *credential, size_t index)
{
	return is_client_key(credential, index) ? &credential->client_key : &credential->secrets[index].source;
}

/* `group`: what belongs together is read by itself; "": what stands alone. */
static size_t find_or_add(struct secrets *secrets, const struct source *source, bool lines, uint64_t ttl, const char *group)
{
	char *key = memory_format("%d %d %llu %s %s", (int)source->kind, lines, (unsigned long long)ttl, group, source->name);
	uintptr_t known = (uintptr_t)table_get(&secrets->by_key, span_of(key));
	if (known) {
		free(key);
		return known - 1;
	}
	secrets->entries =
		memory_grow(secrets->entries, secrets->count, &secrets->capacity, sizeof *secrets->entries);
	secrets->entries[secrets->count] = (struct entry){.key = key, .source = source, .lines = lines, .ttl = ttl};
	table_put(&secrets->by_key, span_of(key), (void *)(uintptr_t)(secrets->count + 1));
	return secrets->count++;
}

static size_t list_secret(struct secrets *secrets, const struct config_credential *credential, size_t index)
{
	const struct source *source = source_of(credential, index);
	uint64_t ttl = source->kind == SOURCE_EXEC ? (credential->ttl + 999) / 1000 : 0;
	bool client = is_client_key(credential, index), alone = client || credential->secret_count == 1;
	return find_or_add(secrets, source, client || takes_lines(credential), ttl, alone ? "" : credential->name);
}

static struct secrets *list_sources(const struct config *config)
{
	struct secrets *secrets = memory_alloc(sizeof *secrets);
	secrets->credentials = config->credential_count;
	secrets->used = memory_array(config->credential_count, sizeof *secrets->used);
	for (size_t i = 0; i < config->credential_count; i++) {
		const struct config_credential *credential = &config->credentials[i];
		secrets->used[i] = memory_array(secrets_count(credential), sizeof **secrets->used);
		for (size_t j = 0; j < secrets_count(credential); j++)
			secrets->used[i][j] = list_secret(secrets, credential, j);
	}
	if (config->parent.auth.kind != SOURCE_NONE)
		secrets->parent = find_or_add(secrets, &config->parent.auth, false, 0, "") + 1;
	return secrets;
}

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

static void read_source(struct look *look, struct secrets *secrets, const struct entry *entry, struct find *find)
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

static const struct entry *last_good(const struct look *look, const struct entry *entry)
{
	if (!look->previous)
		return NULL;
	uintptr_t known = (uintptr_t)table_get(&look->previous->by_key, span_of(entry->key));
	const struct entry *last = known ? &look->previous->entries[known - 1] : NULL;
	return last && last->value.ready && (!last->value.expires || last->value.expires > look->now) ? last : NULL;
}

static time_t retry_at(const struct entry *entry, time_t now)
{
	time_t wait = entry->ttl ? (time_t)(entry->ttl / 10) : RETRY;
	return now + (wait < 1 ? 1 : wait > RETRY ? RETRY : wait);
}

/* A value that is taken over keeps its times; its bytes are copied like a new one's. */
static void take_over(struct entry *entry, const struct entry *last, struct find *find)
{
	entry->value = last->value;
	entry->stale = memory_string(last->stale);
	buffer_span(&find->raw, last->value.bytes);
	find->value = buffer_view(&find->raw);
}

/* Secrets of one credential belong together: where one of them stays at its last good value, so do the others. */
static void keep_together(struct look *look, struct secrets *secrets, const struct config_credential *credential,
                          struct find *finds)
{
	const size_t *used = secrets->used[credential->number];
	bool any_kept = false;
	for (size_t i = 0; i < credential->secret_count; i++)
		any_kept |= secrets->entries[used[i]].stale != NULL;
	for (size_t i = 0; any_kept && credential->secret_count > 1 && i < credential->secret_count; i++) {
		struct entry *entry = &secrets->entries[used[i]];
		const struct entry *last = last_good(look, entry);
		if (!entry->value.ready || entry->stale || !last)
			continue;
		buffer_wipe(&finds[used[i]].raw);
		take_over(entry, last, &finds[used[i]]);
	}
}

static void take_new(struct look *look, struct entry *entry, const struct entry *last, const struct find *find)
{
	bool same = last && secret_equal(last->value.bytes, find->value);
	entry->value.ready = true;
	entry->value.changed = same ? last->value.changed : look->now;
	if (entry->ttl) {
		entry->value.renew = look->now + (time_t)(entry->ttl * RENEW_PERCENT / 100);
		entry->value.expires = look->now + (time_t)entry->ttl;
	}
}

static void settle(struct look *look, struct secrets *secrets, struct entry *entry, struct find *find)
{
	const struct entry *last = last_good(look, entry);
	bool exec = entry->source->kind == SOURCE_EXEC;
	if (exec && last && (!last->value.renew || look->now < last->value.renew)) {
		take_over(entry, last, find);
		return;
	}
	look->now = time(NULL); /* before the command runs: what it gives cannot be younger */
	read_source(look, secrets, entry, find);
	if (!find->why) {
		take_new(look, entry, last, find);
		return;
	}
	buffer_wipe(&find->raw);
	find->value = (struct span){NULL, 0};
	if (last && !find->withdrawn) {
		take_over(entry, last, find);
		free(entry->stale);
		entry->stale = find->why;
	} else {
		entry->why = find->why;
	}
	find->why = NULL;
	if (exec)
		entry->value.renew = retry_at(entry, look->now);
}

static void move_into_arena(struct secrets *secrets, struct find *finds)
{
	size_t size = 0;
	for (size_t i = 0; i < secrets->count; i++)
		size += finds[i].value.length + 1;
	secrets->arena = secret_arena_new(size);
	for (size_t i = 0; i < secrets->count; i++) {
		struct entry *entry = &secrets->entries[i];
		if (entry->value.ready)
			entry->value.bytes = secret_arena_add(secrets->arena, finds[i].value);
		entry->value.why = entry->why;
		entry->value.stale = entry->stale;
		entry->source = NULL; /* the configuration's: it may be gone before this set is */
		buffer_wipe(&finds[i].raw);
	}
	secret_arena_seal(secrets->arena);
}

struct secrets *secrets_load(const struct config *config, const struct secrets *previous)
{
	struct secrets *secrets = list_sources(config);
	struct look look = {.config = config, .previous = previous, .now = time(NULL)};
	struct find *finds = memory_array(secrets->count, sizeof *finds);
	secrets->held = held_key_ref(previous ? previous->held : NULL);
	for (size_t i = 0; i < secrets->count; i++)
		settle(&look, secrets, &secrets->entries[i], &finds[i]);
	for (size_t i = 0; i < config->credential_count; i++)
		keep_together(&look, secrets, &config->credentials[i], finds);
	vault_close(look.vault);
	move_into_arena(secrets, finds);
	free(finds);
	return secrets;
}

size_t secrets_count(const struct config_credential *credential)
{
	return credential->secret_count + (credential->client_cert != NULL);
}

const struct secret_value *secrets_get(const struct secrets *secrets, const struct config_credential *credential,
                                       size_t index)
{
	return &secrets->entries[secrets->used[credential->number][index]].value;
}

bool secrets_ready(const struct secrets *secrets, const struct config_credential *credential, const char **why)
{
	for (size_t i = 0; i < secrets_count(credential); i++) {
		const struct secret_value *value = secrets_get(secrets, credential, i);
		if (!value->ready) {
			*why = value->why;
			return false;
		}
	}
	return true;
}

const struct secret_value *secrets_parent(const struct secrets *secrets)
{
	return secrets->parent ? &secrets->entries[secrets->parent - 1].value : NULL;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* The times and reasons count too: a set that differs in them is news for whoever renews, or asks what is not ready. */
static bool same_value(const struct entry *a, const struct entry *b)
{
	return strcmp(a->key, b->key) == 0 && a->value.ready == b->value.ready &&
	       a->value.expires == b->value.expires && a->value.renew == b->value.renew && same_text(a->why, b->why) &&
	       same_text(a->stale, b->stale) && secret_equal(a->value.bytes, b->value.bytes);
}

bool secrets_same(const struct secrets *a, const struct secrets *b)
{
	if (a->count != b->count || a->credentials != b->credentials)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!same_value(&a->entries[i], &b->entries[i]))
			return false;
	return true;
}

const char *secrets_vault_warning(const struct secrets *secrets, size_t index)
{
	return index < secrets->warning_count ? secrets->vault_warnings[index] : NULL;
}

time_t secrets_next_renewal(const struct secrets *secrets)
{
	time_t next = 0;
	for (size_t i = 0; i < secrets->count; i++) {
		time_t renew = secrets->entries[i].value.renew;
		if (renew && (!next || renew < next))
			next = renew;
	}
	return next;
}

void secrets_free(struct secrets *secrets)
{
	if (!secrets)
		return;
	for (size_t i = 0; i < secrets->count; i++) {
		free(secrets->entries[i].key);
		free(secrets->entries[i].why);
		free(secrets->entries[i].stale);
	}
	for (size_t i = 0; i < secrets->credentials; i++)
		free(secrets->used[i]);
	for (size_t i = 0; i < secrets->warning_count; i++)
		free(secrets->vault_warnings[i]);
	free(secrets->entries);
	free(secrets->used);
	free(secrets->vault_warnings);
	table_free(&secrets->by_key);
	secret_arena_free(secrets->arena);
	held_key_unref(secrets->held);
	free(secrets);
}
