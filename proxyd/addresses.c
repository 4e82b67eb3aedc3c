#include "addresses.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "buffer.h"
#include "memory.h"

struct addresses {
	atomic_uint references;
	char *key; /* all patterns, as text: two with the same are the same */
	struct pattern *patterns;
	struct pattern_index *named, *denied;
};

static bool is_address(const struct pattern *pattern)
{
	return pattern->kind == PATTERN_CIDR || pattern->host.kind != HOST_NAME;
}

static char *key_of(const struct config_profile *profile)
{
	struct buffer key = {0};
	char text[PATTERN_TEXT];
	for (size_t i = 0; i < profile->host_count; i++) {
		const struct pattern *pattern = &profile->hosts[i].pattern;
		if (!is_address(pattern))
			continue;
		buffer_span(&key, (struct span){text, pattern_format(pattern, text)});
		buffer_char(&key, ' ');
	}
	return key.data;
}

struct addresses *addresses_new(const struct config_profile *profile, struct addresses *before)
{
	char *key = key_of(profile);
	if (!key || (before && !strcmp(before->key, key))) {
		free(key);
		return key ? addresses_ref(before) : NULL;
	}
	struct addresses *addresses = memory_alloc(sizeof *addresses);
	atomic_init(&addresses->references, 1);
	addresses->key = key;
	addresses->named = pattern_index_new();
	addresses->denied = pattern_index_new();
	addresses->patterns = memory_array(profile->host_count, sizeof *addresses->patterns);
	for (size_t i = 0; i < profile->host_count; i++) {
		struct pattern *pattern = &addresses->patterns[i];
		*pattern = profile->hosts[i].pattern;
		if (is_address(pattern))
			pattern_index_add(pattern->deny ? addresses->denied : addresses->named, pattern, pattern);
	}
	return addresses;
}

struct addresses *addresses_ref(struct addresses *addresses)
{
	if (addresses)
		atomic_fetch_add_explicit(&addresses->references, 1, memory_order_relaxed);
	return addresses;
}

void addresses_unref(struct addresses *addresses)
{
	if (!addresses || atomic_fetch_sub(&addresses->references, 1) != 1)
		return;
	pattern_index_free(addresses->named);
	pattern_index_free(addresses->denied);
	free(addresses->patterns);
	free(addresses->key);
	free(addresses);
}

bool addresses_name(const struct addresses *addresses, const struct host *host, uint16_t port)
{
	return addresses && pattern_index_find(addresses->named, host, port);
}

bool addresses_deny(const struct addresses *addresses, const struct host *host, uint16_t port)
{
	return addresses && pattern_index_find(addresses->denied, host, port);
}
