/* Any bytes as a configuration: there are errors or there is one, all places lie in the file, and what was parsed once is
 * parsed the same again. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_places(const struct config_messages *messages, size_t size)
{
	unsigned last_line = 0, line, column;
	int length;
	for (size_t i = 0; i < messages->count; i++) {
		const char *text = messages->list[i];
		if (sscanf(text, "k.yaml:%u:%u: %n", &line, &column, &length) != 2 || !text[length])
			abort();
		if (line < last_line || line < 1 || line > size + 1 || column < 1 || column > size + 1)
			abort();
		for (const char *c = text; *c; c++)
			if ((unsigned char)*c < 0x20 || *c == 0x7f)
				abort();
		last_line = line;
	}
}

static void check_same(const struct config_messages *a, const struct config_messages *b)
{
	if (a->count != b->count)
		abort();
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->list[i], b->list[i]) != 0)
			abort();
}

static void check_string(const char *text)
{
	if (text && strlen(text) > 1 << 20)
		abort();
}

/* What later rooms rely on. */
static void check_credential(const struct config *config, const struct config_credential *credential)
{
	if (config_credential(config, span_of(credential->name)) != credential || !credential->upstream.host.length ||
	    !credential->upstream.port || !credential->upstream.path || !credential->secret_count ||
	    !credential->injection_count)
		abort();
	size_t path = strlen(credential->upstream.path);
	if (path && (credential->upstream.path[0] != '/' || credential->upstream.path[path - 1] == '/'))
		abort();
	for (size_t i = 0; i < credential->secret_count; i++)
		if (credential->secrets[i].source.kind == SOURCE_NONE || !credential->secrets[i].source.name)
			abort();
	for (size_t i = 0; i < credential->injection_count; i++) {
		const struct injection *injection = &credential->injections[i];
		if (!injection->value || (injection->kind <= INJECT_COOKIE && injection->kind != INJECT_PATH && !injection->name) ||
		    (injection->kind == INJECT_PATH && !injection->paths.count))
			abort();
	}
	if (!credential->upstream.wildcard &&
	    !config_owns(credential, &credential->upstream.host, credential->upstream.port))
		abort();
}

static void check_profile(const struct config *config, const struct config_profile *profile)
{
	if (config_profile(config, span_of(profile->name)) != profile || profile->token_version < 1)
		abort();
	for (size_t i = 0; i < profile->host_count; i++) {
		check_string(profile->hosts[i].text);
		for (size_t k = 0; k < i && i < 50; k++) {
			char a[PATTERN_TEXT], b[PATTERN_TEXT];
			pattern_format(&profile->hosts[i].pattern, a);
			pattern_format(&profile->hosts[k].pattern, b);
			if (!strcmp(a, b))
				abort();
		}
	}
	for (size_t i = 0; i < profile->credential_count; i++)
		for (size_t k = 0; k < i; k++)
			if (profile->credentials[i] == profile->credentials[k])
				abort();
}

static void check(const struct config *config)
{
	if (config->session.none ? config->profile_count != 1 : config->session.key.kind == SOURCE_NONE)
		abort();
	for (size_t i = 0; i < config->credential_count; i++)
		check_credential(config, &config->credentials[i]);
	for (size_t i = 0; i < config->profile_count; i++)
		check_profile(config, &config->profiles[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = {(const char *)data, size};
	struct config_messages errors[2] = {{0}}, warnings[2] = {{0}};
	bool found_here = size % 2;
	for (unsigned i = 0; i < 2; i++) {
		struct config *config = config_parse(text, "k.yaml", found_here, &errors[i], &warnings[i]);
		if (!config != (errors[i].count > 0))
			abort();
		check_places(&errors[i], size);
		check_places(&warnings[i], size);
		if (config)
			check(config);
		config_free(config);
	}
	check_same(&errors[0], &errors[1]);
	check_same(&warnings[0], &warnings[1]);
	for (unsigned i = 0; i < 2; i++) {
		config_messages_free(&errors[i]);
		config_messages_free(&warnings[i]);
	}
	return 0;
}
