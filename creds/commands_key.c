/* Commands about the keys that open the vault: key add, key rm, key list, rekey. */
#include <stdio.h>
#include <time.h>

#include "commands.h"
#include "log.h"
#include "memory.h"
#include "prompt.h"
#include "text.h"

/* Reads a key that the command line names; a key file that is not there is made. */
static bool new_key(const struct source *source, struct vault_key *key, struct fault *fault)
{
	struct fault why = FAULT_INIT;
	if (keysource_read(source, prompt_new_passphrase, NULL, "passphrase", key, &why))
		return true;
	if (source->kind != SOURCE_FILE || why.code != FAULT_MISSING)
		return fault_set(fault, why.code, "%s", why.text);
	if (!keysource_make(source->name, fault))
		return false;
	printf("made %s, a key file\n", source->name);
	return keysource_read(source, NULL, NULL, "", key, fault);
}

static bool add(const struct call *call, const struct source *source, const struct vault_key *key, struct fault *fault)
{
	struct vault *vault = target_edit(call->target, fault);
	if (!vault)
		return false;
	bool done = vault_slot_add(vault, key, source->text, fault) && vault_save(vault, fault);
	if (done)
		printf("%s opens %s from now on, as key %.8s\n", source->text, call->target->vault_file,
		       vault_slot_info(vault, vault_slot_count(vault) - 1).id);
	vault_close(vault);
	return done;
}

bool command_key_add(const struct call *call, struct fault *fault)
{
	struct source source;
	struct vault_key key;
	if (!vault_exists(call->target->vault_file, fault) || !source_parse_key(span_of(call->words[0]), ".", &source, fault))
		return false;
	bool done = new_key(&source, &key, fault);
	if (done) {
		if (key.warning)
			log_warning("%s", key.warning);
		done = add(call, &source, &key, fault);
		vault_key_free(&key);
	}
	source_free(&source);
	return done;
}

/* By the first letters of its id, as `key list` shows it. */
static bool find_slot(const struct vault *vault, const char *id, size_t *index, struct fault *fault)
{
	size_t found = 0;
	for (size_t i = 0; i < vault_slot_count(vault); i++) {
		struct vault_slot_info info = vault_slot_info(vault, i);
		if (!*id || !span_starts(span_of(info.id), span_of(id)))
			continue;
		*index = i;
		found++;
	}
	if (found == 1)
		return true;
	return fault_set(fault, FAULT_USAGE, "%s: %s key begins so; see: creds key list", id, found ? "more than one" : "no");
}

bool command_key_rm(const struct call *call, struct fault *fault)
{
	struct vault *vault = target_edit(call->target, fault);
	if (!vault)
		return false;
	size_t index = 0;
	bool done = find_slot(vault, call->words[0], &index, fault) && vault_slot_remove(vault, index, fault) &&
	            vault_save(vault, fault);
	vault_close(vault);
	if (done)
		printf("removed key %s\nwhoever has it and an old copy of the vault could still read this one; end that with: "
		       "creds rekey\n", call->words[0]);
	return done;
}

static void key_json(const struct vault_slot_info *info, struct buffer *out)
{
	json_open(out, NULL, '{');
	json_text(out, "id", span_of(info->id));
	json_text(out, "kind", info->passphrase ? SPAN("passphrase") : SPAN("file"));
	json_text(out, "label", info->label);
	json_time(out, "added", info->added);
	json_bool(out, "in_use", info->in_use);
	buffer_char(out, '}');
}

static void key_row(const struct vault_slot_info *info, struct text_table *table)
{
	char age[TEXT_TIME];
	text_span_of_time(info->added, (uint64_t)time(NULL), age);
	buffer_format(text_cell(table), "%.8s", info->id);
	buffer_string(text_cell(table), info->passphrase ? "passphrase" : "file");
	buffer_string(text_cell(table), age);
	buffer_span(text_cell(table), info->label);
	buffer_string(text_cell(table), info->in_use ? "opened it just now" : "");
}

static void list_json(const struct vault *vault, struct buffer *out)
{
	json_open(out, NULL, '{');
	json_open(out, "keys", '[');
	for (size_t i = 0; i < vault_slot_count(vault); i++) {
		struct vault_slot_info info = vault_slot_info(vault, i);
		key_json(&info, out);
	}
	buffer_string(out, "]}\n");
}

static void list_table(const struct vault *vault, struct buffer *out)
{
	static const char *const heading[] = {"ID", "KIND", "AGE", "ADDED AS", ""};
	struct text_table table = {.columns = 5};
	for (size_t i = 0; i < 5; i++)
		buffer_string(text_cell(&table), heading[i]);
	for (size_t i = 0; i < vault_slot_count(vault); i++) {
		struct vault_slot_info info = vault_slot_info(vault, i);
		key_row(&info, &table);
	}
	text_table_write(&table, out);
	text_table_free(&table);
}

bool command_key_list(const struct call *call, struct fault *fault)
{
	struct vault *vault = target_open(call->target, fault);
	if (!vault)
		return false;
	AUTO_BUFFER struct buffer out = {0};
	(call->options->json ? list_json : list_table)(vault, &out);
	vault_close(vault);
	return text_print(buffer_view(&out), fault);
}

/* The keys that a rekey has at hand: the one in use first, then those of --with. */
struct keys {
	struct vault_key list[VAULT_SLOTS + 1];
	size_t count;
};

static bool read_keys(const struct call *call, struct keys *keys, struct fault *fault)
{
	if (!keysource_read(&call->target->vault_key, prompt_secret, NULL, "passphrase of the vault", &keys->list[0], fault))
		return false;
	keys->count = 1;
	for (size_t i = 0; i < call->options->with_count; i++) {
		struct source source;
		AUTO_FREE char *prompt = memory_format("passphrase %zu (--with)", i + 1);
		if (!source_parse_key(span_of(call->options->with[i]), ".", &source, fault))
			return fault_wrap(fault, "--with");
		bool done = keysource_read(&source, prompt_secret, NULL, prompt, &keys->list[keys->count], fault);
		source_free(&source);
		if (!done)
			return false;
		keys->count++;
	}
	return true;
}

static bool rekey(const struct call *call, const struct keys *keys, struct fault *fault)
{
	struct vault_place place = target_place(call->target);
	place.held = &keys->list[0];
	struct vault *vault = vault_edit(&place, fault);
	if (!vault)
		return false;
	target_tell_warnings(vault);
	bool done = vault_rekey(vault, keys->list, keys->count, call->options->drop, fault) && vault_save(vault, fault);
	if (done)
		printf("%s is sealed under a new data key; %zu key%s it\n", call->target->vault_file, vault_slot_count(vault),
		       vault_slot_count(vault) == 1 ? " opens" : "s open");
	vault_close(vault);
	return done;
}

bool command_rekey(const struct call *call, struct fault *fault)
{
	struct keys keys = {0};
	bool done = vault_exists(call->target->vault_file, fault) && read_keys(call, &keys, fault) && rekey(call, &keys, fault);
	for (size_t i = 0; i < keys.count; i++)
		vault_key_free(&keys.list[i]);
	return done;
}
