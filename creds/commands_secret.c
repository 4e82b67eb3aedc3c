/* Commands about one secret: set, reveal, rm. */
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "log.h"
#include "memory.h"
#include "prompt.h"
#include "secret.h"
#include "text.h"
#include "value.h"

/* A file, a pipe, or what a shell's <(command) makes. */
static bool read_whole(int fd, const char *name, struct buffer *out, struct fault *fault)
{
	for (;;) {
		char *room = buffer_room(out, 4096);
		ssize_t count = read(fd, room, 4096);
		if (count < 0)
			return fault_errno(fault, "%s", name);
		if (count == 0)
			break;
		out->length += (size_t)count;
		if (out->length > VAULT_VALUE + 16) /* room for what value_clean() takes off */
			return fault_set(fault, FAULT_USAGE, "%s: over %d bytes, the most that a secret may have", name, VAULT_VALUE);
	}
	return true;
}

static bool read_named(const char *file, struct buffer *out, struct fault *fault)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return fault_errno(fault, "%s", file);
	bool done = read_whole(fd, file, out, fault);
	close(fd);
	return done;
}

static bool read_value(const struct call *call, struct buffer *out, struct fault *fault)
{
	const char *file = call->options->from_file;
	if (file && strcmp(file, "-") != 0)
		return read_named(file, out, fault);
	if (file || !isatty(STDIN_FILENO))
		return read_whole(STDIN_FILENO, "standard input", out, fault);
	AUTO_FREE char *prompt = memory_format("secret %s", call->words[0]);
	return prompt_secret(NULL, prompt, out, fault);
}

static const char *origin_of(const struct call *call)
{
	if (call->options->from_file)
		return call->options->from_file;
	return isatty(STDIN_FILENO) ? "terminal" : "standard input";
}

/* Before anybody is asked for a secret: would it be taken at all? */
static bool expect_vault(const struct call *call, uint64_t *expires, struct fault *fault)
{
	const char *name = call->words[0];
	*expires = VAULT_KEEP_EXPIRY;
	if (!source_is_secret_name(span_of(name)))
		return fault_set(fault, FAULT_USAGE, "%s: no name for a secret; letters, digits and . _ - make one, up to 128, and "
		                 "the first is a letter or digit", name);
	if (call->options->expires &&
	    !text_parse_expiry(span_of(call->options->expires), (uint64_t)time(NULL), expires, fault))
		return false;
	return vault_exists(call->target->vault_file, fault);
}

static bool store(const struct call *call, struct span value, uint64_t expires, struct fault *fault)
{
	struct vault *vault = target_edit(call->target, fault);
	if (!vault)
		return false;
	struct span name = span_of(call->words[0]), old;
	bool replaced = vault_get(vault, name, &old);
	bool done = vault_put(vault, name, value, expires, fault) && vault_save(vault, fault);
	vault_close(vault);
	if (done)
		printf("%s %s, %zu bytes, in %s\n", replaced ? "replaced" : "stored", name.data, value.length,
		       call->target->vault_file);
	return done;
}

bool command_set(const struct call *call, struct fault *fault)
{
	AUTO_WIPE struct buffer content = {0};
	uint64_t expires;
	if (!expect_vault(call, &expires, fault) || !read_value(call, &content, fault))
		return false;
	struct span value = buffer_view(&content);
	const char *wrong = secret_clean(&value, true), *odd = wrong ? NULL : value_oddity(value);
	if (wrong)
		return fault_set(fault, FAULT_USAGE, "%s: the secret %s; nothing was changed", origin_of(call), wrong);
	if (odd)
		log_warning("%s %s", call->words[0], odd);
	return store(call, value, expires, fault);
}

static bool unknown(const struct call *call, const char *name, struct fault *fault)
{
	return fault_set(fault, FAULT_MISSING, "%s: no such secret in %s; see: creds list", name, call->target->vault_file);
}

/* A pipe gets the bytes and nothing else; on a terminal the line is ended. */
bool command_reveal(const struct call *call, struct fault *fault)
{
	struct vault *vault = target_open(call->target, fault);
	if (!vault)
		return false;
	struct span value;
	bool done = vault_get(vault, span_of(call->words[0]), &value) || unknown(call, call->words[0], fault);
	done = done && text_print(value, fault);
	if (done && isatty(STDOUT_FILENO))
		done = text_print(SPAN("\n"), fault);
	vault_close(vault);
	return done;
}

static bool remove_all(const struct call *call, struct vault *vault, struct fault *fault)
{
	for (size_t i = 0; i < call->count; i++)
		if (!vault_remove(vault, span_of(call->words[i])))
			return unknown(call, call->words[i], fault);
	return vault_save(vault, fault);
}

bool command_rm(const struct call *call, struct fault *fault)
{
	struct vault *vault = target_edit(call->target, fault);
	if (!vault)
		return false;
	bool done = remove_all(call, vault, fault);
	for (size_t i = 0; done && i < call->count; i++)
		printf("removed %s\n", call->words[i]);
	vault_close(vault);
	return done;
}
