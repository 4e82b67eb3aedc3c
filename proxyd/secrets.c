#include "secrets.h"

#include <stdlib.h>

#include "memory.h"
#include "minted.h"
#include "secrets_internal.h"
#include "text.h"

#define RENEW_PERCENT 80
#define RETRY 30 /* seconds until a failed exec is tried again, at most */

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
	atomic_init(&secrets->references, 1);
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

static const struct entry *last_look(const struct look *look, const struct entry *entry)
{
	if (!look->previous)
		return NULL;
	uintptr_t known = (uintptr_t)table_get(&look->previous->by_key, span_of(entry->key));
	return known ? &look->previous->entries[known - 1] : NULL;
}

static bool is_spent(const struct entry *entry, struct spent *spent)
{
	return spent && entry && entry->value.number && spent_has(spent, entry->value.number);
}

static const struct entry *last_good(const struct look *look, const struct entry *entry)
{
	const struct entry *last = last_look(look, entry);
	bool good = last && last->value.ready && !is_spent(last, look->spent) &&
	            (!last->value.expires || last->value.expires > look->now);
	return good ? last : NULL;
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
	entry->made = last->made;
	entry->spent = last->spent;
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
	entry->made = anew.made;
	entry->spent = anew.spent;
	entry->value.number = anew.value.number;
	entry->value.firm = anew.value.firm;
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
		if (entry->value.ready && !entry->stale && last)
			take_back(entry, last, &finds[used[i]]);
	}
}

static void take_new(struct look *look, struct entry *entry, const struct entry *last, const struct find *find)
{
	bool same = last && secret_equal(last->value.bytes, find->value);
	entry->value.ready = true;
	entry->value.changed = same ? last->value.changed : look->now;
	entry->value.looked = entry->source->kind == SOURCE_VAULT ? look->vault_opened : 0;
	if (entry->ttl) {
		entry->value.renew = look->now + (time_t)(entry->ttl * RENEW_PERCENT / 100);
		entry->value.expires = look->now + (time_t)entry->ttl;
	}
}

/* What a command printed is a value of its own, whatever it printed before. */
static void number(struct look *look, struct entry *entry)
{
	const struct entry *last = last_look(look, entry);
	entry->made = minted_now();
	entry->spent = is_spent(last, look->spent) ? spent_count(last->spent, entry->made - last->made) : 0;
	entry->value.number = spent_next_number();
	entry->value.firm = entry->made + spent_patience(entry->spent);
	if (last && look->spent)
		spent_remove(look->spent, last->value.number);
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
	secrets_read(look, secrets, entry, find);
	if (exec)
		number(look, entry);
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

struct secrets *secrets_load(const struct config *config, const struct secrets *previous, struct spent *spent)
{
	struct secrets *secrets = list_sources(config);
	struct look look = {.config = config, .previous = previous, .spent = spent, .now = time(NULL)};
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

/* The times and reasons count too: a set that differs in them is news for whoever renews, or asks what is not ready. */
static bool same_value(const struct entry *a, const struct entry *b)
{
	return strcmp(a->key, b->key) == 0 && a->value.ready == b->value.ready &&
	       a->value.expires == b->value.expires && a->value.renew == b->value.renew &&
	       a->value.number == b->value.number && text_same(a->why, b->why) &&
	       text_same(a->stale, b->stale) && secret_equal(a->value.bytes, b->value.bytes);
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

const struct held_key *secrets_held_key(const struct secrets *secrets)
{
	return secrets->held;
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

bool secrets_spent(const struct secrets *secrets, struct spent *spent)
{
	for (size_t i = 0; i < secrets->count; i++)
		if (is_spent(&secrets->entries[i], spent))
			return true;
	return false;
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
	free(secrets);
}
