#include "secrets.h"

#include <stdlib.h>

#include "memory.h"
#include "steady.h"
#include "secret_use.h"
#include "secrets_internal.h"
#include "text.h"

#define MOST_UNSETTLED 50 /* looks: some file systems have the time of the look for the time of every change */

static size_t find_or_add(struct secrets *secrets, struct secret_use use)
{
	char *key = secret_use_key(use);
	uintptr_t known = (uintptr_t)table_get(&secrets->by_key, span_of(key));
	if (known) {
		free(key);
		return known - 1;
	}
	secrets->entries =
		memory_grow(secrets->entries, secrets->count, &secrets->capacity, sizeof *secrets->entries);
	secrets->entries[secrets->count] = (struct entry){.key = key, .source = use.source, .lines = use.lines};
	table_put(&secrets->by_key, span_of(key), (void *)(uintptr_t)(secrets->count + 1));
	return secrets->count++;
}

static struct secrets *list_sources(const struct config *config)
{
	struct secrets *secrets = memory_alloc(sizeof *secrets);
	atomic_init(&secrets->references, 1);
	secrets->credentials = config->credential_count;
	secrets->used = memory_array(config->credential_count, sizeof *secrets->used);
	for (size_t i = 0; i < config->credential_count; i++) {
		const struct config_credential *credential = &config->credentials[i];
		secrets->used[i] = memory_array(secrets_count(credential), sizeof **secrets->used);
		for (size_t j = 0; j < secrets_count(credential); j++)
			secrets->used[i][j] = find_or_add(secrets, secret_use_of(credential, j));
	}
	if (config->parent.auth.kind != SOURCE_NONE)
		secrets->parent = find_or_add(secrets, secret_use_of_parent(config)) + 1;
	return secrets;
}

const struct entry *secrets_last_look(const struct look *look, const struct entry *entry)
{
	if (!look->previous)
		return NULL;
	uintptr_t known = (uintptr_t)table_get(&look->previous->by_key, span_of(entry->key));
	return known ? &look->previous->entries[known - 1] : NULL;
}

static bool is_command(const struct entry *entry)
{
	return entry->source->kind == SOURCE_EXEC;
}

static const struct entry *last_good(const struct look *look, const struct entry *entry)
{
	const struct entry *last = secrets_last_look(look, entry);
	bool dropped = last && last->value.number && last->value.number <= entry->dropped;
	return last && !dropped && secrets_good(&last->value, steady_now()) ? last : NULL;
}

/* A value that is taken over keeps its times; its bytes are copied like a new one's. */
static void take_over(struct entry *entry, const struct entry *last, struct find *find)
{
	entry->value = last->value;
	entry->dropped = last->dropped;
	entry->why = memory_string(last->why);
	entry->stale = memory_string(last->stale);
	buffer_span(&find->raw, last->value.bytes);
	find->value = buffer_view(&find->raw);
}

/* The same for one that was looked for anew. A command did run: who waits for what it gives has waited. */
static void take_back(struct entry *entry, const struct entry *last, struct find *find)
{
	struct entry anew = *entry;
	buffer_wipe(&find->raw);
	take_over(entry, last, find);
	entry->dropped = anew.dropped;
	entry->value.number = anew.value.number;
	entry->value.firm = anew.value.firm;
}

/* The set has another value than the vault: that is read again at the next look. */
static void forget_print(struct secrets *secrets)
{
	vault_print_unref(secrets->vault_print);
	secrets->vault_print = NULL;
}

/* What was found is half written, it may be. */
static void take_last_look(struct secrets *secrets, struct entry *entry, const struct entry *last, struct find *find)
{
	buffer_wipe(&find->raw);
	find->value = (struct span){NULL, 0};
	free(find->why);
	find->why = NULL;
	secrets->unsettled = true;
	entry->unsettled = last ? last->unsettled + 1 : 1;
	if (last && last->value.ready)
		take_over(entry, last, find);
	else
		entry->why = memory_string(last ? last->why : "its file has just been written; it is read once it is still");
}

