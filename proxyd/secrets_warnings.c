/* What is odd about a secret and goes out all the same (SPEC §2: warned of, never mended). */
#include <stdlib.h>
#include <unistd.h>

#include "file.h"
#include "memory.h"
#include "secrets.h"
#include "vault.h"

typedef void teller(void *context, const char *line);

static void warn_of_blanks(struct mark mark, const char *name, const char *whose, struct span value, teller *tell,
                           void *context)
{
	if (span_trim(value).length == value.length)
		return;
	AUTO_FREE char *line = memory_format("%s:%u:%u: the secret `%s` of %s begins or ends with a blank, and is sent "
	                                     "that way", mark.file, mark.line, mark.column, name, whose);
	tell(context, line);
}

/* The text in front of `{id}` in a template, back to the last "/" where it is a path's. */
static struct span prefix_of(const char *template, const char *id, bool path)
{
	AUTO_FREE char *place = memory_format("{%s}", id);
	const char *found = template ? strstr(template, place) : NULL;
	if (!found)
		return (struct span){NULL, 0};
	const char *start = template;
	for (const char *at = template; path && at < found; at++)
		if (*at == '/')
			start = at + 1;
	return (struct span){start, (size_t)(found - start)};
}

static void warn_of_prefix(const struct config_credential *credential, const struct injection *injection,
                           const char *template, size_t index, struct span value, teller *tell, void *context)
{
	struct span prefix = prefix_of(template, credential->secrets[index].id, injection->kind == INJECT_PATH);
	if (span_trim(prefix).length == 0 || !span_equal_nocase(span_head(value, prefix.length), prefix))
		return;
	AUTO_FREE char *line = memory_format("%s:%u:%u: the secret `%s` of %s begins with `%.*s` already, which is put "
	                                     "in front of it once more", injection->mark.file, injection->mark.line,
	                                     injection->mark.column, credential->secrets[index].id, credential->name,
	                                     SPAN_ARGS(prefix));
	tell(context, line);
}

static void warn_of_secret(const struct config_credential *credential, size_t index, struct span value, teller *tell,
                           void *context)
{
	const struct named_source *secret = &credential->secrets[index];
	warn_of_blanks(secret->mark, secret->id, credential->name, value, tell, context);
	for (size_t i = 0; i < credential->injection_count; i++) {
		const struct injection *injection = &credential->injections[i];
		if (injection->kind == INJECT_HEADER)
			warn_of_prefix(credential, injection, injection->value, index, value, tell, context);
		for (size_t j = 0; injection->kind == INJECT_PATH && j < injection->paths.count; j++)
			warn_of_prefix(credential, injection, injection->paths.list[j], index, value, tell, context);
	}
}

/* A new refresh token is written beside the vault, and then renamed. */
static void warn_of_folder(const struct config *config, const struct named_source *refresh, teller *tell, void *context)
{
	AUTO_FREE char *path = realpath(config->vault_file, NULL);
	AUTO_FREE char *folder = path ? file_folder(path) : NULL;
	struct fault fault = FAULT_INIT;
	if (!folder || vault_writable(path, &fault))
		return;
	AUTO_FREE char *line = memory_format("%s:%u:%u: a refresh token that its server replaces could not be stored: user %u, who runs "
	                                     "proxyd, cannot write in %s (%s); let that user, or put the vault where it can; where it can, "
	                                     "restart proxyd",
	                                     refresh->mark.file, refresh->mark.line, refresh->mark.column, (unsigned)geteuid(), folder,
	                                     fault.text);
	tell(context, line);
}

static bool counts(const struct secret_value *value, const struct secrets *others)
{
	return value && value->ready && (!others || secrets_have(others, value));
}

void secrets_warnings(const struct config *config, const struct secrets *secrets, const struct secrets *others, teller *tell,
                      void *context)
{
	const char *line;
	for (size_t i = 0; (line = secrets_vault_warning(secrets, i)) != NULL; i++)
		tell(context, line);
	for (size_t i = 0; i < config->credential_count; i++) {
		const struct config_credential *credential = &config->credentials[i];
		for (size_t j = 0; j < credential->secret_count; j++) {
			const struct secret_value *value = secrets_get(secrets, credential, j);
			if (!counts(value, others))
				continue;
			warn_of_secret(credential, j, value->bytes, tell, context);
			if (!strcmp(credential->secrets[j].id, "refresh") && config_minting(credential))
				warn_of_folder(config, &credential->secrets[j], tell, context);
		}
	}
	const struct secret_value *auth = secrets_parent(secrets);
	if (counts(auth, others))
		warn_of_blanks(config->parent.mark, "auth", "parent", auth->bytes, tell, context);
}
