#include "secret_use.h"

#include "memory.h"

static bool takes_lines(const struct config_credential *credential)
{
	for (size_t i = 0; i < credential->injection_count; i++)
		if (credential->injections[i].kind == INJECT_JWT)
			return true;
	return false;
}

size_t secret_use_count(const struct config_credential *credential)
{
	return credential->secret_count + (credential->client_cert != NULL);
}

struct secret_use secret_use_of(const struct config_credential *credential, size_t index)
{
	bool client = index == credential->secret_count, alone = client || credential->secret_count == 1;
	const struct source *source = client ? &credential->client_key : &credential->secrets[index].source;
	return (struct secret_use){
		.source = source,
		.lines = client || takes_lines(credential),
		.ttl = source->kind == SOURCE_EXEC ? credential->ttl : 0,
		.group = alone ? "" : credential->name,
	};
}

struct secret_use secret_use_of_parent(const struct config *config)
{
	return (struct secret_use){.source = &config->parent.auth, .group = ""};
}

char *secret_use_key(struct secret_use use)
{
	return memory_format("%d %d %llu %s %s", (int)use.source->kind, use.lines, (unsigned long long)use.ttl, use.group,
	                     use.source->name);
}

char *secret_use_label(const struct source *source)
{
	if (source->kind != SOURCE_EXEC)
		return memory_string(source->text);
	AUTO_FREE char **words = source_words(source->name);
	return memory_format("exec:%s", words ? words[0] : "");
}

char *secret_use_unfit(const struct source *source, bool lines, const char *unfit)
{
	AUTO_FREE char *label = secret_use_label(source);
	if (source->kind == SOURCE_VAULT)
		return memory_format("%s %s; set it again: creds set %s", label, unfit, source->name);
	return memory_format("%s %s; the secret must stand there alone%s", label, unfit, lines ? "" : ", on one line");
}