static bool may_wait(const struct look *look, const struct entry *last)
{
	return look->previous && (!last || last->unsettled < MOST_UNSETTLED);
}

/* Were files replaced between the first that was read and now? Then some may be of one set, and some of another. */
static bool has_moved(const struct secrets *secrets, const struct config_credential *credential, const struct find *finds)
{
	for (size_t i = 0; i < credential->secret_count; i++) {
		const struct find *find = &finds[secrets->used[credential->number][i]];
		struct file_print now = find->path ? file_print(find->path) : (struct file_print){0};
		if (find->path && !file_print_same(&find->print, &now))
			return true;
	}
	return false;
}

static void leave_moved(const struct look *look, struct secrets *secrets, const struct config_credential *credential,
                        struct find *finds)
{
	if (credential->secret_count < 2 || !has_moved(secrets, credential, finds))
		return;
	for (size_t i = 0; i < credential->secret_count; i++) {
		size_t at = secrets->used[credential->number][i];
		struct entry *entry = &secrets->entries[at];
		const struct entry *last = secrets_last_look(look, entry);
		if (!finds[at].path || entry->unsettled || !may_wait(look, last))
			continue;
		free(entry->why);
		free(entry->stale);
		entry->why = entry->stale = NULL;
		entry->value = (struct secret_value){0};
		take_last_look(secrets, entry, last, &finds[at]);
	}
}

/* Secrets of one credential belong together: where one of them stays at its last good value, so do the others. */
static void keep_together(struct look *look, struct secrets *secrets, const struct config_credential *credential,
                          struct find *finds)
{
	const size_t *used = secrets->used[credential->number];
	bool any_kept = false;
	for (size_t i = 0; i < credential->secret_count; i++)
		any_kept |= secrets->entries[used[i]].stale || secrets->entries[used[i]].unsettled;
	for (size_t i = 0; any_kept && credential->secret_count > 1 && i < credential->secret_count; i++) {
		struct entry *entry = &secrets->entries[used[i]];
		const struct entry *last = last_good(look, entry);
		if (!entry->value.ready || entry->stale || !last)
			continue;
		if (entry->source->kind == SOURCE_VAULT)
			forget_print(secrets);
		take_back(entry, last, &finds[used[i]]);
	}
}

static void take_new(struct look *look, struct entry *entry, const struct entry *last, const struct find *find)
{
	bool same = last && secret_equal(last->value.bytes, find->value);
	entry->value.ready = true;
	entry->value.changed = same ? last->value.changed : look->now;
	entry->value.looked = entry->source->kind == SOURCE_VAULT ? look->vault_opened : 0;
}

static void settle_command(struct look *look, struct entry *entry, struct find *find)
{
	struct command_value value = {0};
	if (!look->commands || !commands_get(look->commands, entry->key, &find->raw, &value)) {
		AUTO_FREE char *label = secret_use_label(entry->source);
		value.why = memory_format("%s: it was not run", label);
	}
	find->value = buffer_view(&find->raw);
	entry->why = value.why;
	entry->stale = value.stale;
	entry->dropped = value.dropped;
	entry->value = (struct secret_value){.ready = value.ready, .pending = value.pending, .failed = value.failed,
	                                     .changed = value.changed, .until = value.until == UINT64_MAX ? 0 : value.until,
	                                     .again = value.again, .number = value.number, .firm = value.firm};
}

static void settle(struct look *look, struct secrets *secrets, struct entry *entry, struct find *find)
{
	const struct entry *last = last_good(look, entry);
	secrets_read(look, secrets, entry, find);
	const struct entry *before = secrets_last_look(look, entry);
	if (find->unsettled && may_wait(look, before)) {
		take_last_look(secrets, entry, before, find);
		return;
	}
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
		free(finds[i].path);
	}
	secret_arena_seal(secrets->arena);
}

