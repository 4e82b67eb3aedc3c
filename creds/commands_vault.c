/* Commands about the vault as a whole: init, verify, accept-older, keygen. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "file.h"
#include "memory.h"
#include "prompt.h"
#include "text.h"

static void tell_made(const char *what, const char *path)
{
	printf("made %s, %s\n", path, what);
}

static void tell_kept(const char *what, const char *path)
{
	printf("kept %s, %s: it was there already\n", path, what);
}

/* BUSY means that it is there, made by somebody else just now or long ago. */
static bool make_key_file(const struct source *source, const char *what, struct fault *fault)
{
	struct fault why = FAULT_INIT;
	if (source->kind != SOURCE_FILE)
		return true;
	if (!file_make_folder(source->name, fault))
		return false;
	if (keysource_make(source->name, &why))
		tell_made(what, source->name);
	else if (why.code == FAULT_BUSY)
		tell_kept(what, source->name);
	else
		return fault_set(fault, why.code, "%s", why.text);
	return true;
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static bool make_vault(const struct target *target, struct fault *fault)
{
	struct vault_place place = target_place(target);
	place.ask = prompt_new_passphrase;
	struct fault why = FAULT_INIT;
	struct vault *vault = vault_create(&place, target->vault_key.text, &why);
	if (vault) {
		tell_made("the vault", target->vault_file);
		target_tell_warnings(vault);
	} else if (why.code == FAULT_BUSY && exists(target->vault_file)) {
		tell_kept("the vault", target->vault_file);
	} else {
		return fault_set(fault, why.code, "%s", why.text);
	}
	vault_close(vault);
	return true;
}

static bool vault_and_key(const struct target *target, struct fault *fault)
{
	const struct source *key = &target->vault_key;
	bool there = exists(target->vault_file);
	if (there && key->kind == SOURCE_FILE && !exists(key->name))
		return fault_set(fault, FAULT_MISSING, "%s is there, but its key %s is not, and a new key would not open it; put "
		                 "the key back, or move the vault away to begin anew", target->vault_file, key->name);
	if (!make_key_file(key, "the vault's key", fault))
		return false;
	if (there) {
		tell_kept("the vault", target->vault_file);
		return true;
	}
	return file_make_folder(target->vault_file, fault) && make_vault(target, fault);
}

static void tell_next(const struct target *target)
{
	if (!target->config && target->vault_assumed)
		printf("there is no configuration yet: these are the names that a keystile.yaml in this folder would use\n");
	if (target->vault_assumed)
		printf("in keystile.yaml say:  vault: { file: secrets.vault, key: \"%s\" }\n", target->vault_key.text);
	printf("next:  creds set NAME\n");
}

bool command_init(const struct call *call, struct fault *fault)
{
	const struct target *target = call->target;
	if (!vault_and_key(target, fault) || !make_key_file(&target->session_key, "the session key", fault))
		return false;
	tell_next(target);
	return true;
}

static size_t count_expired(const struct vault *vault)
{
	size_t expired = 0;
	uint64_t now = (uint64_t)time(NULL);
	for (size_t i = 0; i < vault_count(vault); i++)
		expired += vault_entry(vault, i)->expires && vault_entry(vault, i)->expires <= now;
	return expired;
}

bool command_verify(const struct call *call, struct fault *fault)
{
	struct vault *vault = target_open(call->target, fault);
	if (!vault)
		return false;
	AUTO_BUFFER struct buffer out = {0};
	size_t secrets = vault_count(vault), keys = vault_slot_count(vault), expired = count_expired(vault);
	if (call->options->json) {
		json_open(&out, NULL, '{');
		json_text(&out, "vault", span_of(call->target->vault_file));
		json_text(&out, "key", span_of(call->target->vault_key.text));
		json_number(&out, "generation", vault_generation(vault));
		json_number(&out, "secrets", secrets);
		json_number(&out, "expired", expired);
		json_number(&out, "keys", keys);
		json_bool(&out, "generation_kept", vault_state_kept(vault));
		buffer_string(&out, "}\n");
	} else {
		buffer_format(&out, "%s: whole, opened with %s; generation %" PRIu64 ", %zu secret%s (%zu expired), %zu key%s\n",
		              call->target->vault_file, call->target->vault_key.text, vault_generation(vault), secrets,
		              secrets == 1 ? "" : "s", expired, keys, keys == 1 ? "" : "s");
	}
	vault_close(vault);
	return text_print(buffer_view(&out), fault);
}

bool command_accept_older(const struct call *call, struct fault *fault)
{
	struct vault_place place = target_place(call->target);
	place.accept_older = true;
	struct vault *vault = vault_open(&place, fault);
	if (!vault)
		return false;
	target_tell_warnings(vault);
	bool kept = vault_state_kept(vault);
	if (kept)
		printf("%s: generation %" PRIu64 " is now the last one seen\n", call->target->vault_file, vault_generation(vault));
	else
		fault_set(fault, FAULT_IO, "%s: nothing was accepted, since the state folder cannot be written",
		          call->target->vault_file);
	vault_close(vault);
	return kept;
}

bool command_keygen(const struct call *call, struct fault *fault)
{
	if (!keysource_make(call->words[0], fault))
		return false;
	tell_made("a key file", call->words[0]);
	return true;
}
