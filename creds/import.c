/* creds import: what an .env file has goes into the vault in one write, or not at all. */
#include <stdio.h>
#include <stdlib.h>

#include "commands.h"
#include "dotenv.h"
#include "file.h"
#include "log.h"
#include "memory.h"
#include "secret.h"
#include "value.h"

#define FILE_LIMIT (1024 * 1024)

struct item {
	struct span name, value; /* the value in guarded memory */
	unsigned line;
};

struct import {
	const struct call *call;
	const char *file;
	struct secret_arena *arena;
	struct item *items;
	size_t count, capacity;
	size_t wrong;
};

static void tell(struct import *import, unsigned line, const char *text)
{
	fprintf(stderr, "%s:%u: %s\n", import->file, line, text);
	import->wrong++;
}

static bool is_wanted(const struct import *import, struct span name)
{
	for (size_t i = 1; i < import->call->count; i++)
		if (span_equal(span_of(import->call->words[i]), name))
			return true;
	return import->call->count == 1;
}

/* Does a name of the file do as the name of a secret? NULL: yes. */
static const char *judge_name(struct span name)
{
	if (name.data[0] >= '0' && name.data[0] <= '9')
		return "docker compose leaves out a name that begins with a digit";
	return source_is_secret_name(name) ? NULL : "a secret's name has letters, digits and . _ - only, up to 128, and begins "
	                                            "with a letter or digit; store this one by: creds set NAME";
}

static void keep(struct import *import, struct span name, struct span value, unsigned line)
{
	struct item item = {name, secret_arena_add(import->arena, value), line};
	for (size_t i = 0; i < import->count; i++) {
		if (!span_equal(import->items[i].name, name))
			continue;
		log_warning("%s:%u: %.*s stands in line %u too; this one counts, as in docker compose", import->file, line,
		            SPAN_ARGS(name), import->items[i].line);
		import->items[i] = item;
		return;
	}
	import->items = memory_grow(import->items, import->count, &import->capacity, sizeof *import->items);
	import->items[import->count++] = item;
}

static void take_entry(struct import *import, const struct dotenv_entry *entry)
{
	struct span value = entry->value;
	const char *wrong_name = judge_name(entry->name), *wrong_value = secret_clean(&value, true);
	AUTO_FREE char *text = NULL;
	if (wrong_name)
		text = memory_format("%.*s: %s", SPAN_ARGS(entry->name), wrong_name);
	else if (wrong_value)
		text = memory_format("%.*s %s; name the ones to take: creds import FILE NAME...", SPAN_ARGS(entry->name),
		                     wrong_value);
	else if (value.length > VAULT_VALUE)
		text = memory_format("%.*s is over %d bytes, the most that a secret may have", SPAN_ARGS(entry->name), VAULT_VALUE);
	if (text) {
		tell(import, entry->line, text);
		return;
	}
	const char *odd = value_oddity(value);
	if (odd)
		log_warning("%s:%u: %.*s %s", import->file, entry->line, SPAN_ARGS(entry->name), odd);
	keep(import, entry->name, value, entry->line);
}

static void take_all(struct import *import, struct span text)
{
	if (span_starts(text, SPAN("\xef\xbb\xbf")))
		text = span_from(text, 3);
	struct dotenv reader = {.rest = text, .line = 1};
	struct dotenv_entry entry;
	struct fault why = FAULT_INIT;
	enum dotenv_result result;
	while ((result = dotenv_next(&reader, &entry, &why)) != DOTENV_END) {
		if (entry.name.length > 0 && !is_wanted(import, entry.name))
			continue;
		if (result == DOTENV_WRONG)
			tell(import, entry.line, why.text);
		else
			take_entry(import, &entry);
	}
	dotenv_end(&reader);
}

static bool all_found(const struct import *import, struct fault *fault)
{
	for (size_t i = 1; i < import->call->count; i++) {
		bool found = false;
		for (size_t j = 0; j < import->count && !found; j++)
			found = span_equal(import->items[j].name, span_of(import->call->words[i]));
		if (!found)
			return fault_set(fault, FAULT_MISSING, "%s: has no %s; nothing was changed", import->file,
			                 import->call->words[i]);
	}
	return import->count > 0 || fault_set(fault, FAULT_USAGE, "%s: has no NAME=VALUE line; nothing was changed",
	                                      import->file);
}

static bool put_all(struct import *import, struct vault *vault, size_t *fresh, size_t *same, struct fault *fault)
{
	for (size_t i = 0; i < import->count; i++) {
		const struct item *item = &import->items[i];
		struct span old;
		bool there = vault_get(vault, item->name, &old);
		*fresh += !there;
		if (there && secret_equal(old, item->value)) {
			(*same)++; /* its age stays what it was */
			continue;
		}
		if (!vault_put(vault, item->name, item->value, VAULT_KEEP_EXPIRY, fault))
			return fault_wrap(fault, "%s:%u", import->file, item->line);
	}
	return vault_save(vault, fault);
}

static bool store(struct import *import, struct fault *fault)
{
	struct vault *vault = target_edit(import->call->target, fault);
	if (!vault)
		return false;
	size_t fresh = 0, same = 0;
	bool done = put_all(import, vault, &fresh, &same, fault);
	vault_close(vault);
	if (done)
		printf("%s: %zu secret%s (%zu new, %zu replaced, %zu as before) in %s\nthe file still shows them to whoever can read "
		       "it: remove it once nothing else needs it\n", import->file, import->count, import->count == 1 ? "" : "s",
		       fresh, import->count - fresh - same, same, import->call->target->vault_file);
	return done;
}

bool command_import(const struct call *call, struct fault *fault)
{
	AUTO_WIPE struct buffer content = {0};
	struct import import = {.call = call, .file = call->words[0]};
	if (!file_read(import.file, FILE_LIMIT, &content, fault))
		return false;
	import.arena = secret_arena_new(content.length + 1);
	take_all(&import, buffer_view(&content));
	bool done = import.wrong == 0 ||
	            fault_set(fault, FAULT_BROKEN, "%s: %zu line%s cannot be taken; nothing was changed", import.file,
	                      import.wrong, import.wrong == 1 ? "" : "s");
	done = done && all_found(&import, fault) && store(&import, fault);
	free(import.items);
	secret_arena_free(import.arena);
	return done;
}