/* What all have, with the values that were found. */
static struct secrets *finish(struct look *look, struct secrets *secrets, struct find *finds)
{
	for (size_t i = 0; i < look->config->credential_count; i++)
		keep_together(look, secrets, &look->config->credentials[i], finds);
	move_into_arena(secrets, finds);
	free(finds);
	return secrets;
}

struct secrets *secrets_renumbered(const struct config *config, const struct secrets *set)
{
	struct secrets *secrets = list_sources(config);
	struct look look = {.config = config, .previous = set};
	struct find *finds = memory_array(secrets->count, sizeof *finds);
	for (size_t i = 0; i < secrets->count; i++) {
		struct entry *entry = &secrets->entries[i];
		const struct entry *last = secrets_last_look(&look, entry);
		if (last && last->value.ready)
			take_over(entry, last, &finds[i]);
		else
			entry->why = memory_string("not read");
	}
	move_into_arena(secrets, finds);
	free(finds);
	return secrets;
}

struct secrets *secrets_load(const struct config *config, const struct secrets *previous, struct commands *commands)
{
	return secrets_look(config, previous, commands, 0);
}

struct secrets *secrets_look(const struct config *config, const struct secrets *previous, struct commands *commands,
                             unsigned still)
{
	struct secrets *secrets = list_sources(config);
	struct look look = {.config = config, .previous = previous, .commands = commands, .still = still, .now = time(NULL)};
	struct find *finds = memory_array(secrets->count, sizeof *finds);
	secrets->held = held_key_ref(previous ? previous->held : NULL);
	for (size_t i = 0; i < secrets->count; i++)
		if (is_command(&secrets->entries[i]))
			settle_command(&look, &secrets->entries[i], &finds[i]);
		else
			settle(&look, secrets, &secrets->entries[i], &finds[i]);
	secrets_read_end(&look, secrets);
	for (size_t i = 0; i < config->credential_count; i++)
		leave_moved(&look, secrets, &config->credentials[i], finds);
	return finish(&look, secrets, finds);
}

static void take_as_it_was(const struct look *look, struct entry *entry, struct find *find)
{
	const struct entry *last = secrets_last_look(look, entry);
	take_over(entry, last, find);
	entry->unsettled = last->unsettled;
}

struct secrets *secrets_with_commands(const struct config *config, const struct secrets *previous, struct commands *commands)
{
	struct secrets *secrets = list_sources(config);
	struct look look = {.config = config, .previous = previous, .commands = commands, .now = time(NULL)};
	struct find *finds = memory_array(secrets->count, sizeof *finds);
	secrets->held = held_key_ref(previous->held);
	secrets->state_lost = previous->state_lost;
	secrets->vault_print = vault_print_ref(previous->vault_print);
	for (size_t i = 0; i < previous->warning_count; i++)
		secrets_keep_warning(secrets, previous->vault_warnings[i]);
	for (size_t i = 0; i < secrets->count; i++)
		if (is_command(&secrets->entries[i]))
			settle_command(&look, &secrets->entries[i], &finds[i]);
		else
			take_as_it_was(&look, &secrets->entries[i], &finds[i]);
	return finish(&look, secrets, finds);
}

bool secrets_good(const struct secret_value *value, uint64_t now)
{
	return value->ready && (!value->until || now < value->until);
}

bool secrets_any_over(const struct secrets *secrets, uint64_t now)
{
	for (size_t i = 0; i < secrets->count; i++)
		if (secrets->entries[i].value.ready && !secrets_good(&secrets->entries[i].value, now))
			return true;
	return false;
}

uint64_t secrets_again(const struct secrets *secrets, const struct config_credential *credential)
{
	uint64_t first = 0;
	for (size_t i = 0; i < secrets_count(credential); i++) {
		uint64_t again = secrets_get(secrets, credential, i)->again;
		if (again && (!first || again < first))
			first = again;
	}
	return first;
}

bool secrets_pending(const struct secrets *secrets, const struct config_credential *credential)
{
	bool pending = false;
	for (size_t i = 0; i < secrets_count(credential); i++) {
		const struct secret_value *value = secrets_get(secrets, credential, i);
		if (!value->ready && !value->pending)
			return false; /* what is worth waiting for would not be all */
		pending |= value->pending;
	}
	return pending;
}

bool secrets_failed(const struct secrets *secrets, const struct config_credential *credential)
{
	bool failed = false;
	for (size_t i = 0; i < secrets_count(credential); i++)
		failed |= secrets_get(secrets, credential, i)->failed;
	return failed;
}

size_t secrets_count(const struct config_credential *credential)
{
	return secret_use_count(credential);
}

const struct secret_value *secrets_get(const struct secrets *secrets, const struct config_credential *credential,
                                       size_t index)
{
	return &secrets->entries[secrets->used[credential->number][index]].value;
}

const struct secret_value *secrets_by_id(const struct secrets *secrets, const struct config_credential *credential,
                                         struct span id)
{
	for (size_t i = 0; i < credential->secret_count; i++)
		if (span_equal(span_of(credential->secrets[i].id), id))
			return secrets_get(secrets, credential, i);
	return NULL;
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

/* The times and reasons count too: a set that differs in them is news for whoever renews, or asks what is not ready. So does a vault
 * that was opened anew: by the set that is kept the next look decides whether to open it again. */
static bool same_value(const struct entry *a, const struct entry *b)
{
	return strcmp(a->key, b->key) == 0 && a->value.ready == b->value.ready &&
	       a->value.until == b->value.until && a->value.again == b->value.again &&
	       a->value.number == b->value.number && a->value.pending == b->value.pending && text_same(a->why, b->why) &&
	       text_same(a->stale, b->stale) && secret_equal(a->value.bytes, b->value.bytes);
}

bool secrets_same(const struct secrets *a, const struct secrets *b)
{
	if (a->count != b->count || a->credentials != b->credentials || a->vault_print != b->vault_print)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!same_value(&a->entries[i], &b->entries[i]))
			return false;
	return true;
}

bool secrets_differ(const struct secrets *a, const struct secrets *b, const struct config_credential *credential)
{
	for (size_t i = 0; i < credential->secret_count; i++)
		if (!secret_equal(secrets_get(a, credential, i)->bytes, secrets_get(b, credential, i)->bytes))
			return true;
	return false;
}

bool secrets_have(const struct secrets *secrets, const struct secret_value *value)
{
	const struct entry *one = (const struct entry *)(const void *)((const char *)value - offsetof(struct entry, value));
	uintptr_t known = (uintptr_t)table_get(&secrets->by_key, span_of(one->key));
	const struct entry *other = known ? &secrets->entries[known - 1] : NULL;
	return other && other->value.ready == value->ready && secret_equal(other->value.bytes, value->bytes);
}

void secrets_count_looks(struct secrets *kept, const struct secrets *dropped)
{
	for (size_t i = 0; i < kept->count; i++)
		kept->entries[i].unsettled = dropped->entries[i].unsettled;
}

const struct held_key *secrets_held_key(const struct secrets *secrets)
{
	return secrets->held;
}

bool secrets_unsettled(const struct secrets *secrets)
{
	return secrets->unsettled;
}

bool secrets_state_kept(const struct secrets *secrets)
{
	return !secrets->state_lost;
}

const char *secrets_vault_warning(const struct secrets *secrets, size_t index)
{
	return index < secrets->warning_count ? secrets->vault_warnings[index] : NULL;
}

struct secrets *secrets_ref(struct secrets *secrets)
{
	atomic_fetch_add_explicit(&secrets->references, 1, memory_order_relaxed);
	return secrets;
}

void secrets_free(struct secrets *secrets)
{
	if (!secrets || atomic_fetch_sub(&secrets->references, 1) != 1)
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
	vault_print_unref(secrets->vault_print);
	free(secrets);
}
